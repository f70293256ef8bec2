//! Runs the recorded cases of the published systems against this program.
//!
//! `cargo test --test parity` reads every case below the folders in `HUMANIFOLD_CASES` (separated by ':';
//! without it `../shared/cases` beside this package, where that exists), and prints one line a failing case
//! and one closing line. Words after `--` keep the cases whose kind or path contains one of them.

mod case;
mod compare;

mod body;
mod formats;
mod hash1;
mod hrnet;
mod humaniflow;
mod humaniflow_checkpoint;
mod humaniflow_network;
mod humaniflow_vision;
mod keypoints;
mod pose_ndf;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rayon::prelude::*;

use case::{Case, Failure, Function};

/// Every kind with its function; an area adds its own list.
fn functions() -> BTreeMap<&'static str, Function> {
    let areas = [
        body::kinds(),
        formats::kinds(),
        hrnet::kinds(),
        humaniflow::kinds(),
        humaniflow_checkpoint::kinds(),
        humaniflow_network::kinds(),
        humaniflow_vision::kinds(),
        keypoints::kinds(),
        pose_ndf::kinds(),
    ];
    areas.into_iter().flatten().collect()
}

/// Kinds without a function yet; their cases are counted as skipped. A kind with a function is run, listed or not.
const NOT_BUILT_YET: &[&str] = &[
    // humaniflow
    "metrics",
    "projection",
    "render",
    "visibility",
    // danet
    "danet_gcn",
    "danet_iuv_maps",
    "danet_losses",
    "danet_part_crops",
    "danet_regressor",
    // nbf
    "nbf_contrastive",
    "nbf_gaussians",
    "nbf_head",
    "nbf_loss",
    "nbf_occluder_grid",
    "nbf_render",
    // pose_ndf
    "pose_ndf_data_prep",
    "pose_ndf_distances",
    "pose_ndf_gradient",
    "pose_ndf_image_fitting",
    "pose_ndf_interpolation",
    "pose_ndf_loader_items",
    "pose_ndf_losses",
    "pose_ndf_motion_denoise",
    "pose_ndf_network",
    "pose_ndf_projection",
    "pose_ndf_quaternions",
    "pose_ndf_riemannian_projection",
    // straps
    "straps_augment",
    "straps_losses",
    "straps_metrics",
    "straps_proxy",
    "straps_regressor",
];

fn main() -> ExitCode {
    let filters = match Arguments::parse() {
        Arguments::List => {
            println!("parity: test");
            return ExitCode::SUCCESS;
        }
        Arguments::Nothing => return ExitCode::SUCCESS,
        Arguments::Run(filters) => filters,
    };
    let functions = functions();
    let mut files = Vec::new();
    for folder in case_folders() {
        collect(&folder, &mut files);
    }
    files.sort();
    let kept = |case: &Path, kind: &str| {
        filters.is_empty() || filters.iter().any(|word| kind == word || case.to_string_lossy().contains(word))
    };

    // Panics are reported on the line of their case.
    std::panic::set_hook(Box::new(|_| {}));
    let verdicts: Vec<(PathBuf, Verdict)> = files
        .into_par_iter()
        .filter_map(|file| {
            let verdict = match Case::read(&file) {
                Ok(None) => return None,
                Ok(Some(case)) if !kept(&file, &case.kind) => return None,
                Ok(Some(case)) => match functions.get(case.kind.as_str()) {
                    Some(function) => judge(&case, *function),
                    None if NOT_BUILT_YET.contains(&case.kind.as_str()) => Verdict::Skipped(case.kind),
                    None => Verdict::Failed(vec![format!("no function for kind `{}`", case.kind)]),
                },
                Err(message) => Verdict::Failed(vec![message]),
            };
            Some((file, verdict))
        })
        .collect();
    let _ = std::panic::take_hook();

    let (mut passed, mut failed) = (0, 0);
    let mut skipped = BTreeSet::new();
    let mut skips = 0;
    for (file, verdict) in verdicts {
        match verdict {
            Verdict::Passed => passed += 1,
            Verdict::Skipped(kind) => {
                skips += 1;
                skipped.insert(kind);
            }
            Verdict::Failed(lines) => {
                failed += 1;
                println!("{}: {}", file.display(), lines.join("; "));
            }
        }
    }
    let mut closing = format!("{passed} passed, {failed} failed");
    if skips > 0 {
        let kinds: Vec<String> = skipped.into_iter().collect();
        closing += &format!(", {skips} skipped ({})", kinds.join(" "));
    }
    println!("{closing}");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

enum Verdict {
    Passed,
    Failed(Vec<String>),
    Skipped(String),
}

fn judge(case: &Case, function: Function) -> Verdict {
    let result = catch_unwind(AssertUnwindSafe(|| function(case))).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("without a message");
        Err(Failure::Broken(format!("panicked: {}", text.replace('\n', " "))))
    });
    let problems = match (result, &case.error) {
        (Ok(outputs), None) => compare::outputs(case, &outputs),
        (Ok(_), Some(word)) => vec![format!("accepted, must be refused as `{word}`")],
        (Err(Failure::Refused { word, .. }), Some(wanted)) if word == *wanted => Vec::new(),
        (Err(Failure::Refused { word, message }), Some(wanted)) => {
            vec![format!("refused as `{word}`, must be `{wanted}` ({message})")]
        }
        (Err(Failure::Refused { word, message }), None) => vec![format!("refused as `{word}` ({message})")],
        (Err(Failure::Broken(message)), _) => vec![message],
    };
    if problems.is_empty() { Verdict::Passed } else { Verdict::Failed(problems) }
}

/// What the flags of a test harness ask for.
enum Arguments {
    Run(Vec<String>),
    List,
    Nothing,
}

impl Arguments {
    fn parse() -> Self {
        let mut filters = Vec::new();
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--list" => return Self::List,
                // Nothing here is ignored by default, so "only the ignored ones" is an empty run.
                "--ignored" => return Self::Nothing,
                "--test-threads" | "--format" | "--color" | "--skip" | "--logfile" | "-Z" => {
                    arguments.next();
                }
                flag if flag.starts_with('-') => {}
                // The name under which the list shows this test means all of it.
                "parity" => return Self::Run(Vec::new()),
                word => filters.push(word.to_owned()),
            }
        }
        Self::Run(filters)
    }
}

fn case_folders() -> Vec<PathBuf> {
    match std::env::var("HUMANIFOLD_CASES") {
        Ok(list) => list.split(':').filter(|folder| !folder.is_empty()).map(PathBuf::from).collect(),
        Err(_) => vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/cases")],
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "json") {
            files.push(path);
        }
    }
}
