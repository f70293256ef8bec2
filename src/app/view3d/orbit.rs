//! The camera that turns around what stands on the stage.

use bevy::camera::{PerspectiveProjection, Projection, SubCameraView};
use bevy::prelude::*;
use bevy_egui::egui;

use super::stage::Extent;
use crate::app::session::Side;

/// Vertical field of view of the free part of the window, radians.
const FIELD_OF_VIEW: f32 = 0.55;

/// Where the camera is, seen from what it looks at.
#[derive(Resource, Clone, Copy, Debug, PartialEq)]
pub struct Orbit {
    pub target: Vec3,
    /// Around the vertical; 0 looks along −z, as the photo's camera does.
    pub yaw: f32,
    /// Above the horizon.
    pub pitch: f32,
    pub distance: f32,
    /// What the window leaves free for the stage, in points.
    pub free: egui::Rect,
    /// The whole window, in points.
    pub window: egui::Vec2,
}

impl Default for Orbit {
    fn default() -> Self {
        Self {
            target: Vec3::new(0.0, 0.9, 0.0),
            yaw: 0.45,
            pitch: 0.12,
            distance: 4.6,
            free: egui::Rect::ZERO,
            window: egui::Vec2::ZERO,
        }
    }
}

impl Orbit {
    /// Turns by a movement of the pointer, points.
    pub fn turn(&mut self, drag: egui::Vec2) {
        self.yaw -= drag.x * 0.008;
        self.pitch = (self.pitch + drag.y * 0.008).clamp(-0.35, 1.55);
    }

    /// Moves sideways so that what is under the pointer stays there.
    pub fn pan(&mut self, drag: egui::Vec2) {
        let metres = self.distance * (FIELD_OF_VIEW / 2.0).tan() * 2.0 / self.free.height().max(1.0);
        let rotation = self.rotation();
        self.target += (rotation * Vec3::NEG_X * drag.x + rotation * Vec3::Y * drag.y) * metres;
        self.target = self.target.clamp(Vec3::new(-6.0, -1.0, -6.0), Vec3::new(6.0, 4.0, 6.0));
    }

    /// Closer for factors above 1.
    pub fn zoom(&mut self, factor: f32) {
        self.distance = (self.distance / factor).clamp(0.5, 16.0);
    }

    pub fn look_from(&mut self, side: Side) {
        (self.yaw, self.pitch) = match side {
            Side::Front => (0.0, 0.08),
            Side::Left => (std::f32::consts::FRAC_PI_2, 0.08),
            Side::Back => (std::f32::consts::PI, 0.08),
            Side::Top => (0.0, 1.5),
        };
    }

    /// Frames what stands on the floor, from where one looks now.
    pub fn frame(&mut self, extent: &Extent) {
        self.target = Vec3::new(0.0, extent.middle, 0.0);
        let known = self.free.width() > 1.0 && self.free.height() > 1.0;
        let aspect = if known { (self.free.width() / self.free.height()).clamp(0.3, 3.0) } else { 1.0 };
        let tall = extent.height.max(extent.width / aspect).max(0.6);
        self.distance = (tall * 0.62 / (FIELD_OF_VIEW / 2.0).tan()).clamp(1.5, 16.0);
    }

    fn rotation(&self) -> Quat {
        Quat::from_rotation_y(self.yaw) * Quat::from_rotation_x(-self.pitch)
    }

    fn transform(&self) -> Transform {
        let rotation = self.rotation();
        Transform::from_translation(self.target + rotation * Vec3::Z * self.distance).with_rotation(rotation)
    }
}

/// Puts the camera where the orbit says and shifts its picture into the free part of the window: panels cover the
/// rest, and one camera draws everything (a viewport of its own would need a second camera for the panels).
pub fn place_camera(
    orbit: Res<Orbit>,
    camera: Single<(&mut Camera, &mut Projection, &mut Transform), With<Camera3d>>,
) {
    if !orbit.is_changed() || orbit.free.width() < 1.0 || orbit.free.height() < 1.0 {
        return;
    }
    let (mut camera, mut projection, mut transform) = camera.into_inner();
    *transform = orbit.transform();
    let (window, middle) = (orbit.window, orbit.free.center());
    // A picture large enough that the free part's middle is its middle; the window is a cut-out of it.
    let full = egui::vec2(
        2.0 * middle.x.max(window.x - middle.x).max(1.0),
        2.0 * middle.y.max(window.y - middle.y).max(1.0),
    );
    let tangent = (FIELD_OF_VIEW / 2.0).tan() * full.y / orbit.free.height();
    *projection =
        Projection::Perspective(PerspectiveProjection { fov: 2.0 * tangent.atan(), near: 0.05, ..default() });
    camera.sub_camera_view = Some(SubCameraView {
        full_size: UVec2::new(full.x as u32, full.y as u32),
        offset: Vec2::new(full.x / 2.0 - middle.x, full.y / 2.0 - middle.y),
        size: UVec2::new(window.x as u32, window.y as u32),
    });
}
