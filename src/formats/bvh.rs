//! BVH files: a skeleton and its motion as text. Angles in degrees, any unit of length, y up by custom.

use std::fmt::Write;
use std::path::Path;

use super::atomic::write_atomic;
use super::error::{FormatError, read_bytes};
use super::npy::describe;

/// Joints of a skeleton that are read; hands with all fingers have some 80.
const MOST_JOINTS: usize = 1000;

/// One number of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Axis 0 to 2.
    Position(usize),
    /// Axis 0 to 2; rotations are applied in the order of the channels, the first outermost.
    Rotation(usize),
}

#[derive(Clone, Debug, PartialEq)]
pub struct BvhJoint {
    pub name: String,
    /// An earlier joint; `None` for a root.
    pub parent: Option<usize>,
    pub offset: [f64; 3],
    pub channels: Vec<Channel>,
    /// Where its bone ends, for a joint without children.
    pub end: Option<[f64; 3]>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Bvh {
    pub joints: Vec<BvhJoint>,
    /// Seconds.
    pub frame_time: f64,
    /// All channels in the order of the joints, a row a frame.
    pub frames: Vec<Vec<f64>>,
}

impl Bvh {
    /// # Errors
    /// `Missing` (no file), `Malformed` with the line, `Unsafe` (more joints than are read).
    pub fn read(path: &Path) -> Result<Self, FormatError> {
        read_bytes(path).and_then(|bytes| Self::parse(&bytes)).map_err(|error| error.at(path))
    }

    /// # Errors
    /// As [`Bvh::read`].
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
        if lines.by_ref().find(|(_, line)| !line.is_empty()).is_none_or(|(_, line)| line != "HIERARCHY") {
            return Err(FormatError::malformed(format!("not a BVH file ({})", describe(bytes))));
        }
        let mut joints: Vec<BvhJoint> = Vec::new();
        // Open brackets: a joint, or `None` for the end of a bone.
        let mut open: Vec<Option<usize>> = Vec::new();
        let mut announced = None;
        for (at, line) in lines.by_ref() {
            let bad = |what: &str| FormatError::malformed(format!("line {at} of the BVH file: {what}"));
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                [] => {}
                ["ROOT" | "JOINT", name @ ..] => {
                    if joints.len() >= MOST_JOINTS {
                        return Err(FormatError::unsafe_input(format!("more than {MOST_JOINTS} joints")));
                    }
                    let parent = open.iter().rev().find_map(|joint| *joint);
                    if (words[0] == "JOINT") != parent.is_some() {
                        return Err(bad("a joint outside a root, or a root within one"));
                    }
                    joints.push(BvhJoint {
                        name: name.join(" "),
                        parent,
                        offset: [0.0; 3],
                        channels: Vec::new(),
                        end: None,
                    });
                    announced = Some(Some(joints.len() - 1));
                }
                ["End", ..] => announced = Some(None),
                ["{"] => open.push(announced.take().ok_or_else(|| bad("a bracket without a joint"))?),
                ["}"] => drop(open.pop().ok_or_else(|| bad("a bracket too much"))?),
                ["OFFSET", numbers @ ..] => {
                    let offset = three(numbers).ok_or_else(|| bad("an offset is not three numbers"))?;
                    let own = open.iter().rev().find_map(|joint| *joint).and_then(|at| joints.get_mut(at));
                    match (open.last(), own) {
                        (Some(Some(_)), Some(joint)) => joint.offset = offset,
                        (Some(None), Some(joint)) => joint.end = Some(offset),
                        _ => return Err(bad("an offset outside a joint")),
                    }
                }
                ["CHANNELS", count, names @ ..] => {
                    let channels: Option<Vec<Channel>> = names.iter().map(|name| channel(name)).collect();
                    let channels = channels.filter(|list| count.parse() == Ok(list.len()) && list.len() <= 6);
                    let channels = channels.ok_or_else(|| bad("channels that are not known"))?;
                    match open.last().copied().flatten().and_then(|at| joints.get_mut(at)) {
                        Some(joint) if joint.channels.is_empty() => joint.channels = channels,
                        _ => return Err(bad("channels outside a joint, or twice")),
                    }
                }
                ["MOTION"] => break,
                _ => return Err(bad(&format!("`{}` is not expected here", short(line)))),
            }
        }
        let width: usize = joints.iter().map(|joint| joint.channels.len()).sum();
        if joints.is_empty() || width == 0 || !open.is_empty() {
            return Err(FormatError::malformed("a BVH file without a whole skeleton"));
        }
        let mut header = |name: &str| -> Result<f64, FormatError> {
            let line = lines.by_ref().find(|(_, line)| !line.is_empty());
            line.and_then(|(_, line)| line.strip_prefix(name)?.trim_start_matches(':').trim().parse().ok())
                .filter(|value: &f64| value.is_finite() && *value >= 0.0)
                .ok_or_else(|| FormatError::malformed(format!("a BVH file without its line `{name}`")))
        };
        let count = header("Frames")?;
        let frame_time = header("Frame Time")?;
        let mut frames = Vec::new();
        for (at, line) in lines {
            if line.is_empty() {
                continue;
            }
            let frame: Option<Vec<f64>> = line
                .split_whitespace()
                .map(|word| word.parse().ok().filter(|value: &f64| value.is_finite()))
                .collect();
            match frame {
                Some(frame) if frame.len() == width => frames.push(frame),
                Some(frame) => {
                    return Err(FormatError::shape(format!(
                        "line {at} of the BVH file: {} numbers, the skeleton has {width} channels",
                        frame.len()
                    )));
                }
                None => {
                    return Err(FormatError::malformed(format!("line {at} of the BVH file: no numbers")));
                }
            }
        }
        if frames.len() as f64 != count {
            return Err(FormatError::malformed(format!(
                "{count} frames are promised, {} are there: the file is cut",
                frames.len()
            )));
        }
        Ok(Self { joints, frame_time, frames })
    }

    /// Writes a file whole or not at all.
    ///
    /// # Errors
    /// `Io`.
    pub fn write(&self, path: &Path) -> Result<(), FormatError> {
        write_atomic(path, self.to_text().as_bytes())
    }

    /// The file's text. Joints must stand in depth-first order, as [`Bvh::parse`] gives them.
    pub fn to_text(&self) -> String {
        let mut out = "HIERARCHY\n".to_owned();
        let depth = |mut at: usize| {
            let mut depth = 0;
            while let Some(parent) = self.joints[at].parent {
                depth += 1;
                at = parent;
            }
            depth
        };
        // Writing into a text cannot fail.
        for (at, joint) in self.joints.iter().enumerate() {
            let own = depth(at);
            let tab = "\t".repeat(own);
            let word = if joint.parent.is_some() { "JOINT" } else { "ROOT" };
            let [x, y, z] = joint.offset;
            let _ = write!(out, "{tab}{word} {}\n{tab}{{\n{tab}\tOFFSET {x:.6} {y:.6} {z:.6}\n", joint.name);
            let names: Vec<String> = joint.channels.iter().map(|channel| channel.name()).collect();
            let _ = writeln!(out, "{tab}\tCHANNELS {} {}", names.len(), names.join(" "));
            let next = if at + 1 < self.joints.len() { depth(at + 1) } else { 0 };
            if next <= own {
                let [x, y, z] = joint.end.unwrap_or([0.0; 3]);
                let _ = writeln!(
                    out,
                    "{tab}\tEnd Site\n{tab}\t{{\n{tab}\t\tOFFSET {x:.6} {y:.6} {z:.6}\n{tab}\t}}"
                );
            }
            let closing = if at + 1 < self.joints.len() { next..=own } else { 0..=own };
            if next <= own {
                for level in closing.rev() {
                    let _ = writeln!(out, "{}}}", "\t".repeat(level));
                }
            }
        }
        let _ = write!(out, "MOTION\nFrames: {}\nFrame Time: {:.8}\n", self.frames.len(), self.frame_time);
        for frame in &self.frames {
            let numbers: Vec<String> = frame.iter().map(|value| format!("{value:.6}")).collect();
            out.push_str(&numbers.join(" "));
            out.push('\n');
        }
        out
    }
}

impl Channel {
    fn name(self) -> String {
        let (axis, word) = match self {
            Self::Position(axis) => (axis, "position"),
            Self::Rotation(axis) => (axis, "rotation"),
        };
        format!("{}{word}", ["X", "Y", "Z"].get(axis).unwrap_or(&"Z"))
    }
}

fn channel(name: &str) -> Option<Channel> {
    let axis = match name.as_bytes().first()? {
        b'X' => 0,
        b'Y' => 1,
        b'Z' => 2,
        _ => return None,
    };
    match &name[1..] {
        "position" => Some(Channel::Position(axis)),
        "rotation" => Some(Channel::Rotation(axis)),
        _ => None,
    }
}

/// Three finite numbers.
pub(super) fn three(words: &[&str]) -> Option<[f64; 3]> {
    let numbers: Option<Vec<f64>> = words.iter().map(|word| word.parse().ok()).collect();
    let numbers: [f64; 3] = numbers?.try_into().ok()?;
    numbers.iter().all(|value| value.is_finite()).then_some(numbers)
}

pub(super) fn short(line: &str) -> String {
    line.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Bvh {
        let joint = |name: &str, parent, end| BvhJoint {
            name: name.to_owned(),
            parent,
            offset: [0.0, 1.0, 0.5],
            channels: vec![Channel::Rotation(2), Channel::Rotation(0), Channel::Rotation(1)],
            end,
        };
        let mut root = joint("Hips", None, None);
        root.channels.splice(0..0, [0, 1, 2].map(Channel::Position));
        let tip = Some([0.0, 0.1, 0.0]);
        Bvh {
            joints: vec![
                root,
                joint("Spine", Some(0), None),
                joint("Head", Some(1), tip),
                joint("Leg", Some(0), tip),
            ],
            frame_time: 0.025,
            frames: vec![(0..15).map(f64::from).collect(), vec![-1.5; 15]],
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let text = small().to_text();
        assert_eq!(Bvh::parse(text.as_bytes()).unwrap(), small(), "{text}");
    }

    #[test]
    fn damage_is_named_with_its_line() {
        let text = small().to_text();
        let word = |text: String| Bvh::parse(text.as_bytes()).unwrap_err().word();
        assert_eq!(word(text.replace("Frames: 2", "Frames: 3")), "malformed");
        assert_eq!(word(text.replace("-1.500000 -1.5", "x -1.5")), "malformed");
        assert_eq!(word(text.trim_end().rsplit_once(' ').unwrap().0.to_owned()), "shape");
        assert_eq!(word("<html>".to_owned()), "malformed");
        for cut in 0..text.len() - 200 {
            assert!(Bvh::parse(&text.as_bytes()[..cut]).is_err());
        }
    }
}
