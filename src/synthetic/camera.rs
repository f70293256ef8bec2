//! Random cameras before a person: heading, pitch, roll, distance, framing.

use glam::{Mat3, Vec2, Vec3};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use crate::geometry::camera::{Camera, Projection};

/// How cameras are drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CameraConfig {
    /// Width and height of the picture in pixels.
    pub size: [f32; 2],
    /// Mean and standard deviation of the pitch, degrees; positive looks down on the person.
    pub pitch_deg: [f32; 2],
    /// Share of cameras whose pitch is uniform within ±30 degrees instead.
    pub steep: f32,
    pub roll_sd_deg: f32,
    /// Nearest and farthest distance, metres; log-uniform.
    pub distance_m: [f32; 2],
    /// Least and greatest share of the picture that the person's larger extent fills.
    pub fill: [f32; 2],
    /// Share of pictures that cut off a part of the person.
    pub truncated: f32,
}

impl Default for CameraConfig {
    fn default() -> Self {
        Self {
            size: [256.0; 2],
            pitch_deg: [4.0, 7.0],
            steep: 0.2,
            roll_sd_deg: 4.0,
            distance_m: [2.0, 10.0],
            fill: [0.6, 0.92],
            truncated: 0.2,
        }
    }
}

/// One random view, before it is fitted to a person.
#[derive(Clone, Debug, PartialEq)]
pub struct Viewpoint {
    /// Turns the world (y up) into the camera's axes.
    pub rotation: Mat3,
    pub distance: f32,
    /// Place of the person off the optical axis, as a share of the distance.
    pub off_axis: Vec2,
    /// The person's larger extent over the picture's.
    pub fill: f32,
    /// Which point (as a share of the list) the picture is centred on where it cuts the person off.
    pub focus: Option<f32>,
    /// Place of the centre off the picture's centre, as a share of the free space.
    pub shift: Vec2,
}

fn normal(rng: &mut ChaCha8Rng) -> f32 {
    rng.sample(StandardNormal)
}

impl CameraConfig {
    /// A random view.
    pub fn sample(&self, rng: &mut ChaCha8Rng) -> Viewpoint {
        let heading = rng.random::<f32>() * std::f32::consts::TAU;
        let pitch = if rng.random::<f32>() < self.steep {
            rng.random_range(-30.0..30.0)
        } else {
            (self.pitch_deg[0] + self.pitch_deg[1] * normal(rng)).clamp(-30.0, 30.0)
        };
        let roll = (self.roll_sd_deg * normal(rng)).clamp(-25.0, 25.0);
        let [near, far] = self.distance_m;
        let distance = near * (far / near).powf(rng.random::<f32>());
        let off_axis =
            Vec2::new(0.08 * normal(rng), 0.05 * normal(rng)).clamp(Vec2::splat(-0.2), Vec2::splat(0.2));
        let truncated = rng.random::<f32>() < self.truncated;
        let [low, high] = self.fill;
        let fill =
            if truncated { rng.random_range(1.05..2.2) } else { low + (high - low) * rng.random::<f32>() };
        let focus = truncated.then(|| rng.random::<f32>());
        let shift = Vec2::new(rng.random_range(-1.0..1.0), rng.random_range(-1.0..1.0));
        Viewpoint {
            rotation: Mat3::from_rotation_z(roll.to_radians())
                * Mat3::from_rotation_x(pitch.to_radians())
                * Mat3::from_rotation_y(heading),
            distance,
            off_axis,
            fill,
            focus,
            shift,
        }
    }
}

impl Viewpoint {
    /// Places a person before the camera. `points`: joints and keypoints in the camera's axes, translation still
    /// zero, the upper body's (what a cut-off picture centres on) first. Returns the translation and the camera.
    pub fn place(&self, points: &[Vec3], size: [f32; 2]) -> (Vec3, Camera) {
        let (low, high) = crate::raster::view::extent(points);
        let depth = self.distance;
        let seat = Vec3::new(self.off_axis.x * depth, self.off_axis.y * depth, -depth);
        let transl = seat - (low + high) / 2.0;
        // Points very near the camera would be behind it: step back until none is.
        let nearest = (high.z - low.z) / 2.0;
        let back = (nearest + 0.5 - depth).max(0.0);
        let transl = transl - Vec3::Z * back;

        let flat = |p: Vec3| {
            let q = p + transl;
            Vec2::new(q.x, -q.y) / -q.z
        };
        let mut box_low = Vec2::INFINITY;
        let mut box_high = Vec2::NEG_INFINITY;
        for &point in points {
            box_low = box_low.min(flat(point));
            box_high = box_high.max(flat(point));
        }
        if points.is_empty() {
            (box_low, box_high) = (Vec2::splat(-0.1), Vec2::splat(0.1));
        }
        // Joints lie inside the body: flesh, hair and fingers reach about 6 % further.
        let pad = (box_high - box_low).max_element().max(1e-3) * 0.06;
        let (box_low, box_high) = (box_low - pad, box_high + pad);
        let extent = box_high - box_low;
        let picture = Vec2::from(size);
        let focal_px = self.fill * (picture / extent).min_element();
        let (target, centre) = match self.focus.and_then(|share| {
            points.get(((share * points.len() as f32) as usize).min(points.len().saturating_sub(1)))
        }) {
            Some(&point) => (flat(point), picture * (0.5 + 0.15 * self.shift)),
            None => {
                let free = (picture - extent * focal_px).max(Vec2::ZERO) / 2.0;
                ((box_low + box_high) / 2.0, picture / 2.0 + free * self.shift * 0.8)
            }
        };
        let principal = centre - target * focal_px;
        let projection = Projection::Perspective { focal_px, principal_px: principal.to_array() };
        (transl, Camera { projection, size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::stream;

    #[test]
    fn people_stand_in_front_and_fill_the_picture() {
        let config = CameraConfig { truncated: 0.0, ..CameraConfig::default() };
        let points = [
            Vec3::new(0.0, 0.7, 0.0),
            Vec3::new(0.5, 0.1, 0.2),
            Vec3::new(-0.5, 0.1, -0.2),
            Vec3::new(0.0, -1.0, 0.0),
        ];
        for item in 0..200 {
            let view = config.sample(&mut stream(5, item));
            let turned = points.map(|p| view.rotation * p);
            let (transl, camera) = view.place(&turned, config.size);
            let (mut low, mut high) = (Vec2::INFINITY, Vec2::NEG_INFINITY);
            for p in turned {
                let place = camera.project(p + transl).unwrap();
                assert!(place.cmpge(Vec2::ZERO).all() && place.cmple(Vec2::splat(256.0)).all(), "{place}");
                low = low.min(place);
                high = high.max(place);
            }
            let share = (high - low).max_element() / 256.0;
            assert!((view.fill / 1.13..=view.fill).contains(&share), "{share} {}", view.fill);
        }
    }

    #[test]
    fn most_cameras_look_slightly_down_and_heads_stay_up() {
        let config = CameraConfig::default();
        let up: Vec<Vec3> = (0..500).map(|i| config.sample(&mut stream(6, i)).rotation * Vec3::Y).collect();
        assert!(up.iter().all(|u| u.y > 0.75));
        let mean = up.iter().sum::<Vec3>() / 500.0;
        assert!(mean.z > 0.02 && mean.x.abs() < 0.02, "{mean}");
    }
}
