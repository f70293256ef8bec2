//! How fast the published flows sample, give densities and train, and how fast spreads are made.
//!
//! `cargo bench --bench flow`; `benches/encoder_torch.py` times "heads, point estimate, 100 samples" in PyTorch, and
//! takes this program's path with `--ours` to time both by turns: a busy machine slows whichever runs at the time.

use burn::tensor::{Device, Distribution, Tensor};
use divan::Bencher;
use glam::Vec3;
use humanifold::body::BodyModel;
use humanifold::estimators::humaniflow::config::FlowConfig;
use humanifold::estimators::humaniflow::dense::Real;
use humanifold::estimators::humaniflow::flow::AtIdentity;
use humanifold::estimators::humaniflow::model::FlowModel;
use humanifold::estimators::humaniflow::net::FlowNet;
use humanifold::estimators::humaniflow::stacked::PoseTargets;
use humanifold::estimators::uncertainty::Uncertainty;
use humanifold::geometry::rotations::exp_so3;

fn main() {
    if let Err(error) = rayon::ThreadPoolBuilder::new().num_threads(2).build_global() {
        eprintln!("threads stay as they are: {error}");
    }
    divan::main();
}

fn numbers<R: Real>(count: usize) -> Vec<R> {
    (0..count).map(|i| R::of((i as f64 * 0.7).sin())).collect()
}

fn model<R: Real>() -> FlowModel<R> {
    let config = FlowConfig::default();
    let net = FlowNet::new(&config, &Device::flex()).expect("the published sizes");
    FlowModel::new(config, &net.to_state().expect("tensors on the CPU")).expect("its own tensors")
}

/// Heads, point estimate and samples of one picture, all of the mean shape.
#[divan::bench(args = [0, 50, 100, 1000], sample_count = 60)]
fn heads_point_estimate_and_samples(bencher: Bencher, samples: usize) {
    let model = model::<f32>();
    let features = numbers(512);
    let noise: Vec<[f32; 3]> = numbers::<f32>(samples * 69).as_chunks().0.to_vec();
    bencher.bench_local(|| {
        let heads = model.heads(&features).expect("512 features");
        let point = model.point_estimate(&heads);
        (point, model.sample(&heads, &heads.shape_mean, &noise, 1.0))
    });
}

/// The same with a shape of its own for each of 100 samples.
#[divan::bench(sample_count = 60)]
fn samples_of_drawn_shapes(bencher: Bencher) {
    let model = model::<f32>();
    let features = numbers(512);
    let noise: Vec<[f32; 3]> = numbers::<f32>(6900).as_chunks().0.to_vec();
    let shapes = numbers::<f32>(1000);
    bencher.bench_local(|| {
        let heads = model.heads(&features).expect("512 features");
        model.sample(&heads, &shapes, &noise, 1.0)
    });
}

/// Log-densities of poses in f64.
#[divan::bench(args = [1, 100], sample_count = 20)]
fn log_density(bencher: Bencher, poses: usize) {
    let model = model::<f64>();
    let heads = model.heads(&numbers(512)).expect("512 features");
    let noise: Vec<[f64; 3]> = numbers::<f64>(poses * 69).as_chunks().0.to_vec();
    let rotations = model.sample(&heads, &heads.shape_mean, &noise, 1.0).rotations;
    let shapes = heads.shape_mean.repeat(poses);
    let globals = vec![heads.global; poses];
    bencher.bench_local(|| model.log_prob(&heads, &shapes, &globals, &rotations));
}

/// Teacher-forced densities and eight samples a picture, forward and backward, as a training step has them.
#[divan::bench(args = [8, 72], sample_count = 3)]
fn training_step(bencher: Bencher, batch: usize) {
    let device = Device::flex().autodiff();
    let config = FlowConfig::default();
    let net = FlowNet::new(&config, &device).expect("the published sizes");
    let turned: Vec<[f64; 9]> = (0..batch * 23)
        .map(|i| {
            let r = exp_so3(Vec3::new((i as f32).sin(), 0.3, 1.0));
            r.transpose().to_cols_array().map(f64::from)
        })
        .collect();
    let targets = PoseTargets::new(&config, &turned, AtIdentity::Exact, &device);
    let features: Tensor<2> = Tensor::random([batch, 512], Distribution::Uniform(0.0, 1.0), &device);
    let noise: Tensor<3> = Tensor::random([23, 8 * batch, 3], Distribution::Normal(0.0, 1.0), &device);
    bencher.bench_local(|| {
        let heads = net.heads(features.clone());
        let stacked = net.stacked();
        let joint = net.joint_features(features.clone(), heads.shape_mean, heads.global, heads.camera);
        let density = stacked.log_prob(joint.clone(), &targets);
        let drawn = stacked.sample(joint.repeat_dim(0, 8), noise.clone());
        (density.mean().neg() + drawn.rotations.mean()).backward()
    });
}

/// Spread of 100 bodies.
#[divan::bench(sample_count = 20)]
fn uncertainty_of_100_bodies(bencher: Bencher) {
    let model = BodyModel::default_body().expect("the built-in body is shipped");
    let mut state = model.rest_state();
    state.betas.fill(0.7);
    let samples: Vec<_> = (0..100)
        .map(|i| {
            let mut state = state.clone();
            for (at, rotation) in state.body_pose.iter_mut().enumerate() {
                *rotation = exp_so3(Vec3::new(((i * 23 + at) as f32).sin(), 0.3, -0.2) * 0.4);
            }
            state
        })
        .collect();
    bencher.bench_local(|| Uncertainty::from_states(&model, &state, &samples));
}
