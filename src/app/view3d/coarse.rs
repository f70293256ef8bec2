//! Fewer triangles for bodies that are drawn a hundred times: points of the same bone that lie close together become
//! one of them. Made once a body, for the crowd.

use std::collections::{HashMap, HashSet};

use glam::{IVec3, Vec3};

use crate::body::BodyModel;

/// Triangles over the same points, most of which are no longer used.
///
/// Points share a cell of `cell` metres in the rest pose; of each cell and bone the point nearest to their middle stays.
pub fn coarse_faces(model: &BodyModel, cell: f32) -> Vec<[u32; 3]> {
    let points = &model.v_template;
    let bone = |vertex: usize| {
        let heaviest = model.weights.entries(vertex).max_by(|a, b| a.1.total_cmp(&b.1));
        heaviest.map_or(0, |(joint, _)| joint)
    };
    let keys: Vec<(IVec3, usize)> =
        points.iter().enumerate().map(|(vertex, p)| ((*p / cell).floor().as_ivec3(), bone(vertex))).collect();
    let mut middles: HashMap<(IVec3, usize), (Vec3, f32)> = HashMap::new();
    for (key, point) in keys.iter().zip(points) {
        let (sum, count) = middles.entry(*key).or_default();
        *sum += *point;
        *count += 1.0;
    }
    let mut kept: HashMap<(IVec3, usize), (u32, f32)> = HashMap::new();
    for (vertex, (key, point)) in keys.iter().zip(points).enumerate() {
        let (sum, count) = middles.get(key).copied().unwrap_or((*point, 1.0));
        let distance = point.distance_squared(sum / count);
        let best = kept.entry(*key).or_insert((vertex as u32, distance));
        if distance < best.1 {
            *best = (vertex as u32, distance);
        }
    }
    let stays = |vertex: u32| keys.get(vertex as usize).and_then(|key| kept.get(key)).map_or(vertex, |k| k.0);
    let mut seen = HashSet::new();
    model
        .faces
        .iter()
        .map(|face| face.map(stays))
        .filter(|[a, b, c]| a != b && b != c && a != c)
        // The same triangle begun at its least corner.
        .filter(|face| {
            let first = (0..3).min_by_key(|i| face[*i]).unwrap_or(0);
            seen.insert([face[first], face[(first + 1) % 3], face[(first + 2) % 3]])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_triangles_keep_the_bodys_surface() {
        let model = BodyModel::default_body().expect("the built-in body");
        let coarse = coarse_faces(&model, 0.03);
        assert!(coarse.len() * 5 < model.faces.len(), "{} of {}", coarse.len(), model.faces.len());
        let at = |index: u32| model.v_template[index as usize];
        let area = |faces: &[[u32; 3]]| -> f32 {
            faces.iter().map(|f| (at(f[1]) - at(f[0])).cross(at(f[2]) - at(f[0])).length() / 2.0).sum()
        };
        // The signed volume is wrong where the surface has holes or folds.
        let volume = |faces: &[[u32; 3]]| -> f32 {
            faces.iter().map(|f| at(f[0]).dot(at(f[1]).cross(at(f[2]))) / 6.0).sum()
        };
        let (areas, volumes) = (area(&coarse) / area(&model.faces), volume(&coarse) / volume(&model.faces));
        assert!((0.7..1.1).contains(&areas), "area {areas}");
        assert!((0.8..1.1).contains(&volumes), "volume {volumes}");
    }
}
