//! Measures of triangle meshes: sections by planes, lengths of tapes round them, volume and surface. In f64.

use std::collections::HashMap;

use glam::{DVec2, DVec3};

#[derive(Debug, thiserror::Error, PartialEq)]
pub enum MeshError {
    #[error("triangle {face} names point {point}, the mesh has {points}")]
    NoSuchPoint { face: usize, point: usize, points: usize },
    #[error("the plane's normal has no length or is not finite")]
    NoNormal,
}

/// One line of a section.
#[derive(Clone, Debug, PartialEq)]
pub struct SectionLoop {
    /// Without repeating the first point at the end.
    pub points: Vec<DVec3>,
    /// Open where the mesh has a hole.
    pub closed: bool,
    pub length: f64,
}

/// Where a plane cuts a mesh.
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// The longest first.
    pub loops: Vec<SectionLoop>,
    /// Length of a tape round all of it.
    pub hull: f64,
    /// Length of a tape round the longest loop.
    pub largest_hull: f64,
}

impl Section {
    pub fn total(&self) -> f64 {
        self.loops.iter().map(|line| line.length).sum()
    }
}

/// Cuts the triangles for which `wanted` (given the triangle's number) holds. A point on the plane counts as above.
///
/// # Errors
/// A triangle that names a point beyond the mesh, a normal of length zero.
pub fn section(
    points: &[DVec3],
    faces: &[[u32; 3]],
    point: DVec3,
    normal: DVec3,
    wanted: impl Fn(usize) -> bool,
) -> Result<Section, MeshError> {
    check_faces(points.len(), faces)?;
    let normal = normal.try_normalize().filter(|n| n.is_finite()).ok_or(MeshError::NoNormal)?;
    let height: Vec<f64> = points.iter().map(|p| (*p - point).dot(normal)).collect();

    // Cut edges are the corners of the section; neighbours share an edge, so they share its corner exactly.
    let mut corners: HashMap<(u32, u32), usize> = HashMap::new();
    let mut places: Vec<DVec3> = Vec::new();
    let mut segments: Vec<[usize; 2]> = Vec::new();
    for (number, face) in faces.iter().enumerate() {
        if !wanted(number) {
            continue;
        }
        let mut ends = Vec::with_capacity(2);
        for at in 0..3 {
            let (a, b) = (face[at].min(face[(at + 1) % 3]), face[at].max(face[(at + 1) % 3]));
            let (ha, hb) = (height[a as usize], height[b as usize]);
            if (ha >= 0.0) == (hb >= 0.0) {
                continue;
            }
            ends.push(*corners.entry((a, b)).or_insert_with(|| {
                places.push(points[a as usize].lerp(points[b as usize], ha / (ha - hb)));
                places.len() - 1
            }));
        }
        if let [a, b] = ends[..] {
            segments.push([a, b]);
        }
    }

    let mut loops = chain(&segments, &places);
    loops.sort_by(|a, b| b.length.total_cmp(&a.length));
    let flat = |points: &[DVec3]| {
        let (u, v) = normal.any_orthonormal_pair();
        points.iter().map(|p| DVec2::new(p.dot(u), p.dot(v))).collect::<Vec<_>>()
    };
    Ok(Section {
        hull: hull_perimeter(flat(&places)),
        largest_hull: loops.first().map_or(0.0, |line| hull_perimeter(flat(&line.points))),
        loops,
    })
}

/// Joins segments at their shared corners; lines with an open end first, so that no loop swallows part of them.
fn chain(segments: &[[usize; 2]], places: &[DVec3]) -> Vec<SectionLoop> {
    let mut at_corner: Vec<Vec<usize>> = vec![Vec::new(); places.len()];
    for (segment, ends) in segments.iter().enumerate() {
        for end in ends {
            at_corner[*end].push(segment);
        }
    }
    let mut used = vec![false; segments.len()];
    let open_ends = (0..places.len()).filter(|corner| at_corner[*corner].len() % 2 == 1);
    let starts: Vec<usize> = open_ends.chain(segments.iter().map(|ends| ends[0])).collect();
    let mut out = Vec::new();
    for start in starts {
        let mut line = vec![start];
        let mut here = start;
        while let Some(segment) = at_corner[here].iter().copied().find(|segment| !used[*segment]) {
            used[segment] = true;
            let [a, b] = segments[segment];
            here = if a == here { b } else { a };
            line.push(here);
        }
        if line.len() < 2 {
            continue;
        }
        let closed = line.first() == line.last();
        let length = line.windows(2).map(|pair| places[pair[0]].distance(places[pair[1]])).sum();
        if closed {
            line.pop();
        }
        out.push(SectionLoop {
            points: line.into_iter().map(|corner| places[corner]).collect(),
            closed,
            length,
        });
    }
    out
}

/// Length of a tape round points of a plane: the perimeter of their convex hull. Points on one line give twice
/// their extent.
pub fn hull_perimeter(mut points: Vec<DVec2>) -> f64 {
    points.sort_by(|a, b| a.x.total_cmp(&b.x).then(a.y.total_cmp(&b.y)));
    points.dedup();
    if points.len() < 2 {
        return 0.0;
    }
    let half = |points: &mut dyn Iterator<Item = DVec2>| -> f64 {
        let mut hull: Vec<DVec2> = Vec::new();
        for point in points {
            while let [.., a, b] = hull[..]
                && (b - a).perp_dot(point - a) <= 0.0
            {
                hull.pop();
            }
            hull.push(point);
        }
        hull.windows(2).map(|pair| pair[0].distance(pair[1])).sum()
    };
    half(&mut points.iter().copied()) + half(&mut points.iter().rev().copied())
}

/// Enclosed volume; right only for a closed mesh with triangles counter-clockwise from outside.
///
/// # Errors
/// A triangle that names a point beyond the mesh.
pub fn volume(points: &[DVec3], faces: &[[u32; 3]]) -> Result<f64, MeshError> {
    check_faces(points.len(), faces)?;
    Ok(corners(points, faces).map(|[a, b, c]| a.dot(b.cross(c))).sum::<f64>() / 6.0)
}

/// Surface of all triangles.
///
/// # Errors
/// A triangle that names a point beyond the mesh.
pub fn area(points: &[DVec3], faces: &[[u32; 3]]) -> Result<f64, MeshError> {
    check_faces(points.len(), faces)?;
    Ok(corners(points, faces).map(|[a, b, c]| (b - a).cross(c - a).length()).sum::<f64>() / 2.0)
}

/// Extent in y; 0 without points.
pub fn height(points: &[DVec3]) -> f64 {
    let lowest = points.iter().map(|p| p.y).fold(f64::INFINITY, f64::min);
    let highest = points.iter().map(|p| p.y).fold(f64::NEG_INFINITY, f64::max);
    (highest - lowest).max(0.0)
}

fn corners<'a>(points: &'a [DVec3], faces: &'a [[u32; 3]]) -> impl Iterator<Item = [DVec3; 3]> + 'a {
    faces.iter().map(|face| face.map(|at| points[at as usize]))
}

fn check_faces(points: usize, faces: &[[u32; 3]]) -> Result<(), MeshError> {
    for (face, corners) in faces.iter().enumerate() {
        if let Some(point) = corners.iter().find(|point| **point as usize >= points) {
            return Err(MeshError::NoSuchPoint { face, point: *point as usize, points });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A unit cube, its faces counter-clockwise from outside.
    fn cube() -> (Vec<DVec3>, Vec<[u32; 3]>) {
        let points = (0..8)
            .map(|at| DVec3::new(f64::from(at & 1), f64::from(at >> 1 & 1), f64::from(at >> 2)))
            .collect();
        let quads = [[0, 2, 3, 1], [4, 5, 7, 6], [0, 1, 5, 4], [2, 6, 7, 3], [0, 4, 6, 2], [1, 3, 7, 5]];
        let faces = quads.iter().flat_map(|[a, b, c, d]| [[*a, *b, *c], [*a, *c, *d]]).collect();
        (points, faces)
    }

    #[test]
    fn a_cube_measures_one() {
        let (points, faces) = cube();
        assert!((volume(&points, &faces).unwrap() - 1.0).abs() < 1e-12);
        assert!((area(&points, &faces).unwrap() - 6.0).abs() < 1e-12);
        assert_eq!(height(&points), 1.0);
        let cut = section(&points, &faces, DVec3::splat(0.4), DVec3::Y, |_| true).unwrap();
        assert_eq!((cut.loops.len(), cut.loops[0].closed), (1, true));
        assert!((cut.total() - 4.0).abs() < 1e-12 && (cut.hull - 4.0).abs() < 1e-12);
    }

    #[test]
    fn a_hole_opens_the_line() {
        let (points, faces) = cube();
        let cut = section(&points, &faces, DVec3::splat(0.4), DVec3::Y, |face| face != 0).unwrap();
        assert_eq!((cut.loops.len(), cut.loops[0].closed), (1, false));
        assert!(cut.total() < 4.0);
    }

    #[test]
    fn points_on_a_line_give_twice_their_extent() {
        let line = (0..5).map(|at| DVec2::new(f64::from(at), 2.0 * f64::from(at))).collect();
        assert!((hull_perimeter(line) - 2.0 * 80f64.sqrt()).abs() < 1e-12);
        assert_eq!(hull_perimeter(vec![DVec2::ONE; 3]), 0.0);
    }

    #[test]
    fn what_is_no_mesh_or_plane_is_refused() {
        let (points, faces) = cube();
        assert!(section(&points, &[[0, 1, 8]], DVec3::ZERO, DVec3::Y, |_| true).is_err());
        assert_eq!(
            section(&points, &faces, DVec3::ZERO, DVec3::ZERO, |_| true).unwrap_err(),
            MeshError::NoNormal
        );
    }
}
