//! A mesh with a skeleton and its motion as binary glTF 2.0. Frame and units are those of the program: y up, metres.

use std::path::Path;

use glam::{Quat, Vec3};
use serde_json::{Value, json};

use super::atomic::write_atomic;
use super::error::FormatError;
use super::glb::container;

const FLOAT: u32 = 5126;
const BYTE: u32 = 5121;
const SHORT: u32 = 5123;
const INT: u32 = 5125;

/// A mesh in its rest pose and the skeleton that moves it.
#[derive(Clone, Debug)]
pub struct SkinnedMesh<'a> {
    pub name: &'a str,
    pub points: &'a [Vec3],
    /// Unit length, one a point.
    pub normals: &'a [Vec3],
    pub faces: &'a [[u32; 3]],
    /// Up to four joints of each point; unused ones are joint 0 with weight 0.
    pub joints: &'a [[u16; 4]],
    /// They sum to one.
    pub weights: &'a [[f32; 4]],
    pub joint_names: &'a [String],
    /// −1 for the root, which is joint 0; every other parent comes before its children.
    pub parents: &'a [i32],
    /// In the mesh's space.
    pub rest_joints: &'a [Vec3],
    /// Linear RGB of the surface.
    pub color: [f32; 3],
}

/// What the skeleton does: at least one frame.
#[derive(Clone, Debug, Default)]
pub struct SkinMotion {
    /// Seconds between frames; a single frame is a pose.
    pub frame_time: f32,
    /// One a joint and frame, relative to the parent.
    pub rotations: Vec<Vec<Quat>>,
    /// Added to the root's rest place, one a frame.
    pub places: Vec<Vec3>,
}

/// Writes a file whole or not at all.
///
/// # Errors
/// `Shape` where counts do not fit each other, `Value` where a number is not finite, `Io`.
pub fn write_skinned_glb(path: &Path, mesh: &SkinnedMesh, motion: &SkinMotion) -> Result<(), FormatError> {
    write_atomic(path, &skinned_glb_bytes(mesh, motion).map_err(|error| error.at(path))?)
}

/// The bytes of a file.
///
/// # Errors
/// As [`write_skinned_glb`], without `Io`.
pub fn skinned_glb_bytes(mesh: &SkinnedMesh, motion: &SkinMotion) -> Result<Vec<u8>, FormatError> {
    check(mesh, motion)?;
    let joints = mesh.parents.len();
    let mut out = Buffer::default();
    let vectors = |list: &[Vec3]| -> Vec<f32> { list.iter().flat_map(|v| v.to_array()).collect() };
    let bounds = |list: &[Vec3]| {
        let low = list.iter().fold(Vec3::INFINITY, |low, v| low.min(*v));
        let high = list.iter().fold(Vec3::NEG_INFINITY, |high, v| high.max(*v));
        (json!(low.to_array()), json!(high.to_array()))
    };
    let positions = out.floats(&vectors(mesh.points), "VEC3", Some(34962));
    let (low, high) = bounds(mesh.points);
    out.accessors[positions]["min"] = low;
    out.accessors[positions]["max"] = high;
    let normals = out.floats(&vectors(mesh.normals), "VEC3", Some(34962));
    let weights = out.floats(mesh.weights.as_flattened(), "VEC4", Some(34962));
    let slots = mesh.joints.as_flattened();
    let bones = if joints < 256 {
        out.numbers(
            slots.iter().flat_map(|joint| [*joint as u8]),
            mesh.points.len(),
            BYTE,
            "VEC4",
            Some(34962),
        )
    } else {
        out.numbers(slots.iter().flat_map(|j| j.to_le_bytes()), mesh.points.len(), SHORT, "VEC4", Some(34962))
    };
    let corners = mesh.faces.as_flattened();
    let indices =
        out.numbers(corners.iter().flat_map(|i| i.to_le_bytes()), corners.len(), INT, "SCALAR", Some(34963));
    let binds: Vec<f32> = mesh
        .rest_joints
        .iter()
        .flat_map(|joint| glam::Mat4::from_translation(-*joint).to_cols_array())
        .collect();
    let binds = out.floats(&binds, "MAT4", None);

    let mut nodes: Vec<Value> = (0..joints)
        .map(|joint| {
            let children: Vec<usize> =
                (0..joints).filter(|&child| usize::try_from(mesh.parents[child]) == Ok(joint)).collect();
            let rest = match usize::try_from(mesh.parents[joint]) {
                Ok(parent) => mesh.rest_joints[joint] - mesh.rest_joints[parent],
                Err(_) => mesh.rest_joints[joint] + motion.places[0],
            };
            let rotation = motion.rotations[0][joint].normalize();
            let mut node = json!({"name": mesh.joint_names[joint], "translation": rest.to_array(),
                "rotation": rotation.to_array()});
            if !children.is_empty() {
                node["children"] = json!(children);
            }
            node
        })
        .collect();
    nodes.push(json!({"name": mesh.name, "mesh": 0, "skin": 0}));

    let mut document = json!({
        "asset": {"version": "2.0", "generator": concat!("humanifold ", env!("CARGO_PKG_VERSION"))},
        "scene": 0,
        "scenes": [{"nodes": [0, joints]}],
        "nodes": nodes,
        "meshes": [{"name": mesh.name, "primitives": [{"attributes": {"POSITION": positions, "NORMAL": normals,
            "JOINTS_0": bones, "WEIGHTS_0": weights}, "indices": indices, "material": 0, "mode": 4}]}],
        "materials": [{"pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 0.8,
            "baseColorFactor": [mesh.color[0], mesh.color[1], mesh.color[2], 1.0]}}],
        "skins": [{"joints": (0..joints).collect::<Vec<_>>(), "skeleton": 0, "inverseBindMatrices": binds}],
    });
    if motion.rotations.len() > 1 {
        document["animations"] = json!([animation(&mut out, mesh, motion)]);
    }
    document["accessors"] = json!(out.accessors);
    document["bufferViews"] = json!(out.views);
    document["buffers"] = json!([{"byteLength": out.bytes.len()}]);
    Ok(container(&document, out.bytes))
}

/// Channels for the root's place and for every joint that turns at all.
fn animation(out: &mut Buffer, mesh: &SkinnedMesh, motion: &SkinMotion) -> Value {
    let frames = motion.rotations.len();
    let times: Vec<f32> = (0..frames).map(|frame| frame as f32 * motion.frame_time).collect();
    let input = out.floats(&times, "SCALAR", None);
    out.accessors[input]["min"] = json!([0.0]);
    out.accessors[input]["max"] = json!([times.last()]);
    let (mut samplers, mut channels) = (Vec::new(), Vec::new());
    let mut add = |node: usize, path: &str, output: usize| {
        samplers.push(json!({"input": input, "output": output, "interpolation": "LINEAR"}));
        channels.push(json!({"sampler": samplers.len() - 1, "target": {"node": node, "path": path}}));
    };
    let places: Vec<f32> =
        motion.places.iter().flat_map(|place| (mesh.rest_joints[0] + *place).to_array()).collect();
    add(0, "translation", out.floats(&places, "VEC3", None));
    for joint in 0..mesh.parents.len() {
        let mut last = motion.rotations[0][joint].normalize();
        let mut moves = false;
        let mut values = Vec::with_capacity(frames * 4);
        for frame in &motion.rotations {
            let mut next = frame[joint].normalize();
            // Viewers interpolate the numbers: the sign that is nearer to the last is the short way.
            if next.dot(last) < 0.0 {
                next = -next;
            }
            moves |= next.dot(last) < 1.0 - 1e-7 || next != last;
            values.extend(next.to_array());
            last = next;
        }
        if moves {
            add(joint, "rotation", out.floats(&values, "VEC4", None));
        }
    }
    json!({"name": "motion", "samplers": samplers, "channels": channels})
}

fn check(mesh: &SkinnedMesh, motion: &SkinMotion) -> Result<(), FormatError> {
    let (points, joints, frames) = (mesh.points.len(), mesh.parents.len(), motion.rotations.len());
    let counts = points > 0
        && joints > 0
        && frames > 0
        && [mesh.normals.len(), mesh.joints.len(), mesh.weights.len()].iter().all(|count| *count == points)
        && mesh.joint_names.len() == joints
        && mesh.rest_joints.len() == joints
        && motion.places.len() == frames
        && motion.rotations.iter().all(|frame| frame.len() == joints);
    let tree = mesh.parents.iter().enumerate().all(|(joint, &parent)| {
        if joint == 0 { parent == -1 } else { parent >= 0 && (parent as usize) < joint }
    });
    let indices = mesh.faces.iter().flatten().all(|&index| (index as usize) < points)
        && mesh.joints.iter().flatten().all(|&joint| usize::from(joint) < joints);
    if !counts || !tree || !indices || (frames > 1 && motion.frame_time <= 0.0) {
        return Err(FormatError::shape(format!(
            "a skin of {points} points, {joints} joints and {frames} frames whose parts do not fit each other"
        )));
    }
    let finite = mesh.points.iter().chain(mesh.rest_joints).chain(&motion.places).all(|v| v.is_finite())
        && motion.rotations.iter().flatten().all(|q| q.is_finite() && q.length_squared() > 1e-12);
    if !finite {
        return Err(FormatError::value("a skin or a motion with a number that is not finite"));
    }
    Ok(())
}

#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    views: Vec<Value>,
    accessors: Vec<Value>,
}

impl Buffer {
    fn floats(&mut self, values: &[f32], shape: &str, target: Option<u32>) -> usize {
        let a_value = match shape {
            "VEC3" => 3,
            "VEC4" => 4,
            "MAT4" => 16,
            _ => 1,
        };
        let count = values.len() / a_value;
        self.numbers(values.iter().flat_map(|value| value.to_le_bytes()), count, FLOAT, shape, target)
    }

    fn numbers(
        &mut self,
        bytes: impl Iterator<Item = u8>,
        count: usize,
        component: u32,
        shape: &str,
        target: Option<u32>,
    ) -> usize {
        let offset = self.bytes.len();
        self.bytes.extend(bytes);
        let mut view = json!({"buffer": 0, "byteOffset": offset, "byteLength": self.bytes.len() - offset});
        if let Some(target) = target {
            view["target"] = json!(target);
        }
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self.views.push(view);
        self.accessors.push(json!({"bufferView": self.views.len() - 1, "componentType": component,
            "count": count, "type": shape}));
        self.accessors.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skin_is_consistent_and_broken_ones_are_refused() {
        let points = [Vec3::ZERO, Vec3::X, Vec3::Y];
        let names = ["pelvis".to_owned(), "spine1".to_owned()];
        let mesh = SkinnedMesh {
            name: "body",
            points: &points,
            normals: &[Vec3::Z; 3],
            faces: &[[0, 1, 2]],
            joints: &[[0, 1, 0, 0]; 3],
            weights: &[[0.5, 0.5, 0.0, 0.0]; 3],
            joint_names: &names,
            parents: &[-1, 0],
            rest_joints: &[Vec3::ZERO, Vec3::Y],
            color: [0.5; 3],
        };
        let turned = Quat::from_rotation_x(1.0);
        let motion = SkinMotion {
            frame_time: 0.1,
            rotations: vec![vec![Quat::IDENTITY, Quat::IDENTITY], vec![Quat::IDENTITY, -turned]],
            places: vec![Vec3::ZERO, Vec3::X],
        };
        let bytes = skinned_glb_bytes(&mesh, &motion).unwrap();
        let length = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
        let document: Value = serde_json::from_slice(&bytes[20..20 + length]).unwrap();
        // The root's place and the one joint that turns.
        assert_eq!(document["animations"][0]["channels"].as_array().unwrap().len(), 2);
        let binary = &bytes[28 + length..];
        for accessor in document["accessors"].as_array().unwrap() {
            let view = &document["bufferViews"][accessor["bufferView"].as_u64().unwrap() as usize];
            let end = view["byteOffset"].as_u64().unwrap() + view["byteLength"].as_u64().unwrap();
            assert!(end as usize <= binary.len());
        }
        let output = &document["animations"][0]["samplers"][1]["output"];
        let view = &document["bufferViews"]
            [document["accessors"][output.as_u64().unwrap() as usize]["bufferView"].as_u64().unwrap()
                as usize];
        let at = view["byteOffset"].as_u64().unwrap() as usize + 16 + 12;
        let w = f32::from_le_bytes(binary[at..at + 4].try_into().unwrap());
        assert!(w > 0.0, "signs are continuous: {w}");
        let mut broken = mesh.clone();
        broken.faces = &[[0, 1, 3]];
        assert_eq!(skinned_glb_bytes(&broken, &motion).unwrap_err().word(), "shape");
    }
}
