//! CMU's skeleton to SMPL's: one constant rotation a joint, chosen so that limbs and hinge axes of both rest poses
//! coincide; collars follow the arms, half of a hand's turn about the forearm goes into the elbow.

use std::collections::BTreeMap;
use std::f64::consts::{PI, TAU};

use glam::{DMat3, DVec3};

use super::from_world;
use crate::body::joint_sets::SMPL_PARENTS;
use crate::formats::FormatError;
use crate::formats::acclaim::{Amc, Asf};
use crate::formats::motion::Motion;
use crate::geometry::rotations::{exp_so3_64, log_so3_64};

/// Rest joints of SMPL's mean body, roughly (metres): pelvis, left hip, spine1, left knee, spine2, left ankle, spine3,
/// left foot, neck, left collar, head, left shoulder, left elbow, left wrist, left hand.
const REST: [(usize, [f64; 3]); 15] = [
    (0, [0.0, -0.2233, 0.0282]),
    (1, [0.0686, -0.3143, 0.0227]),
    (3, [0.0, -0.1144, 0.0015]),
    (4, [0.1050, -0.6932, 0.0160]),
    (6, [0.0, 0.0208, 0.0026]),
    (7, [0.0902, -1.0914, -0.0271]),
    (9, [0.0, 0.0737, 0.0280]),
    (10, [0.1161, -1.1434, 0.0943]),
    (12, [0.0, 0.2876, -0.0148]),
    (13, [0.0803, 0.1940, -0.0083]),
    (15, [0.0, 0.3526, 0.0365]),
    (16, [0.1738, 0.2256, -0.0173]),
    (18, [0.4305, 0.2125, -0.0418]),
    (20, [0.6828, 0.2209, -0.0451]),
    (22, [0.7671, 0.2137, -0.0578]),
];
/// Height of the sole at rest.
const SOLE: f64 = -1.165;
/// Of the arm's swing that the collar takes, and at most.
const COLLAR_SHARE: f64 = 0.30;
const COLLAR_MOST_DEG: f64 = 40.0;
/// Of the hand's turn about the forearm that the elbow takes.
const FOREARM_SHARE: f64 = 0.5;
/// Of an upper arm's turn about itself beyond this, half is left to the elbow, whose own place stays.
const UPPER_ARM_SOFT_DEG: f64 = 50.0;
const TOE_MOST_DEG: f64 = 40.0;
/// CMU publishes at this rate.
const ACCLAIM_RATE: f64 = 120.0;

/// World rotations of CMU's bones relative to its rest pose (arms level, legs 20 degrees out), a list a bone.
pub struct Capture {
    pub bones: BTreeMap<String, Vec<DMat3>>,
    /// Metres, y up.
    pub pelvis: Vec<DVec3>,
    /// Length of thigh and shin together, metres.
    pub leg: f64,
    pub frame_rate: f64,
}

/// SMPL's rest joints, right ones mirrored from the left.
pub fn rest() -> [DVec3; 24] {
    let mut out = [DVec3::ZERO; 24];
    for (joint, place) in REST {
        let place = DVec3::from(place);
        out[joint] = place;
        // A right joint has the number after its left one.
        if place.x != 0.0 {
            out[joint + 1] = place * DVec3::new(-1.0, 1.0, 1.0);
        }
    }
    out
}

/// From each joint's parent to it; the root's own place.
pub fn offsets(rest: &[DVec3; 24]) -> [DVec3; 24] {
    std::array::from_fn(|joint| match usize::try_from(SMPL_PARENTS[joint]) {
        Ok(parent) => rest[joint] - rest[parent],
        Err(_) => rest[joint],
    })
}

/// The rotation a fraction of the way from `a` to `b`.
pub fn between(a: &DMat3, b: &DMat3, fraction: f64) -> DMat3 {
    *a * exp_so3_64(log_so3_64(&(a.transpose() * *b)) * fraction)
}

/// Vector of the smallest rotation that turns one unit vector into another.
pub fn swing(from: DVec3, to: DVec3) -> DVec3 {
    let cross = from.cross(to);
    let sine = cross.length();
    if sine > 1e-9 { cross / sine * sine.atan2(from.dot(to)) } else { DVec3::ZERO }
}

/// Columns: a direction, another made perpendicular to it, and their cross product.
fn frame(direction: DVec3, other: DVec3) -> DMat3 {
    let d = direction.normalize();
    let h = (other - d * other.dot(d)).normalize();
    DMat3::from_cols(d, h, d.cross(h))
}

fn about_x(degrees: f64) -> DMat3 {
    exp_so3_64(DVec3::X * degrees.to_radians())
}

fn about_z(degrees: f64) -> DMat3 {
    exp_so3_64(DVec3::Z * degrees.to_radians())
}

/// Angle of a rotation's turn about a unit axis, −π to π.
fn twist(r: &DMat3, axis: DVec3) -> f64 {
    let [w, x, y, z] = crate::geometry::rotations::matrix_to_quaternion(r);
    let angle = 2.0 * DVec3::new(x, y, z).dot(axis).atan2(w);
    (angle + PI).rem_euclid(TAU) - PI
}

/// Angles over time without jumps, their middle near zero.
fn unwrapped(angles: &mut [f64]) {
    for at in 1..angles.len() {
        let step = angles[at] - angles[at - 1];
        angles[at] -= TAU * (step / TAU).round();
    }
    let mut sorted = angles.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.get(sorted.len() / 2).copied().unwrap_or(0.0);
    let turns = TAU * (middle / TAU).round();
    angles.iter_mut().for_each(|angle| *angle -= turns);
}

/// The mean hand of CMU's skeleton, which is taken as neutral.
pub fn hand_rest(sign: f64) -> DMat3 {
    exp_so3_64(DVec3::new(0.0, 8f64.to_radians(), 20f64.to_radians()) * sign)
}

/// World rotations of an Acclaim motion.
///
/// # Errors
/// `Shape` where a bone's numbers are not those of its skeleton.
pub fn of_acclaim(asf: &Asf, amc: &Amc) -> Result<Capture, FormatError> {
    let euler = |degrees: [f64; 3]| {
        let [x, y, z] = degrees.map(f64::to_radians);
        exp_so3_64(DVec3::Z * z) * exp_so3_64(DVec3::Y * y) * exp_so3_64(DVec3::X * x)
    };
    let mut bones: BTreeMap<String, Vec<DMat3>> = BTreeMap::new();
    let roots: Vec<&Vec<f64>> = amc.frames.iter().filter_map(|frame| frame.get("root")).collect();
    bones.insert("root".to_owned(), roots.iter().map(|root| euler([root[3], root[4], root[5]])).collect());
    for name in &asf.order {
        let Some(bone) = asf.bones.get(name) else { continue };
        let axis = euler(bone.axis);
        let parent = bones.get(&bone.parent).cloned().unwrap_or_default();
        let mut turned = Vec::with_capacity(parent.len());
        for (at, (frame, parent)) in amc.frames.iter().zip(parent).enumerate() {
            let mut angles = [0.0; 3];
            if let Some(numbers) = frame.get(name) {
                if numbers.len() != bone.freedom.len() {
                    return Err(FormatError::shape(format!(
                        "frame {}: bone `{name}` has {} numbers, its skeleton gives it {}",
                        at + 1,
                        numbers.len(),
                        bone.freedom.len()
                    )));
                }
                for (&axis, &value) in bone.freedom.iter().zip(numbers) {
                    angles[axis] = value;
                }
            }
            turned.push(parent * axis * euler(angles) * axis.transpose());
        }
        bones.insert(name.clone(), turned);
    }
    let length = |name: &str| asf.bones.get(name).map_or(0.0, |bone| bone.length);
    let leg = ["lfemur", "ltibia", "rfemur", "rtibia"].iter().map(|name| length(name)).sum::<f64>() / 2.0;
    Ok(Capture {
        bones,
        pelvis: roots.iter().map(|root| DVec3::new(root[0], root[1], root[2]) * asf.metres).collect(),
        leg: leg * asf.metres,
        frame_rate: ACCLAIM_RATE,
    })
}

impl Capture {
    fn bone(&self, name: &str) -> Result<&[DMat3], FormatError> {
        self.bones.get(name).map(Vec::as_slice).ok_or_else(|| {
            FormatError::missing(format!("the skeleton has no bone `{name}`: only CMU's skeletons are read"))
        })
    }

    /// The motion on SMPL's skeleton, feet on y = 0.
    ///
    /// # Errors
    /// `Missing` where CMU's bones are not there.
    pub fn motion(&self) -> Result<Motion, FormatError> {
        let count = self.pelvis.len();
        let rest = rest();
        let offsets = offsets(&rest);
        let mut world = vec![[DMat3::IDENTITY; 24]; count];
        let mut put = |joint: usize, rotations: Vec<DMat3>| {
            world.iter_mut().zip(rotations).for_each(|(frame, rotation)| frame[joint] = rotation);
        };
        let times = |bone: &[DMat3], by: DMat3| bone.iter().map(|r| *r * by).collect::<Vec<_>>();
        let thorax = self.bone("thorax")?;
        for (joint, name) in [(0, "root"), (3, "lowerback"), (6, "upperback"), (9, "thorax")] {
            put(joint, self.bone(name)?.to_vec());
        }
        // CMU's necks rest 11 degrees behind SMPL's, its heads look 8 degrees down.
        let (lower, upper, head) = (self.bone("lowerneck")?, self.bone("upperneck")?, self.bone("head")?);
        let neck = (0..count).map(|at| {
            let half = between(&thorax[at], &head[at], 0.5);
            let source = (lower[at] * about_x(11.0) * DVec3::Y + upper[at] * DVec3::Y).normalize();
            exp_so3_64(swing(half * DVec3::Y, source)) * half
        });
        put(12, neck.collect());
        put(15, times(head, about_x(-8.0)));

        for (side, sign, right) in [("l", 1.0, 0), ("r", -1.0, 1)] {
            let bone = |name: &str| self.bone(&format!("{side}{name}"));
            let leg = offsets[4 + right] + offsets[7 + right];
            let (sine, cosine) = 20f64.to_radians().sin_cos();
            let thigh = frame(DVec3::new(sign * sine, -cosine, 0.0), DVec3::new(cosine, sign * sine, 0.0));
            let map = |child: usize| {
                let mut d = offsets[child + right];
                d.x = leg.x * d.y / leg.y;
                thigh * frame(d, DVec3::X).transpose()
            };
            put(1 + right, times(bone("femur")?, map(4)));
            put(4 + right, times(bone("tibia")?, map(7)));
            let level = about_z(sign * 20.0);
            let ankle = times(bone("foot")?, level);
            let most = TOE_MOST_DEG.to_radians();
            let toes = ankle.iter().zip(bone("toes")?).map(|(ankle, toes)| {
                let turn = log_so3_64(&(ankle.transpose() * *toes * level));
                *ankle * exp_so3_64(DVec3::from(turn.to_array().map(|v| most * (v / most).tanh())))
            });
            put(10 + right, toes.collect());
            put(7 + right, ankle);

            let hinge = |degrees: f64, sines: f64| {
                let (sine, cosine) = degrees.to_radians().sin_cos();
                DVec3::new(0.0, -sign * cosine, sines * sine)
            };
            let source = frame(DVec3::X * sign, hinge(30.0, sign));
            let arm_map =
                |child: usize| source * frame(offsets[child + right], hinge(15.0, sign)).transpose();
            let mut shoulder = times(bone("humerus")?, arm_map(18));
            let arm = offsets[18 + right].normalize();
            let collar: Vec<DMat3> = shoulder
                .iter()
                .zip(thorax)
                .map(|(shoulder, thorax)| {
                    let v = swing(arm, thorax.transpose() * (*shoulder * arm)) * COLLAR_SHARE;
                    *thorax * exp_so3_64(v.clamp_length_max(COLLAR_MOST_DEG.to_radians()))
                })
                .collect();
            let mut turns: Vec<f64> =
                collar.iter().zip(&shoulder).map(|(c, s)| twist(&(c.transpose() * *s), arm)).collect();
            unwrapped(&mut turns);
            let soft = UPPER_ARM_SOFT_DEG.to_radians();
            for (shoulder, turn) in shoulder.iter_mut().zip(&turns) {
                *shoulder *= exp_so3_64(arm * (0.5 * (turn.clamp(-soft, soft) - turn)));
            }
            let mut elbow = times(bone("radius")?, arm_map(20));
            let wrist = times(bone("hand")?, hand_rest(sign).transpose());
            let fore = offsets[20 + right].normalize();
            let mut turns: Vec<f64> =
                elbow.iter().zip(&wrist).map(|(e, w)| twist(&(e.transpose() * *w), fore)).collect();
            unwrapped(&mut turns);
            for (elbow, turn) in elbow.iter_mut().zip(&turns) {
                *elbow *= exp_so3_64(fore * (FOREARM_SHARE * turn));
            }
            put(13 + right, collar);
            put(16 + right, shoulder);
            put(18 + right, elbow);
            put(22 + right, wrist.clone());
            put(20 + right, wrist);
        }
        Ok(placed(&world, &self.pelvis, self.leg, self.frame_rate))
    }
}

/// A motion from world rotations, its way scaled by the legs' lengths and its feet put on y = 0.
pub fn placed(world: &[[DMat3; 24]], pelvis: &[DVec3], leg: f64, frame_rate: f64) -> Motion {
    let rest = rest();
    let offsets = offsets(&rest);
    let own_leg = offsets[4].length() + offsets[7].length();
    let scale = if leg > 1e-6 { own_leg / leg } else { 1.0 };
    let mut trans: Vec<DVec3> = pelvis.iter().map(|place| *place * scale - rest[0]).collect();
    let mut lowest: Vec<f64> = world
        .iter()
        .zip(&trans)
        .map(|(frame, trans)| {
            let mut places = [DVec3::ZERO; 24];
            for joint in 0..24 {
                places[joint] = match usize::try_from(SMPL_PARENTS[joint]) {
                    Ok(parent) => places[parent] + frame[parent] * offsets[joint],
                    Err(_) => rest[0] + *trans,
                };
            }
            [7, 8, 10, 11]
                .map(|foot| places[foot].y - (rest[foot].y - SOLE))
                .into_iter()
                .fold(f64::MAX, f64::min)
        })
        .collect();
    lowest.sort_by(f64::total_cmp);
    // Not the lowest of all: a few frames may be wrong.
    let place = 0.05 * lowest.len().saturating_sub(1) as f64;
    let at = |index: usize| lowest.get(index).or(lowest.last()).copied().unwrap_or(0.0);
    let floor = at(place as usize) + (at(place as usize + 1) - at(place as usize)) * place.fract();
    trans.iter_mut().for_each(|place| place.y -= floor);
    from_world(world, trans.into_iter().map(|place| place.to_array()).collect(), frame_rate)
}
