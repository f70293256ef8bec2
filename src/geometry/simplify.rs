//! Coarser triangles over a part of a mesh's own points: edges collapse onto one of their ends, those first that
//! move the surface least (Garland and Heckbert's quadrics). Files with many bodies use one coarse body for all.

use std::cmp::Ordering;
use std::collections::{BTreeSet, BinaryHeap};

use glam::{DVec3, Vec3};

/// Triangles may turn by at most this (cosine) when an edge collapses.
const LEAST_TURN: f64 = 0.3;
/// Weight of the planes that hold the rim of an open mesh, against those of its triangles.
const RIM: f64 = 10.0;

/// A coarse surface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coarse {
    /// The points that are kept, as numbers of the fine mesh's, ascending.
    pub points: Vec<u32>,
    /// Triangles over `points`.
    pub faces: Vec<[u32; 3]>,
}

/// Keeps about `wanted` of the points, all of them where there are no more; fewer collapses are made where further
/// ones would fold the surface. Triangles that name points that are not there are dropped.
pub fn simplify(points: &[Vec3], faces: &[[u32; 3]], wanted: usize) -> Coarse {
    let mut mesh = Collapsing::new(points, faces);
    let mut left = points.len();
    while left > wanted {
        let Some(Candidate { from, to, .. }) = mesh.next() else { break };
        mesh.collapse(from, to);
        left -= 1;
    }
    mesh.finish()
}

/// Sum of squared distances to planes: the upper triangle of a symmetric 4 x 4 matrix, row by row.
#[derive(Clone, Copy, Default)]
struct Quadric([f64; 10]);

impl Quadric {
    /// The plane through `point`, its `normal` of length one, counted `weight` times.
    fn plane(normal: DVec3, point: DVec3, weight: f64) -> Self {
        let (DVec3 { x: a, y: b, z: c }, d) = (normal, -normal.dot(point));
        Self([a * a, a * b, a * c, a * d, b * b, b * c, b * d, c * c, c * d, d * d].map(|v| v * weight))
    }

    fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(own, other)| *own += other);
    }

    fn at(&self, DVec3 { x, y, z }: DVec3) -> f64 {
        let [xx, xy, xz, xw, yy, yz, yw, zz, zw, ww] = self.0;
        x * (xx * x + 2.0 * (xy * y + xz * z + xw))
            + y * (yy * y + 2.0 * (yz * z + yw))
            + z * (zz * z + 2.0 * zw)
            + ww
    }
}

/// Point `from` moved onto `to`; out of date where either changed since.
struct Candidate {
    cost: f64,
    from: u32,
    to: u32,
    stamp: [u32; 2],
}

impl Ord for Candidate {
    /// The cheapest is the greatest, as the heap wants it; ties by number, so that the order is always the same.
    fn cmp(&self, other: &Self) -> Ordering {
        other.cost.total_cmp(&self.cost).then((other.from, other.to).cmp(&(self.from, self.to)))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Candidate {}

struct Collapsing {
    points: Vec<DVec3>,
    faces: Vec<[u32; 3]>,
    /// Whether a triangle is still there.
    alive: Vec<bool>,
    /// Triangles around each point.
    around: Vec<Vec<u32>>,
    quadrics: Vec<Quadric>,
    stamps: Vec<u32>,
    gone: Vec<bool>,
    heap: BinaryHeap<Candidate>,
}

impl Collapsing {
    fn new(points: &[Vec3], faces: &[[u32; 3]]) -> Self {
        let count = points.len();
        let points: Vec<DVec3> = points.iter().map(|point| point.as_dvec3()).collect();
        let faces: Vec<[u32; 3]> =
            faces.iter().filter(|face| face.iter().all(|&i| (i as usize) < count)).copied().collect();
        let mut around = vec![Vec::new(); count];
        for (at, face) in faces.iter().enumerate() {
            face.iter().for_each(|&i| around[i as usize].push(at as u32));
        }
        let mut mesh = Self {
            alive: vec![true; faces.len()],
            quadrics: vec![Quadric::default(); count],
            stamps: vec![0; count],
            gone: vec![false; count],
            heap: BinaryHeap::with_capacity(6 * count),
            points,
            faces,
            around,
        };
        mesh.measure();
        for from in 0..count as u32 {
            for to in mesh.neighbours(from) {
                mesh.offer(from, to);
            }
        }
        mesh
    }

    fn measure(&mut self) {
        for (at, face) in self.faces.iter().enumerate() {
            let [a, b, c] = face.map(|i| self.points[i as usize]);
            let normal = (b - a).cross(c - a);
            let (Some(unit), area) = (normal.try_normalize(), normal.length()) else { continue };
            let quadric = Quadric::plane(unit, a, area);
            face.iter().for_each(|&i| self.quadrics[i as usize].add(&quadric));
            for side in 0..3 {
                let ends = [face[side], face[(side + 1) % 3]];
                if self.faces_of_edge(ends[0], ends[1]).filter(|&other| other != at).count() > 0 {
                    continue;
                }
                let [from, to] = ends.map(|i| self.points[i as usize]);
                let Some(outwards) = (to - from).cross(unit).try_normalize() else { continue };
                let rim = Quadric::plane(outwards, from, RIM * (to - from).length_squared());
                ends.iter().for_each(|&i| self.quadrics[i as usize].add(&rim));
            }
        }
    }

    fn faces_of_edge(&self, a: u32, b: u32) -> impl Iterator<Item = usize> {
        let around = self.around[a as usize].iter().map(|&face| face as usize);
        around.filter(move |&face| self.alive[face] && self.faces[face].contains(&b))
    }

    fn neighbours(&self, point: u32) -> BTreeSet<u32> {
        let around = self.around[point as usize].iter().map(|&face| face as usize);
        let corners = around.filter(|&face| self.alive[face]).flat_map(|face| self.faces[face]);
        corners.filter(|&corner| corner != point).collect()
    }

    fn offer(&mut self, from: u32, to: u32) {
        let mut quadric = self.quadrics[from as usize];
        quadric.add(&self.quadrics[to as usize]);
        let cost = quadric.at(self.points[to as usize]);
        let stamp = [from, to].map(|i| self.stamps[i as usize]);
        self.heap.push(Candidate { cost, from, to, stamp });
    }

    /// The cheapest collapse that is up to date and leaves a proper surface.
    fn next(&mut self) -> Option<Candidate> {
        while let Some(candidate) = self.heap.pop() {
            let Candidate { from, to, stamp, .. } = candidate;
            let current = [from, to].map(|i| self.stamps[i as usize]) == stamp;
            if current && !self.gone[from as usize] && !self.gone[to as usize] && self.proper(from, to) {
                return Some(candidate);
            }
        }
        None
    }

    fn proper(&self, from: u32, to: u32) -> bool {
        let shared = self.faces_of_edge(from, to).count();
        let (own, others) = (self.neighbours(from), self.neighbours(to));
        // Otherwise the surface would touch itself along an edge.
        if shared == 0 || own.intersection(&others).count() != shared {
            return false;
        }
        // A point of the rim stays on the rim.
        let on_rim = own.iter().any(|&other| self.faces_of_edge(from, other).count() == 1);
        if on_rim && shared != 1 {
            return false;
        }
        let target = self.points[to as usize];
        self.around[from as usize].iter().map(|&face| face as usize).all(|face| {
            let corners = self.faces[face];
            if !self.alive[face] || corners.contains(&to) {
                return true;
            }
            let normal = |[a, b, c]: [DVec3; 3]| (b - a).cross(c - a).normalize_or_zero();
            let before = normal(corners.map(|i| self.points[i as usize]));
            let after = normal(corners.map(|i| if i == from { target } else { self.points[i as usize] }));
            before.dot(after) > LEAST_TURN
        })
    }

    fn collapse(&mut self, from: u32, to: u32) {
        for face in std::mem::take(&mut self.around[from as usize]) {
            let corners = &mut self.faces[face as usize];
            if !self.alive[face as usize] {
                continue;
            }
            if corners.contains(&to) {
                self.alive[face as usize] = false;
                continue;
            }
            corners.iter_mut().filter(|corner| **corner == from).for_each(|corner| *corner = to);
            self.around[to as usize].push(face);
        }
        self.gone[from as usize] = true;
        let moved = self.quadrics[from as usize];
        self.quadrics[to as usize].add(&moved);
        self.stamps[to as usize] += 1;
        for other in self.neighbours(to) {
            self.offer(to, other);
            self.offer(other, to);
        }
    }

    fn finish(self) -> Coarse {
        let points: Vec<u32> = (0..self.points.len() as u32).filter(|&i| !self.gone[i as usize]).collect();
        let mut place = vec![0; self.points.len()];
        points.iter().enumerate().for_each(|(at, &point)| place[point as usize] = at as u32);
        let faces = self.faces.iter().zip(&self.alive).filter(|(_, alive)| **alive);
        Coarse { faces: faces.map(|(face, _)| face.map(|i| place[i as usize])).collect(), points }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::mesh;

    /// A ball of `rings` x `2 rings` points and two poles.
    fn ball(rings: usize) -> (Vec<Vec3>, Vec<[u32; 3]>) {
        let around = 2 * rings;
        let mut points = vec![Vec3::Y];
        for ring in 0..rings {
            let tilt = std::f32::consts::PI * (ring + 1) as f32 / (rings + 1) as f32;
            for step in 0..around {
                let turn = std::f32::consts::TAU * step as f32 / around as f32;
                points.push(Vec3::new(tilt.sin() * turn.cos(), tilt.cos(), tilt.sin() * turn.sin()));
            }
        }
        points.push(Vec3::NEG_Y);
        let at = |ring: usize, step: usize| (1 + ring * around + step % around) as u32;
        let last = points.len() as u32 - 1;
        let mut faces = Vec::new();
        for step in 0..around {
            faces.push([0, at(0, step + 1), at(0, step)]);
            faces.push([last, at(rings - 1, step), at(rings - 1, step + 1)]);
            for ring in 0..rings - 1 {
                let [a, b] = [at(ring, step), at(ring, step + 1)];
                let [c, d] = [at(ring + 1, step), at(ring + 1, step + 1)];
                faces.extend([[a, b, c], [b, d, c]]);
            }
        }
        (points, faces)
    }

    fn volume(points: &[Vec3], faces: &[[u32; 3]]) -> f64 {
        let points: Vec<DVec3> = points.iter().map(|point| point.as_dvec3()).collect();
        mesh::volume(&points, faces).unwrap()
    }

    #[test]
    fn a_closed_surface_stays_closed_and_keeps_its_form() {
        let (points, faces) = ball(20);
        let coarse = simplify(&points, &faces, 200);
        assert_eq!(coarse.points.len(), 200);
        // Euler: a closed ball of P points has 2 P - 4 triangles.
        assert_eq!(coarse.faces.len(), 396);
        let kept: Vec<Vec3> = coarse.points.iter().map(|&i| points[i as usize]).collect();
        let (before, after) = (volume(&points, &faces), volume(&kept, &coarse.faces));
        assert!((after / before - 1.0).abs() < 0.06, "{before} {after}");
        assert_eq!(simplify(&points, &faces, 200), coarse);
    }

    #[test]
    fn an_open_surface_keeps_its_rim_and_few_points_are_left_alone() {
        let side = 12;
        let points: Vec<Vec3> =
            (0..side * side).map(|i| Vec3::new((i % side) as f32, (i / side) as f32, 0.0)).collect();
        let at = |x: usize, y: usize| (y * side + x) as u32;
        let mut faces = Vec::new();
        for y in 0..side - 1 {
            for x in 0..side - 1 {
                faces.push([at(x, y), at(x + 1, y), at(x, y + 1)]);
                faces.push([at(x + 1, y), at(x + 1, y + 1), at(x, y + 1)]);
            }
        }
        let coarse = simplify(&points, &faces, 20);
        let area: f32 = coarse
            .faces
            .iter()
            .map(|face| face.map(|i| points[coarse.points[i as usize] as usize]))
            .map(|[a, b, c]| (b - a).cross(c - a).z / 2.0)
            .sum();
        assert!((area - 121.0).abs() < 1e-3, "{area}");
        assert!(coarse.points.len() < 30, "{}", coarse.points.len());
        let same = simplify(&points, &faces, 1000);
        assert_eq!((same.points.len(), same.faces), (144, faces));
    }
}
