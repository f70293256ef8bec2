//! Running the program and judging what it said.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use humanifold::formats::Picture;
use serde_json::{Value, json};

pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_humanifold"));
    command.env_remove("HUMANIFOLD_MODELS").env("RUST_BACKTRACE", "0");
    command
}

pub fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().expect("the program starts")
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Fails with this text on stderr and exit code 1.
#[track_caller]
pub fn assert_refused(output: &Output, text: &str) {
    assert_eq!(output.status.code(), Some(1), "{}", stderr(output));
    assert!(stderr(output).contains(text), "expected {text:?} in:\n{}", stderr(output));
}

/// A temporary folder with a grey photo and keypoints of a standing person for it.
pub struct Place {
    pub root: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        let place = Self { root: tempfile::tempdir().expect("a temporary folder") };
        Picture::filled(320, 480, [150, 160, 170]).write_png(&place.path("photo.png")).expect("writable");
        fs::write(place.path("people.json"), keypoints(&[standing(160.0, 1.0)])).expect("writable");
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).to_string_lossy().into_owned()
    }

    /// `predict` on `photo` with the keypoint file, 4 samples, into `out`.
    pub fn predict(&self, photo: &str, more: &[&str]) -> Output {
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

    /// What lies in a folder, hidden things too, sorted.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path(folder))
            .map(|entries| entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect())
            .unwrap_or_default();
        names.sort();
        names
    }

    pub fn results(&self) -> Vec<String> {
        self.names("out")
    }
}

/// COCO's 17 keypoints of a person standing at `x`, feet at 440.
pub fn standing(x: f64, size: f64) -> Vec<f64> {
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

pub fn keypoints(people: &[Vec<f64>]) -> String {
    let annotations: Vec<Value> =
        people.iter().map(|flat| json!({"image_id": 1, "category_id": 1, "keypoints": flat})).collect();
    json!({"annotations": annotations}).to_string()
}

/// A PNG whose header promises this size and whose data ends after it.
pub fn png_header(width: u32, height: u32) -> Vec<u8> {
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
