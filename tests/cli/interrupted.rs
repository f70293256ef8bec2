//! Processes that are stopped or killed, and what the next one makes of what they left.

#![cfg(unix)]

use std::io::{BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::support::*;

/// A training without an end that has reported once.
fn training(place: &Place) -> Child {
    let mut command = program();
    command.args(["train", "--json", "--batch", "4", "--out", &place.text("run/w.safetensors")]);
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let reported = lines.map_while(Result::ok).any(|line| line.contains("\"progress\""));
    assert!(reported, "ended before its first report");
    child
}

fn send(child: &Child, signal: i32) {
    let id = i32::try_from(child.id()).expect("a process id");
    // SAFETY: a plain system call on a child that was not waited for.
    assert_eq!(unsafe { libc::kill(id, signal) }, 0);
}

#[test]
fn a_stopped_training_leaves_a_checkpoint_and_the_signal_s_exit_code() {
    for (signal, code) in [(libc::SIGINT, 130), (libc::SIGTERM, 143)] {
        let place = Place::new();
        let child = training(&place);
        send(&child, signal);
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert!(stderr(&output).contains("the checkpoint holds what was learnt"), "{}", stderr(&output));
        let record = std::fs::read(place.path("run/w.json")).expect("a record");
        let record: Value = serde_json::from_slice(&record).expect("JSON");
        let step = record["step"].as_u64().expect("a step");
        assert!(step >= 50);
        let steps = (step + 3).to_string();
        let out = place.text("run/w.safetensors");
        let output = run(&["train", "--resume", "--batch", "4", "--steps", &steps, "--out", &out]);
        assert!(output.status.success(), "{}", stderr(&output));
    }
}

#[test]
fn a_killed_training_does_not_stand_in_the_way() {
    let place = Place::new();
    let mut child = training(&place);
    send(&child, libc::SIGKILL);
    child.wait().expect("it ends");
    let out = place.text("run/w.safetensors");
    assert_refused(&run(&["train", "--resume", "--out", &out]), "no run to go on from");
    let output = run(&["train", "--batch", "4", "--steps", "2", "--out", &out]);
    assert!(output.status.success(), "{}", stderr(&output));
}

/// The system kills a process that writes beyond its limit of file sizes, here in the middle of a result.
#[test]
fn what_a_killed_prediction_left_is_cleared_by_the_next() {
    let place = Place::new();
    let mut command = program();
    command.args(["predict", "--samples", "2", "--keypoints", &place.text("people.json")]);
    command.args(["--out", &place.text("out"), &place.text("photo.png")]);
    // SAFETY: one system call between fork and exec, async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            let limit = |bytes| libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
            libc::setrlimit(libc::RLIMIT_CORE, &limit(0));
            libc::setrlimit(libc::RLIMIT_FSIZE, &limit(30_000));
            Ok(())
        });
    }
    let output = command.output().expect("the program starts");
    assert_eq!(output.status.signal(), Some(libc::SIGXFSZ), "{}", stderr(&output));
    assert!(place.names("out").iter().any(|name| name.starts_with(".writing-")), "{:?}", place.names("out"));
    assert!(place.predict("photo.png", &[]).status.success());
    assert_eq!(place.names("out"), ["photo"]);
}
