//! How fast training data is made: `cargo bench --bench synthetic`. Poses come from the built-in prior.

use divan::counter::ItemsCount;
use humanifold::body::BodyModel;
use humanifold::synthetic::{
    CameraConfig, LiftingSampler, PoseSource, SceneBuffers, SceneConfig, SceneMaker,
};

fn main() {
    divan::main();
}

#[divan::bench]
fn lifting_samples(bencher: divan::Bencher) {
    let model = BodyModel::default_body().expect("the built-in body is shipped");
    let poses = PoseSource::prior().expect("the pose prior is shipped");
    let sampler =
        LiftingSampler::new(&model, &poses, CameraConfig::default()).expect("the body has 24 joints");
    let mut item = 0;
    bencher.counter(ItemsCount::new(1usize)).bench_local(|| {
        item += 1;
        sampler.at(1, item)
    });
}

#[divan::bench]
fn scenes_at_256(bencher: divan::Bencher) {
    let model = BodyModel::default_body().expect("the built-in body is shipped");
    let poses = PoseSource::prior().expect("the pose prior is shipped");
    let maker = SceneMaker::new(&model, &poses, SceneConfig::default()).expect("the body has 24 joints");
    let mut buffers = SceneBuffers::default();
    let mut item = 0;
    bencher.counter(ItemsCount::new(1usize)).bench_local(|| {
        item += 1;
        maker.at(1, item, &mut buffers)
    });
}
