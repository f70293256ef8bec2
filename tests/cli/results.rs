//! Good input: what is written and printed.

use std::fs;

use humanifold::formats::{Npz, Picture};
use serde_json::Value;

use crate::support::*;

#[test]
fn one_photo_gives_figure_numbers_mesh_and_summary() {
    let place = Place::new();
    let output = place.predict("photo.png", &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output).trim(), place.text("out/photo"));
    assert_eq!(place.results(), ["photo"]);

    let params = Npz::read(&place.path("out/photo/params.npz")).expect("readable");
    let shape = |name: &str| params.get(name).unwrap_or_else(|error| panic!("{error}")).shape.clone();
    for (name, want) in [
        ("betas", vec![10]),
        ("global_orient", vec![3, 3]),
        ("body_pose", vec![23, 3, 3]),
        ("transl", vec![3]),
        ("joints_3d", vec![24, 3]),
        ("coco17_2d", vec![17, 2]),
        ("samples_betas", vec![4, 10]),
        ("samples_global_orient", vec![4, 3, 3]),
        ("samples_body_pose", vec![4, 23, 3, 3]),
        ("samples_transl", vec![4, 3]),
        ("samples_joints_3d", vec![4, 24, 3]),
        ("samples_coco17_2d", vec![4, 17, 2]),
        ("log_prob", vec![4]),
        ("vertex_std", vec![7699, 3]),
        ("seed", vec![]),
    ] {
        assert_eq!(shape(name), want, "{name}");
    }
    for name in params.names().filter(|name| *name != "camera_kind") {
        let values = params.get(name).and_then(|array| array.to_f64()).expect("numbers");
        assert!(values.iter().all(|value| value.is_finite()), "{name}");
    }
    // The refined body stands where the keypoints are.
    let pixels = params.get("coco17_2d").and_then(|array| array.to_f32()).expect("numbers");
    let (shoulder, ankle) = (pixels[5 * 2 + 1], pixels[15 * 2 + 1]);
    assert!((shoulder - 110.0).abs() < 40.0 && (ankle - 420.0).abs() < 50.0, "{shoulder} {ankle}");

    let figure = Picture::read(&place.path("out/photo/figure.png")).expect("a picture");
    assert!(figure.width >= 1200 && figure.height >= 800);
    let mesh = fs::read(place.path("out/photo/mesh.glb")).expect("readable");
    let length = u32::from_le_bytes(mesh[12..16].try_into().expect("four bytes")) as usize;
    let document: Value = serde_json::from_slice(&mesh[20..20 + length]).expect("JSON");
    let nodes: Vec<&str> = document["nodes"]
        .as_array()
        .expect("nodes")
        .iter()
        .filter_map(|node| node["name"].as_str())
        .collect();
    assert_eq!(nodes, ["mode", "sample_000", "sample_001", "sample_002", "sample_003"]);
    let summary: Value =
        serde_json::from_slice(&fs::read(place.path("out/photo/summary.json")).expect("readable"))
            .expect("JSON");
    assert_eq!(summary["person"]["low_confidence"], false);
    assert_eq!(summary["samples"], 4);
    assert!(summary["device"].as_str().is_some_and(|device| device.starts_with("CPU")), "{summary}");
}

#[test]
fn the_mesh_file_stays_small_however_many_samples_there_are() {
    let place = Place::new();
    assert!(place.predict("photo.png", &["--samples", "100"]).status.success());
    let mesh = fs::read(place.path("out/photo/mesh.glb")).expect("readable");
    assert!(mesh.len() < 5_000_000, "{} bytes", mesh.len());
    let length = u32::from_le_bytes(mesh[12..16].try_into().expect("four bytes")) as usize;
    let document: Value = serde_json::from_slice(&mesh[20..20 + length]).expect("JSON");
    let count = |mesh: usize| {
        let accessor = &document["meshes"][mesh]["primitives"][0]["attributes"]["POSITION"];
        document["accessors"][accessor.as_u64().expect("a number") as usize]["count"].as_u64()
    };
    assert_eq!(document["nodes"].as_array().map(Vec::len), Some(101));
    assert_eq!(count(0), Some(7699));
    assert!(count(1).is_some_and(|points| (1000..2000).contains(&points)), "{:?}", count(1));
    assert_eq!(count(1), count(100));
}

#[test]
fn photos_of_unusual_kinds_are_read() {
    let place = Place::new();
    let deep = image::ImageBuffer::from_pixel(320, 480, image::Rgb([40_000u16, 30_000, 20_000]));
    deep.save(place.path("deep.png")).expect("writable");
    let grey = image::ImageBuffer::from_pixel(320, 480, image::LumaA([90u8, 128]));
    grey.save(place.path("grey.png")).expect("writable");
    let frames = [[200, 0, 0, 255], [0, 0, 200, 255]]
        .map(|color| image::Frame::new(image::RgbaImage::from_pixel(320, 480, image::Rgba(color))));
    let file = fs::File::create(place.path("moving.gif")).expect("writable");
    image::codecs::gif::GifEncoder::new(file).encode_frames(frames).expect("writable");
    // A camera held upright: the pixels lie on their side and a tag says so.
    let lying = image::RgbImage::from_pixel(480, 320, image::Rgb([90, 120, 90]));
    lying.save(place.path("plain.jpg")).expect("writable");
    let jpeg = fs::read(place.path("plain.jpg")).expect("readable");
    let tag = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let mut turned = jpeg[..2].to_vec();
    turned.extend([0xff, 0xe1, 0, tag.len() as u8 + 2]);
    turned.extend_from_slice(tag);
    turned.extend_from_slice(&jpeg[2..]);
    fs::write(place.path("turned.jpg"), turned).expect("writable");
    for name in ["deep.png", "grey.png", "moving.gif", "turned.jpg"] {
        let output = place.predict(name, &["--samples", "2"]);
        assert!(output.status.success(), "{name}: {}", stderr(&output));
        let folder = name.split('.').next().expect("a name");
        let summary = fs::read(place.path("out").join(folder).join("summary.json")).expect("readable");
        let summary: Value = serde_json::from_slice(&summary).expect("JSON");
        assert_eq!(summary["photo_size"], serde_json::json!([320, 480]), "{name}");
    }
}

#[test]
fn few_sure_keypoints_are_said_in_one_line_with_a_way_out() {
    let place = Place::new();
    let mut unsure = standing(160.0, 1.0);
    unsure.chunks_exact_mut(3).for_each(|point| point[2] = 0.2);
    let text = serde_json::json!([{"image_id": 1, "keypoints": unsure, "score": 0.2}]).to_string();
    fs::write(place.path("people.json"), text).expect("writable");
    let output = place.predict("photo.png", &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    let warnings: Vec<String> =
        stderr(&output).lines().filter(|line| line.starts_with("warning")).map(str::to_owned).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("0 of 17") && warnings[0].contains("--keypoints"), "{warnings:?}");
    let summary = fs::read(place.path("out/photo/summary.json")).expect("readable");
    let summary: Value = serde_json::from_slice(&summary).expect("JSON");
    assert_eq!(summary["person"]["low_confidence"], true);
}

#[test]
fn the_same_seed_gives_the_same_files_and_another_does_not() {
    let place = Place::new();
    let bytes = |seed: &str| {
        assert!(place.predict("photo.png", &["--seed", seed]).status.success());
        ["params.npz", "figure.png", "mesh.glb", "summary.json"]
            .map(|name| fs::read(place.path("out/photo").join(name)).expect("readable"))
    };
    let first = bytes("3");
    assert_eq!(first, bytes("3"));
    assert_ne!(first[0], bytes("4")[0]);
    assert_eq!(place.results(), ["photo"]);
}

#[test]
fn the_largest_person_by_default_and_each_on_demand() {
    let place = Place::new();
    let people = keypoints(&[standing(60.0, 0.5), standing(200.0, 1.0)]);
    fs::write(place.path("people.json"), people).expect("writable");
    assert!(place.predict("photo.png", &[]).status.success());
    assert_eq!(place.results(), ["photo"]);
    let pixels = Npz::read(&place.path("out/photo/params.npz"))
        .and_then(|npz| npz.get("coco17_2d")?.to_f32())
        .expect("numbers");
    assert!((pixels[0] - 200.0).abs() < 40.0, "nose at {}", pixels[0]);
    assert!(place.predict("photo.png", &["--all"]).status.success());
    assert_eq!(place.results(), ["photo", "photo-1", "photo-2"]);
}

#[test]
fn json_events_and_results_are_lines_of_json() {
    let place = Place::new();
    let output = place.predict("photo.png", &["--json"]);
    let lines: Vec<Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines[0]["event"], "started");
    assert!(lines.iter().any(|line| line["event"] == "finished"));
    assert!(lines.iter().any(|line| line["summary"]["samples"] == 4));
    assert_eq!(stderr(&output), "");
}

#[test]
fn keypoints_come_in_coco_s_layout() {
    let place = Place::new();
    let output = run(&["keypoints", &place.text("photo.png")]);
    assert!(output.status.success(), "{}", stderr(&output));
    let document: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert_eq!(document["images"][0]["file_name"], "photo.png");
    assert_eq!(document["images"][0]["width"], 320);
    assert_eq!(document["categories"][0]["keypoints"].as_array().map(Vec::len), Some(17));
    assert!(stderr(&output).contains("no person found"));
}

#[test]
fn info_and_completions_answer() {
    let output = run(&["info", "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let info: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert!(
        info["models"].as_array().is_some_and(|models| models.iter().all(|model| model["found"] == true))
    );
    for model in info["models"].as_array().expect("a list") {
        assert_eq!(model["state"], "ok", "{model}");
        assert!(model["licence"].as_str().is_some_and(|licence| !licence.is_empty()), "{model}");
        assert_eq!(model["sha256"].as_str().map(str::len), Some(64), "{model}");
    }
    assert_eq!(info["devices"][0]["choice"], "cpu");
    assert!(info["auto"]["estimates"].as_str().is_some_and(|name| name.starts_with("CPU")));
    let output = run(&["completions", "bash"]);
    assert!(output.status.success() && stdout(&output).contains("_humanifold"));
    assert_refused(&run(&["info", "--models", "/nowhere"]), "no such folder");
}
