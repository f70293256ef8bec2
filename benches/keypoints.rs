//! Times of the detector: `cargo bench --bench keypoints`.

use std::sync::Arc;

use divan::{Bencher, black_box};
use humanifold::formats::model_files;
use humanifold::formats::picture::Picture;
use humanifold::keypoints::movenet::MoveNet;
use humanifold::keypoints::{DetectOptions, Detector, FeatureMap, decode};
use humanifold::progress::Cancel;

fn main() {
    divan::main();
}

fn blank(side: usize) -> FeatureMap {
    FeatureMap::zeros(side, side, 3)
}

/// A stick figure on grey, so that the way through the pipeline is the usual one.
fn photo(width: usize, height: usize) -> Picture {
    let mut rgb = vec![150_u8; width * height * 3];
    let (w, h) = (width as f32, height as f32);
    let mut bar = |x: f32, y: f32, half_width: f32, half_height: f32, colour: [u8; 3]| {
        for row in ((y - half_height) * h) as usize..((y + half_height) * h) as usize {
            for column in (w / 2.0 + (x - half_width) * h) as usize..(w / 2.0 + (x + half_width) * h) as usize
            {
                if let Some(pixel) = rgb.get_mut((row * width + column) * 3..(row * width + column) * 3 + 3) {
                    pixel.copy_from_slice(&colour);
                }
            }
        }
    };
    bar(0.0, 0.14, 0.045, 0.06, [214, 170, 140]);
    bar(0.0, 0.36, 0.085, 0.16, [60, 90, 170]);
    bar(-0.11, 0.38, 0.025, 0.16, [70, 100, 180]);
    bar(0.11, 0.38, 0.025, 0.16, [70, 100, 180]);
    bar(-0.045, 0.72, 0.035, 0.2, [40, 40, 50]);
    bar(0.045, 0.72, 0.035, 0.2, [40, 40, 50]);
    Picture { width, height, rgb: Arc::new(rgb), path: None }
}

#[divan::bench]
fn thunder(bencher: Bencher) {
    let detector = Detector::load().expect("weights ship with the program");
    let network = detector.thunder().expect("weights are sound");
    let input = blank(256);
    bencher.bench(|| decode::single(&network.forward(black_box(&input)).expect("side fits")));
}

#[divan::bench(args = [256, 384])]
fn multipose(bencher: Bencher, side: usize) {
    let detector = Detector::load().expect("weights ship with the program");
    let network = detector.multipose().expect("weights are sound");
    let input = blank(side);
    bencher.bench(|| decode::multi(&network.forward(black_box(&input)).expect("side fits")));
}

#[divan::bench]
fn mask_network(bencher: Bencher) {
    let detector = Detector::load().expect("weights ship with the program");
    let network = detector.mask_network().expect("weights are sound");
    let input = blank(256);
    bencher.bench(|| network.forward(black_box(&input)).expect("side fits"));
}

#[divan::bench]
fn load_thunder(bencher: Bencher) {
    let path = model_files::find("keypoints/thunder.safetensors").expect("weights ship with the program");
    bencher.bench(|| MoveNet::load(black_box(&path)).expect("weights are sound"));
}

/// Found, refined and masked.
#[divan::bench(args = [512, 2048])]
fn whole_pipeline(bencher: Bencher, side: usize) {
    let detector = Detector::load().expect("weights ship with the program");
    let picture = photo(side * 3 / 4, side);
    let options = DetectOptions::default();
    bencher.bench(|| {
        let people = detector.find_people(&picture, &options, &Cancel::new()).expect("sound picture");
        people.first().map(|person| detector.mask(&picture, person).expect("sound picture"))
    });
}
