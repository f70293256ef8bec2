//! Meshes as binary glTF 2.0. Frame and units are those of the program: y up, metres, right-handed.

use std::path::Path;

use glam::Vec3;
use serde_json::{Value, json};

use super::atomic::write_atomic;
use super::error::FormatError;

const FLOAT: u32 = 5126;
const UNSIGNED_INT: u32 = 5125;
const UNSIGNED_SHORT: u32 = 5123;
const VERTICES: u32 = 34962;
const INDICES: u32 = 34963;

/// How a mesh is painted where it has no colours of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Paint {
    /// Linear red, green, blue and opacity.
    pub base_color: [f32; 4],
}

/// One mesh, which becomes one node.
#[derive(Clone, Debug)]
pub struct GlbMesh {
    pub name: String,
    /// Which of the file's surfaces it has: meshes of equal triangles share them.
    pub surface: usize,
    pub positions: Vec<Vec3>,
    /// Unit length, as many as positions.
    pub normals: Vec<Vec3>,
    /// Linear RGB a vertex, 0..1, multiplied with the paint.
    pub colors: Option<Vec<[f32; 3]>>,
    pub paint: Paint,
}

/// Writes a file whole or not at all. `surfaces` are lists of triangles, counter-clockwise from outside.
///
/// # Errors
/// `Shape` where normals or colours are not one a vertex, a triangle names a vertex that is not there or a mesh a
/// surface that is not there, `Value` where a position is not finite, `Io`.
pub fn write_glb(path: &Path, surfaces: &[&[[u32; 3]]], meshes: &[GlbMesh]) -> Result<(), FormatError> {
    write_atomic(path, &glb_bytes(surfaces, meshes).map_err(|error| error.at(path))?)
}

/// The bytes of a file.
///
/// # Errors
/// As [`write_glb`], without `Io`.
pub fn glb_bytes(surfaces: &[&[[u32; 3]]], meshes: &[GlbMesh]) -> Result<Vec<u8>, FormatError> {
    let mut document = Document::default();
    let mut largest = Vec::with_capacity(surfaces.len());
    for faces in surfaces {
        largest.push(faces.iter().flatten().copied().max());
        document.indices(faces);
    }
    for mesh in meshes {
        let largest = largest.get(mesh.surface).ok_or_else(|| {
            let (name, at, count) = (&mesh.name, mesh.surface, surfaces.len());
            FormatError::shape(format!("mesh `{name}` has surface {at} of {count}"))
        })?;
        check(mesh, *largest)?;
        document.mesh(mesh);
    }
    Ok(document.finish())
}

fn check(mesh: &GlbMesh, largest_index: Option<u32>) -> Result<(), FormatError> {
    let count = mesh.positions.len();
    let fits = mesh.normals.len() == count && mesh.colors.as_ref().is_none_or(|colors| colors.len() == count);
    if count == 0 || !fits || largest_index.is_some_and(|index| index as usize >= count) {
        return Err(FormatError::shape(format!(
            "mesh `{}`: {count} positions, {} normals, largest index {largest_index:?}",
            mesh.name,
            mesh.normals.len()
        )));
    }
    if !mesh.positions.iter().all(|position| position.is_finite()) {
        return Err(FormatError::value(format!("mesh `{}` has a position that is not finite", mesh.name)));
    }
    Ok(())
}

#[derive(Default)]
struct Document {
    binary: Vec<u8>,
    views: Vec<Value>,
    accessors: Vec<Value>,
    meshes: Vec<Value>,
    nodes: Vec<Value>,
    materials: Vec<Value>,
    paints: Vec<Paint>,
}

impl Document {
    fn view(&mut self, bytes: impl Iterator<Item = u8>, length: usize, target: u32) -> usize {
        // Every view begins at a multiple of four.
        self.binary.resize(self.binary.len().next_multiple_of(4), 0);
        let offset = self.binary.len();
        self.binary.reserve(length);
        self.binary.extend(bytes);
        self.views.push(json!({"buffer": 0, "byteOffset": offset, "byteLength": length, "target": target}));
        self.views.len() - 1
    }

    /// Two bytes an index where they suffice; the greatest such number means "restart" to some viewers.
    fn indices(&mut self, faces: &[[u32; 3]]) {
        let indices = faces.iter().flatten();
        let short = indices.clone().all(|&index| index < u32::from(u16::MAX));
        let count = faces.len() * 3;
        let (view, kind) = if short {
            let bytes = indices.flat_map(|&index| (index as u16).to_le_bytes());
            (self.view(bytes, count * 2, INDICES), UNSIGNED_SHORT)
        } else {
            (self.view(indices.flat_map(|index| index.to_le_bytes()), count * 4, INDICES), UNSIGNED_INT)
        };
        self.accessors.push(json!({
            "bufferView": view, "componentType": kind, "count": count, "type": "SCALAR",
        }));
    }

    fn colors(&mut self, colors: &[[f32; 3]]) -> usize {
        let channel = |value: f32| (value.clamp(0.0, 1.0) * f32::from(u16::MAX)).round() as u16;
        let bytes = colors.iter().flat_map(|&[r, g, b]| [channel(r), channel(g), channel(b), u16::MAX]);
        let view = self.view(bytes.flat_map(u16::to_le_bytes), colors.len() * 8, VERTICES);
        self.accessors.push(json!({
            "bufferView": view, "componentType": UNSIGNED_SHORT, "normalized": true, "count": colors.len(),
            "type": "VEC4",
        }));
        self.accessors.len() - 1
    }

    fn vectors(&mut self, vectors: &[Vec3], bounds: bool) -> usize {
        let bytes = vectors.iter().flat_map(|v| v.to_array()).flat_map(f32::to_le_bytes);
        let view = self.view(bytes, vectors.len() * 12, VERTICES);
        let mut accessor =
            json!({"bufferView": view, "componentType": FLOAT, "count": vectors.len(), "type": "VEC3"});
        if bounds {
            let (low, high) = vectors
                .iter()
                .fold((Vec3::INFINITY, Vec3::NEG_INFINITY), |(low, high), &v| (low.min(v), high.max(v)));
            accessor["min"] = json!(low.to_array());
            accessor["max"] = json!(high.to_array());
        }
        self.accessors.push(accessor);
        self.accessors.len() - 1
    }

    fn material(&mut self, paint: Paint) -> usize {
        if let Some(at) = self.paints.iter().position(|known| *known == paint) {
            return at;
        }
        let mut material = json!({"pbrMetallicRoughness": {
            "baseColorFactor": paint.base_color, "metallicFactor": 0.0, "roughnessFactor": 0.8}});
        if paint.base_color[3] < 1.0 {
            material["alphaMode"] = json!("BLEND");
        }
        self.materials.push(material);
        self.paints.push(paint);
        self.paints.len() - 1
    }

    fn mesh(&mut self, mesh: &GlbMesh) {
        let position = self.vectors(&mesh.positions, true);
        let normal = self.vectors(&mesh.normals, false);
        let mut attributes = json!({"POSITION": position, "NORMAL": normal});
        if let Some(colors) = &mesh.colors {
            attributes["COLOR_0"] = json!(self.colors(colors));
        }
        let material = self.material(mesh.paint);
        self.meshes.push(json!({"name": mesh.name, "primitives": [
            {"attributes": attributes, "indices": mesh.surface, "material": material, "mode": 4}]}));
        self.nodes.push(json!({"name": mesh.name, "mesh": self.meshes.len() - 1}));
    }

    fn finish(self) -> Vec<u8> {
        let document = json!({
            "asset": {"version": "2.0", "generator": concat!("humanifold ", env!("CARGO_PKG_VERSION"))},
            "scene": 0,
            "scenes": [{"nodes": (0..self.nodes.len()).collect::<Vec<_>>()}],
            "nodes": self.nodes,
            "meshes": self.meshes,
            "materials": self.materials,
            "accessors": self.accessors,
            "bufferViews": self.views,
            "buffers": [{"byteLength": self.binary.len()}],
        });
        container(&document, self.binary)
    }
}

/// The two chunks of a GLB file.
pub(super) fn container(document: &Value, mut binary: Vec<u8>) -> Vec<u8> {
    let mut text = document.to_string().into_bytes();
    text.resize(text.len().next_multiple_of(4), b' ');
    binary.resize(binary.len().next_multiple_of(4), 0);
    let total = 12 + 8 + text.len() + 8 + binary.len();
    let mut out = Vec::with_capacity(total);
    out.extend_from_slice(b"glTF");
    for word in [2, total as u32, text.len() as u32] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.extend_from_slice(b"JSON");
    out.extend_from_slice(&text);
    out.extend_from_slice(&(binary.len() as u32).to_le_bytes());
    out.extend_from_slice(b"BIN\0");
    out.extend_from_slice(&binary);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn triangle(name: &str) -> GlbMesh {
        GlbMesh {
            name: name.to_owned(),
            surface: 0,
            positions: vec![Vec3::ZERO, Vec3::X, Vec3::new(0.0, 2.0, -1.0)],
            normals: vec![Vec3::Z; 3],
            colors: (name == "mode").then(|| vec![[1.0, 0.5, 0.0]; 3]),
            paint: Paint { base_color: [1.0, 1.0, 1.0, if name == "mode" { 1.0 } else { 0.1 }] },
        }
    }

    fn word(bytes: &[u8], at: usize) -> usize {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
    }

    /// JSON and binary part, the container's own numbers checked.
    fn parts(bytes: &[u8]) -> (Value, &[u8]) {
        assert_eq!((&bytes[..4], word(bytes, 4), word(bytes, 8)), (&b"glTF"[..], 2, bytes.len()));
        let text = word(bytes, 12);
        let binary = &bytes[20 + text + 8..];
        assert_eq!(word(bytes, 20 + text), binary.len());
        assert_eq!(text % 4 + binary.len() % 4, 0);
        (serde_json::from_slice(&bytes[20..20 + text]).unwrap(), binary)
    }

    #[test]
    fn the_container_and_every_accessor_are_consistent() {
        let far: Vec<[u32; 3]> = vec![[0, 1, 70_000]];
        let mut large = triangle("sample_001");
        large.surface = 1;
        large.positions.resize(70_001, Vec3::ONE);
        large.normals.resize(70_001, Vec3::X);
        let meshes = [triangle("mode"), triangle("sample_000"), large];
        let bytes = glb_bytes(&[&[[0, 1, 2]], &far], &meshes).unwrap();
        let (document, binary) = parts(&bytes);
        let number = |value: &Value| value.as_u64().unwrap() as usize;
        let mut end = 0;
        for accessor in document["accessors"].as_array().unwrap() {
            let view = &document["bufferViews"][number(&accessor["bufferView"])];
            let (offset, length) = (number(&view["byteOffset"]), number(&view["byteLength"]));
            let parts = match accessor["type"].as_str().unwrap() {
                "SCALAR" => 1,
                "VEC3" => 3,
                _ => 4,
            };
            let size = if accessor["componentType"] == UNSIGNED_SHORT { 2 } else { 4 };
            assert_eq!(offset % 4, 0);
            assert_eq!(number(&accessor["count"]) * parts * size, length);
            assert!(offset >= end && offset + length <= binary.len());
            end = offset + length;
        }
        let of = |mesh: usize| &document["meshes"][mesh]["primitives"][0];
        let accessor =
            |mesh: usize, name: &str| &document["accessors"][number(&of(mesh)["attributes"][name])];
        assert_eq!(accessor(0, "POSITION")["min"], json!([0.0, 0.0, -1.0]));
        assert_eq!(accessor(0, "POSITION")["max"], json!([1.0, 2.0, 0.0]));
        assert_eq!(accessor(0, "COLOR_0")["normalized"], true);
        assert!(of(1)["attributes"]["COLOR_0"].is_null());
        assert_eq!((&of(1)["indices"], &of(2)["indices"]), (&json!(0), &json!(1)));
        assert_eq!(document["accessors"][0]["componentType"], UNSIGNED_SHORT);
        assert_eq!(document["accessors"][1]["componentType"], UNSIGNED_INT);
        assert_eq!(document["nodes"][1]["name"], "sample_000");
        assert_eq!(document["materials"][1]["alphaMode"], "BLEND");
    }

    #[test]
    fn broken_meshes_are_refused() {
        assert_eq!(glb_bytes(&[&[[0, 1, 3]]], &[triangle("mode")]).unwrap_err().word(), "shape");
        assert_eq!(glb_bytes(&[], &[triangle("mode")]).unwrap_err().word(), "shape");
        let mut mesh = triangle("mode");
        mesh.positions[0].x = f32::NAN;
        assert_eq!(glb_bytes(&[&[[0, 1, 2]]], &[mesh]).unwrap_err().word(), "value");
    }
}
