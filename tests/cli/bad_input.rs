//! Bad input: each a clear error, nothing half-written.

use std::fs;

use humanifold::formats::Picture;

use crate::support::*;

/// Half of a good photo.
fn cut_jpeg() -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let ramp = image::RgbImage::from_fn(64, 64, |x, y| image::Rgb([x as u8, y as u8, (x * y) as u8]));
    ramp.write_to(&mut bytes, image::ImageFormat::Jpeg).expect("a picture");
    let bytes = bytes.into_inner();
    bytes[..bytes.len() * 2 / 3].to_vec()
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
    let cases: [(&str, Vec<u8>, &str); 7] = [
        ("empty.jpg", Vec::new(), "the file is empty"),
        ("giant.png", png_header(20_000, 20_000), "20000 x 20000 pixels are more than"),
        ("text.jpg", b"hello, this is no picture".to_vec(), "no picture"),
        ("page.png", b"<!DOCTYPE html><html></html>".to_vec(), "a web page"),
        ("cut.png", png_header(64, 64)[..40].to_vec(), "a damaged picture"),
        ("cut.jpg", cut_jpeg(), "it ends in the middle"),
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
    assert_eq!(place.predict("photo.png", &["--device", "tpu"]).status.code(), Some(2));
    for (built, device, feature) in [
        (cfg!(feature = "cuda"), "cuda", "--features cuda"),
        (cfg!(feature = "gpu"), "wgpu", "--features gpu"),
    ] {
        if !built {
            assert_refused(&place.predict("photo.png", &["--device", device]), feature);
        }
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
fn hrnet_s_file_is_looked_for_as_its_authors_have_it() {
    let place = Place::new();
    let models = place.path("HuManiFlow/model_files");
    fs::create_dir_all(&models).expect("writable");
    fs::write(models.join("pose_hrnet_w48_384x288.pth"), "<html>sign in</html>").expect("writable");
    let more = ["--keypoints", "hrnet", "--cropped", "--models", &place.text("HuManiFlow")];
    assert_refused(&place.predict("photo.png", &more), "web page");
}

#[test]
fn bodies_are_found_in_folders() {
    let place = Place::new();
    let shipped = humanifold::formats::model_files::find("body/mannequin.npz").expect("shipped");
    fs::create_dir_all(place.path("data/smpl")).expect("writable");
    fs::copy(shipped, place.path("data/smpl/SMPL_FEMALE.npz")).expect("writable");
    let folder = place.text("");
    let output = place.predict("photo.png", &["--body", &folder]);
    assert!(output.status.success(), "{}", crate::support::stderr(&output));
    assert_refused(&place.predict("photo.png", &["--body", &folder, "--gender", "male"]), "it has: female");
    assert_refused(
        &place.predict("photo.png", &["--body", &place.text("out")]),
        "no body model in this folder",
    );
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
    let renamed = text.replacen("\"blocks.0.", "\"bricks.0.", 1);
    let mut other_names = (renamed.len() as u64).to_le_bytes().to_vec();
    other_names.extend_from_slice(renamed.as_bytes());
    other_names.extend_from_slice(&good[8 + header..]);
    for (name, bytes, reason) in [
        ("cut", good[..good.len() / 2].to_vec(), "incomplete"),
        ("empty", Vec::new(), "too small"),
        ("nan", not_a_number, "not a finite number"),
        ("shape", misshapen, "expected ["),
        ("names", other_names, "is missing"),
    ] {
        let file = place.path(&format!("{name}.safetensors"));
        fs::write(&file, bytes).expect("writable");
        let output = place.predict("photo.png", &["--weights", &file.to_string_lossy()]);
        assert_refused(&output, reason);
        assert!(stderr(&output).trim_end().ends_with(&format!("{name}.safetensors")), "{}", stderr(&output));
        assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
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
    // The file is named as it would have been, not the temporary one.
    assert!(stderr(&output).contains("out/photo/") && !stderr(&output).contains(".writing"));
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
