//! Files and folders that appear whole or not at all.
//!
//! What is being written has a temporary name and is locked by its writer. A writer that was killed leaves it
//! behind without a lock, so the next one in that folder can tell and clears it away.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::FormatError;

/// Begins the name of what is not complete yet.
const WORK: &str = ".writing-";
/// Begins the name of a folder in which a replaced folder waits for its removal.
const ASIDE: &str = ".replaced-";

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
    let failed = |error| FormatError::io("write", plain(error), path);
    let mut file = new_file(made(parent(path))?).map_err(failed)?;
    file.as_file_mut().write_all(bytes).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    make_readable(file.path()).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// Tries whether [`write_atomic`] could write here, for jobs that take long until they do.
///
/// # Errors
/// As [`write_atomic`].
pub fn check_writable(path: &Path) -> Result<(), FormatError> {
    let failed = |error| FormatError::io("write", plain(error), path);
    match std::fs::metadata(path) {
        Ok(there) if there.is_dir() => Err(failed(io::ErrorKind::IsADirectory.into())),
        Ok(there) if !there.is_file() => Ok(()),
        _ => new_file(made(parent(path))?).map(|_| ()).map_err(failed),
    }
}

/// A folder that is filled under a temporary name and put in place by [`NewFolder::finish`].
/// Dropped before that, it vanishes.
#[derive(Debug)]
pub struct NewFolder {
    work: tempfile::TempDir,
    target: PathBuf,
    _lock: Option<File>,
}

impl NewFolder {
    /// # Errors
    /// `Io` where the folder around the target cannot be made or written.
    pub fn begin(target: &Path) -> Result<Self, FormatError> {
        let folder = made(parent(target))?;
        let (work, lock) = new_folder(folder, WORK)
            .map_err(|error| FormatError::io("write into the folder", plain(error), folder))?;
        Ok(Self { work, target: target.to_owned(), _lock: lock })
    }

    /// Where to write the files.
    pub fn path(&self) -> &Path {
        self.work.path()
    }

    /// The same error with the file's path as it would have been in the end.
    pub fn named(&self, error: FormatError) -> FormatError {
        match error {
            FormatError::Io { action, source, path } => {
                let path = match path.strip_prefix(self.path()) {
                    Ok(inside) => self.target.join(inside),
                    Err(_) => path,
                };
                FormatError::Io { action, source, path }
            }
            other => other,
        }
    }

    /// Puts the folder in place; one of the same name that was there is replaced.
    ///
    /// # Errors
    /// `Io`; the old folder is then back in place.
    pub fn finish(self) -> Result<(), FormatError> {
        let failed = |error| FormatError::io("put the results in place at", error, &self.target);
        make_readable(self.work.path()).map_err(failed)?;
        if let (true, Some(name)) = (self.target.exists(), self.target.file_name()) {
            let (old, _lock) = new_folder(parent(&self.target), ASIDE).map_err(failed)?;
            let aside = old.path().join(name);
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

/// The error without the temporary file's name, which helps nobody.
fn plain(error: io::Error) -> io::Error {
    if error.get_ref().is_some() { error.kind().into() } else { error }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// The folder, made where it is missing and cleared of what killed writers left.
fn made(folder: &Path) -> Result<&Path, FormatError> {
    std::fs::create_dir_all(folder).map_err(|error| FormatError::io("make the folder", error, folder))?;
    // Once a process is enough: what dies later is found by the next one.
    static CLEARED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    if CLEARED.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).insert(folder.to_owned()) {
        clear(folder);
    }
    Ok(folder)
}

/// Removes what nobody writes any more; a replaced folder whose successor never came is put back.
/// What cannot be read, locked or removed is left alone.
fn clear(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        let starts = |with| name.to_str().is_some_and(|name: &str| name.starts_with(with));
        if !starts(WORK) && !starts(ASIDE) {
            continue;
        }
        let Ok(lock) = File::open(&path) else { continue };
        if lock.try_lock().is_err() {
            continue;
        }
        if path.is_dir() {
            for old in std::fs::read_dir(&path).into_iter().flatten().flatten().filter(|_| starts(ASIDE)) {
                let home = folder.join(old.file_name());
                if !home.exists() {
                    let _ = std::fs::rename(old.path(), home);
                }
            }
            let _ = std::fs::remove_dir_all(&path);
        } else {
            let _ = std::fs::remove_file(&path);
        }
    }
}

fn new_file(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    loop {
        let file = tempfile::Builder::new().prefix(WORK).tempfile_in(folder)?;
        // Where locks are not known, nobody can take one and clear the file away either.
        let _ = file.as_file().lock();
        // Another process may have taken it for a leftover before it was locked.
        if file.path().exists() {
            return Ok(file);
        }
    }
}

/// As [`new_file`]; systems on which folders cannot be opened have no lock, and no clearing.
fn new_folder(folder: &Path, prefix: &str) -> io::Result<(tempfile::TempDir, Option<File>)> {
    loop {
        let made = tempfile::Builder::new().prefix(prefix).tempdir_in(folder)?;
        let lock = File::open(made.path()).ok();
        if let Some(lock) = &lock {
            let _ = lock.lock();
        }
        if made.path().exists() {
            return Ok((made, lock));
        }
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
    fn what_killed_writers_left_is_cleared_and_what_is_being_written_is_not() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        std::fs::write(at(".writing-abc"), b"half").unwrap();
        for folder in [".writing-def", ".replaced-ghi/lost", ".replaced-jkl/kept", "kept", ".own"] {
            std::fs::create_dir_all(at(folder)).unwrap();
            std::fs::write(at(folder).join("x"), folder).unwrap();
        }
        let (at_work, _lock) = new_folder(root.path(), WORK).unwrap();
        let file = new_file(root.path()).unwrap();
        clear(root.path());
        assert!(at_work.path().exists() && file.path().exists());
        drop((at_work, file));
        let mut names: Vec<_> =
            std::fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, [".own", "kept", "lost"]);
        assert_eq!(std::fs::read(at("kept/x")).unwrap(), b"kept");
    }

    #[test]
    fn targets_are_tried_without_leaving_a_trace() {
        let root = tempfile::tempdir().unwrap();
        check_writable(&root.path().join("new/file")).unwrap();
        assert_eq!(std::fs::read_dir(root.path().join("new")).unwrap().count(), 0);
        let error = check_writable(root.path()).unwrap_err();
        assert!(error.to_string().contains("directory"), "{error}");
        std::fs::write(root.path().join("file"), b"x").unwrap();
        assert!(check_writable(&root.path().join("file/below")).is_err());
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
