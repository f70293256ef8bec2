//! The published pictures of uncertainty: distances from the mean mesh, their colours, samples by how well they
//! agree with the input's keypoints. For uncertainty as this program uses it see `estimators::uncertainty`.

use glam::{DVec3, Vec2, Vec3};

/// Spread of some meshes' points.
#[derive(Clone, Debug, PartialEq)]
pub struct MeshSpread {
    /// Mean distance of each point from its mean, metres.
    pub mean_distance: Vec<f32>,
    /// Standard deviation (divided by the number of meshes) along x, y and z, metres.
    pub axis_std: Vec<Vec3>,
}

/// Spread of meshes with equally many points.
pub fn mesh_spread(meshes: &[&[Vec3]]) -> MeshSpread {
    let points = meshes.iter().map(|mesh| mesh.len()).min().unwrap_or(0);
    let n = meshes.len().max(1) as f64;
    let (mut mean_distance, mut axis_std) = (Vec::with_capacity(points), Vec::with_capacity(points));
    for point in 0..points {
        let all = || meshes.iter().map(move |mesh| mesh[point].as_dvec3());
        let mean = all().sum::<DVec3>() / n;
        mean_distance.push((all().map(|p| p.distance(mean)).sum::<f64>() / n) as f32);
        let variance = all().map(|p| (p - mean) * (p - mean)).sum::<DVec3>() / n;
        axis_std.push(DVec3::new(variance.x.sqrt(), variance.y.sqrt(), variance.z.sqrt()).as_vec3());
    }
    MeshSpread { mean_distance, axis_std }
}

/// Places and heights of one colour's corners in the jet colour map.
type Corners = [(f64, f64)];

const JET: [&Corners; 3] = [
    &[(0.0, 0.0), (0.35, 0.0), (0.66, 1.0), (0.89, 1.0), (1.0, 0.5)],
    &[(0.0, 0.0), (0.125, 0.0), (0.375, 1.0), (0.64, 1.0), (0.91, 0.0), (1.0, 0.0)],
    &[(0.0, 0.5), (0.11, 1.0), (0.34, 1.0), (0.65, 0.0), (1.0, 0.0)],
];

/// Red, green and blue (0..1) of `value` in the jet map of 256 colours over 0..`most`.
pub fn jet(value: f64, most: f64) -> [f64; 3] {
    let place = ((value / most).clamp(0.0, 1.0) * 256.0).floor().min(255.0) / 255.0;
    JET.map(|corners| {
        let right = corners.iter().position(|corner| corner.0 >= place).unwrap_or(corners.len() - 1).max(1);
        let ((x0, y0), (x1, y1)) = (corners[right - 1], corners[right]);
        y0 + (y1 - y0) * (place - x0) / (x1 - x0)
    })
}

/// Pixel of a y-up point under the network's camera in a crop of `side` pixels.
pub fn project(point: Vec3, camera: [f32; 3], side: f32) -> Vec2 {
    let [s, tx, ty] = camera;
    (Vec2::new(s * (point.x + tx), s * (ty - point.y)) + 1.0) * (0.5 * side)
}

/// Samples from best to worst: by the largest distance, in pixels, of a seen keypoint from the input's.
/// `joints` has the 17 COCO joints of each sample; of samples that are equally good the first comes first.
pub fn order_by_keypoints(
    joints: &[[Vec3; 17]],
    camera: [f32; 3],
    side: f32,
    keypoints: &[Vec2],
    seen: &[bool],
) -> Vec<usize> {
    let error = |sample: &[Vec3; 17]| {
        sample
            .iter()
            .zip(keypoints.iter().zip(seen))
            .filter(|(_, (_, seen))| **seen)
            .map(|(joint, (keypoint, _))| project(*joint, camera, side).distance(*keypoint))
            .fold(0.0, f32::max)
    };
    let errors: Vec<f32> = joints.iter().map(error).collect();
    let mut order: Vec<usize> = (0..joints.len()).collect();
    order.sort_by(|&a, &b| errors[a].total_cmp(&errors[b]));
    order
}
