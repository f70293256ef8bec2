//! npz archives: zip files of npy members. Members are inflated when they are asked for, so one broken or
//! unneeded member does not matter to those who want another.

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::array::Array;
use super::atomic::write_atomic;
use super::error::{FormatError, Limits, read_bytes};
use super::npy::{describe, npy_bytes, parse_npy};
use super::zip_reader::{self, Entry};

/// Members smaller than this are stored, larger ones deflated.
const STORE_BELOW: usize = 4096;

struct Member {
    name: String,
    entry: Entry,
    array: OnceLock<Result<Array, FormatError>>,
}

/// The arrays of an npz file, in the file's order.
pub struct Npz {
    bytes: Vec<u8>,
    members: Vec<Member>,
    path: PathBuf,
    limits: Limits,
}

impl std::fmt::Debug for Npz {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Npz")
            .field("path", &self.path)
            .field("names", &self.names().collect::<Vec<_>>())
            .finish()
    }
}

impl Npz {
    /// Reads the directory; arrays follow on [`Npz::get`].
    ///
    /// # Errors
    /// `Malformed`, `Unsafe`, `Value` (encrypted, unknown compression), `Missing` (no file), `Io`.
    pub fn read(path: &Path) -> Result<Self, FormatError> {
        Self::from_bytes(read_bytes(path)?, path)
    }

    /// As [`Npz::read`]; `name` is what errors call the file.
    ///
    /// # Errors
    /// As [`Npz::read`].
    pub fn from_bytes(bytes: Vec<u8>, name: impl AsRef<Path>) -> Result<Self, FormatError> {
        Self::with_limits(bytes, name, Limits::default())
    }

    /// As [`Npz::from_bytes`] under other limits.
    ///
    /// # Errors
    /// As [`Npz::read`].
    pub fn with_limits(bytes: Vec<u8>, name: impl AsRef<Path>, limits: Limits) -> Result<Self, FormatError> {
        let path = name.as_ref().to_owned();
        Self::open(bytes, path.clone(), limits).map_err(|error| error.at(&path))
    }

    fn open(bytes: Vec<u8>, path: PathBuf, limits: Limits) -> Result<Self, FormatError> {
        if !bytes.starts_with(b"PK") {
            return Err(FormatError::malformed(format!("not an npz archive ({})", describe(&bytes))));
        }
        let members = zip_reader::entries(&bytes, &limits)?
            .into_iter()
            .filter_map(|entry| {
                let name = entry.name.strip_suffix(".npy")?.to_owned();
                Some(Member { name, entry, array: OnceLock::new() })
            })
            .collect();
        Ok(Self { bytes, members, path, limits })
    }

    /// Names of the arrays, in the file's order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|member| member.name.as_str())
    }

    pub fn contains(&self, name: &str) -> bool {
        self.member(name).is_some()
    }

    /// Where it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// # Errors
    /// `Missing`, with the names that are there; else whatever is wrong with that member.
    pub fn get(&self, name: &str) -> Result<&Array, FormatError> {
        let Some(member) = self.member(name) else {
            let there: Vec<&str> = self.names().take(20).collect();
            return Err(FormatError::missing(format!("no array `{name}` (there are: {})", there.join(", ")))
                .at(&self.path));
        };
        member
            .array
            .get_or_init(|| {
                zip_reader::read(&self.bytes, &member.entry)
                    .and_then(|bytes| parse_npy(&bytes, &self.limits))
                    .map_err(|error| error.within(&format!("array `{name}`")).at(&self.path))
            })
            .as_ref()
            .map_err(Clone::clone)
    }

    /// `None` where the array is absent.
    ///
    /// # Errors
    /// Whatever is wrong with a member that is there.
    pub fn get_optional(&self, name: &str) -> Result<Option<&Array>, FormatError> {
        if self.contains(name) { self.get(name).map(Some) } else { Ok(None) }
    }

    /// The bytes of the npy member behind a name.
    ///
    /// # Errors
    /// As [`Npz::get`].
    pub fn member_bytes(&self, name: &str) -> Result<Vec<u8>, FormatError> {
        let member = self
            .member(name)
            .ok_or_else(|| FormatError::missing(format!("no array `{name}`")).at(&self.path))?;
        zip_reader::read(&self.bytes, &member.entry)
            .map(std::borrow::Cow::into_owned)
            .map_err(|error| error.at(&self.path))
    }

    fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }
}

/// Writes an npz archive whole or not at all: large arrays deflated, small ones stored.
///
/// # Errors
/// `Io`, with the reason of the operating system.
pub fn write_npz(path: &Path, arrays: &[(&str, &Array)]) -> Result<(), FormatError> {
    write_atomic(path, &npz_bytes(arrays).map_err(|error| FormatError::io("pack", error, path))?)
}

/// The bytes of an npz archive.
///
/// # Errors
/// Where a name or size is beyond what zip can hold.
pub fn npz_bytes(arrays: &[(&str, &Array)]) -> std::io::Result<Vec<u8>> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, array) in arrays {
        let bytes = npy_bytes(array);
        let method =
            if bytes.len() < STORE_BELOW { CompressionMethod::Stored } else { CompressionMethod::Deflated };
        let options = SimpleFileOptions::DEFAULT
            .compression_method(method)
            // Level 1: arrays of floats hardly shrink further, and results are written while a person waits.
            .compression_level(if method == CompressionMethod::Deflated { Some(1) } else { None })
            .large_file(bytes.len() as u64 >= u64::from(u32::MAX));
        writer.start_file(format!("{name}.npy"), options)?;
        writer.write_all(&bytes)?;
    }
    Ok(writer.finish()?.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let small = Array::f32(&[2, 2], vec![1.0, 2.0, 3.0, 4.0]);
        let large = Array::i64(&[1000], (0..1000).collect());
        npz_bytes(&[("small", &small), ("sub/large", &large)]).unwrap()
    }

    #[test]
    fn arrays_come_back_by_name() {
        let npz = Npz::from_bytes(sample(), "x.npz").unwrap();
        assert_eq!(npz.names().collect::<Vec<_>>(), ["small", "sub/large"]);
        assert_eq!(npz.get("small").unwrap().to_f32().unwrap(), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(npz.get("sub/large").unwrap().to_i64().unwrap()[999], 999);
        let error = npz.get("other").unwrap_err();
        assert_eq!(error.word(), "missing");
        assert!(error.to_string().ends_with("x.npz"), "{error}");
    }

    #[test]
    fn every_prefix_and_flipped_byte_gives_a_value_or_an_error() {
        let bytes = sample();
        for cut in 0..bytes.len() {
            assert!(Npz::from_bytes(bytes[..cut].to_vec(), "x").is_err(), "prefix of {cut} bytes");
        }
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            if let Ok(npz) = Npz::from_bytes(flipped, "x") {
                for name in npz.names().map(str::to_owned).collect::<Vec<_>>() {
                    let _ = npz.get(&name);
                }
            }
        }
    }

    #[test]
    fn limits_hold_before_inflating() {
        let limits = Limits { max_array_bytes: 1000, ..Limits::default() };
        assert_eq!(Npz::with_limits(sample(), "x", limits).unwrap_err().word(), "unsafe");
    }
}
