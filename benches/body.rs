//! How fast bodies are posed: `cargo bench --bench body`.

use humanifold::body::keypoint_chain::KeypointChain;
use humanifold::body::{BodyModel, BodyState, Posed};
use humanifold::geometry::rotations::exp_so3;

use glam::Vec3;

fn main() {
    divan::main();
}

fn bent(model: &BodyModel) -> BodyState {
    let mut state = model.rest_state();
    state.betas.fill(0.7);
    for (at, rotation) in state.body_pose.iter_mut().enumerate() {
        *rotation = exp_so3(Vec3::new((at as f32).sin(), 0.3, -0.2));
    }
    state
}

#[divan::bench(args = [false, true])]
fn pose_into(bencher: divan::Bencher, correctives: bool) {
    let model = BodyModel::default_body().expect("the built-in body is shipped");
    let state = bent(&model);
    let mut posed = Posed::default();
    bencher.bench_local(|| model.pose_into(&state, correctives, &mut posed));
}

#[divan::bench]
fn pose_batch_of_100(bencher: divan::Bencher) {
    let model = BodyModel::default_body().expect("the built-in body is shipped");
    let states = vec![bent(&model); 100];
    bencher
        .counter(divan::counter::ItemsCount::new(100usize))
        .bench_local(|| model.pose_batch(&states, true));
}

#[divan::bench]
fn load(bencher: divan::Bencher) {
    let path = humanifold::formats::model_files::find(humanifold::body::load::DEFAULT_BODY).expect("shipped");
    bencher.bench_local(|| BodyModel::load(&path));
}

#[divan::bench]
fn keypoints_forward(bencher: divan::Bencher) {
    let model = BodyModel::default_body().expect("the built-in body is shipped");
    let chain = KeypointChain::new(&model).expect("24 joints");
    let state = bent(&model);
    let mut points = chain.points();
    bencher.bench_local(|| chain.forward_state(&state, &mut points));
}

#[divan::bench]
fn keypoints_backward(bencher: divan::Bencher) {
    let model = BodyModel::default_body().expect("the built-in body is shipped");
    let chain = KeypointChain::new(&model).expect("24 joints");
    let mut points = chain.points();
    chain.forward_state(&bent(&model), &mut points);
    let mut gradient = chain.gradient();
    bencher.bench_local(|| chain.backward(&points, &[Vec3::ONE; 24], &[Vec3::ONE; 17], &mut gradient));
}
