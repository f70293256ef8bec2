//! `convert`: motions of one kind of file to another, on a body.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::body::BodyModel;
use crate::body::motion::{read_motion, write_motion};

#[derive(Args, Debug)]
pub struct Arguments {
    /// AMASS or pose npz, BVH, AMC beside its ASF, or a sequence of 3DPW (pkl)
    #[arg(value_name = "MOTION")]
    motion: PathBuf,

    /// What to write, by its ending: .npz (AMASS), .glb (skin and animation), .bvh, or .obj (one frame)
    #[arg(value_name = "OUT")]
    out: PathBuf,

    /// Body model file; the built-in body without it
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,

    /// Only this frame, counted from 0
    #[arg(long, value_name = "N")]
    frame: Option<usize>,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let motion = read_motion(&arguments.motion)?;
    let model = match &arguments.body {
        Some(path) => std::sync::Arc::new(BodyModel::load(path)?),
        None => BodyModel::default_body()?,
    };
    let mut states = model.states_of(&motion);
    if let Some(frame) = arguments.frame {
        let count = states.len();
        anyhow::ensure!(frame < count, "no frame {frame}, there are {count}: {}", arguments.motion.display());
        states = vec![states.swap_remove(frame)];
    }
    write_motion(&arguments.out, &model, &states, motion.frame_rate)?;
    super::print_line(&format!("{} frames: {}", states.len(), arguments.out.display()));
    Ok(ExitCode::SUCCESS)
}
