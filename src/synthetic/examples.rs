//! The three made-up photographs that ship as example pictures, described in full here: people nobody has to be asked.
//! One file because it is a description: three people and their surroundings, number by number.

use std::f32::consts::FRAC_PI_2;

use glam::{Mat3, Vec2, Vec3};

use super::backdrop::{Backdrop, Cover, Outdoors, Panel, Texture, Wall};
use super::boxes::Boxes;
use super::photo::{PhotoPlan, stand};
use crate::body::{BodyModel, BodyState, Posed, Sex};
use crate::geometry::camera::{Camera, Projection};
use crate::raster::light::linear;
use crate::raster::{Garment, Light, Lower, Outfit, Pattern};

const SIZE: [f32; 2] = [640.0, 800.0];

/// Names (of files, without ending) and plans.
pub fn example_photos(model: &BodyModel) -> Vec<(&'static str, PhotoPlan)> {
    vec![("park", park(model)), ("yoga", yoga(model)), ("counter", counter(model))]
}

fn rx(degrees: f32) -> Mat3 {
    Mat3::from_rotation_x(degrees.to_radians())
}

fn ry(degrees: f32) -> Mat3 {
    Mat3::from_rotation_y(degrees.to_radians())
}

fn rz(degrees: f32) -> Mat3 {
    Mat3::from_rotation_z(degrees.to_radians())
}

fn hex(rgb: u32) -> [u8; 3] {
    [(rgb >> 16) as u8, (rgb >> 8) as u8, rgb as u8]
}

fn texture(cover: Cover, first: u32, second: u32, seed: u32) -> Texture {
    Texture { cover, first: linear(hex(first)), second: linear(hex(second)), seed }
}

/// Where the camera stands and what it sees.
struct Shot {
    rotation: Mat3,
    origin: Vec3,
    camera: Camera,
}

impl Shot {
    /// `frame`: metres of the picture's height at the world's origin.
    fn new(height: f32, distance: f32, target: f32, frame: f32) -> Self {
        let (rotation, origin) = stand(height, distance, target);
        let focal_px = SIZE[1] * distance / frame;
        let principal_px = [SIZE[0] / 2.0, SIZE[1] / 2.0];
        Self {
            rotation,
            origin,
            camera: Camera { projection: Projection::Perspective { focal_px, principal_px }, size: SIZE },
        }
    }

    fn up(&self) -> Vec3 {
        self.rotation * Vec3::Y
    }

    fn floor(&self) -> f32 {
        self.origin.dot(self.up())
    }

    fn place(&self, world: Vec3) -> Vec3 {
        self.rotation * world + self.origin
    }

    /// A person with these local rotations, turned by `yaw` degrees, pelvis over `spot`, standing on the floor.
    fn person(
        &self,
        model: &BodyModel,
        outfit: &Outfit,
        betas: Vec<f32>,
        yaw: f32,
        spot: Vec2,
        joints: &[(usize, Mat3)],
    ) -> BodyState {
        let mut state = BodyState::rest(model.num_betas());
        state.betas = betas;
        state.global_orient = self.rotation * ry(yaw);
        for (joint, rotation) in joints {
            if let Some(own) = state.body_pose.get_mut(joint - 1) {
                *own = *rotation;
            }
        }
        let mut posed = Posed::default();
        model.pose_offset_into(&state, true, &outfit.offsets(model), &mut posed);
        let up = self.up();
        let transl =
            self.place(Vec3::new(spot.x, 0.0, spot.y)) - posed.joints.first().copied().unwrap_or(Vec3::ZERO);
        let lowest = posed.vertices.iter().map(|v| v.dot(up)).fold(f32::INFINITY, f32::min);
        state.transl = transl + up * (self.floor() - lowest - transl.dot(up));
        state
    }

    fn light(&self, key: Vec3, key_colour: Vec3, fill: Vec3, sky: Vec3, ground: Vec3) -> Light {
        Light {
            key_direction: (self.rotation * key).normalize(),
            key: key_colour,
            fill_direction: (self.rotation * Vec3::new(0.9, 0.4, 0.7)).normalize(),
            fill,
            up: self.up(),
            sky,
            ground,
        }
    }
}

/// The typical person of a stature and weight, the mean body where there are no statistics.
fn typical(model: &BodyModel, sex: Sex, stature: f32, weight: f32) -> Vec<f32> {
    match &model.extras {
        Some(extras) => extras.statistics.typical(sex, stature, weight),
        None => vec![0.0; model.num_betas()],
    }
}

fn no_sky() -> Outdoors {
    Outdoors {
        zenith: Vec3::splat(0.5),
        horizon: Vec3::splat(0.6),
        clouds: 0.0,
        skyline: 0.0,
        houses: false,
        skyline_colour: Vec3::ZERO,
        seed: 0,
    }
}

/// A man on a lawn, one hand on his hip.
fn park(model: &BodyModel) -> PhotoPlan {
    let shot = Shot::new(1.45, 4.6, 0.93, 2.15);
    let outfit = Outfit {
        skin: hex(0xc99a7b),
        hair: hex(0x3a2a20),
        lips: hex(0xad6d5f),
        iris: hex(0x4b3a2a),
        upper: Garment {
            pattern: Pattern::Hoops { period: 0.055, share: 0.42 },
            second: hex(0x2d4a73),
            looseness: 0.85,
            folds: 0.75,
            seed: 3,
            ..Garment::plain(hex(0xe6e3da), 0.40)
        },
        tucked: false,
        lower: Garment { looseness: 0.7, folds: 0.9, seed: 5, ..Garment::plain(hex(0x6f634c), 0.98) },
        lower_kind: Lower::Trousers,
        shoes: None,
        hair_volume: 0.022,
    };
    let joints = [
        (1, rx(-3.0) * rz(6.0)),
        (2, rx(-13.0) * rz(-6.0) * ry(-8.0)),
        (4, rx(3.0)),
        (5, rx(20.0)),
        (8, rx(-6.0)),
        (3, rz(-3.0)),
        (6, rz(2.0)),
        (9, ry(-6.0) * rz(2.0)),
        (12, ry(4.0)),
        (15, ry(8.0) * rx(2.0)),
        (13, rz(-10.0)),
        (14, rz(8.0)),
        (16, rx(4.0) * rz(-62.0)),
        (18, ry(-18.0)),
        (17, rz(40.0) * ry(-40.0) * rx(42.0)),
        (19, ry(108.0)),
    ];
    let state = shot.person(model, &outfit, typical(model, Sex::Man, 1.80, 78.0), 18.0, Vec2::ZERO, &joints);
    let outdoors = Outdoors {
        zenith: Vec3::new(0.22, 0.42, 0.80),
        horizon: Vec3::new(0.72, 0.83, 0.95),
        clouds: 0.8,
        skyline: 0.10,
        houses: false,
        skyline_colour: linear(hex(0x44603a)),
        seed: 12,
    };
    PhotoPlan {
        state,
        camera: shot.camera,
        light: shot.light(
            Vec3::new(-0.55, 0.75, 0.55),
            Vec3::new(1.0, 0.94, 0.84) * 0.95,
            Vec3::new(0.8, 0.9, 1.0) * 0.08,
            Vec3::new(0.72, 0.86, 1.05) * 0.42,
            Vec3::new(0.55, 0.62, 0.40) * 0.26,
        ),
        backdrop: Backdrop::Place {
            up: shot.up(),
            floor_height: shot.floor(),
            floor: texture(Cover::Grass, 0x4c6b2c, 0x7f9a45, 21),
            wall: None,
            outdoors,
        },
        floor: shot.floor(),
        boxes: Boxes::default(),
        depth_blur: 4.0,
        outfit,
        seed: 1,
    }
}

/// A woman in a studio, in the yoga pose called warrior.
fn yoga(model: &BodyModel) -> PhotoPlan {
    let shot = Shot::new(1.25, 4.8, 0.78, 2.35);
    let outfit = Outfit {
        skin: hex(0xe0b595),
        hair: hex(0x5b3a22),
        lips: hex(0xb8695f),
        iris: hex(0x5e7d6a),
        upper: Garment { looseness: 0.1, folds: 0.3, seed: 8, ..Garment::plain(hex(0xb5485a), 0.0) },
        tucked: false,
        lower: Garment { looseness: 0.05, folds: 0.25, seed: 9, ..Garment::plain(hex(0x2b3140), 0.86) },
        lower_kind: Lower::Trousers,
        shoes: None,
        hair_volume: 0.03,
    };
    let joints = [
        (1, ry(78.0) * rx(-66.0)),
        (4, rx(70.0)),
        (7, rx(-3.0)),
        (2, rz(-44.0) * ry(-6.0)),
        (5, rx(2.0)),
        (8, rz(34.0)),
        (3, ry(6.0)),
        (12, ry(26.0)),
        (15, ry(34.0)),
        (13, rz(3.0)),
        (14, rz(-3.0)),
    ];
    let state = shot.person(
        model,
        &outfit,
        typical(model, Sex::Woman, 1.68, 58.0),
        4.0,
        Vec2::new(-0.05, 0.0),
        &joints,
    );
    let window = |x: f32| Panel {
        low: Vec2::new(x, 0.75),
        high: Vec2::new(x + 0.95, 2.9),
        fill: texture(Cover::Mottled { size: 0.9, contrast: 0.25 }, 0xf2f6fa, 0xd8e6f2, 3),
        frame: linear(hex(0xf4f1ea)),
        frame_width: 0.05,
        glow: 1.15,
    };
    let wall = Wall {
        distance: 7.4,
        normal: (shot.rotation * Vec3::new(0.12, 0.0, 1.0)).normalize(),
        texture: texture(Cover::Mottled { size: 1.3, contrast: 0.3 }, 0xd9cfc0, 0xcfc4b3, 4),
        skirting: linear(hex(0xf0ece4)),
        panels: vec![window(-2.6), window(-1.35), window(1.1)],
    };
    PhotoPlan {
        state,
        camera: shot.camera,
        light: shot.light(
            Vec3::new(0.65, 0.8, 0.6),
            Vec3::new(1.0, 0.97, 0.92) * 0.72,
            Vec3::new(0.9, 0.95, 1.0) * 0.10,
            Vec3::new(0.95, 0.98, 1.02) * 0.55,
            Vec3::new(0.80, 0.68, 0.55) * 0.32,
        ),
        backdrop: Backdrop::Place {
            up: shot.up(),
            floor_height: shot.floor(),
            floor: texture(Cover::Planks { width: 0.12 }, 0xb98d5f, 0x9c7048, 31),
            wall: Some(wall),
            outdoors: no_sky(),
        },
        floor: shot.floor(),
        boxes: Boxes::default(),
        depth_blur: 4.0,
        outfit,
        seed: 2,
    }
}

/// A man behind a counter that hides his legs; one arm waves, the other rests.
fn counter(model: &BodyModel) -> PhotoPlan {
    let shot = Shot::new(1.5, 3.4, 1.22, 1.72);
    let outfit = Outfit {
        skin: hex(0x7a5138),
        hair: hex(0x1c1714),
        lips: hex(0x6f4037),
        iris: hex(0x2f2018),
        upper: Garment {
            pattern: Pattern::Checks { period: 0.06 },
            second: hex(0x274a3e),
            looseness: 0.9,
            folds: 0.8,
            seed: 14,
            ..Garment::plain(hex(0x7ba08a), 1.0)
        },
        tucked: true,
        lower: Garment::plain(hex(0x30343c), 0.98),
        lower_kind: Lower::Trousers,
        shoes: Some(hex(0x3a3029)),
        hair_volume: 0.012,
    };
    let joints = [
        (3, rx(5.0)),
        (6, rz(2.0)),
        (9, ry(-5.0) * rx(3.0)),
        (12, rz(-3.0)),
        (15, ry(-6.0) * rz(-5.0)),
        (13, rz(-6.0)),
        (14, rz(-12.0)),
        (17, rz(8.0) * rx(-84.0)),
        (19, ry(92.0)),
        (21, rz(6.0)),
        (16, rx(-16.0) * rz(-58.0) * rx(10.0)),
        (18, ry(-52.0)),
        (20, rz(14.0)),
    ];
    let state = shot.person(
        model,
        &outfit,
        typical(model, Sex::Man, 1.76, 82.0),
        -12.0,
        Vec2::new(0.02, -0.1),
        &joints,
    );
    let mut boxes = Boxes::default();
    let up = shot.up();
    let wood = texture(Cover::Planks { width: 0.16 }, 0x6b4a30, 0x54371f, 41);
    let top = texture(Cover::Mottled { size: 0.25, contrast: 0.5 }, 0xd8d2c6, 0xc2baab, 42);
    boxes.add(shot.place(Vec3::new(0.0, 0.485, 0.52)), Mat3::IDENTITY, up, Vec3::new(1.6, 0.485, 0.24), wood);
    boxes.add(shot.place(Vec3::new(0.0, 0.99, 0.50)), Mat3::IDENTITY, up, Vec3::new(1.65, 0.02, 0.30), top);
    let shelf = |y: f32| Panel {
        low: Vec2::new(-1.5, y),
        high: Vec2::new(1.9, y + 0.05),
        fill: texture(Cover::Planks { width: 0.3 }, 0x6d5138, 0x5a4029, 6),
        frame: Vec3::ZERO,
        frame_width: 0.0,
        glow: 0.0,
    };
    let mut panels = vec![shelf(1.35), shelf(1.85), shelf(2.35)];
    for i in 0..26u32 {
        let tone = [0xb8553f, 0xd9a441, 0x4f7a6b, 0x3d5a80, 0xe4d9c3, 0x8a6fa0][(i * 5 % 6) as usize];
        let row = [1.40, 1.90, 2.40][(i % 3) as usize];
        let x = -1.45 + 0.37 * (i / 3) as f32 + 0.05 * ((i * 7 % 5) as f32);
        let (width, height) = (0.10 + 0.03 * (i * 11 % 4) as f32, 0.16 + 0.05 * (i * 13 % 4) as f32);
        panels.push(Panel {
            low: Vec2::new(x, row),
            high: Vec2::new(x + width, row + height),
            fill: texture(Cover::Mottled { size: 0.2, contrast: 0.3 }, tone, tone & 0x00c0_c0c0, i),
            frame: Vec3::ZERO,
            frame_width: 0.0,
            glow: 0.0,
        });
    }
    let wall = Wall {
        distance: 5.4,
        normal: (shot.rotation * Vec3::new(-FRAC_PI_2 * 0.06, 0.0, 1.0)).normalize(),
        texture: texture(Cover::Bricks { height: 0.075 }, 0xa9745c, 0xc9b7a6, 17),
        skirting: linear(hex(0x4a382b)),
        panels,
    };
    PhotoPlan {
        state,
        camera: shot.camera,
        light: shot.light(
            Vec3::new(-0.7, 0.8, 0.75),
            Vec3::new(1.0, 0.90, 0.76) * 0.85,
            Vec3::new(0.8, 0.88, 1.0) * 0.12,
            Vec3::new(1.0, 0.93, 0.84) * 0.42,
            Vec3::new(0.75, 0.62, 0.50) * 0.26,
        ),
        backdrop: Backdrop::Place {
            up,
            floor_height: shot.floor(),
            floor: texture(Cover::Tiles { size: 0.3 }, 0x9a938a, 0x6f6a63, 51),
            wall: Some(wall),
            outdoors: no_sky(),
        },
        floor: shot.floor(),
        boxes,
        depth_blur: 6.0,
        outfit,
        seed: 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::photo::photograph;

    #[test]
    fn people_stand_in_the_picture() {
        let model = BodyModel::default_body().unwrap();
        for (name, plan) in example_photos(&model) {
            let posed = model.pose(&plan.state, true);
            let inside = posed.vertices.iter().filter(|v| {
                plan.camera
                    .project(**v)
                    .is_some_and(|p| p.x > 0.0 && p.y > 0.0 && p.x < SIZE[0] && p.y < SIZE[1])
            });
            let share = inside.count() as f32 / posed.vertices.len() as f32;
            assert!(share > if name == "counter" { 0.6 } else { 0.999 }, "{name} {share}");
        }
    }

    #[test]
    fn the_same_photograph_every_time() {
        let model = BodyModel::default_body().unwrap();
        let (_, mut plan) = example_photos(&model).remove(0);
        plan.camera = crate::raster::view::window(&plan.camera, Vec2::ZERO, 0.1, [64.0, 80.0]);
        assert_eq!(photograph(&model, &plan).rgb, photograph(&model, &plan).rgb);
    }
}
