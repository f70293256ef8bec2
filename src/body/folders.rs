//! Body files in folders as people have them: the download's own, smplx's, and those of HuManiFlow, STRAPS, DaNet,
//! 3DNBF and Pose-NDF. `--body DIR` comes through here.

use std::fmt;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::error::BodyError;
use super::model::BodyModel;
use crate::formats::FormatError;

/// Which of a folder's bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gender {
    #[default]
    #[value(alias = "n")]
    Neutral,
    #[value(alias = "m")]
    Male,
    #[value(alias = "f")]
    Female,
}

impl fmt::Display for Gender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Neutral => "neutral",
            Self::Male => "male",
            Self::Female => "female",
        })
    }
}

/// Where the systems keep bodies below a folder that is their repository, its folder of models, or their parent:
/// HuManiFlow `model_files/smpl`, STRAPS `additional/smpl`, DaNet and SPIN `data/smpl`, 3DNBF (mmhuman3d)
/// `data/body_models/smpl`, Pose-NDF (smplx) a folder a family, SMPL's own download `smpl/models`, AMASS' SMPL-H a
/// folder a gender.
const BASES: [&str; 8] =
    ["", "model_files", "additional", "data", "data/body_models", "body_models", "models", "smpl/models"];
const FAMILIES: [&str; 3] = ["smpl", "smplh", "smplx"];

/// A body found in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    gender: Gender,
    /// Place in [`FAMILIES`].
    family: usize,
    path: PathBuf,
}

/// What a file's name says; the name of its folder where it is a bare `model`.
fn of_name(path: &Path) -> Option<(usize, Gender)> {
    let lower = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().to_lowercase();
    let ending = lower(path.extension());
    if ending != "pkl" && ending != "npz" {
        return None;
    }
    let stem = lower(path.file_stem());
    let folder = lower(path.parent().and_then(Path::file_name));
    let above = lower(path.parent().and_then(Path::parent).and_then(Path::file_name));
    let (name, family_of) = if stem == "model" { (folder, above) } else { (stem.clone(), stem) };
    let family = match family_of {
        name if name.starts_with("smplx") => 2,
        name if name.starts_with("smplh") || name.starts_with("smpl+h") => 1,
        name if name.starts_with("smpl_mean") => return None,
        name if name == "smpl" || name.starts_with("smpl_") || name.starts_with("basicmodel_") => 0,
        _ => return None,
    };
    let words: Vec<&str> = name.split('_').collect();
    let has = |names: &[&str]| words.iter().any(|word| names.contains(word));
    let gender = if has(&["female", "f"]) {
        Gender::Female
    } else if has(&["male", "m"]) {
        Gender::Male
    } else if has(&["neutral", "n"]) {
        Gender::Neutral
    } else {
        return None;
    };
    Some((family, gender))
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    // Names as smplx has them (`SMPL_…`) come before the download's (`basicmodel_…`).
    files.sort();
    files
}

/// All bodies of a folder in the known layouts.
fn bodies_in(folder: &Path) -> Vec<Found> {
    let mut places = Vec::new();
    for base in BASES {
        let base = folder.join(base);
        for family in FAMILIES.map(|family| base.join(family)) {
            places.push(family.clone());
            places.extend(Gender::value_variants().iter().map(|gender| family.join(gender.to_string())));
        }
        places.extend(Gender::value_variants().iter().map(|gender| base.join(gender.to_string())));
        places.push(base);
    }
    let files = places.iter().flat_map(|place| files_in(place));
    files.filter_map(|path| of_name(&path).map(|(family, gender)| Found { gender, family, path })).collect()
}

/// The body file that a folder holds: SMPL before SMPL-H before SMPL-X; of the given gender, or neutral before male
/// before female. A folder with one file of another name gives that.
///
/// # Errors
/// `Missing`, with what is there.
pub fn body_in(folder: &Path, gender: Option<Gender>) -> Result<PathBuf, FormatError> {
    let mut found = bodies_in(folder);
    // Stable: the first layout wins.
    found.sort_by_key(|body| (body.family, body.gender));
    if let Some(body) = found.iter().find(|body| gender.is_none_or(|wanted| body.gender == wanted)) {
        return Ok(body.path.clone());
    }
    if let (Some(wanted), false) = (gender, found.is_empty()) {
        found.dedup_by_key(|body| body.gender);
        let there: Vec<String> = found.iter().map(|body| body.gender.to_string()).collect();
        let what = format!("no {wanted} body in this folder, it has: {}", there.join(", "));
        return Err(FormatError::missing(what).at(folder));
    }
    let mut others = files_in(folder);
    others.retain(|path| path.extension().is_some_and(|ending| ending == "pkl" || ending == "npz"));
    if let [only] = others.as_slice() {
        return Ok(only.clone());
    }
    Err(FormatError::missing(
        "no body model in this folder: names such as SMPL_NEUTRAL.pkl or basicmodel_m_lbs_10_207_0_v1.1.0.pkl are looked \
         for in it and in smpl, smplh, smplx, model_files, additional, data and body_models below it",
    )
    .at(folder))
}

impl BodyModel {
    /// As [`BodyModel::load`], from a file or from a folder that holds some.
    ///
    /// # Errors
    /// What is wrong with the file, or missing in the folder.
    pub fn load_from(path: &Path, gender: Option<Gender>) -> Result<Self, BodyError> {
        if path.is_dir() { Self::load(&body_in(path, gender)?) } else { Self::load(path) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"x").unwrap();
        }
        folder
    }

    #[test]
    fn the_systems_folders_are_taken_as_they_are() {
        let layouts: [(&[&str], &str); 9] = [
            // HuManiFlow's repository.
            (
                &["model_files/smpl/SMPL_FEMALE.pkl", "model_files/smpl/SMPL_NEUTRAL.pkl"],
                "model_files/smpl/SMPL_NEUTRAL.pkl",
            ),
            // Its folder of models, and the one below.
            (&["smpl/SMPL_NEUTRAL.pkl", "humaniflow_weights.tar"], "smpl/SMPL_NEUTRAL.pkl"),
            (&["SMPL_MALE.pkl", "SMPL_NEUTRAL.pkl"], "SMPL_NEUTRAL.pkl"),
            // STRAPS.
            (
                &["additional/smpl/SMPL_NEUTRAL.pkl", "additional/neutral_smpl_mean_params_6dpose.npz"],
                "additional/smpl/SMPL_NEUTRAL.pkl",
            ),
            // DaNet.
            (
                &["data/smpl/SMPL_NEUTRAL.pkl", "data/smpl_mean_params.npz", "data/learned_ratio.pkl"],
                "data/smpl/SMPL_NEUTRAL.pkl",
            ),
            // 3DNBF.
            (
                &["data/body_models/smpl/SMPL_NEUTRAL.pkl", "data/body_models/smpl_mean_params.npz"],
                "data/body_models/smpl/SMPL_NEUTRAL.pkl",
            ),
            // Pose-NDF: smplx's folders.
            (
                &["smplh/neutral/model.npz", "smplx/SMPLX_NEUTRAL.npz", "smplh/male/model.npz"],
                "smplh/neutral/model.npz",
            ),
            // SMPL's downloads.
            (
                &[
                    "smpl/models/basicmodel_neutral_lbs_10_207_0_v1.1.0.pkl",
                    "smpl/models/basicmodel_f_lbs_10_207_0_v1.1.0.pkl",
                ],
                "smpl/models/basicmodel_neutral_lbs_10_207_0_v1.1.0.pkl",
            ),
            (&["my body.npz"], "my body.npz"),
        ];
        for (files, wanted) in layouts {
            let folder = folder(files);
            assert_eq!(body_in(folder.path(), None).unwrap(), folder.path().join(wanted));
        }
    }

    #[test]
    fn genders_are_chosen_and_missing_ones_are_said() {
        let folder = folder(&[
            "models/basicModel_f_lbs_10_207_0_v1.0.0.pkl",
            "models/basicmodel_m_lbs_10_207_0_v1.0.0.pkl",
            "smplh/female/model.npz",
        ]);
        let of = |gender| body_in(folder.path(), gender);
        let name = |gender| of(gender).unwrap().strip_prefix(folder.path()).unwrap().to_owned();
        assert_eq!(name(None), Path::new("models/basicmodel_m_lbs_10_207_0_v1.0.0.pkl"));
        assert_eq!(name(Some(Gender::Female)), Path::new("models/basicModel_f_lbs_10_207_0_v1.0.0.pkl"));
        let error = of(Some(Gender::Neutral)).unwrap_err().to_string();
        assert!(error.contains("no neutral body") && error.contains("male, female"), "{error}");
        let smplh = folder.path().join("smplh");
        assert_eq!(body_in(&smplh, None).unwrap(), smplh.join("female/model.npz"));
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(body_in(empty.path(), None).unwrap_err().word(), "missing");
        assert!(
            BodyModel::load_from(empty.path(), None).unwrap_err().to_string().contains("SMPL_NEUTRAL.pkl")
        );
    }
}
