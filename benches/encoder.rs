//! Time of the encoder's forward pass and of a training step.
//!
//! `cargo bench --bench encoder`; `benches/encoder_torch.py` times the same network in PyTorch, and takes this
//! program's path with `--ours` to time both by turns: a busy machine slows whichever runs at the time.

use burn::tensor::{Device, Distribution, Tensor};
use divan::Bencher;
use humanifold::estimators::humaniflow::encoder::EncoderConfig;
use humanifold::estimators::humaniflow::proxy::Planes;
use humanifold::estimators::humaniflow::proxy::edges::{EdgeOptions, edge_map};

fn main() {
    if let Err(error) = rayon::ThreadPoolBuilder::new().num_threads(2).build_global() {
        eprintln!("threads stay as they are: {error}");
    }
    divan::main();
}

fn proxies(count: usize, channels: usize, size: usize, device: &Device) -> Tensor<4> {
    Tensor::random([count, channels, size, size], Distribution::Uniform(0.0, 1.0), device)
}

/// ResNet-18, batch norm folded, one proxy of 256 x 256.
#[divan::bench(sample_count = 60)]
fn resnet18_forward(bencher: Bencher) {
    let device = Device::flex();
    let encoder = EncoderConfig::new().init(&device).folded();
    let x = proxies(1, 18, 256, &device);
    bencher.bench(|| encoder.forward(x.clone()).into_data());
}

/// ResNet-18 forward and backward, eight proxies, batch statistics.
#[divan::bench(sample_count = 3)]
fn resnet18_training_step(bencher: Bencher) {
    let device = Device::flex().autodiff();
    let encoder = EncoderConfig::new().init(&device);
    let x = proxies(8, 18, 256, &device);
    bencher.bench(|| encoder.forward(x.clone()).sum().backward());
}

/// Edge map of a 256 x 256 crop.
#[divan::bench(sample_count = 30)]
fn edges(bencher: Bencher) {
    let values = proxies(1, 3, 256, &Device::flex()).into_data().try_to_vec().unwrap_or_default();
    let picture = Planes { count: 3, height: 256, width: 256, values };
    bencher.bench(|| edge_map(&picture, &EdgeOptions::default()));
}
