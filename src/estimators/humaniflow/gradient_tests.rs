//! The trainable network against the plain one: values, gradients by finite differences, total mass.

use burn::tensor::{Device, Tensor, TensorData};
use glam::{DMat3, DQuat, DVec3};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::config::FlowConfig;
use super::dense::Scratch;
use super::flow::AtIdentity;
use super::losses::{LossInput, LossWeights, Reduction, losses};
use super::model::FlowModel;
use super::net::FlowNet;
use super::so3;
use super::stacked::PoseTargets;
use super::weights::StateDict;
use crate::geometry::rotations::exp_so3_64;

/// A tree whose levels do not follow the numbers of its parts.
fn config() -> FlowConfig {
    FlowConfig {
        features: 6,
        hidden: 7,
        joint_features: 5,
        context: 4,
        coupling_hidden: vec![6],
        segments: 4,
        betas: 2,
        parents: vec![-1, 0, 1, 0, 3, 1],
        ..FlowConfig::default()
    }
}

fn random_state(config: &FlowConfig, rng: &mut ChaCha8Rng) -> StateDict {
    let mut state = StateDict::default();
    for (name, shape) in config.tensors() {
        let count = shape.iter().product();
        let values = match name.as_str() {
            "init_glob" => vec![1.0, 0.0, 0.0, 1.0, 0.0, 0.0],
            "init_cam" => vec![0.9, 0.0, 0.0],
            _ => (0..count).map(|_| rng.random_range(-0.6..0.6)).collect(),
        };
        state.insert(&name, &shape, values);
    }
    state
}

fn random_rotation(rng: &mut ChaCha8Rng) -> DMat3 {
    let q: [f64; 4] = std::array::from_fn(|_| rng.sample(StandardNormal));
    DMat3::from_quat(DQuat::from_array(q).normalize())
}

/// One pose with angles on both sides of π/2 and its shape and global rotation.
struct Given {
    features: Vec<f64>,
    rotations: Vec<[f64; 9]>,
    shape: Vec<f64>,
    global: [f64; 9],
}

fn given(config: &FlowConfig, rng: &mut ChaCha8Rng) -> Given {
    let mut draw = |count: usize| (0..count).map(|_| rng.random_range(-1.0..1.0)).collect::<Vec<f64>>();
    let (features, shape) = (draw(config.features), draw(config.betas));
    let rotations = (0..config.parts())
        .map(|part| so3::to_rows(exp_so3_64(DVec3::new(0.3 + 0.6 * part as f64, -0.4, 0.2))))
        .collect();
    Given { features, rotations, shape, global: so3::to_rows(random_rotation(rng)) }
}

fn tensor<const D: usize>(values: &[f64], shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.iter().map(|&v| v as f32).collect(), shape), device)
}

/// Pose and shape terms of the loss with plain numbers.
fn plain_loss(model: &FlowModel<f64>, features: &[f64], given: &Given) -> f64 {
    let heads = model.heads(features).expect("as many features as the network takes");
    let density = model.log_prob(&heads, &given.shape, &[given.global], &given.rotations);
    let shape = given.shape.iter().zip(&heads.shape_mean).zip(&heads.shape_log_std).map(|((beta, m), s)| {
        let z = (beta - m) * (-s).exp();
        0.5 * z * z + s + 0.5 * std::f64::consts::TAU.ln()
    });
    let global: f64 = heads.global.iter().zip(&given.global).map(|(a, b)| (a - b) * (a - b)).sum();
    -3.0 * density.iter().sum::<f64>() / density.len() as f64 + 2.0 * shape.sum::<f64>() + global / 9.0
}

#[test]
fn gradients_of_the_loss_are_those_of_finite_differences() {
    let rng = &mut ChaCha8Rng::seed_from_u64(5);
    let config = config();
    let state = random_state(&config, rng);
    let given = given(&config, rng);
    let device = Device::flex().autodiff();
    let net = FlowNet::from_state(&config, &state, &device).expect("a state of that network");
    let features = tensor(&given.features, [1, config.features], &device).require_grad();
    let heads = net.heads(features.clone());
    let shape = tensor(&given.shape, [1, config.betas], &device);
    let global = tensor(&given.global, [1, 9], &device);
    let joint = net.joint_features(features.clone(), shape.clone(), global.clone(), heads.camera);
    let targets = PoseTargets::new(&config, &given.rotations, AtIdentity::Exact, &device);
    let input = LossInput {
        pose_log_prob: net.stacked().log_prob(joint, &targets),
        shape_mean: heads.shape_mean,
        shape_log_std: heads.shape_log_std,
        target_shape: shape,
        global: heads.global,
        target_global: global,
        joints2d: Tensor::zeros([1, 1, 17, 2], &device),
        target_joints2d: Tensor::zeros([1, 17, 2], &device),
        visible: Tensor::zeros([1, 17], &device),
        crop: 256.0,
    };
    let weights = LossWeights { pose: 3.0, shape: 2.0, joints2d: 1.0, global: 1.0 };
    let total = losses(input, &weights, Reduction::Mean).total;
    let gradients = total.backward();
    let got: Vec<f32> =
        features.grad(&gradients).expect("a gradient").into_data().try_to_vec().expect("floats");

    let model = FlowModel::<f64>::new(config.clone(), &state).expect("a state of that network");
    let value: f32 = total.into_scalar();
    assert!((f64::from(value) - plain_loss(&model, &given.features, &given)).abs() < 1e-3);
    let difference = |at: usize| {
        let step = |h: f64| {
            let mut moved = given.features.clone();
            moved[at] += h;
            plain_loss(&model, &moved, &given)
        };
        (step(1e-5) - step(-1e-5)) / 2e-5
    };
    for (at, &got) in got.iter().enumerate() {
        let want = difference(at);
        assert!((f64::from(got) - want).abs() < 2e-3 * (1.0 + want.abs()), "{at}: {got} {want}");
    }
    // And of one weight deep in a coupling.
    let layer = &net.pose_so3flow_transform_modules[3].nn.layers[1];
    let bias = layer.bias.as_ref().expect("a bias").val().grad(&gradients).expect("a gradient");
    let bias: Vec<f32> = bias.into_data().try_to_vec().expect("floats");
    let step = |h: f32| {
        let mut state = state.clone();
        let name = "pose_so3flow_transform_modules.3.nn.layers.1.bias";
        state.0.get_mut(name).expect("that tensor").values[2] += h;
        let model = FlowModel::<f64>::new(config.clone(), &state).expect("a state of that network");
        plain_loss(&model, &given.features, &given)
    };
    let want = (step(1e-3) - step(-1e-3)) / 2e-3;
    assert!((f64::from(bias[2]) - want).abs() < 2e-3 * (1.0 + want.abs()), "{} {want}", bias[2]);
}

#[test]
fn samples_and_their_gradients_are_those_of_the_plain_network() {
    let rng = &mut ChaCha8Rng::seed_from_u64(6);
    let config = config();
    let state = random_state(&config, rng);
    let given = given(&config, rng);
    let parts = config.parts();
    let noise: Vec<[f64; 3]> =
        (0..parts).map(|_| std::array::from_fn(|_| rng.sample(StandardNormal))).collect();
    let pull: Vec<f64> = (0..parts * 9).map(|_| rng.random_range(-1.0..1.0)).collect();
    let device = Device::flex().autodiff();
    let net = FlowNet::from_state(&config, &state, &device).expect("a state of that network");
    let features = tensor(&given.features, [1, config.features], &device).require_grad();
    let heads = net.heads(features.clone());
    let joint = net.joint_features(features.clone(), heads.shape_mean, heads.global, heads.camera);
    let drawn = net.stacked().sample(joint, tensor(&noise.concat(), [parts, 1, 3], &device));
    let value = (drawn.rotations * tensor(&pull, [parts, 1, 9], &device)).sum();
    let gradients = value.backward();
    let got: Vec<f32> =
        features.grad(&gradients).expect("a gradient").into_data().try_to_vec().expect("floats");

    let model = FlowModel::<f64>::new(config, &state).expect("a state of that network");
    let plain = |features: &[f64]| -> f64 {
        let heads = model.heads(features).expect("as many features as the network takes");
        let poses = model.sample(&heads, &heads.shape_mean.clone(), &noise, 1.0);
        poses.rotations.concat().iter().zip(&pull).map(|(a, b)| a * b).sum()
    };
    let value: f32 = value.into_scalar();
    assert!((f64::from(value) - plain(&given.features)).abs() < 1e-4);
    for (at, &got) in got.iter().enumerate() {
        let step = |h: f64| {
            let mut moved = given.features.clone();
            moved[at] += h;
            plain(&moved)
        };
        let want = (step(1e-5) - step(-1e-5)) / 2e-5;
        assert!((f64::from(got) - want).abs() < 1e-3 * (1.0 + want.abs()), "{at}: {got} {want}");
    }
}

#[test]
fn a_saved_network_is_the_same_network() {
    let rng = &mut ChaCha8Rng::seed_from_u64(7);
    let state = random_state(&config(), rng);
    let net = FlowNet::from_state(&config(), &state, &Device::flex()).expect("a state of that network");
    assert_eq!(net.to_state().expect("tensors on the CPU"), state);
}

#[test]
fn wrong_weights_are_named() {
    let mut state = random_state(&config(), &mut ChaCha8Rng::seed_from_u64(8));
    state.0.remove("fc_cam.bias");
    state.insert("fc1.bias", &[3], vec![0.0; 3]);
    let error = FlowModel::<f32>::new(config(), &state).expect_err("not this network").to_string();
    assert!(error.contains("`fc_cam.bias` is missing") && error.contains("`fc1.bias` is [3], must be [7]"));
}

#[test]
fn a_part_has_mass_one_over_all_rotations() {
    let rng = &mut ChaCha8Rng::seed_from_u64(9);
    // A wide base: its densities vary little enough for an average of few draws.
    let config = FlowConfig { base_std: 1.5, ..config() };
    let model = FlowModel::<f64>::new(config.clone(), &random_state(&config, rng)).expect("a state");
    let flow = model.part(1).expect("five parts");
    let context: Vec<f64> = (0..config.context).map(|_| rng.random_range(-1.0..1.0)).collect();
    let count = 40_000;
    let rotations: Vec<DMat3> = (0..count).map(|_| random_rotation(rng)).collect();
    let contexts = context.repeat(count);
    let density = flow.log_prob(&rotations, &contexts, AtIdentity::Exact, &mut Scratch::default());
    let volume = 8.0 * std::f64::consts::PI.powi(2);
    let masses: Vec<f64> = density.iter().map(|d| d.exp() * volume).collect();
    let mean = masses.iter().sum::<f64>() / count as f64;
    let variance = masses.iter().map(|m| (m - mean).powi(2)).sum::<f64>() / count as f64;
    let error = (variance / count as f64).sqrt();
    assert!(error < 0.03 && (mean - 1.0).abs() < 4.0 * error, "{mean} ± {error}");
}

#[test]
fn temperature_zero_gives_the_point_estimate_and_blocks_do_not_matter() {
    let rng = &mut ChaCha8Rng::seed_from_u64(10);
    let config = config();
    let model = FlowModel::<f32>::new(config.clone(), &random_state(&config, rng)).expect("a state");
    let features: Vec<f32> = (0..config.features).map(|_| rng.random_range(-1.0..1.0)).collect();
    let heads = model.heads(&features).expect("as many features as the network takes");
    let noise: Vec<[f32; 3]> =
        (0..70 * config.parts()).map(|_| std::array::from_fn(|_| rng.sample(StandardNormal))).collect();
    let point = model.point_estimate(&heads);
    let cold = model.sample(&heads, &heads.shape_mean, &noise[..config.parts()], 0.0);
    for (a, b) in point.rotations.concat().iter().zip(cold.rotations.concat()) {
        assert!((a - b).abs() < 1e-5);
    }
    let all = model.sample(&heads, &heads.shape_mean, &noise, 1.0);
    let shapes = heads.shape_mean.repeat(70);
    let with_own_shapes = model.sample(&heads, &shapes, &noise, 1.0);
    for (a, b) in all.rotations.concat().iter().zip(with_own_shapes.rotations.concat()) {
        assert!((a - b).abs() < 1e-4);
    }
}
