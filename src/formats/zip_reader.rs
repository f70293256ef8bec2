//! Zip archives as numpy and torch write them, read strictly: what contradicts itself is refused, nothing is written
//! to disk, names are keys only.
//!
//! end record ──▶ directory ──▶ local headers ──▶ [`Entry`]s (checked) ──▶ [`read`] inflates one at a time

use std::borrow::Cow;
use std::collections::HashSet;
use std::io::Read;

use super::error::{FormatError, Limits};

/// Deflate makes at most so many bytes of one.
const BEST_DEFLATE: u64 = 1032;

/// One member.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub name: String,
    stored: bool,
    crc: u32,
    /// Bytes in the archive.
    compressed: u64,
    /// Bytes when inflated.
    pub size: u64,
    data_at: u64,
}

impl Entry {
    /// Where in the file the bytes of a stored member lie.
    pub fn stored_range(&self) -> Option<std::ops::Range<usize>> {
        let start = usize::try_from(self.data_at).ok()?;
        let end = start.checked_add(usize::try_from(self.size).ok()?)?;
        self.stored.then_some(start..end)
    }
}

fn damaged(what: impl std::fmt::Display) -> FormatError {
    FormatError::malformed(format!("a damaged zip archive ({what})"))
}

/// Little-endian numbers at places of a file.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn part(&self, at: u64, length: u64) -> Result<&'a [u8], FormatError> {
        let cut = || damaged(format!("{length} bytes are promised at {at}, it ends at {}", self.0.len()));
        let end = at.checked_add(length).and_then(|end| usize::try_from(end).ok()).ok_or_else(cut)?;
        self.0.get(usize::try_from(at).map_err(|_| cut())?..end).ok_or_else(cut)
    }

    fn number(&self, at: u64, bytes: u64) -> Result<u64, FormatError> {
        Ok(self.part(at, bytes)?.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }
}

/// Where the directory lies and how many entries it has.
struct End {
    directory_at: u64,
    directory_end: u64,
    count: u64,
}

impl End {
    fn find(bytes: &Bytes) -> Result<Self, FormatError> {
        let length = bytes.0.len() as u64;
        // The record is 22 bytes and a comment of up to 65,535 that reaches exactly to the end; the last such counts.
        let first = length.saturating_sub(22 + 0xffff);
        let at = (first..length.saturating_sub(21))
            .rev()
            .find(|&at| {
                bytes.number(at, 4).is_ok_and(|mark| mark == 0x0605_4b50)
                    && bytes.number(at + 20, 2).is_ok_and(|comment| at + 22 + comment == length)
            })
            .ok_or_else(|| damaged("its end is missing: the file is cut or is no archive"))?;
        let [disk, start_disk, here, mut count] =
            [4, 6, 8, 10].map(|offset| bytes.number(at + offset, 2).unwrap_or(u64::MAX));
        let (mut size, mut directory_at) = (bytes.number(at + 12, 4)?, bytes.number(at + 16, 4)?);
        let mut directory_end = at;
        let locator = at.checked_sub(20);
        let long = locator.filter(|&at| bytes.number(at, 4).is_ok_and(|mark| mark == 0x0706_4b50));
        if let Some(locator) = long {
            let record = bytes.number(locator + 8, 8)?;
            let marked = bytes.number(record, 4)? == 0x0606_4b50;
            let ends = bytes
                .number(record.saturating_add(4), 8)?
                .checked_add(12)
                .and_then(|length| record.checked_add(length));
            if !marked || ends != Some(locator) || bytes.number(locator + 16, 4)? > 1 {
                return Err(damaged("its long end record is not where it should be"));
            }
            if bytes.number(record + 16, 4)? != 0 || bytes.number(record + 20, 4)? != 0 {
                return Err(damaged("it is spread over several disks"));
            }
            let fields = [24, 32, 40, 48].map(|offset| bytes.number(record + offset, 8).unwrap_or(u64::MAX));
            let small = |value: u64, short: u64, full: u64| value == short || short == full;
            if fields[0] != fields[1]
                || !small(fields[1], count, 0xffff)
                || !small(fields[2], size, 0xffff_ffff)
                || !small(fields[3], directory_at, 0xffff_ffff)
            {
                return Err(damaged("its two end records differ"));
            }
            (count, size, directory_at, directory_end) = (fields[1], fields[2], fields[3], record);
        } else if here != count {
            return Err(damaged("it is spread over several disks"));
        }
        if !matches!(disk, 0 | 0xffff) || !matches!(start_disk, 0 | 0xffff) || (long.is_none() && disk != 0) {
            return Err(damaged("it is spread over several disks"));
        }
        if directory_at.checked_add(size) != Some(directory_end) {
            return Err(damaged("its directory is not where its end says"));
        }
        Ok(Self { directory_at, directory_end, count })
    }
}

/// All members, in the order of the directory.
///
/// # Errors
/// `Malformed`, `Value` (encrypted, other compressions), `Unsafe` (names that play tricks, overlaps, limits).
pub(super) fn entries(file: &[u8], limits: &Limits) -> Result<Vec<Entry>, FormatError> {
    let bytes = Bytes(file);
    let end = End::find(&bytes)?;
    if end.count > limits.max_entries {
        return Err(FormatError::unsafe_input(format!(
            "an archive of {} members, {} are read",
            end.count, limits.max_entries
        )));
    }
    let (mut at, mut total) = (end.directory_at, 0u64);
    let mut names = HashSet::new();
    let mut list: Vec<(Entry, u64, u64)> = Vec::new();
    while at < end.directory_end {
        let (entry, local_at, method, next) = directory_entry(&bytes, at)?;
        if next > end.directory_end {
            return Err(damaged("its directory is longer than its end says"));
        }
        at = next;
        check_name(&entry.name)?;
        if !names.insert(entry.name.clone()) {
            return Err(damaged(format!("member `{}` is there twice", entry.name)));
        }
        let possible = if entry.stored {
            entry.size
        } else {
            entry.compressed.saturating_add(1).saturating_mul(BEST_DEFLATE)
        };
        if entry.compressed > file.len() as u64 || entry.size > possible {
            return Err(damaged(format!("member `{}` promises more bytes than it can hold", entry.name)));
        }
        total = total.saturating_add(entry.size);
        if entry.size > limits.max_array_bytes || total > limits.max_total_bytes {
            return Err(FormatError::unsafe_input(format!(
                "member `{}` of {} bytes passes the limit",
                entry.name, entry.size
            )));
        }
        list.push((entry, local_at, method));
        if list.len() as u64 > end.count {
            break;
        }
    }
    if list.len() as u64 != end.count {
        return Err(damaged(format!("{} members are promised, {} are there", end.count, list.len())));
    }
    let mut spans = Vec::new();
    for (entry, local_at, method) in &mut list {
        entry.data_at = local_header(&bytes, entry, *local_at, *method)?;
        let data_end = entry.data_at.checked_add(entry.compressed);
        match data_end.filter(|&data_end| data_end <= end.directory_at) {
            Some(data_end) => spans.push((*local_at, data_end)),
            None => return Err(damaged(format!("member `{}` reaches into the directory", entry.name))),
        }
    }
    spans.sort_unstable();
    if spans.windows(2).any(|pair| pair[0].1 > pair[1].0) {
        return Err(FormatError::unsafe_input("members of an archive that overlap each other"));
    }
    Ok(list.into_iter().map(|(entry, ..)| entry).collect())
}

/// An entry of the directory, with the place of its local header, its method, and where the next entry begins.
fn directory_entry(bytes: &Bytes, at: u64) -> Result<(Entry, u64, u64, u64), FormatError> {
    if bytes.number(at, 4)? != 0x0201_4b50 {
        return Err(damaged("its directory holds something else"));
    }
    let flags = bytes.number(at + 8, 2)?;
    let method = bytes.number(at + 10, 2)?;
    let crc = bytes.number(at + 16, 4)? as u32;
    let (mut compressed, mut size) = (bytes.number(at + 20, 4)?, bytes.number(at + 24, 4)?);
    let (name_length, extra_length) = (bytes.number(at + 28, 2)?, bytes.number(at + 30, 2)?);
    let comment_length = bytes.number(at + 32, 2)?;
    let disk = bytes.number(at + 34, 2)?;
    let mut local_at = bytes.number(at + 42, 4)?;
    let name = decode_name(bytes.part(at + 46, name_length)?, flags & 0x800 != 0)?;
    let extra_at = at + 46 + name_length;
    let next = extra_at + extra_length + comment_length;
    bytes.part(extra_at, extra_length + comment_length)?;
    // Field 1 holds, in this order, those numbers that do not fit four bytes.
    let mut field = extra_at;
    while field + 4 <= extra_at + extra_length {
        let (id, length) = (bytes.number(field, 2)?, bytes.number(field + 2, 2)?);
        if field + 4 + length > extra_at + extra_length {
            // Some writers pad with zeros that are no field.
            break;
        }
        if id == 1 {
            let mut value_at = field + 4;
            for number in [&mut size, &mut compressed, &mut local_at] {
                if *number == 0xffff_ffff {
                    if value_at + 8 > field + 4 + length {
                        return Err(damaged("a long size is missing"));
                    }
                    *number = bytes.number(value_at, 8)?;
                    value_at += 8;
                }
            }
        }
        field += 4 + length;
    }
    if !matches!(disk, 0 | 0xffff) {
        return Err(damaged("it is spread over several disks"));
    }
    if flags & 1 != 0 {
        return Err(FormatError::value(format!("member `{name}` is encrypted")));
    }
    if !matches!(method, 0 | 8) {
        return Err(FormatError::value(format!(
            "member `{name}` is packed by method {method}; only stored and deflated ones are read"
        )));
    }
    let stored = method == 0;
    if stored && size != compressed {
        return Err(damaged(format!("member `{name}` is stored with two sizes")));
    }
    Ok((Entry { name, stored, crc, compressed, size, data_at: 0 }, local_at, method, next))
}

/// Checks the header before a member's data and gives back where the data begins.
fn local_header(bytes: &Bytes, entry: &Entry, at: u64, method: u64) -> Result<u64, FormatError> {
    let differs = || damaged(format!("member `{}` is another one where its data lies", entry.name));
    if bytes.number(at, 4)? != 0x0403_4b50 {
        return Err(differs());
    }
    let (flags, local_method) = (bytes.number(at + 6, 2)?, bytes.number(at + 8, 2)?);
    let (name_length, extra_length) = (bytes.number(at + 26, 2)?, bytes.number(at + 28, 2)?);
    let name = decode_name(bytes.part(at + 30, name_length)?, flags & 0x800 != 0)?;
    if name != entry.name || local_method != method {
        return Err(differs());
    }
    Ok(at + 30 + name_length + extra_length)
}

/// The bytes of a member, as they lie in the file where they are stored.
///
/// # Errors
/// `Malformed` for data that do not inflate to exactly the promised bytes.
pub(super) fn read<'a>(file: &'a [u8], entry: &Entry) -> Result<Cow<'a, [u8]>, FormatError> {
    let data = Bytes(file).part(entry.data_at, entry.compressed)?;
    let within = |error: FormatError| error.within(&format!("member `{}`", entry.name));
    let out: Cow<[u8]> = if entry.stored {
        data.into()
    } else {
        // Grown with the data, never to the promised size alone: a small file may promise a lot.
        let mut out = Vec::with_capacity(entry.size.min(4 * entry.compressed + 1024) as usize);
        let mut inflater = flate2::bufread::DeflateDecoder::new(data);
        inflater
            .by_ref()
            .take(entry.size + 1)
            .read_to_end(&mut out)
            .map_err(|error| within(damaged(format!("cannot be inflated: {error}"))))?;
        if out.len() as u64 != entry.size {
            return Err(within(damaged(format!("{} bytes are promised, others are there", entry.size))));
        }
        if inflater.total_in() != entry.compressed {
            return Err(within(damaged("bytes are left over")));
        }
        out.into()
    };
    if crc32fast::hash(&out) != entry.crc {
        return Err(within(damaged("its checksum is wrong")));
    }
    Ok(out)
}

/// Names are keys only, but those that play tricks are refused.
fn check_name(name: &str) -> Result<(), FormatError> {
    let drive = name.as_bytes().get(1) == Some(&b':');
    let tricky = name.starts_with('/')
        || name.contains(['\\', '\0'])
        || drive
        || name.split('/').any(|part| part == "..");
    if tricky {
        return Err(FormatError::unsafe_input(format!("a member named {name:?}")));
    }
    Ok(())
}

fn decode_name(name: &[u8], utf8: bool) -> Result<String, FormatError> {
    if utf8 {
        return String::from_utf8(name.to_vec()).map_err(|_| damaged("a name that is not UTF-8"));
    }
    Ok(name
        .iter()
        .map(|&byte| match byte.checked_sub(0x80) {
            None => byte as char,
            Some(at) => CP437.chars().nth(usize::from(at)).unwrap_or('?'),
        })
        .collect())
}

/// The upper half of the letters of old zip programs.
const CP437: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";
