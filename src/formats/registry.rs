//! Files that the program can use and that cannot ship with it: what each unlocks, where to get it, where to put it, and
//! whether it is there and sound. `humanifold info` prints the rows, the window shows them.

use std::path::{Path, PathBuf};

use super::error::{FormatError, Limits, read_bytes};
use super::matlab::parse_matlab;
use super::model_files;
use super::npy::read_npy;
use super::npz::Npz;
use super::pickle::parse_pickle;
use super::recognise::{self, Body, Content};
use super::torch::Torch;

/// How a file is known for what it is.
#[derive(Clone, Copy, Debug)]
enum Check {
    /// By the names in it.
    Content(&'static [Content]),
    /// A matrix of so many rows over SMPL's 6890 points.
    Regressor(usize),
}

/// One file of the table.
struct Known {
    title: &'static str,
    unlocks: &'static str,
    get: &'static str,
    /// Names below a folder of model files; the first is where to put it, the others are found too.
    places: &'static [&'static str],
    check: Check,
}

const SMPL: &str = "smpl.is.tue.mpg.de (register; the download as it is, nothing to convert)";
const BODIES: &[Content] = &[
    Content::Body(Body::Smpl),
    Content::Body(Body::SmplH),
    Content::Body(Body::SmplX),
    Content::Body(Body::BuiltIn),
];
const REGRESSORS: &str = "github.com/akashsengupta1997/HuManiFlow, folder model_files";

const TABLE: [Known; 13] = [
    Known {
        title: "SMPL neutral",
        unlocks: "bodies of SMPL's mesh: --body FILE or DIR",
        get: SMPL,
        places: &[
            "smpl/SMPL_NEUTRAL.pkl",
            "smpl/basicmodel_neutral_lbs_10_207_0_v1.1.0.pkl",
            "smpl/basicModel_neutral_lbs_10_207_0_v1.0.0.pkl",
            "smpl/SMPL_NEUTRAL.npz",
            "smpl/models/SMPL_NEUTRAL.pkl",
            "smpl/models/basicmodel_neutral_lbs_10_207_0_v1.1.0.pkl",
            "SMPL_NEUTRAL.pkl",
        ],
        check: Check::Content(BODIES),
    },
    Known {
        title: "SMPL male",
        unlocks: "bodies of men on SMPL's mesh",
        get: SMPL,
        places: &[
            "smpl/SMPL_MALE.pkl",
            "smpl/basicmodel_m_lbs_10_207_0_v1.1.0.pkl",
            "smpl/basicmodel_m_lbs_10_207_0_v1.0.0.pkl",
            "smpl/SMPL_MALE.npz",
            "SMPL_MALE.pkl",
        ],
        check: Check::Content(BODIES),
    },
    Known {
        title: "SMPL female",
        unlocks: "bodies of women on SMPL's mesh",
        get: SMPL,
        places: &[
            "smpl/SMPL_FEMALE.pkl",
            "smpl/basicmodel_f_lbs_10_207_0_v1.1.0.pkl",
            "smpl/basicModel_f_lbs_10_207_0_v1.0.0.pkl",
            "smpl/SMPL_FEMALE.npz",
            "SMPL_FEMALE.pkl",
        ],
        check: Check::Content(BODIES),
    },
    Known {
        title: "SMPL-H",
        unlocks: "bodies with fingers, of which the body part is posed",
        get: "mano.is.tue.mpg.de (Extended SMPL+H model)",
        places: &[
            "smplh/neutral/model.npz",
            "smplh/SMPLH_MALE.pkl",
            "smplh/male/model.npz",
            "smplh/SMPLH_FEMALE.pkl",
        ],
        check: Check::Content(BODIES),
    },
    Known {
        title: "SMPL-X",
        unlocks: "bodies with fingers and face, of which the body part is posed",
        get: "smpl-x.is.tue.mpg.de",
        places: &[
            "smplx/SMPLX_NEUTRAL.npz",
            "smplx/SMPLX_MALE.npz",
            "smplx/SMPLX_FEMALE.npz",
            "smplx/SMPLX_NEUTRAL.pkl",
        ],
        check: Check::Content(BODIES),
    },
    Known {
        title: "extra joints (9)",
        unlocks: "with the two below: the 90 joints of published networks on SMPL's mesh",
        get: REGRESSORS,
        places: &["J_regressor_extra.npy"],
        check: Check::Regressor(9),
    },
    Known {
        title: "extra joints (19)",
        unlocks: "see above",
        get: REGRESSORS,
        places: &["cocoplus_regressor.npy"],
        check: Check::Regressor(19),
    },
    Known {
        title: "extra joints (17)",
        unlocks: "see above",
        get: REGRESSORS,
        places: &["J_regressor_h36m.npy"],
        check: Check::Regressor(17),
    },
    Known {
        title: "DensePose's table",
        unlocks: "part labels and textures on SMPL's mesh",
        get: REGRESSORS,
        places: &["UV_Processed.mat", "UV_data/UV_Processed.mat"],
        check: Check::Content(&[Content::DensePoseTable]),
    },
    Known {
        title: "HuManiFlow's weights",
        unlocks: "the published estimator: --weights FILE",
        get: "github.com/akashsengupta1997/HuManiFlow (link in its readme; with the authors' terms)",
        places: &["humaniflow_weights.tar"],
        check: Check::Content(&[Content::HumaniflowWeights]),
    },
    Known {
        title: "HRNet-W48",
        unlocks: "finer keypoints, those of the published systems: --keypoints hrnet",
        get: "github.com/leoxiaobin/deep-high-resolution-net.pytorch (model zoo, pose_coco)",
        places: &["pose_hrnet_w48_384x288.pth"],
        check: Check::Content(&[Content::HrnetWeights]),
    },
    Known {
        title: "Pose-NDF",
        unlocks: "its distances of poses, in the library",
        get: "github.com/garvita-tiwari/PoseNDF (branch version2)",
        places: &[
            "posendf/checkpoints/checkpoint_epoch_best.tar",
            "version2/checkpoints/checkpoint_epoch_best.tar",
            "checkpoint_epoch_best.tar",
        ],
        check: Check::Content(&[Content::PoseNdfWeights]),
    },
    Known {
        title: "SPIN's mean parameters",
        unlocks: "recognised only",
        get: "github.com/nkolot/SPIN (fetch_data.sh)",
        places: &["smpl_mean_params.npz"],
        check: Check::Content(&[Content::MeanParameters]),
    },
];

/// Whether a file is there and sound.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum FileState {
    Found { path: PathBuf, bytes: u64 },
    Missing,
    Damaged { path: PathBuf, reason: String },
}

/// One row of the table, for a list or a panel.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Row {
    pub title: &'static str,
    /// What works once it is there.
    pub unlocks: &'static str,
    pub get: &'static str,
    /// Where to put it, below a folder of model files.
    pub put: &'static str,
    #[serde(flatten)]
    pub state: FileState,
}

impl FileState {
    /// "found", "missing" or "damaged".
    pub fn word(&self) -> &'static str {
        match self {
            Self::Found { .. } => "found",
            Self::Missing => "missing",
            Self::Damaged { .. } => "damaged",
        }
    }
}

/// Looks for every known file and into those that are there; some hundred megabytes are read where large ones are.
pub fn rows() -> Vec<Row> {
    rows_in(&model_files::folders())
}

/// As [`rows`], in other folders.
pub fn rows_in(folders: &[PathBuf]) -> Vec<Row> {
    TABLE
        .iter()
        .map(|known| {
            let candidates =
                folders.iter().flat_map(|folder| known.places.iter().map(|place| folder.join(place)));
            let path = candidates.into_iter().find(|path| path.is_file());
            let state = match path {
                None => FileState::Missing,
                Some(path) => match check(known, &path) {
                    Ok(bytes) => FileState::Found { path, bytes },
                    Err(error) => FileState::Damaged { path, reason: error.to_string() },
                },
            };
            Row { title: known.title, unlocks: known.unlocks, get: known.get, put: known.places[0], state }
        })
        .collect()
}

/// The file of a row of the table, by its title.
///
/// # Errors
/// `Missing`, with where to get it and where to put it.
pub fn find(title: &str) -> Result<PathBuf, FormatError> {
    let row = TABLE.iter().find(|known| known.title == title);
    let known = row.ok_or_else(|| FormatError::missing(format!("`{title}` is no file of the table")))?;
    let folders = model_files::folders();
    let mut places =
        folders.iter().flat_map(|folder| known.places.iter().map(move |place| folder.join(place)));
    places.find(|path| path.is_file()).ok_or_else(|| {
        FormatError::missing(format!(
            "{title} is not there and cannot ship: fetch `{}` from {} and put it into `model_files`, or name its \
             folder with --models DIR or in HUMANIFOLD_MODELS",
            known.places[0], known.get
        ))
    })
}

/// What a file of any kind holds, told from the names in it; `None` for sound files of other content.
///
/// # Errors
/// What is wrong with the file.
pub fn content_of(path: &Path) -> Result<Option<Content>, FormatError> {
    content(read_bytes(path)?, path).map_err(|error| error.at(path))
}

fn content(bytes: Vec<u8>, path: &Path) -> Result<Option<Content>, FormatError> {
    let limits = Limits::default();
    if bytes.starts_with(b"MATLAB") {
        let values = parse_matlab(&bytes, &limits)?;
        return Ok(recognise::by_keys(&keys(&values)));
    }
    if bytes.starts_with(b"PK") {
        let npz = Npz::from_bytes(bytes, path)?;
        let names: Vec<&str> = npz.names().collect();
        if !names.is_empty() {
            return Ok(recognise::by_keys(&names));
        }
        return checkpoint(&Torch::read(path)?);
    }
    // A checkpoint of the older kind is several pickles, the first a number.
    if let Ok(torch) = Torch::read(path) {
        return checkpoint(&torch);
    }
    let values = parse_pickle(&bytes, &limits)?;
    Ok(recognise::by_keys(&keys(&values)))
}

fn keys(values: &super::values::Values) -> Vec<&str> {
    values.entries(values.top()).iter().map(|(key, _)| *key).collect()
}

fn checkpoint(torch: &Torch) -> Result<Option<Content>, FormatError> {
    if let Some(content) = recognise::by_keys(&keys(torch.values())) {
        return Ok(Some(content));
    }
    // Training checkpoints are told apart by the names of their tensors.
    let tensors = torch.state_dict("model_state_dict").unwrap_or_default();
    Ok(recognise::by_keys(&tensors.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>()))
}

fn check(known: &Known, path: &Path) -> Result<u64, FormatError> {
    match known.check {
        Check::Regressor(rows) => read_npy(path)?.expect_shape(&[Some(rows), Some(6890)])?,
        Check::Content(wanted) => match content_of(path)? {
            Some(found) if wanted.contains(&found) => {}
            Some(found) => {
                return Err(FormatError::value(format!("this is {}", found.description())).at(path));
            }
            None => return Err(FormatError::value("a sound file, but of something else").at(path)),
        },
    }
    std::fs::metadata(path).map(|file| file.len()).map_err(|error| FormatError::io("look at", error, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_files_are_named_for_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("smpl")).unwrap();
        std::fs::write(folder.path().join("smpl/SMPL_NEUTRAL.pkl"), "<html>log in</html>").unwrap();
        // {'poses': None}
        std::fs::write(folder.path().join("smpl/SMPL_MALE.pkl"), b"\x80\x02}U\x05posesNs.").unwrap();
        let all = rows_in(&[folder.path().to_owned()]);
        let reason = |title: &str| match &all.iter().find(|row| row.title == title).unwrap().state {
            FileState::Damaged { reason, .. } => reason.clone(),
            other => panic!("{other:?}"),
        };
        assert!(reason("SMPL neutral").contains("web page"));
        assert!(reason("SMPL male").contains("a motion"));
        let missing = all.iter().filter(|row| matches!(row.state, FileState::Missing)).count();
        assert_eq!((all.len(), missing), (TABLE.len(), TABLE.len() - 2));
    }
}
