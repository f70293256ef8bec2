//! Smooth vertex normals: the mean of the surrounding faces' normals, weighted by area.

use glam::Vec3;

/// Unit normals of a mesh's vertices; a vertex without a face gets zero.
pub fn vertex_normals(vertices: &[Vec3], faces: &[[u32; 3]]) -> Vec<Vec3> {
    let mut normals = Vec::new();
    vertex_normals_into(vertices, faces, &mut normals);
    normals
}

/// As [`vertex_normals`], into a buffer that is reused. Faces with a vertex out of range are skipped.
pub fn vertex_normals_into(vertices: &[Vec3], faces: &[[u32; 3]], normals: &mut Vec<Vec3>) {
    normals.clear();
    normals.resize(vertices.len(), Vec3::ZERO);
    for face in faces {
        let [a, b, c] = face.map(|v| v as usize);
        let (Some(&pa), Some(&pb), Some(&pc)) = (vertices.get(a), vertices.get(b), vertices.get(c)) else {
            continue;
        };
        let normal = (pb - pa).cross(pc - pa);
        normals[a] += normal;
        normals[b] += normal;
        normals[c] += normal;
    }
    for normal in normals {
        *normal = normal.normalize_or_zero();
    }
}
