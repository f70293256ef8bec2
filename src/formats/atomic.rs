//! Files and folders that appear whole or not at all.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::FormatError;

/// Writes `bytes` beside the target, forces them to the disk and renames them over it.
/// The folder is made where it is missing.
///
/// # Errors
/// `Io` with the reason (no permission, disk full, …); the target is then as it was.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), FormatError> {
    // Devices and pipes (`/dev/stdout`) are written into, never replaced.
    if std::fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return std::fs::write(path, bytes).map_err(|error| FormatError::io("write", error, path));
    }
    let folder = parent(path);
    std::fs::create_dir_all(folder).map_err(|error| FormatError::io("make the folder", error, folder))?;
    let failed = |error| FormatError::io("write", error, path);
    let mut file = tempfile::Builder::new().prefix(".writing-").tempfile_in(folder).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    make_readable(file.path()).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// A folder that is filled under a temporary name and put in place by [`NewFolder::finish`].
/// Dropped before that, it vanishes.
#[derive(Debug)]
pub struct NewFolder {
    work: tempfile::TempDir,
    target: PathBuf,
}

impl NewFolder {
    /// # Errors
    /// `Io` where the folder around the target cannot be made or written.
    pub fn begin(target: &Path) -> Result<Self, FormatError> {
        let folder = parent(target);
        std::fs::create_dir_all(folder).map_err(|error| FormatError::io("make the folder", error, folder))?;
        let work = tempfile::Builder::new()
            .prefix(".writing-")
            .tempdir_in(folder)
            .map_err(|error| FormatError::io("write into the folder", error, folder))?;
        Ok(Self { work, target: target.to_owned() })
    }

    /// Where to write the files.
    pub fn path(&self) -> &Path {
        self.work.path()
    }

    /// Puts the folder in place; one of the same name that was there is replaced.
    ///
    /// # Errors
    /// `Io`; the old folder is then back in place.
    pub fn finish(self) -> Result<(), FormatError> {
        let failed = |error| FormatError::io("put the results in place at", error, &self.target);
        make_readable(self.work.path()).map_err(failed)?;
        if self.target.exists() {
            let old =
                tempfile::Builder::new().prefix(".old-").tempdir_in(parent(&self.target)).map_err(failed)?;
            let aside = old.path().join("old");
            std::fs::rename(&self.target, &aside).map_err(failed)?;
            if let Err(error) = std::fs::rename(self.work.path(), &self.target) {
                let _ = std::fs::rename(&aside, &self.target);
                return Err(failed(error));
            }
        } else {
            std::fs::rename(self.work.path(), &self.target).map_err(failed)?;
        }
        // The folder is no longer where the guard would look for it.
        let _ = self.work.keep();
        Ok(())
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Temporary files are private; results are as readable as any other file the user makes.
#[cfg(unix)]
fn make_readable(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = if path.is_dir() { 0o755 } else { 0o644 };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn make_readable(_: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_folders_replace_old_ones_and_leave_nothing_behind() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("deep/er/x.txt");
        write_atomic(&file, b"one").unwrap();
        write_atomic(&file, b"two").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"two");
        let target = root.path().join("result");
        for text in ["a", "b"] {
            let folder = NewFolder::begin(&target).unwrap();
            write_atomic(&folder.path().join(text), text.as_bytes()).unwrap();
            folder.finish().unwrap();
        }
        assert!(target.join("b").exists() && !target.join("a").exists());
        drop(NewFolder::begin(&root.path().join("never")).unwrap());
        let mut names: Vec<_> =
            std::fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["deep", "result"]);
    }

    #[test]
    fn a_file_in_the_way_is_an_error_with_its_path() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        std::fs::write(&file, b"x").unwrap();
        let error = write_atomic(&file.join("below/x"), b"y").unwrap_err();
        assert_eq!(error.word(), "io");
        assert!(error.to_string().contains("below"), "{error}");
        assert_eq!(write_atomic(root.path(), b"a folder in the way").unwrap_err().word(), "io");
    }
}
