//! The floor under the bodies, with soft shadows where limbs come near it.

use bevy::camera::visibility::NoFrustumCulling;
use bevy::prelude::*;

use super::materials::{FloorLook, FloorMaterial, SHADOWS};
use crate::app::theme;
use crate::body::state::JOINTS;

/// Radius of the floor, metres; the shader lets it fade out before.
const RADIUS: f32 = 3.3;
/// Joints that throw a shadow, with the size of what hangs on them, metres.
const CASTERS: [(usize, f32); SHADOWS] =
    [(10, 0.13), (11, 0.13), (4, 0.15), (5, 0.15), (0, 0.30), (9, 0.28), (22, 0.12), (23, 0.12)];

#[derive(Resource)]
pub struct Floor(Handle<FloorMaterial>);

pub fn spawn(
    mut commands: Commands,
    mut meshes: ResMut<Assets<Mesh>>,
    mut materials: ResMut<Assets<FloorMaterial>>,
) {
    let colour = |colour: bevy_egui::egui::Color32| {
        let [r, g, b] = [colour.r(), colour.g(), colour.b()].map(|channel| f32::from(channel) / 255.0);
        Vec4::new(r, g, b, 1.0)
    };
    let material = materials.add(FloorMaterial {
        look: FloorLook {
            background: colour(theme::STAGE),
            colour: colour(theme::FLOOR),
            line: colour(theme::FLOOR_LINE),
            reach: Vec4::ZERO,
            shadows: [Vec4::new(0.0, 0.0, 1.0, 0.0); SHADOWS],
        },
    });
    commands.spawn((
        Mesh3d(meshes.add(Circle::new(RADIUS).mesh().resolution(48))),
        Transform::from_rotation(Quat::from_rotation_x(-std::f32::consts::FRAC_PI_2)),
        MeshMaterial3d(material.clone()),
        NoFrustumCulling,
    ));
    commands.insert_resource(Floor(material));
}

/// Shadows of a body whose joints are given in the stage's space; `None` takes them away.
pub fn cast(floor: &Floor, materials: &mut Assets<FloorMaterial>, joints: Option<&[Vec3]>) {
    let shadows = CASTERS.map(|(joint, size)| {
        let place = joints.and_then(|joints| joints.get(joint).filter(|_| joint < JOINTS)).copied();
        place.map_or(Vec4::new(0.0, 0.0, 1.0, 0.0), |place| {
            let height = place.y.max(0.0);
            Vec4::new(place.x, place.z, 1.0 / (size + 0.45 * height), 0.36 / (1.0 + (3.2 * height).powi(2)))
        })
    });
    // Shadows end at twice their radius.
    let cast: Vec<Vec3> =
        shadows.iter().filter(|s| s.w > 0.01).map(|s| Vec3::new(s.x, s.y, 2.0 / s.z)).collect();
    let middle = cast.iter().map(|s| s.xy()).sum::<Vec2>() / cast.len().max(1) as f32;
    let radius = cast.iter().map(|s| s.xy().distance(middle) + s.z).fold(0.0, f32::max);
    let reach = Vec4::new(middle.x, middle.y, radius, shadows.len() as f32);
    if materials.get(&floor.0).is_some_and(|material| material.look.shadows != shadows)
        && let Some(mut material) = materials.get_mut(&floor.0)
    {
        (material.look.shadows, material.look.reach) = (shadows, reach);
    }
}
