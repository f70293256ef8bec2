//! Meshes as binary glTF 2.0. Frame and units are those of the program: y up, metres, right-handed.

use std::path::Path;

use glam::Vec3;
use serde_json::{Value, json};

use super::atomic::write_atomic;
use super::error::FormatError;

const FLOAT: u32 = 5126;
const UNSIGNED_INT: u32 = 5125;
const VERTICES: u32 = 34962;
const INDICES: u32 = 34963;

/// How a mesh is painted where it has no colours of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Paint {
    /// Linear red, green, blue and opacity.
    pub base_color: [f32; 4],
}

/// One mesh, which becomes one node. All meshes of a file share their triangles.
#[derive(Clone, Debug)]
pub struct GlbMesh {
    pub name: String,
    pub positions: Vec<Vec3>,
    /// Unit length, as many as positions.
    pub normals: Vec<Vec3>,
    /// Linear RGB a vertex, multiplied with the paint.
    pub colors: Option<Vec<[f32; 3]>>,
    pub paint: Paint,
}

/// Writes a file whole or not at all.
///
/// # Errors
/// `Shape` where normals or colours are not one a vertex or a triangle names a vertex that is not there,
/// `Value` where a position is not finite, `Io`.
pub fn write_glb(path: &Path, faces: &[[u32; 3]], meshes: &[GlbMesh]) -> Result<(), FormatError> {
    write_atomic(path, &glb_bytes(faces, meshes).map_err(|error| error.at(path))?)
}

/// The bytes of a file.
///
/// # Errors
/// As [`write_glb`], without `Io`.
pub fn glb_bytes(faces: &[[u32; 3]], meshes: &[GlbMesh]) -> Result<Vec<u8>, FormatError> {
    let mut document = Document::default();
    let indices = document.view(
        faces.iter().flatten().flat_map(|index| index.to_le_bytes()),
        faces.len() * 12,
        INDICES,
    );
    document.accessors.push(json!({
        "bufferView": indices, "componentType": UNSIGNED_INT, "count": faces.len() * 3, "type": "SCALAR",
    }));
    let largest = faces.iter().flatten().max();
    for mesh in meshes {
        check(mesh, largest.copied())?;
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
        let offset = self.binary.len();
        self.binary.reserve(length);
        self.binary.extend(bytes);
        self.views.push(json!({"buffer": 0, "byteOffset": offset, "byteLength": length, "target": target}));
        self.views.len() - 1
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
            let colors: Vec<Vec3> = colors.iter().map(|&color| Vec3::from(color)).collect();
            attributes["COLOR_0"] = json!(self.vectors(&colors, false));
        }
        let material = self.material(mesh.paint);
        self.meshes.push(json!({"name": mesh.name, "primitives": [
            {"attributes": attributes, "indices": 0, "material": material, "mode": 4}]}));
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
        let mut text = document.to_string().into_bytes();
        text.resize(text.len().next_multiple_of(4), b' ');
        let mut binary = self.binary;
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn triangle(name: &str) -> GlbMesh {
        GlbMesh {
            name: name.to_owned(),
            positions: vec![Vec3::ZERO, Vec3::X, Vec3::new(0.0, 2.0, -1.0)],
            normals: vec![Vec3::Z; 3],
            colors: (name == "mode").then(|| vec![[1.0, 0.5, 0.0]; 3]),
            paint: Paint { base_color: [1.0, 1.0, 1.0, if name == "mode" { 1.0 } else { 0.1 }] },
        }
    }

    fn word(bytes: &[u8], at: usize) -> usize {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
    }

    #[test]
    fn the_container_and_every_accessor_are_consistent() {
        let bytes = glb_bytes(&[[0, 1, 2]], &[triangle("mode"), triangle("sample_000")]).unwrap();
        assert_eq!((&bytes[..4], word(&bytes, 4), word(&bytes, 8)), (&b"glTF"[..], 2, bytes.len()));
        let text = word(&bytes, 12);
        let document: Value = serde_json::from_slice(&bytes[20..20 + text]).unwrap();
        let binary = &bytes[20 + text + 8..];
        assert_eq!(word(&bytes, 20 + text), binary.len());
        assert_eq!(text % 4 + binary.len() % 4, 0);
        for accessor in document["accessors"].as_array().unwrap() {
            let view = &document["bufferViews"][accessor["bufferView"].as_u64().unwrap() as usize];
            let (offset, length) = (
                view["byteOffset"].as_u64().unwrap() as usize,
                view["byteLength"].as_u64().unwrap() as usize,
            );
            let size = if accessor["type"] == "SCALAR" { 4 } else { 12 };
            assert_eq!(offset % 4, 0);
            assert_eq!(accessor["count"].as_u64().unwrap() as usize * size, length);
            assert!(offset + length <= binary.len());
        }
        let positions = &document["accessors"][1];
        assert_eq!(positions["min"], json!([0.0, 0.0, -1.0]));
        assert_eq!(positions["max"], json!([1.0, 2.0, 0.0]));
        assert_eq!(document["nodes"][1]["name"], "sample_000");
        assert_eq!(document["materials"][1]["alphaMode"], "BLEND");
    }

    #[test]
    fn broken_meshes_are_refused() {
        assert_eq!(glb_bytes(&[[0, 1, 3]], &[triangle("mode")]).unwrap_err().word(), "shape");
        let mut mesh = triangle("mode");
        mesh.positions[0].x = f32::NAN;
        assert_eq!(glb_bytes(&[[0, 1, 2]], &[mesh]).unwrap_err().word(), "value");
    }
}
