//! The real window under a virtual display and a software graphics adapter, driven by real drops, pointer and keys.
//! Everything of the tests that needs bevy is in this one file's program. Where the display or the adapter is missing
//! the tests say so and pass, unless `HUMANIFOLD_REQUIRE_WINDOW=1`.

#![cfg(all(feature = "viewer", target_os = "linux"))]

#[path = "window_support/display.rs"]
mod display;
#[path = "window_support/drop.rs"]
mod drop;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use display::{Display, Shot, Window, display};

/// Colours that bodies never have: panels, floor and background are all below this brightness, lines of the floor too.
const BODY_BRIGHTNESS: u8 = 96;

fn example() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/photos");
    let mut photos: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("assets/photos is there")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|e| e == "png" || e == "jpg"))
        .collect();
    photos.sort();
    photos.into_iter().next().expect("an example photo")
}

/// Pixels of the stage that belong to bodies.
fn body_pixels(shot: &Shot, stage: [i32; 4]) -> usize {
    shot.within(stage).filter(|rgb| rgb.iter().max().is_some_and(|high| *high > BODY_BRIGHTNESS)).count()
}

fn changed_pixels(before: &Shot, after: &Shot, stage: [i32; 4]) -> usize {
    before
        .within(stage)
        .zip(after.within(stage))
        .filter(|(a, b)| a.iter().zip(b).any(|(a, b)| a.abs_diff(*b) > 12))
        .count()
}

/// A folder for pictures of a failing run: `HUMANIFOLD_WINDOW_SHOTS`, else nowhere.
fn keep(shot: &Shot, name: &str) {
    if let Some(folder) = std::env::var_os("HUMANIFOLD_WINDOW_SHOTS") {
        let path = Path::new(&folder).join(name).with_extension("png");
        image::save_buffer(&path, &shot.rgb, shot.width, shot.height, image::ColorType::Rgb8)
            .unwrap_or_else(|error| eprintln!("{error}: {}", path.display()));
    }
}

#[test]
fn a_dropped_photo_becomes_a_distribution_that_follows_a_dragged_keypoint() {
    let Some(display) = display() else { return };
    let mut window = Window::open(&display, &[]);
    window.wait("the body", |state| state.is("body", "true"));
    let empty = window.settled();
    keep(&empty, "1-empty");
    assert!(body_pixels(&empty, window.stage()) > 3000, "no body on the empty stage");

    drop::drop_file(&display, window.id(), &example()).expect("the drop is accepted");
    window.wait("the refined estimate", |state| {
        state.is("estimate", "refined") && state.is("estimating", "false") && state.is("spread", "true")
    });
    let estimated = window.settled();
    keep(&estimated, "2-estimated");
    let stage = window.stage();
    assert!(body_pixels(&estimated, stage) > 3000, "no body after the estimate");
    assert!(changed_pixels(&empty, &estimated, stage) > 3000, "the stage still shows the empty scene");
    assert!(window.state().number("samples") >= 10.0);

    // The left wrist, up and outwards.
    let [x, y] = window.keypoint(9);
    display.drag([x, y], [x + 40, y - 70]);
    window.wait("the estimate after the drag", |state| {
        state.keypoint(9).is_some_and(|[nx, ny]| (nx - x - 40).abs() < 12 && (ny - y + 70).abs() < 12)
            && state.is("estimating", "false")
            && state.is("estimate", "refined")
    });
    let dragged = window.settled();
    keep(&dragged, "3-dragged");
    let changed = changed_pixels(&estimated, &dragged, stage);
    assert!(changed > 400, "only {changed} pixels of the stage changed after the drag");
    let state = window.state();
    println!(
        "drag to samples: {} ms, refined: {} ms",
        state.number("predicted_ms"),
        state.number("latency_ms")
    );

    // For people: nothing depends on it.
    let [x, y] = window.keypoint(9);
    display.hold([x, y]);
    let pixels = [[x - 50, y + 50], [x, y], [x - 50, y + 50]].map(|to| {
        window.settled();
        display.time_to_pixels(to, stage).as_millis()
    });
    println!("pointer to pixels: {pixels:?} ms, to samples: {} ms", window.state().number("predicted_ms"));
    display.release();

    // A chord is one even where it is struck within a frame.
    display.key("ctrl+t");
    window.wait("the tasks", |state| state.is("tasks", "true"));
    display.key("ctrl+t");
    window.wait("no tasks", |state| state.is("tasks", "false"));

    // The refinement can be stepped through from the keyboard.
    window.wait("the refinement", |state| state.is("estimating", "false") && state.is("estimate", "refined"));
    let last = window.state().number("frame");
    display.key("Escape");
    display.key("Left");
    window.wait("a step back", |state| state.number("frame") == last - 1.0);

    assert_eq!(window.close(), Some(0), "closing the window is no error");
}

#[test]
fn an_idle_window_rests() {
    let Some(display) = display() else { return };
    let mut window = Window::open(&display, &[]);
    window.wait("the body", |state| state.is("body", "true"));
    window.settled();
    let (updates, ticks) = (window.state().number("updates"), window.cpu_seconds());
    std::thread::sleep(Duration::from_secs(10));
    let (later, later_ticks) = (window.state().number("updates"), window.cpu_seconds());
    assert!(later - updates <= 3.0, "{} updates in 10 idle seconds", later - updates);
    let share = (later_ticks - ticks) / 10.0;
    println!("idle: {} updates, {:.1} % of a core", later - updates, share * 100.0);
    assert!(share < 0.2, "{:.0} % of a core while idle", share * 100.0);
    assert_eq!(window.close(), Some(0));
}

#[test]
fn files_that_are_no_photos_are_named_and_nothing_breaks() {
    let Some(display) = display() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let broken = folder.path().join("broken.png");
    std::fs::write(&broken, b"not a picture").expect("writable");
    let empty = folder.path().join("empty.jpg");
    std::fs::write(&empty, b"").expect("writable");
    // A file of another kind is recognised for what it is.
    let body = Path::new(env!("CARGO_MANIFEST_DIR")).join("model_files/body/mannequin.npz");
    let mut window = Window::open(&display, &[&broken, &empty, &body]);
    window.wait("all to be refused", |state| state.is("photos", "3") && state.is("photo", "failed"));
    window.wait("the body to be named", |state| state.text("refused").contains("body model"));
    assert_eq!(window.close(), Some(0));
}

/// Runs the program where it can have no window, and returns its exit code and what it said.
fn without_window(display: Option<&Display>) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_humanifold"));
    command.env_remove("WAYLAND_DISPLAY").env_remove("DISPLAY").stdin(Stdio::null());
    if let Some(display) = display {
        command.env("DISPLAY", &display.name);
        command.env("VK_ICD_FILENAMES", "/nonexistent.json").env("VK_DRIVER_FILES", "/nonexistent.json");
        command.env("WGPU_BACKEND", "vulkan");
    }
    let output = command.output().expect("the program starts");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn without_a_display_the_program_says_what_to_do() {
    let (code, said) = without_window(None);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("humanifold predict"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn without_a_graphics_adapter_the_program_says_what_to_do() {
    let Some(display) = display() else { return };
    let (code, said) = without_window(Some(&display));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("humanifold predict"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}
