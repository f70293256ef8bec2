//! `info`: which models, weights and devices this program finds on this machine, and under which licences.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use burn::tensor::Device;
use clap::Args;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::print_line;
use crate::body::BodyModel;
use crate::estimators::lifter;
use crate::formats::model_files;
use crate::formats::registry::{self, FileState, Row};
use crate::synthetic::PosePrior;
use crate::synthetic::prior::PRIOR_FILE;
use crate::tensors::device::{self, DeviceChoice, Job};
use crate::tensors::weights;

/// A file that ships.
struct Shipped {
    name: &'static str,
    purpose: &'static str,
    licence: &'static str,
    /// Reads it as the program would.
    read: fn(&Path) -> anyhow::Result<()>,
}

const SHIPPED: [Shipped; 6] = [
    Shipped {
        name: "body/mannequin.npz",
        purpose: "the built-in body",
        licence: "CC0-1.0 (from MakeHuman's core assets)",
        read: |path| Ok(BodyModel::load(path).map(drop)?),
    },
    Shipped {
        name: "keypoints/multipose.safetensors",
        purpose: "finds people (MoveNet MultiPose)",
        licence: "Apache-2.0 (Google)",
        read: tensors,
    },
    Shipped {
        name: "keypoints/thunder.safetensors",
        purpose: "finds keypoints (MoveNet Thunder)",
        licence: "Apache-2.0 (Google)",
        read: tensors,
    },
    Shipped {
        name: "keypoints/person_mask.safetensors",
        purpose: "outlines people (BlazePose)",
        licence: "Apache-2.0 (Google)",
        read: tensors,
    },
    Shipped {
        name: lifter::DEFAULT_WEIGHTS,
        purpose: "keypoints to bodies: the default estimator",
        licence: "MIT OR Apache-2.0 (trained on mocap.cs.cmu.edu)",
        read: |path| lifter::weights::load(path, &Device::flex()).map(drop),
    },
    Shipped {
        name: PRIOR_FILE,
        purpose: "poses to train on where none are given",
        licence: "MIT OR Apache-2.0 (fitted to mocap.cs.cmu.edu)",
        read: |path| Ok(PosePrior::read(path).map(drop)?),
    },
];

fn tensors(path: &Path) -> anyhow::Result<()> {
    Ok(weights::read(path).map(drop)?)
}

#[derive(Args, Debug)]
pub struct Arguments {
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Info {
    version: &'static str,
    licence: &'static str,
    credits: [&'static str; 2],
    features: Features,
    threads: usize,
    model_folders: Vec<PathBuf>,
    models: Vec<Model>,
    /// Files that cannot ship.
    others: Vec<Row>,
    devices: Vec<ListedDevice>,
    auto: Auto,
}

#[derive(Serialize)]
struct Features {
    viewer: bool,
    gpu: bool,
    cuda: bool,
}

#[derive(Serialize)]
struct Model {
    name: &'static str,
    #[serde(rename = "for")]
    purpose: &'static str,
    licence: &'static str,
    /// "ok", "missing" or "damaged".
    state: &'static str,
    found: bool,
    path: Option<PathBuf>,
    bytes: Option<u64>,
    sha256: Option<String>,
    /// What is wrong with it, or where it was looked for.
    problem: Option<String>,
}

#[derive(Serialize)]
struct ListedDevice {
    choice: DeviceChoice,
    name: String,
    real_gpu: bool,
}

/// What `--device auto` takes.
#[derive(Serialize)]
struct Auto {
    keypoints: Option<String>,
    estimates: Option<String>,
    published_estimators: Option<String>,
    training: Option<String>,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let info = gathered();
    if arguments.json {
        print_line(&serde_json::to_string_pretty(&info)?);
    } else {
        print_text(&info);
    }
    Ok(ExitCode::SUCCESS)
}

fn gathered() -> Info {
    let chosen = |job| device::choose(DeviceChoice::Auto, job).map(|chosen| chosen.name).ok();
    let cpu = device::choose(DeviceChoice::Cpu, Job::SmallInference).map(|chosen| chosen.name).ok();
    let devices = device::list().into_iter();
    Info {
        version: env!("CARGO_PKG_VERSION"),
        licence: env!("CARGO_PKG_LICENSE"),
        credits: [
            "The data used in this project was obtained from mocap.cs.cmu.edu. The database was created with \
             funding from NSF EIA-0196217.",
            "MoveNet and BlazePose: Google. Body: MakeHuman community. Portrait of Eileen Collins: NASA.",
        ],
        features: Features {
            viewer: cfg!(feature = "viewer"),
            gpu: cfg!(feature = "gpu"),
            cuda: cfg!(feature = "cuda"),
        },
        threads: rayon::current_num_threads(),
        model_folders: model_files::folders().into_iter().filter(|folder| folder.is_dir()).collect(),
        models: SHIPPED.iter().map(model).collect(),
        others: registry::rows(),
        devices: devices
            .map(|found| ListedDevice { choice: found.choice, name: found.name, real_gpu: found.real_gpu })
            .collect(),
        auto: Auto {
            // Kernels of our own, which run nowhere else.
            keypoints: cpu.clone(),
            estimates: chosen(Job::SmallInference),
            published_estimators: chosen(Job::LargeInference),
            // The trainer's loss and its gradient are computed on the CPU, the network with them.
            training: cpu,
        },
    }
}

fn model(shipped: &Shipped) -> Model {
    let &Shipped { name, purpose, licence, read } = shipped;
    let mut model = Model {
        name,
        purpose,
        licence,
        state: "missing",
        found: false,
        path: None,
        bytes: None,
        sha256: None,
        problem: None,
    };
    let path = match model_files::find(name) {
        Ok(path) => path,
        Err(error) => return Model { problem: Some(error.to_string()), ..model },
    };
    if let Ok(bytes) = std::fs::read(&path) {
        model.bytes = Some(bytes.len() as u64);
        model.sha256 = Some(Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect());
    }
    model.problem = read(&path).err().map(|error| format!("{error:#}"));
    model.state = if model.problem.is_some() { "damaged" } else { "ok" };
    Model { found: true, path: Some(path), ..model }
}

fn print_text(info: &Info) {
    print_line(&format!("humanifold {} ({}), {} threads", info.version, info.licence, info.threads));
    print_line("\nmodels");
    for model in &info.models {
        let place = match (&model.problem, &model.path) {
            (Some(problem), _) => format!("{}: {problem}", model.state.to_uppercase()),
            (None, path) => path.as_ref().map(|path| path.display().to_string()).unwrap_or_default(),
        };
        print_line(&format!(
            "  {:34} {:43} {}\n  {:34} {place}",
            model.name, model.purpose, model.licence, ""
        ));
    }
    print_line("\nmodels that cannot ship, below a folder of model files");
    for row in &info.others {
        let place = match &row.state {
            FileState::Found { path, .. } => path.display().to_string(),
            FileState::Missing => format!("missing; {}", row.get),
            FileState::Damaged { reason, .. } => format!("DAMAGED: {reason}"),
        };
        print_line(&format!("  {:34} {}\n  {:34} {place}", row.put, row.unlocks, ""));
    }
    print_line("\ndevices");
    for device in &info.devices {
        print_line(&format!("  {:6} {}", device.choice.to_string(), device.name));
    }
    for (feature, choice, built) in [("gpu", "wgpu", info.features.gpu), ("cuda", "cuda", info.features.cuda)]
    {
        if !built {
            print_line(&format!("  {choice:6} not in this build (--features {feature})"));
        }
    }
    let name = |device: &Option<String>| device.clone().unwrap_or_else(|| "none".to_owned());
    print_line(&format!(
        "\nauto takes {} for keypoints and estimates, {} for the published estimators, {} for training",
        name(&info.auto.estimates),
        name(&info.auto.published_estimators),
        name(&info.auto.training)
    ));
    print_line("");
    info.credits.iter().for_each(|credit| print_line(credit));
}
