//! Acclaim's skeletons (ASF) and motions (AMC), the form in which CMU publishes its captures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::bvh::{short, three};
use super::error::{FormatError, read_bytes};

/// Bones of a skeleton that are read.
const MOST_BONES: usize = 1000;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct AsfBone {
    /// Of the bone at rest, of length one.
    pub direction: [f64; 3],
    pub length: f64,
    /// Euler angles (x, y, z, x applied first) of the bone's own frame, degrees.
    pub axis: [f64; 3],
    /// Axes (0 to 2) of the numbers of a frame, in the file's order.
    pub freedom: Vec<usize>,
    /// Name of the parent; `root` or another bone.
    pub parent: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Asf {
    /// Metres a unit of length.
    pub metres: f64,
    pub bones: BTreeMap<String, AsfBone>,
    /// Names in an order in which parents come first; the root is left out.
    pub order: Vec<String>,
}

/// Numbers of a motion's frames by the bones' names; the root has six (place, then angles in degrees).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Amc {
    pub frames: Vec<BTreeMap<String, Vec<f64>>>,
}

fn text_of(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

impl Asf {
    /// # Errors
    /// `Missing` (no file), `Malformed` with the line, `Unsafe` (more bones than are read).
    pub fn read(path: &Path) -> Result<Self, FormatError> {
        read_bytes(path).and_then(|bytes| Self::parse(&bytes)).map_err(|error| error.at(path))
    }

    /// # Errors
    /// As [`Asf::read`].
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut asf = Self { metres: 0.0254, ..Self::default() };
        let mut section = "";
        let mut current: Option<(String, AsfBone)> = None;
        let mut parents: Vec<(String, String)> = Vec::new();
        let text = text_of(bytes);
        for (at, line) in text.lines().enumerate() {
            let bad = || {
                FormatError::malformed(format!("line {} of the ASF file: `{}`", at + 1, short(line.trim())))
            };
            let words: Vec<&str> = line.split_whitespace().collect();
            match (section, words.as_slice()) {
                (_, []) => {}
                (_, [word, ..]) if word.starts_with('#') => {}
                (_, [word, ..]) if word.starts_with(':') => section = &line.trim()[1..],
                ("units", ["length", value]) => {
                    let unit: f64 = value.parse().ok().filter(|unit: &f64| *unit > 1e-9).ok_or_else(bad)?;
                    // Lengths are inches divided by that number.
                    asf.metres = 0.0254 / unit;
                }
                ("bonedata", ["begin"]) => current = Some((String::new(), AsfBone::default())),
                ("bonedata", ["end"]) => {
                    let (name, bone) = current.take().ok_or_else(bad)?;
                    if name.is_empty() {
                        return Err(bad());
                    }
                    if asf.bones.len() >= MOST_BONES {
                        return Err(FormatError::unsafe_input(format!("more than {MOST_BONES} bones")));
                    }
                    asf.bones.insert(name, bone);
                }
                ("bonedata", [key, rest @ ..]) => {
                    let Some((name, bone)) = &mut current else { return Err(bad()) };
                    match *key {
                        "name" => *name = rest.first().ok_or_else(bad)?.to_string(),
                        "direction" => bone.direction = three(rest).ok_or_else(bad)?,
                        "length" => {
                            bone.length = rest.first().and_then(|word| word.parse().ok()).ok_or_else(bad)?;
                        }
                        "axis" => bone.axis = rest.get(..3).and_then(three).ok_or_else(bad)?,
                        "dof" => {
                            for word in rest {
                                match *word {
                                    "rx" => bone.freedom.push(0),
                                    "ry" => bone.freedom.push(1),
                                    "rz" => bone.freedom.push(2),
                                    // A bone that grows is no bone of a person.
                                    _ => return Err(bad()),
                                }
                            }
                            if bone.freedom.len() > 3 {
                                return Err(bad());
                            }
                        }
                        _ => {}
                    }
                }
                ("hierarchy", ["begin" | "end"]) => {}
                ("hierarchy", [parent, children @ ..]) => {
                    parents.extend(children.iter().map(|child| (child.to_string(), parent.to_string())));
                }
                _ => {}
            }
        }
        for (child, parent) in parents {
            let known = parent == "root" || asf.order.contains(&parent);
            let twice = asf.order.contains(&child);
            let bone = asf.bones.get_mut(&child).filter(|_| known && !twice).ok_or_else(|| {
                FormatError::malformed(format!(
                    "bone `{child}` below `{parent}` has no data, or no parent yet"
                ))
            })?;
            bone.parent = parent;
            asf.order.push(child);
        }
        if asf.order.is_empty() {
            return Err(FormatError::malformed("not an ASF file: it has no hierarchy of bones"));
        }
        Ok(asf)
    }

    /// The skeleton of a motion: the file named before the underscore (`02.asf` for `02_01.amc`), the one of the same
    /// name, or the only one of the folder.
    ///
    /// # Errors
    /// `Missing`, with the names that were tried.
    pub fn beside(motion: &Path) -> Result<PathBuf, FormatError> {
        let folder = motion.parent().unwrap_or(Path::new("."));
        let stem = motion.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let subject = stem.split('_').next().unwrap_or_default().to_owned();
        let tried = [format!("{subject}.asf"), format!("{stem}.asf")];
        if let Some(found) = tried.iter().map(|name| folder.join(name)).find(|path| path.is_file()) {
            return Ok(found);
        }
        let mut all = std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("asf")));
        match (all.next(), all.next()) {
            (Some(only), None) => Ok(only),
            _ => Err(FormatError::missing(format!(
                "the skeleton of this motion is not beside it; put `{}` there",
                tried[0]
            ))
            .at(motion)),
        }
    }
}

impl Amc {
    /// # Errors
    /// `Missing` (no file), `Malformed` with the line.
    pub fn read(path: &Path) -> Result<Self, FormatError> {
        read_bytes(path).and_then(|bytes| Self::parse(&bytes)).map_err(|error| error.at(path))
    }

    /// # Errors
    /// As [`Amc::read`].
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut amc = Self::default();
        for (at, line) in text_of(bytes).lines().enumerate() {
            let bad = || {
                FormatError::malformed(format!("line {} of the AMC file: `{}`", at + 1, short(line.trim())))
            };
            let mut words = line.split_whitespace();
            let Some(name) = words.next().filter(|word| !word.starts_with(['#', ':'])) else { continue };
            let numbers: Vec<f64> = words
                .map(|word| word.parse().ok().filter(|value: &f64| value.is_finite()).ok_or_else(bad))
                .collect::<Result<_, _>>()?;
            if numbers.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) {
                amc.frames.push(BTreeMap::new());
                continue;
            }
            let known = matches!((name, numbers.len()), ("root", 6) | (_, 1..=3));
            let frame = amc.frames.last_mut().filter(|_| known).ok_or_else(bad)?;
            frame.insert(name.to_owned(), numbers);
        }
        if amc.frames.is_empty() {
            return Err(FormatError::malformed("not an AMC file: it has no frames"));
        }
        if let Some(at) =
            amc.frames.iter().position(|frame| frame.get("root").is_none_or(|root| root.len() != 6))
        {
            return Err(FormatError::missing(format!("frame {} of the AMC file has no root", at + 1)));
        }
        Ok(amc)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SKELETON: &str = ":version 1.10\n:units\n mass 1.0\n length 0.45\n angle deg\n:root\n order TX TY TZ RX RY RZ\n\
        :bonedata\n begin\n id 1\n name lfemur\n direction 0.34 -0.93 0\n length 7.1\n axis 0 0 20 XYZ\n dof rx ry rz\n \
        limits (-160 20)\n (-70 70)\n (-60 70)\n end\n:hierarchy\n begin\n root lfemur\n end\n";

    #[test]
    fn skeletons_and_motions_are_read() {
        let asf = Asf::parse(SKELETON.as_bytes()).unwrap();
        assert!((asf.metres - 0.0564444).abs() < 1e-6);
        assert_eq!(asf.bones["lfemur"].freedom, [0, 1, 2]);
        assert_eq!((asf.order[0].as_str(), asf.bones["lfemur"].parent.as_str()), ("lfemur", "root"));
        let amc =
            Amc::parse(b"#!x\n:FULLY-SPECIFIED\n1\nroot 1 2 3 4 5 6\nlfemur 10 0 -3\n2\nroot 0 0 0 0 0 0\n")
                .unwrap();
        assert_eq!(amc.frames[0]["lfemur"], [10.0, 0.0, -3.0]);
        assert_eq!(amc.frames.len(), 2);
        assert_eq!(Amc::parse(b"1\nlfemur 1\n").unwrap_err().word(), "missing");
        assert!(Amc::parse(b"1\nroot 1 2 x\n").unwrap_err().to_string().contains("line 2"));
        assert_eq!(Asf::parse(b"").unwrap_err().word(), "malformed");
        let error = Asf::parse(SKELETON.replace("root lfemur", "root other").as_bytes()).unwrap_err();
        assert_eq!(error.word(), "malformed");
    }
}
