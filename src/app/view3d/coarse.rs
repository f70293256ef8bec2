//! Fewer triangles for bodies that are drawn a hundred times, over the same points, so that shapes and skinning stay
//! theirs. Edges are contracted cheapest first by the quadric error of Garland and Heckbert (1997); the points of an
//! edge that follow different bones stay apart as long as possible. Made once a body, for the crowd.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use glam::{DVec3, DVec4};

use crate::body::BodyModel;

/// What it costs to merge points that follow different bones altogether, square metres.
const BONE_COST: f64 = 4e-4;
/// A triangle may turn by this much, as the cosine between its normals.
const TURN: f64 = 0.3;

/// Sum over planes of the squared distance from them: `[x y z 1] Q [x y z 1]ᵀ`.
type Quadric = [DVec4; 4];

fn plane_quadric(plane: DVec4) -> Quadric {
    plane.to_array().map(|weight| plane * weight)
}

fn error(quadric: &Quadric, point: DVec3) -> f64 {
    let p = point.extend(1.0);
    quadric.iter().zip(p.to_array()).map(|(row, weight)| row.dot(p) * weight).sum()
}

struct Surface {
    points: Vec<DVec3>,
    faces: Vec<[u32; 3]>,
    /// Faces at each point, and neither removed ones nor duplicates.
    around: Vec<BTreeSet<u32>>,
    quadrics: Vec<Quadric>,
}

impl Surface {
    fn new(model: &BodyModel) -> Self {
        let points: Vec<DVec3> = model.v_template.iter().map(|v| v.as_dvec3()).collect();
        let mut surface = Self {
            around: vec![BTreeSet::new(); points.len()],
            quadrics: vec![[DVec4::ZERO; 4]; points.len()],
            faces: model.faces.clone(),
            points,
        };
        for (index, face) in model.faces.iter().enumerate() {
            let normal = surface.normal(*face).normalize_or_zero();
            let plane = normal.extend(-normal.dot(surface.points[face[0] as usize]));
            let quadric = plane_quadric(plane);
            for corner in face {
                surface.around[*corner as usize].insert(index as u32);
                let sum = &mut surface.quadrics[*corner as usize];
                *sum = std::array::from_fn(|row| sum[row] + quadric[row]);
            }
        }
        surface
    }

    fn normal(&self, face: [u32; 3]) -> DVec3 {
        let [a, b, c] = face.map(|corner| self.points[corner as usize]);
        (b - a).cross(c - a)
    }

    fn neighbours(&self, point: u32) -> BTreeSet<u32> {
        let faces = self.around[point as usize].iter().map(|face| self.faces[*face as usize]);
        faces.flatten().filter(|corner| *corner != point).collect()
    }

    /// Whether `gone` can become `stays` without a fold or a pinched surface.
    fn contracts(&self, gone: u32, stays: u32) -> bool {
        let shared = self.neighbours(gone).intersection(&self.neighbours(stays)).count();
        shared == 2
            && self.around[gone as usize].iter().map(|face| self.faces[*face as usize]).all(|face| {
                if face.contains(&stays) {
                    return true;
                }
                let moved = face.map(|corner| if corner == gone { stays } else { corner });
                let (before, after) = (self.normal(face).normalize_or_zero(), self.normal(moved));
                before.dot(after.normalize_or_zero()) > TURN
            })
    }

    fn contract(&mut self, gone: u32, stays: u32) -> usize {
        let mut removed = 0;
        for index in std::mem::take(&mut self.around[gone as usize]) {
            let face = self.faces[index as usize];
            if face.contains(&stays) {
                removed += 1;
                for corner in face.into_iter().filter(|corner| *corner != gone) {
                    self.around[corner as usize].remove(&index);
                }
                self.faces[index as usize] = [u32::MAX; 3];
            } else {
                self.faces[index as usize] = face.map(|c| if c == gone { stays } else { c });
                self.around[stays as usize].insert(index);
            }
        }
        let from = self.quadrics[gone as usize];
        let sum = &mut self.quadrics[stays as usize];
        *sum = std::array::from_fn(|row| sum[row] + from[row]);
        removed
    }
}

/// At most `most` triangles over the body's points where that can be reached, for each of several numbers from large
/// to small.
pub fn coarse_faces<const N: usize>(model: &BodyModel, most: [usize; N]) -> [Vec<[u32; 3]>; N] {
    let mut surface = Surface::new(model);
    let joints = model.num_joints();
    let weights: Vec<Vec<f64>> = (0..model.num_vertices())
        .map(|vertex| {
            let mut dense = vec![0.0; joints];
            for (joint, weight) in model.weights.entries(vertex) {
                dense[joint] += f64::from(weight);
            }
            dense
        })
        .collect();
    let cost = |surface: &Surface, gone: u32, stays: u32| {
        let bones = weights[gone as usize].iter().zip(&weights[stays as usize]);
        let bones: f64 = bones.map(|(a, b)| (a - b).powi(2)).sum();
        let at = surface.points[stays as usize];
        error(&surface.quadrics[gone as usize], at)
            + error(&surface.quadrics[stays as usize], at)
            + BONE_COST * bones
    };
    // Costs are positive, so their bits order as they do. The version tells entries that are out of date.
    let mut versions = vec![0u32; surface.points.len()];
    let mut heap = BinaryHeap::new();
    let offer = |heap: &mut BinaryHeap<_>, surface: &Surface, versions: &[u32], gone: u32, stays: u32| {
        let cost = cost(surface, gone, stays).max(0.0).to_bits();
        heap.push(Reverse((cost, gone, stays, versions[gone as usize], versions[stays as usize])));
    };
    for face in &model.faces {
        for (gone, stays) in [(0, 1), (1, 2), (2, 0)] {
            offer(&mut heap, &surface, &versions, face[gone], face[stays]);
        }
    }
    let mut left = surface.faces.len();
    most.map(|most| {
        while left > most {
            let Some(Reverse((_, gone, stays, of_gone, of_stays))) = heap.pop() else { break };
            let current = versions[gone as usize] == of_gone && versions[stays as usize] == of_stays;
            if !current || !surface.contracts(gone, stays) {
                continue;
            }
            left -= surface.contract(gone, stays);
            versions[gone as usize] += 1;
            versions[stays as usize] += 1;
            for near in surface.neighbours(stays) {
                offer(&mut heap, &surface, &versions, near, stays);
                offer(&mut heap, &surface, &versions, stays, near);
            }
        }
        surface.faces.iter().copied().filter(|face| face[0] != u32::MAX).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_triangles_keep_the_bodys_surface() {
        let model = BodyModel::default_body().expect("the built-in body");
        let at = |index: u32| model.v_template[index as usize];
        let area = |faces: &[[u32; 3]]| -> f32 {
            faces.iter().map(|f| (at(f[1]) - at(f[0])).cross(at(f[2]) - at(f[0])).length() / 2.0).sum()
        };
        // The signed volume is wrong where the surface has holes or folds.
        let volume = |faces: &[[u32; 3]]| -> f32 {
            faces.iter().map(|f| at(f[0]).dot(at(f[1]).cross(at(f[2]))) / 6.0).sum()
        };
        for (faces, most) in coarse_faces(&model, [2400, 900]).iter().zip([2400, 900]) {
            assert!(faces.len() <= most && faces.len() > most / 2, "{} for {most}", faces.len());
            let (areas, volumes) = (area(faces) / area(&model.faces), volume(faces) / volume(&model.faces));
            assert!((0.75..1.05).contains(&areas), "area {areas}");
            assert!((0.9..1.05).contains(&volumes), "volume {volumes}");
        }
    }
}
