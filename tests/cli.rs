//! The real program on good and on bad input: messages, exit codes, files.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use humanifold::formats::{Npz, Picture};
use serde_json::{Value, json};

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_humanifold"));
    command.env_remove("HUMANIFOLD_MODELS").env("RUST_BACKTRACE", "0");
    command
}

fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().expect("the program starts")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Fails with this text on stderr and exit code 1.
#[track_caller]
fn assert_refused(output: &Output, text: &str) {
    assert_eq!(output.status.code(), Some(1), "{}", stderr(output));
    assert!(stderr(output).contains(text), "expected {text:?} in:\n{}", stderr(output));
}

/// A temporary folder with a grey photo and keypoints of a standing person for it.
struct Place {
    root: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { root: tempfile::tempdir().expect("a temporary folder") };
        Picture::filled(320, 480, [150, 160, 170]).write_png(&place.path("photo.png")).expect("writable");
        fs::write(place.path("people.json"), keypoints(&[standing(160.0, 1.0)])).expect("writable");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_string_lossy().into_owned()
    }

    /// `predict` on `photo` with the keypoint file, 4 samples, into `out`.
    fn predict(&self, photo: &str, more: &[&str]) -> Output {
        let mut command = program();
        command.args(["predict", "--out", &self.text("out"), &self.text(photo)]);
        if !more.contains(&"--samples") {
            command.args(["--samples", "4"]);
        }
        if !more.contains(&"--keypoints") && !more.contains(&"--cropped") {
            command.args(["--keypoints", &self.text("people.json")]);
        }
        command.args(more).output().expect("the program starts")
    }

    fn results(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path("out"))
            .map(|entries| entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect())
            .unwrap_or_default();
        names.sort();
        names
    }
}

/// COCO's 17 keypoints of a person standing at `x`, feet at 440.
fn standing(x: f64, size: f64) -> Vec<f64> {
    let points = [
        (0.0, 60.0),
        (8.0, 52.0),
        (-8.0, 52.0),
        (16.0, 58.0),
        (-16.0, 58.0),
        (38.0, 110.0),
        (-38.0, 110.0),
        (50.0, 170.0),
        (-50.0, 170.0),
        (54.0, 228.0),
        (-54.0, 228.0),
        (24.0, 236.0),
        (-24.0, 236.0),
        (26.0, 330.0),
        (-26.0, 330.0),
        (26.0, 420.0),
        (-26.0, 420.0),
    ];
    points.iter().flat_map(|(dx, y)| [x + dx * size, 440.0 - (440.0 - y) * size, 2.0]).collect()
}

fn keypoints(people: &[Vec<f64>]) -> String {
    let annotations: Vec<Value> =
        people.iter().map(|flat| json!({"image_id": 1, "category_id": 1, "keypoints": flat})).collect();
    json!({"annotations": annotations}).to_string()
}

/// A PNG whose header promises this size and whose data ends after it.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Picture::filled(1, 1, [0; 3]).png_bytes().expect("a picture");
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    let mut crc = u32::MAX;
    for &byte in &bytes[12..29] {
        crc ^= u32::from(byte);
        (0..8).for_each(|_| crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 });
    }
    bytes[29..33].copy_from_slice(&(!crc).to_be_bytes());
    bytes
}

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
fn a_corrupt_picture_among_others_is_reported_at_the_end() {
    let place = Place::new();
    let folder = place.path("many");
    fs::create_dir(&folder).expect("writable");
    for name in ["a.png", "c.png"] {
        fs::copy(place.path("photo.png"), folder.join(name)).expect("writable");
    }
    fs::write(folder.join("b.png"), b"\x89PNG\r\n\x1a\nbroken").expect("writable");
    fs::write(folder.join("notes.txt"), b"no picture").expect("writable");
    let output = place.predict("many", &[]);
    assert_refused(&output, "without a result:");
    assert!(stderr(&output).contains("b.png") && stderr(&output).contains("2 people in 3 photos, 1 problem"));
    assert_eq!(place.results(), ["a", "c"]);
}

#[test]
fn unusable_pictures_are_named_with_the_reason() {
    let place = Place::new();
    let cases: [(&str, Vec<u8>, &str); 6] = [
        ("empty.jpg", Vec::new(), "the file is empty"),
        ("giant.png", png_header(20_000, 20_000), "20000 x 20000 pixels are more than"),
        ("text.jpg", b"hello, this is no picture".to_vec(), "no picture"),
        ("page.png", b"<!DOCTYPE html><html></html>".to_vec(), "a web page"),
        ("cut.png", png_header(64, 64)[..40].to_vec(), "a damaged picture"),
        ("phone.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic".to_vec(), "save it as JPEG or PNG"),
    ];
    for (name, bytes, text) in cases {
        fs::write(place.path(name), bytes).expect("writable");
        let output = place.predict(name, &[]);
        assert_refused(&output, text);
        assert!(stderr(&output).contains(name), "{}", stderr(&output));
        assert!(place.results().is_empty());
    }
    assert_refused(&place.predict("nowhere.jpg", &[]), "no such file");
    let output = run(&["predict"]);
    assert_eq!(output.status.code(), Some(2));
    assert_refused(&place.predict("photo.png", &["--samples", "1000000"]), "too many");
    assert_refused(&place.predict("photo.png", &["--temperature", "NaN"]), "out of range");
    if !cfg!(feature = "cuda") {
        assert_refused(&place.predict("photo.png", &["--device", "cuda"]), "cuda");
    }
}

#[test]
fn nobody_in_the_picture_is_said_so() {
    let place = Place::new();
    Picture::filled(1, 1, [9; 3]).write_png(&place.path("dot.png")).expect("writable");
    let out = place.text("out");
    for name in ["photo.png", "dot.png"] {
        let output = run(&["predict", "--out", &out, &place.text(name)]);
        assert_refused(&output, "no person found");
        assert!(place.results().is_empty());
    }
}

#[test]
fn broken_keypoint_files_are_refused() {
    let place = Place::new();
    let short: Vec<f64> = standing(100.0, 1.0)[..50].to_vec();
    let with_nan = keypoints(&[standing(100.0, 1.0)]).replacen("100.0", "NaN", 1);
    for (text, reason) in [
        (keypoints(&[short]), "`keypoints` has 50 numbers, 51 are expected"),
        (with_nan, "NaN and Infinity are no JSON numbers"),
        ("{}".to_owned(), "no `annotations` (COCO) and no `people` (OpenPose)"),
        (String::new(), "the file is empty"),
        (keypoints(&[]), "no person for this photo"),
        (keypoints(&[vec![0.0; 51]]), "no person for this photo"),
    ] {
        fs::write(place.path("people.json"), text).expect("writable");
        assert_refused(&place.predict("photo.png", &[]), reason);
        assert!(place.results().is_empty());
    }
    // Two keypoints are not enough for a body.
    let mut two = vec![0.0; 51];
    two[15..21].copy_from_slice(&standing(100.0, 1.0)[15..21]);
    fs::write(place.path("people.json"), keypoints(&[two])).expect("writable");
    assert_refused(&place.predict("photo.png", &[]), "keypoints are visible");
}

#[test]
fn unusable_weights_are_named() {
    let place = Place::new();
    let shipped = humanifold::formats::model_files::find("humanifold/default.safetensors").expect("shipped");
    let good = fs::read(shipped).expect("readable");
    let header = u64::from_le_bytes(good[..8].try_into().expect("eight bytes")) as usize;
    let mut not_a_number = good.clone();
    // The last tensor's last numbers, whatever its float width.
    let end = not_a_number.len();
    not_a_number[end - 64..].fill(0xff);
    let text = String::from_utf8_lossy(&good[8..8 + header]).into_owned();
    let other_shape = text.replacen("\"shape\":[", "\"shape\":[1,", 1);
    let mut misshapen = (other_shape.len() as u64).to_le_bytes().to_vec();
    misshapen.extend_from_slice(other_shape.as_bytes());
    misshapen.extend_from_slice(&good[8 + header..]);
    for (name, bytes) in [
        ("cut", good[..good.len() / 2].to_vec()),
        ("empty", Vec::new()),
        ("nan", not_a_number),
        ("shape", misshapen),
    ] {
        let file = place.path(&format!("{name}.safetensors"));
        fs::write(&file, bytes).expect("writable");
        let output = place.predict("photo.png", &["--weights", &file.to_string_lossy()]);
        assert_eq!(output.status.code(), Some(1), "{name}: {}", stderr(&output));
        assert!(stderr(&output).contains(&format!("{name}.safetensors")), "{name}: {}", stderr(&output));
        assert!(!stderr(&output).contains("panicked"), "{name}: {}", stderr(&output));
        assert!(place.results().is_empty());
    }
    assert_refused(&place.predict("photo.png", &["--weights", "/nowhere/w.safetensors"]), "w.safetensors");
    assert_refused(&place.predict("photo.png", &["--body", &place.text("photo.png")]), "photo.png");
}

#[test]
fn folders_that_cannot_be_written_are_named() {
    let place = Place::new();
    let below = place.text("photo.png/below");
    let output = run(&[
        "predict",
        "--samples",
        "2",
        "--out",
        &below,
        "--keypoints",
        &place.text("people.json"),
        &place.text("photo.png"),
    ]);
    assert_refused(&output, "photo.png/below");
}

/// A disk that takes no more: the file size limit of the process stands in for it.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_nothing_half_written() {
    use std::os::unix::process::CommandExt;
    let place = Place::new();
    let mut command = program();
    command.args(["predict", "--samples", "2", "--keypoints", &place.text("people.json")]);
    command.args(["--out", &place.text("out"), &place.text("photo.png")]);
    // SAFETY: two system calls between fork and exec, both async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            let limit = libc::rlimit { rlim_cur: 30_000, rlim_max: 30_000 };
            libc::setrlimit(libc::RLIMIT_FSIZE, &limit);
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            Ok(())
        });
    }
    let output = command.output().expect("the program starts");
    assert_refused(&output, "cannot write");
    assert!(place.results().is_empty(), "{:?}", place.results());
}

/// A device that is always full.
#[cfg(target_os = "linux")]
#[test]
fn a_full_device_is_told_and_stays_a_device() {
    use std::os::unix::fs::FileTypeExt;
    let place = Place::new();
    let output = run(&["keypoints", "--out", "/dev/full", &place.text("photo.png")]);
    assert_refused(&output, "No space left on device");
    assert!(fs::metadata("/dev/full").expect("there").file_type().is_char_device());
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
    assert_eq!(info["devices"][0]["choice"], "cpu");
    let output = run(&["completions", "bash"]);
    assert!(output.status.success() && stdout(&output).contains("_humanifold"));
    assert_refused(&run(&["info", "--models", "/nowhere"]), "no such folder");
}
