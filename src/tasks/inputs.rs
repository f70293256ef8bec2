//! Which photos are meant, and what their results are called.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::formats::picture::pictures_in;

/// A photo to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Photo {
    pub path: PathBuf,
    /// Name of its results' folder: the file's name without its ending, made unique within the run.
    pub name: String,
}

/// Files as they are, folders as the pictures directly in them, sorted; and what is neither, with the reason.
pub fn collect(paths: &[PathBuf]) -> (Vec<Photo>, Vec<(PathBuf, String)>) {
    let (mut files, mut problems) = (Vec::new(), Vec::new());
    for path in paths {
        if path.is_dir() {
            match pictures_in(path) {
                Ok(pictures) if pictures.is_empty() => {
                    problems.push((path.clone(), format!("no pictures in the folder: {}", path.display())));
                }
                Ok(pictures) => files.extend(pictures),
                Err(error) => {
                    problems
                        .push((path.clone(), format!("cannot read the folder: {error}: {}", path.display())));
                }
            }
        } else {
            // A file that is not there is told by reading it.
            files.push(path.clone());
        }
    }
    let mut taken = BTreeSet::new();
    let photos = files
        .into_iter()
        .map(|path| {
            let stem = safe_name(&path);
            let mut name = stem.clone();
            let mut number = 2;
            while !taken.insert(name.clone()) {
                name = format!("{stem}_{number}");
                number += 1;
            }
            Photo { path, name }
        })
        .collect();
    (photos, problems)
}

fn safe_name(path: &Path) -> String {
    match path.file_stem().map(|stem| stem.to_string_lossy().into_owned()) {
        Some(stem) if !stem.trim_matches('.').is_empty() => stem,
        _ => "photo".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_sorted_and_equal_names_are_told_apart() {
        let root = tempfile::tempdir().unwrap();
        for name in ["b.jpg", "a.PNG", "notes.txt", "a.jpg"] {
            std::fs::write(root.path().join(name), b"x").unwrap();
        }
        let empty = root.path().join("empty");
        std::fs::create_dir(&empty).unwrap();
        let (photos, problems) =
            collect(&[root.path().to_owned(), empty, root.path().join("elsewhere/b.jpeg")]);
        let names: Vec<&str> = photos.iter().map(|photo| photo.name.as_str()).collect();
        assert_eq!(names, ["a", "a_2", "b", "b_2"]);
        assert_eq!(problems.len(), 1);
        assert!(problems[0].1.contains("no pictures"));
    }
}
