//! BVH skeletons on SMPL's: this program's own files by their names; the widespread "Daz-friendly" files of CMU's
//! captures with their measured offsets; others by the usual names of their joints, limbs turned into place.

use std::collections::BTreeMap;

use glam::{DMat3, DVec3};

use super::capture::{Capture, between, hand_rest, offsets, placed, rest, swing};
use crate::body::joint_sets::SMPL_NAMES;
use crate::formats::FormatError;
use crate::formats::bvh::{Bvh, Channel};
use crate::formats::motion::Motion;
use crate::geometry::rotations::exp_so3_64;

/// World rotations and places of all joints of a file, a list a joint.
struct World {
    rotations: Vec<Vec<DMat3>>,
    places: Vec<Vec<DVec3>>,
}

/// # Errors
/// `Missing` where the joints of a person are not found by their names.
pub fn motion(bvh: &Bvh) -> Result<Motion, FormatError> {
    if bvh.frames.is_empty() {
        return Err(FormatError::missing("a BVH file without frames"));
    }
    let rate = if bvh.frame_time > 1e-6 { 1.0 / bvh.frame_time } else { 30.0 };
    let names: BTreeMap<String, usize> =
        bvh.joints.iter().enumerate().map(|(at, joint)| (plain(&joint.name), at)).collect();
    let own: Option<Vec<usize>> =
        SMPL_NAMES[..22].iter().map(|name| names.get(&plain(name)).copied()).collect();
    if let Some(own) = own {
        return Ok(own_skeleton(bvh, &own, rate));
    }
    if names.contains_key("rshldr") && names.contains_key("rthigh") {
        return daz(bvh, &names, rate)?.motion();
    }
    usual(bvh, &names, rate)
}

/// Letters and digits in lower case, without the prefix of an exporter.
fn plain(name: &str) -> String {
    let name = name.rsplit(':').next().unwrap_or(name);
    name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
}

fn world(bvh: &Bvh, skip: usize) -> World {
    let frames = &bvh.frames[skip.min(bvh.frames.len().saturating_sub(1))..];
    let mut out = World { rotations: Vec::new(), places: Vec::new() };
    let mut first = 0;
    for joint in &bvh.joints {
        let (mut rotations, mut places) = (Vec::new(), Vec::new());
        for (at, frame) in frames.iter().enumerate() {
            let (mut rotation, mut place) = (DMat3::IDENTITY, DVec3::from(joint.offset));
            for (channel, value) in joint.channels.iter().zip(&frame[first..]) {
                match channel {
                    Channel::Position(axis) => place[*axis] = *value,
                    Channel::Rotation(axis) => {
                        let mut v = DVec3::ZERO;
                        v[*axis] = value.to_radians();
                        rotation *= exp_so3_64(v);
                    }
                }
            }
            if let Some(parent) = joint.parent {
                let turn = out.rotations[parent][at];
                place = out.places[parent][at] + turn * place;
                rotation = turn * rotation;
            }
            rotations.push(rotation);
            places.push(place);
        }
        out.rotations.push(rotations);
        out.places.push(places);
        first += joint.channels.len();
    }
    out
}

/// A file of this program: rotations as they are, centimetres.
fn own_skeleton(bvh: &Bvh, joints: &[usize], rate: f64) -> Motion {
    let world = world(bvh, 0);
    let count = bvh.frames.len();
    let mut frames = vec![[DMat3::IDENTITY; 24]; count];
    for (at, frame) in frames.iter_mut().enumerate() {
        for (joint, &source) in joints.iter().enumerate() {
            frame[joint] = world.rotations[source][at];
        }
        (frame[22], frame[23]) = (frame[20], frame[21]);
    }
    let rest = DVec3::from(bvh.joints[joints[0]].offset);
    let trans = world.places[joints[0]].iter().map(|place| ((*place - rest) / 100.0).to_array()).collect();
    super::from_world(&frames, trans, rate)
}

/// Constant offsets of the Daz conversion's bones, degrees of a rotation vector; right ones are mirrored.
const DAZ: [(&str, &str, [f64; 3]); 6] = [
    ("humerus", "shldr", [0.0, 0.0, 8.5]),
    ("radius", "forearm", [0.0, 0.0, 8.5]),
    ("wrist", "hand", [0.0, 0.0, 8.5]),
    ("femur", "thigh", [-4.0, -1.0, 20.5]),
    ("tibia", "shin", [-4.0, -1.0, 20.5]),
    ("foot", "foot", [0.0, 0.0, 21.0]),
];

fn daz(bvh: &Bvh, names: &BTreeMap<String, usize>, rate: f64) -> Result<Capture, FormatError> {
    // Their first frame is a T-pose, followed by a blend into the motion.
    let posed = bvh.frames[0].iter().skip(3).all(|value| value.abs() < 1e-3);
    let world = world(bvh, if posed && bvh.frames.len() > 5 { 5 } else { 0 });
    let find = |name: &str| {
        let at = names.get(name).copied();
        at.ok_or_else(|| FormatError::missing(format!("the skeleton has no joint `{name}`")))
    };
    let turned = |name: &str, degrees: [f64; 3]| -> Result<Vec<DMat3>, FormatError> {
        let back = exp_so3_64(DVec3::from(degrees.map(f64::to_radians))).transpose();
        Ok(world.rotations[find(name)?].iter().map(|r| *r * back).collect())
    };
    let mut bones: BTreeMap<String, Vec<DMat3>> = BTreeMap::new();
    for (bone, joint, degrees) in [
        ("root", "hip", [0.0; 3]),
        ("lowerback", "abdomen", [0.0; 3]),
        ("thorax", "chest", [0.0; 3]),
        ("lowerneck", "neck", [15.7, 0.0, 0.0]),
        ("head", "head", [-16.4, 0.0, 0.0]),
    ] {
        bones.insert(bone.to_owned(), turned(joint, degrees)?);
    }
    for (side, sign) in [("l", 1.0), ("r", -1.0)] {
        for (bone, joint, [x, y, z]) in DAZ {
            bones
                .insert(format!("{side}{bone}"), turned(&format!("{side}{joint}"), [x, y * sign, z * sign])?);
        }
        let hand = bones[&format!("{side}wrist")].iter().map(|r| *r * hand_rest(sign)).collect();
        bones.insert(format!("{side}hand"), hand);
        let foot = bones[&format!("{side}foot")].clone();
        bones.insert(format!("{side}toes"), foot);
    }
    for (bone, from, to) in [("upperback", "lowerback", "thorax"), ("upperneck", "lowerneck", "head")] {
        let half = bones[from].iter().zip(&bones[to]).map(|(a, b)| between(a, b, 0.5)).collect();
        bones.insert(bone.to_owned(), half);
    }
    let length = |name: &str| find(name).map(|at| DVec3::from(bvh.joints[at].offset).length());
    Ok(Capture {
        bones,
        pelvis: world.places[find("hip")?].iter().map(|place| *place / 100.0).collect(),
        leg: (length("lshin")? + length("lfoot")?) / 100.0,
        frame_rate: rate,
    })
}

/// Usual names of limbs, `*` for the side: SMPL's left joint, then names that are tried in turn.
const USUAL: [(usize, &[&str]); 8] = [
    (1, &["*upleg", "*thigh", "*upperleg", "*hip", "thigh*", "upleg*"]),
    (4, &["*leg", "*shin", "*lowerleg", "*knee", "*calf", "calf*", "shin*"]),
    (7, &["*foot", "*ankle", "foot*"]),
    (10, &["*toebase", "*toe", "toe*", "ball*"]),
    (13, &["*shoulder", "*collar", "*clavicle", "clavicle*"]),
    (16, &["*arm", "*upperarm", "*uparm", "upperarm*", "*shldr"]),
    (18, &["*forearm", "*lowerarm", "*lowarm", "*elbow", "lowerarm*", "forearm*"]),
    (20, &["*hand", "*wrist", "hand*"]),
];

fn usual(bvh: &Bvh, names: &BTreeMap<String, usize>, rate: f64) -> Result<Motion, FormatError> {
    let mut found: [Option<usize>; 24] = [None; 24];
    for (joint, patterns) in USUAL {
        for (right, sides) in [(0, ["left", "l"]), (1, ["right", "r"])] {
            found[joint + right] = patterns
                .iter()
                .flat_map(|pattern| sides.map(|side| pattern.replace('*', side)))
                .find_map(|name| names.get(&name).copied());
        }
    }
    // Where there is no collar, "shoulder" means the upper arm.
    for right in [0, 1] {
        if found[16 + right].is_none() {
            found[16 + right] = found[13 + right].take();
        }
    }
    found[0] = ["hips", "hip", "pelvis", "root"].iter().find_map(|name| names.get(*name).copied());
    found[12] = ["neck", "neck1", "neck01"].iter().find_map(|name| names.get(*name).copied());
    found[15] = names.get("head").copied();
    let needed = [0, 1, 2, 4, 5, 16, 17, 18, 19];
    if let Some(missing) = needed.into_iter().find(|&joint| found[joint].is_none()) {
        let known: Vec<&str> = bvh.joints.iter().take(12).map(|joint| joint.name.as_str()).collect();
        return Err(FormatError::missing(format!(
            "no joint that is the {} by its name (there are: {}, …)",
            SMPL_NAMES[missing].replace('_', " "),
            known.join(", ")
        )));
    }
    let world = world(bvh, 0);
    let root = found[0].unwrap_or(0);
    // The trunk: joints between the root and the neck or the head.
    let mut trunk = Vec::new();
    let mut at = found[12].or(found[15]).or(found[16]).and_then(|at| bvh.joints[at].parent);
    while let Some(joint) = at.filter(|&joint| joint != root) {
        trunk.insert(0, joint);
        at = bvh.joints[joint].parent;
    }
    let last = trunk.len().saturating_sub(1);
    for (joint, place) in [(3, 0), (6, last / 2), (9, last)] {
        found[joint] = trunk.get(place).copied().or(Some(root));
    }

    let rest = rest();
    let own = offsets(&rest);
    // Of each limb: the turn that brings SMPL's resting bone to the file's.
    let mut maps = [DMat3::IDENTITY; 24];
    for (joint, child) in [(1, 4), (2, 5), (4, 7), (5, 8), (16, 18), (17, 19), (18, 20), (19, 21)] {
        let bone = found[child].map(|child| DVec3::from(bvh.joints[child].offset));
        if let Some(bone) = bone.filter(|bone| bone.length() > 1e-9) {
            maps[joint] = exp_so3_64(swing(own[child].normalize(), bone.normalize()));
        }
    }
    let mut frames = vec![[DMat3::IDENTITY; 24]; bvh.frames.len()];
    for (at, frame) in frames.iter_mut().enumerate() {
        for joint in 0..24 {
            frame[joint] = match found[joint] {
                Some(source) => world.rotations[source][at] * maps[joint],
                // Joints that the file has not turn with their parent.
                None => match usize::try_from(crate::body::joint_sets::SMPL_PARENTS[joint]) {
                    Ok(parent) => frame[parent] * maps[parent].transpose() * maps[joint],
                    Err(_) => DMat3::IDENTITY,
                },
            };
        }
    }
    let bone = |joint: usize| found[joint].map_or(0.0, |at| DVec3::from(bvh.joints[at].offset).length());
    let pelvis: Vec<DVec3> = world.places[root].clone();
    Ok(placed(&frames, &pelvis, bone(4) + bone(7), rate))
}
