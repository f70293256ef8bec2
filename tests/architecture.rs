//! Holds the house: which room may use which, how long files are, what `main.rs` may be.

use std::fs;
use std::path::{Path, PathBuf};

/// Rooms in the order in which data passes; a room may use only rooms before it.
/// `cli` stands beside `app` at the end and may use every room.
const ROOMS: [&str; 14] = [
    "progress",
    "formats",
    "geometry",
    "tensors",
    "body",
    "keypoints",
    "raster",
    "synthetic",
    "estimators",
    "training",
    "evaluation",
    "figures",
    "tasks",
    "app",
];

/// Longer files say why in their head comment, with these words.
const LENGTH_REASON: &str = "One file because";
const LONGEST: usize = 400;

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("src is readable") {
        let path = entry.expect("entry is readable").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Names that follow `crate::` in a file, comments left out.
fn rooms_used(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| {
            line.match_indices("crate::").map(|(at, word)| {
                line[at + word.len()..]
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect::<String>()
            })
        })
        .collect()
}

#[test]
fn arrows_between_rooms_go_one_way() {
    let mut wrong = Vec::new();
    for path in sources(&src()) {
        let relative = path.strip_prefix(src()).expect("below src").to_owned();
        let room = relative.iter().next().expect("a name").to_string_lossy().into_owned();
        if room == "lib.rs" || room == "main.rs" || room == "cli" {
            continue;
        }
        let Some(place) = ROOMS.iter().position(|r| *r == room) else {
            wrong.push(format!("{room} is no room of the table ({})", relative.display()));
            continue;
        };
        for used in rooms_used(&fs::read_to_string(&path).expect("readable")) {
            let upwards = ROOMS.iter().position(|r| *r == used).is_some_and(|other| other > place);
            if upwards || used == "cli" {
                wrong.push(format!("{room} uses {used} ({})", relative.display()));
            }
        }
    }
    wrong.dedup();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_room_is_in_the_table() {
    for entry in fs::read_dir(src()).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            assert!(name == "cli" || ROOMS.contains(&name.as_str()), "room {name} is not in the table");
            assert!(path.join("mod.rs").is_file(), "room {name} has no mod.rs");
        }
    }
}

#[test]
fn files_are_short_or_say_why_not() {
    let mut wrong = Vec::new();
    for path in sources(&src()) {
        let text = fs::read_to_string(&path).expect("readable");
        let lines = text.lines().count();
        let head: String = text.lines().take_while(|l| l.starts_with("//!")).collect();
        if lines > LONGEST && !head.contains(LENGTH_REASON) {
            wrong.push(format!("{lines} lines: {}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "longer than {LONGEST} without a reason:\n{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    for path in sources(&src()) {
        let text = fs::read_to_string(&path).expect("readable");
        assert!(text.starts_with("//!"), "no head comment: {}", path.display());
    }
}

#[test]
fn main_is_short() {
    let lines = fs::read_to_string(src().join("main.rs")).expect("readable").lines().count();
    assert!(lines <= 40, "main.rs has {lines} lines");
}
