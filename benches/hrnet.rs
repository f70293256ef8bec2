//! Time of HRNet-W48's forward pass on one crop of 288 x 384.
//!
//! `cargo bench --bench hrnet`; `benches/hrnet_torch.py` times the same network in PyTorch, and takes this program's
//! time by turns where it is given the bench. Both use two threads.

use burn::tensor::{Device, Distribution, Tensor};
use divan::Bencher;
use humanifold::keypoints::hrnet::{HrnetConfig, Network, Weights};

fn main() {
    if let Err(error) = rayon::ThreadPoolBuilder::new().num_threads(2).build_global() {
        eprintln!("threads stay as they are: {error}");
    }
    divan::main();
}

/// Small numbers whose sum stays small through the network's depth.
fn network(device: &Device) -> Network {
    let mut weights = Weights::by_rule(|name, shape| {
        let count: usize = shape.iter().product();
        let value = |i: usize| ((i * 7919 + name.len() * 104_729) % 1009) as f32 / 1009.0 - 0.5;
        match shape.len() {
            1 if name.ends_with("running_var") || name.ends_with("weight") => vec![1.0; count],
            1 => vec![0.0; count],
            _ => (0..count).map(|i| value(i) / (count as f32 / shape[0] as f32).sqrt()).collect(),
        }
    });
    Network::new(&HrnetConfig::default(), &mut weights, device).expect("every tensor is made")
}

#[divan::bench(sample_count = 10)]
fn w48_forward(bencher: Bencher) {
    let device = Device::flex();
    let network = network(&device);
    let x = Tensor::<4>::random([1, 3, 384, 288], Distribution::Uniform(-1.0, 1.0), &device);
    bencher.bench(|| network.forward(x.clone()).into_data());
}
