//! A small network of the same layout, files that are refused, places in the photo.

use std::cell::RefCell;
use std::rc::Rc;

use burn::tensor::Device;

use super::*;
use crate::keypoints::COCO_KEYPOINTS;

/// A small network's sizes, and the names and shapes of its tensors.
fn small() -> (HrnetConfig, Vec<(String, Vec<usize>)>) {
    let config = HrnetConfig { channels: 2, modules: [1, 1, 2], blocks: 1, joints: 3 };
    let wanted = Rc::new(RefCell::new(Vec::new()));
    let asked = wanted.clone();
    let mut weights = Weights::by_rule(move |name, shape| {
        asked.borrow_mut().push((name.to_owned(), shape.to_vec()));
        vec![0.0; shape.iter().product()]
    });
    Network::new(&config, &mut weights, &Device::flex()).unwrap();
    let wanted = wanted.borrow().clone();
    (config, wanted)
}

fn filled(wanted: &[(String, Vec<usize>)]) -> Weights {
    let mut weights = Weights::default();
    for (at, (name, shape)) in wanted.iter().enumerate() {
        let value = |i: usize| ((at * 31 + i * 17) % 23) as f32 / 23.0 - 0.4;
        let spread = name.ends_with("running_var");
        let values = (0..shape.iter().product()).map(|i| if spread { 1.0 } else { value(i) }).collect();
        weights.insert(name, shape, values);
    }
    weights
}

#[test]
fn tensors_have_the_authors_names_and_all_are_used() {
    let (config, wanted) = small();
    for name in [
        "conv1.weight",
        "bn2.running_var",
        "layer1.0.downsample.1.bias",
        "transition1.0.0.weight",
        "transition1.1.0.1.weight",
        "transition2.2.0.0.weight",
        "transition3.3.0.1.running_mean",
        "stage2.0.branches.1.0.bn2.weight",
        "stage3.0.fuse_layers.0.2.0.weight",
        "stage3.0.fuse_layers.2.0.1.1.bias",
        "stage4.0.fuse_layers.3.0.2.0.weight",
        "final_layer.bias",
    ] {
        assert!(wanted.iter().any(|(wanted, _)| wanted == name), "{name}");
    }
    assert!(
        !wanted.iter().any(|(name, _)| name.starts_with("stage4.1.fuse_layers.1")),
        "one output at the end"
    );
    let mut weights = filled(&wanted);
    weights.insert("extra", &[1], vec![0.0]);
    let network = Network::new(&config, &mut weights, &Device::flex()).unwrap();
    assert_eq!(weights.left_over().collect::<Vec<_>>(), ["extra"]);

    let input = Planes { count: 3, height: 64, width: 32, values: vec![0.3; 3 * 64 * 32] };
    let maps = forward(&network, &input, &Device::flex()).unwrap();
    assert_eq!((maps.count, maps.height, maps.width, maps.values.len()), (3, 16, 8, 3 * 16 * 8));
    assert!(maps.values.iter().all(|v| v.is_finite()));
    let odd = Planes { count: 3, height: 60, width: 32, values: vec![0.0; 3 * 60 * 32] };
    assert!(forward(&network, &odd, &Device::flex()).unwrap_err().to_string().contains("32"));
}

#[test]
fn files_of_other_networks_are_refused() {
    let (config, mut wanted) = small();
    let entry = wanted.iter_mut().find(|(name, _)| name == "layer1.1.conv2.weight").unwrap();
    entry.1 = vec![64, 64, 1, 1];
    let wrong = Network::new(&config, &mut filled(&wanted), &Device::flex()).unwrap_err();
    assert!(wrong.to_string().contains("layer1.1.conv2.weight"), "{wrong}");
    let (name, _) = wanted.remove(0);
    let missing = Network::new(&config, &mut filled(&wanted), &Device::flex()).unwrap_err();
    assert!(missing.to_string().contains(&name), "{missing}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pose_hrnet_w48_384x288.pth");
    std::fs::write(&path, "<html>sign in</html>").unwrap();
    let Err(error) = Hrnet::load(&path, &Device::flex()) else { panic!("a web page is no network") };
    assert!(error.to_string().contains("web page"), "{error}");
}

#[test]
fn a_peak_of_the_crop_lands_on_its_place_in_the_photo() {
    let photo = Planes::zeros(3, 300, 400);
    // Taller than 4:3: the width follows.
    let region = BoxRegion { centre: [140.0, 210.0], height: 200.0, width: 60.0 };
    let input = Input::new(&photo, region, INPUT_SIZE, BOX_SCALE);
    assert_eq!((input.region.height, input.region.width), (200.0, 150.0));
    assert!(input.to_photo(Vec2::new(144.0, 192.0)).distance(Vec2::new(210.0, 140.0)) < 1e-4);
    assert!(input.to_photo(Vec2::ZERO).distance(Vec2::new(210.0 - 90.0, 140.0 - 120.0)) < 1e-4);
    let mut maps = Planes::zeros(COCO_KEYPOINTS, 96, 72);
    maps.values[96 * 72 + 3 * 72 + 5] = 0.9;
    let found = peaks(&maps, INPUT_SIZE);
    assert_eq!(found[0], (Vec2::ZERO, 0.0));
    assert_eq!(found[1], (Vec2::new(20.0, 12.0), 0.9));
}
