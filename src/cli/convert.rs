//! `convert`: motions of one kind of file to another, on a body.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use crate::body::folders::body_in;
use crate::body::motion::{Clip, read_clips, write_motion};
use crate::body::{BodyModel, Gender};

#[derive(Args, Debug)]
pub struct Arguments {
    /// AMASS or pose npz, BVH, AMC beside its ASF, or a sequence of 3DPW (pkl)
    #[arg(value_name = "MOTION")]
    motion: PathBuf,

    /// What to write, by its ending: .npz (AMASS), .glb (skin and animation), .bvh, or .obj (one frame); where the
    /// motion has several people, each gets a file with its number
    #[arg(value_name = "OUT")]
    out: PathBuf,

    /// Body model, or a folder that holds some; the built-in body without it
    #[arg(long, value_name = "FILE|DIR")]
    body: Option<PathBuf>,

    /// Which of that folder's bodies; without it the one that the motion names
    #[arg(long, requires = "body", value_enum, ignore_case = true)]
    gender: Option<Gender>,

    /// Only this frame, counted from 0
    #[arg(long, value_name = "N")]
    frame: Option<usize>,

    /// Only this person, counted from 1
    #[arg(long, value_name = "N")]
    person: Option<usize>,

    /// In the camera's space, not in the world's, where the motion says what filmed it (3DPW)
    #[arg(long)]
    camera: bool,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut clips: Vec<(usize, Clip)> = (1..).zip(read_clips(&arguments.motion)?).collect();
    let (people, from) = (clips.len(), arguments.motion.display());
    if let Some(person) = arguments.person {
        clips.retain(|(number, _)| *number == person);
        anyhow::ensure!(!clips.is_empty(), "no person {person}, there are {people}: {from}");
    }
    for (number, clip) in &clips {
        let model = body(arguments, clip)?;
        let mut states = if arguments.camera {
            model
                .states_before_camera(clip)
                .ok_or_else(|| anyhow::anyhow!("this motion has no camera (--camera): {from}"))?
        } else {
            model.states_of(&clip.motion)
        };
        if clip.left_out > 0 {
            eprintln!("warning: {} frames are left out, whose camera the file calls wrong", clip.left_out);
        }
        if let Some(frame) = arguments.frame {
            let count = states.len();
            anyhow::ensure!(frame < count, "no frame {frame}, there are {count}: {from}");
            states = vec![states.swap_remove(frame)];
        }
        let out = if clips.len() > 1 { numbered(&arguments.out, *number) } else { arguments.out.clone() };
        write_motion(&out, &model, &states, clip.motion.frame_rate)?;
        let only_first = out.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("obj"));
        let written = match states.len() {
            1 => "1 frame".to_owned(),
            count if only_first => format!("the first of {count} frames (--frame N takes another)"),
            count => format!("{count} frames"),
        };
        super::print_line(&format!("{written}: {}", out.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// The body asked for; of a folder the one of the motion's gender, where it has that.
fn body(arguments: &Arguments, clip: &Clip) -> anyhow::Result<Arc<BodyModel>> {
    let Some(path) = &arguments.body else { return Ok(BodyModel::default_body()?) };
    let named: Option<Gender> = Gender::from_str(&clip.motion.gender, true).ok();
    let there = |gender: &Gender| path.is_dir() && body_in(path, Some(*gender)).is_ok();
    let gender = arguments.gender.or(named.filter(there));
    Ok(Arc::new(BodyModel::load_from(path, gender)?))
}

/// `walk.glb` as `walk-2.glb`.
fn numbered(path: &Path, number: usize) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut name = format!("{stem}-{number}");
    if let Some(ending) = path.extension() {
        name = format!("{name}.{}", ending.to_string_lossy());
    }
    path.with_file_name(name)
}
