//! `info`: which models, weights and devices this program finds on this machine.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::print_line;
use crate::formats::model_files;
use crate::tensors::device::{self, DeviceChoice, Job};

/// Files that ship, with what they are for.
const SHIPPED: [(&str, &str); 5] = [
    ("body/mannequin.npz", "the built-in body"),
    ("keypoints/multipose.safetensors", "finds people"),
    ("keypoints/thunder.safetensors", "finds keypoints"),
    ("keypoints/person_mask.safetensors", "tells a person from the background"),
    ("humanifold/default.safetensors", "keypoints to bodies: the default estimator"),
];

#[derive(Args, Debug)]
pub struct Arguments {
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let models: Vec<Value> = SHIPPED
        .iter()
        .map(|(name, purpose)| {
            let path = model_files::find(name).ok();
            let bytes = path.as_ref().and_then(|path| std::fs::metadata(path).ok()).map(|file| file.len());
            json!({"name": name, "for": purpose, "found": path.is_some(), "path": path, "bytes": bytes})
        })
        .collect();
    let devices: Vec<Value> = device::list()
        .into_iter()
        .map(|found| json!({"choice": found.choice, "name": found.name, "real_gpu": found.real_gpu}))
        .collect();
    let chosen = |job| device::choose(DeviceChoice::Auto, job).map(|chosen| chosen.name).ok();
    let info = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "features": {
            "viewer": cfg!(feature = "viewer"), "gpu": cfg!(feature = "gpu"), "cuda": cfg!(feature = "cuda"),
        },
        "threads": rayon::current_num_threads(),
        "model_folders": model_files::folders().into_iter().filter(|folder| folder.is_dir()).collect::<Vec<_>>(),
        "models": models,
        "devices": devices,
        "auto": {"estimates": chosen(Job::SmallInference), "training": chosen(Job::Training)},
    });
    if arguments.json {
        print_line(&format!("{info:#}"));
    } else {
        print_text(&info);
    }
    Ok(ExitCode::SUCCESS)
}

fn print_text(info: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or("none").to_owned();
    print_line(&format!("humanifold {}, {} threads", text(&info["version"]), info["threads"]));
    print_line("\nmodels");
    for model in info["models"].as_array().into_iter().flatten() {
        let place = if model["found"] == true { text(&model["path"]) } else { "NOT FOUND".to_owned() };
        print_line(&format!("  {:36} {:44} {place}", text(&model["name"]), text(&model["for"])));
    }
    print_line("\ndevices");
    for device in info["devices"].as_array().into_iter().flatten() {
        print_line(&format!("  {:6} {}", text(&device["choice"]), text(&device["name"])));
    }
    print_line(&format!(
        "\nauto takes {} for estimates, {} for training",
        text(&info["auto"]["estimates"]),
        text(&info["auto"]["training"])
    ));
}
