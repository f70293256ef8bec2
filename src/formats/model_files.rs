//! Where weights and body files are looked for.

use std::path::{Path, PathBuf};
use std::sync::RwLock;

use super::FormatError;

static CHOSEN: RwLock<Option<PathBuf>> = RwLock::new(None);

/// Makes [`find`] look into this folder first (`--models DIR`).
pub fn set_models_dir(folder: PathBuf) {
    *CHOSEN.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(folder);
}

/// Where a repository of another system keeps its models: HuManiFlow, STRAPS, DaNet, 3DNBF.
const OF_REPOSITORIES: [&str; 4] = ["model_files", "additional", "data", "data/body_models"];

/// Folders that may hold model files, first choice first: `--models DIR`, `$HUMANIFOLD_MODELS` (both as they are and
/// as the repository of a published system), `./model_files`, `model_files` beside the program or above it, the one of
/// the source tree.
pub fn folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    let chosen = CHOSEN.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
    let named = std::env::var_os("HUMANIFOLD_MODELS").filter(|name| !name.is_empty()).map(PathBuf::from);
    folders.extend(chosen.into_iter().chain(named).flat_map(with_repository));
    folders.push(PathBuf::from("model_files"));
    if let Ok(program) = std::env::current_exe() {
        folders.extend(program.ancestors().skip(1).map(|folder| folder.join("model_files")));
    }
    folders.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("model_files"));
    folders
}

/// A folder as it is and, where it is a repository, its own folders of models.
fn with_repository(folder: PathBuf) -> Vec<PathBuf> {
    let below = OF_REPOSITORIES.map(|name| folder.join(name));
    std::iter::once(folder).chain(below.into_iter().filter(|folder| folder.is_dir())).collect()
}

/// The file of that name below one of [`folders`], for example `body/mannequin.npz`.
///
/// # Errors
/// `Missing`, with what can be done.
pub fn find(relative: &str) -> Result<PathBuf, FormatError> {
    folders().into_iter().map(|folder| folder.join(relative)).find(|path| path.is_file()).ok_or_else(|| {
        FormatError::missing(format!(
            "the model file `{relative}` is in none of the places that are searched: \
             name its folder with --models DIR or in HUMANIFOLD_MODELS"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_of_others_are_looked_into() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["model_files", "additional/smpl", "data/body_models/smpl", "src"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let own = root.path().to_owned();
        let found = with_repository(own.clone());
        assert_eq!(found[0], own);
        let below: Vec<_> = found[1..].iter().map(|folder| folder.strip_prefix(&own).unwrap()).collect();
        assert_eq!(below, ["model_files", "additional", "data", "data/body_models"].map(Path::new));
    }

    #[test]
    fn shipped_files_are_found_and_others_are_named() {
        assert!(find("body/mannequin.npz").is_ok());
        let error = find("body/none.npz").unwrap_err();
        assert_eq!(error.word(), "missing");
        assert!(error.to_string().contains("--models"));
    }
}
