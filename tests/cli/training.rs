//! `train` and `evaluate` in short runs: files, going on, refusing.

use std::fs;
use std::process::Output;

use humanifold::formats::{Array, Npz, npz::write_npz};
use serde_json::Value;

use crate::support::*;

/// Trains four people a step into `run/w.safetensors`.
fn train(place: &Place, more: &[&str]) -> Output {
    let mut command = program();
    command.args(["train", "--batch", "4"]);
    if !more.contains(&"--out") {
        command.args(["--out", &place.text("run/w.safetensors")]);
    }
    command.args(more).output().expect("the program starts")
}

/// The record beside the weights.
fn record(place: &Place) -> Value {
    serde_json::from_slice(&fs::read(place.path("run/w.json")).expect("readable")).expect("JSON")
}

/// A pose file in which one knee is bent, more or less.
fn write_poses(place: &Place) -> String {
    let mut numbers = vec![0.0f32; 60 * 69];
    for (at, row) in numbers.chunks_exact_mut(69).enumerate() {
        row[9] = 1.0 + 0.01 * at as f32;
    }
    let poses = Array::f32(&[60, 23, 3], numbers);
    write_npz(&place.path("poses.npz"), &[("pose_body", &poses)]).expect("writable");
    place.text("poses.npz")
}

#[test]
fn a_run_leaves_weights_that_others_take_and_goes_on_from_its_checkpoint() {
    let place = Place::new();
    let weights = place.text("run/w.safetensors");
    let output = train(&place, &["--steps", "60", "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let events: Vec<Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let ends = events.iter().filter(|event| event["event"] == "finished").count();
    assert!(events[0]["event"] == "started" && ends == 1, "{events:?}");
    assert!(events.iter().any(|event| event["name"] == "loss"));
    assert_eq!(place.names("run"), ["w.checkpoint.safetensors", "w.json", "w.safetensors"]);
    assert_eq!(record(&place)["step"], 60);

    let output = train(&place, &["--steps", "70", "--resume"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output).trim(), weights);
    assert_eq!(record(&place)["step"], 70);
    assert_eq!(record(&place)["curve"].as_array().map(Vec::len), Some(1));

    let other = place.text("other/w.safetensors");
    let output = train(&place, &["--steps", "1", "--from", &weights, "--out", &other]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(place.predict("photo.png", &["--weights", &other]).status.success());

    let output = run(&[
        "evaluate",
        "--simulated",
        "-n",
        "6",
        "--samples",
        "10",
        "--views",
        "50",
        "--weights",
        &other,
        "--json",
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    let numbers: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    for name in ["sc_mpjpe_mm", "sc_mpjpe_refined_mm", "pa_mpjpe_mm_clean", "sc_mpjpe_best_of_10_mm"] {
        assert!(numbers[name].as_f64().is_some_and(f64::is_finite), "{name}: {numbers}");
    }
}

#[test]
fn a_pose_prior_is_fitted_and_can_be_trained_on() {
    let place = Place::new();
    let (poses, out) = (write_poses(&place), place.text("models/humanifold/pose_prior.npz"));
    let fit = |more: &[&str]| {
        let basic = ["train", "--what", "pose-prior", "--poses", &poses, "--out", &out, "--held-out", "0"];
        program().args(basic).args(more).output().expect("the program starts")
    };
    let output = fit(&["--components", "2", "--iterations", "5", "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("\"log_density\""), "{}", stdout(&output));
    let prior = Npz::read(&place.path("models/humanifold/pose_prior.npz")).expect("readable");
    assert_eq!(prior.get("means").expect("there").shape, [2, 66]);
    assert_eq!(place.names("models/humanifold"), ["pose_prior.npz"]);
    let models = place.text("models");
    let output = train(&place, &["--steps", "1", "--models", &models]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_refused(&fit(&["--components", "1000"]), "too few poses");
    assert_refused(&fit(&["--floor-deg=-1"]), "above 0 degrees");
}

#[test]
fn trainings_that_cannot_be_are_refused_at_once() {
    let place = Place::new();
    let [photo, json, poses] = [place.text("photo.png"), place.text("people.json"), write_poses(&place)];
    let below = place.text("photo.png/w.safetensors");
    for (flags, text) in [
        (vec!["--poses", "/nowhere/poses.npz"], "poses.npz"),
        (vec!["--poses", &photo], "photo.png"),
        (vec!["--from", &json], "not usable as weights"),
        (vec!["--resume"], "no run to go on from"),
        (vec!["--resume", "--from", &json], "--resume"),
        (vec!["--out", &below], "photo.png"),
        (vec!["--steps", "0"], "at least 1"),
        (vec!["--what", "pose-prior", "--poses", &poses], "--what estimator"),
    ] {
        assert_refused(&train(&place, &flags), text);
    }
    for (flags, text) in [
        (vec!["-n", "0"], "at least one person"),
        (vec!["--data", "people"], "--people DIR"),
        (vec!["--poses", &photo], "photo.png"),
        (vec!["--weights", &json], "people.json"),
        (vec!["--data", "people", "--people", "/nowhere"], "/nowhere"),
    ] {
        let output = program().arg("evaluate").args(&flags).output().expect("the program starts");
        assert_refused(&output, text);
    }
    assert_eq!(run(&["train", "--what", "weather"]).status.code(), Some(2));
}
