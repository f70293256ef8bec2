//! Procedural surroundings: a floor, perhaps a wall with things on it, or open ground under a sky, or plain clutter.
//! Floor and wall are true planes of the camera's space, so that their perspective fits the person's.
//! One file because every kind of surroundings is a few lines on the same planes.

use glam::{Vec2, Vec3};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::geometry::camera::{Camera, Projection};
use crate::raster::colormap::oklch_to_srgb;
use crate::raster::light::linear;
use crate::raster::noise::{cloud, hash, value};

/// What a plane is covered with; lengths in metres.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cover {
    /// Paint, concrete, carpet, sand.
    Mottled {
        size: f32,
        contrast: f32,
    },
    Planks {
        width: f32,
    },
    Tiles {
        size: f32,
    },
    Bricks {
        height: f32,
    },
    Stripes {
        width: f32,
    },
    Grass,
}

/// A plane's colours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Texture {
    pub cover: Cover,
    /// Linear.
    pub first: Vec3,
    pub second: Vec3,
    pub seed: u32,
}

/// A rectangle on the wall: a picture, a window, a door, a board.
#[derive(Clone, Copy, Debug)]
pub struct Panel {
    /// Metres along the wall and above the floor.
    pub low: Vec2,
    pub high: Vec2,
    pub fill: Texture,
    pub frame: Vec3,
    pub frame_width: f32,
    /// Shines by itself (a window).
    pub glow: f32,
}

/// An upright plane behind the person.
#[derive(Clone, Debug)]
pub struct Wall {
    /// Metres from the camera, and unit normal towards it.
    pub distance: f32,
    pub normal: Vec3,
    pub texture: Texture,
    pub skirting: Vec3,
    pub panels: Vec<Panel>,
}

/// Sky and skyline.
#[derive(Clone, Copy, Debug)]
pub struct Outdoors {
    pub zenith: Vec3,
    pub horizon: Vec3,
    pub clouds: f32,
    /// Height of the skyline as a slope, 0 for none.
    pub skyline: f32,
    /// Houses rather than trees.
    pub houses: bool,
    pub skyline_colour: Vec3,
    pub seed: u32,
}

/// What surrounds the person.
#[derive(Clone, Debug)]
pub enum Backdrop {
    /// Planes in the camera's space.
    Place { up: Vec3, floor_height: f32, floor: Texture, wall: Option<Wall>, outdoors: Outdoors },
    /// Blocks, blobs and lines without any geometry.
    Clutter { texture: Texture, shapes: Vec<Shape> },
}

/// A flat shape of [`Backdrop::Clutter`]; lengths as shares of the picture's height.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub center: Vec2,
    pub half: Vec2,
    pub angle: f32,
    pub round: bool,
    pub texture: Texture,
}

/// What a ray through a pixel meets.
#[derive(Clone, Copy, Debug)]
pub struct Hit {
    /// Linear colour: of the surface, or of the light itself where `emits`.
    pub colour: Vec3,
    /// Point and normal of a lit surface; none for sky and clutter.
    pub surface: Option<(Vec3, Vec3)>,
}

impl Texture {
    /// Linear colour at a place of the plane, in metres.
    pub fn colour(&self, place: Vec2) -> Vec3 {
        let seed = self.seed;
        let noise = |size: f32| cloud(Vec3::new(place.x / size, place.y / size, 0.5), seed);
        let cell = |x: f32, y: f32| hash(x.floor() as i32, y.floor() as i32, 0, seed);
        let joint = |x: f32, width: f32| (x - x.floor() < width) as u8 as f32;
        let share = match self.cover {
            Cover::Mottled { size, contrast } => 0.5 + (noise(size) - 0.5) * 2.0 * contrast,
            Cover::Planks { width } => {
                let row = (place.x / width).floor();
                let offset = hash(row as i32, 7, 0, seed) * 5.0;
                let along = place.y / 1.4 + offset;
                let tone = cell(row + 0.5, along);
                let grain = value(Vec3::new(place.x * 60.0, place.y * 3.0, tone * 9.0), seed);
                let gap = joint(place.x / width, 0.03).max(joint(along, 0.004));
                (0.7 * tone + 0.3 * grain) * (1.0 - gap) + 1.6 * gap
            }
            Cover::Tiles { size } => {
                let gap = joint(place.x / size, 0.025).max(joint(place.y / size, 0.025));
                let tone = 0.25 * cell(place.x / size, place.y / size) + 0.1 * noise(0.3 * size);
                tone * (1.0 - gap) + gap
            }
            Cover::Bricks { height } => {
                let row = (place.y / height).floor();
                let along = place.x / (height * 3.0) + 0.5 * row.rem_euclid(2.0);
                let gap = joint(place.y / height, 0.12).max(joint(along, 0.04));
                (0.2 + 0.5 * cell(along, row + 0.5) + 0.2 * noise(0.05)) * (1.0 - gap) + 1.2 * gap
            }
            Cover::Stripes { width } => f32::from((place.x / width).rem_euclid(1.0) < 0.5),
            Cover::Grass => {
                let blades = value(Vec3::new(place.x * 55.0, place.y * 55.0, 0.0), seed);
                0.55 * blades + 0.45 * noise(1.3)
            }
        };
        self.first.lerp(self.second, share.clamp(0.0, 1.6)).max(Vec3::ZERO)
    }

    /// A random one for a floor.
    fn floor(rng: &mut ChaCha8Rng, outdoors: bool) -> Self {
        let kind = rng.random_range(0..4);
        let seed = rng.random();
        if outdoors && kind < 2 {
            return Self {
                cover: Cover::Grass,
                first: tone(rng, 0.38, 0.08, 125.0),
                second: tone(rng, 0.55, 0.09, 118.0),
                seed,
            };
        }
        let cover = match kind {
            0 | 1 if !outdoors => Cover::Planks { width: rng.random_range(0.08..0.2) },
            2 => Cover::Tiles { size: rng.random_range(0.15..0.9) },
            _ => Cover::Mottled { size: rng.random_range(0.05..0.8), contrast: rng.random_range(0.1..0.8) },
        };
        let hue = rng.random_range(20.0..110.0);
        let light = rng.random_range(0.3..0.8);
        let chroma = rng.random_range(0.0..0.07);
        let step = rng.random_range(0.04..0.14);
        Self {
            cover,
            first: tone(rng, light, chroma, hue),
            second: tone(rng, light - step, chroma, hue),
            seed,
        }
    }

    /// A random one for a wall or a thing.
    pub fn any(rng: &mut ChaCha8Rng) -> Self {
        let cover = match rng.random_range(0..8) {
            0 => Cover::Bricks { height: rng.random_range(0.06..0.1) },
            1 => Cover::Stripes { width: rng.random_range(0.03..0.4) },
            2 => Cover::Tiles { size: rng.random_range(0.1..0.4) },
            3 => Cover::Planks { width: rng.random_range(0.07..0.25) },
            _ => Cover::Mottled { size: rng.random_range(0.03..1.5), contrast: rng.random_range(0.05..0.9) },
        };
        let (light, hue) = (rng.random_range(0.25..0.95), rng.random_range(0.0..360.0));
        let chroma = rng.random_range(0.0..0.12) * rng.random::<f32>();
        let step = rng.random_range(-0.15..0.15);
        Self {
            cover,
            first: tone(rng, light, chroma, hue),
            second: tone(rng, light + step, chroma, hue),
            seed: rng.random(),
        }
    }
}

/// A linear colour near an Oklch one.
fn tone(rng: &mut ChaCha8Rng, lightness: f32, chroma: f32, hue: f32) -> Vec3 {
    let jitter = rng.random_range(-0.03..0.03);
    linear(oklch_to_srgb([(lightness + jitter).clamp(0.02, 0.99), chroma, hue + 200.0 * jitter]))
}

impl Backdrop {
    /// Random surroundings. `up`: the world's up in the camera's axes; `floor_height`: where the floor is along it;
    /// `distance`: the person's.
    pub fn random(rng: &mut ChaCha8Rng, up: Vec3, floor_height: f32, distance: f32) -> Self {
        let kind: f32 = rng.random();
        if kind < 0.25 {
            let shapes = (0..rng.random_range(0..25)).map(|_| Shape::random(rng)).collect();
            return Self::Clutter { texture: Texture::any(rng), shapes };
        }
        let outdoors = kind > 0.65;
        let hue = rng.random_range(200.0..270.0);
        let grey = rng.random_range(0.0..0.06);
        let sky = Outdoors {
            zenith: tone(rng, 0.65, 0.06 + grey, hue),
            horizon: tone(rng, 0.9, 0.02 + 0.3 * grey, hue),
            clouds: rng.random_range(0.0..0.8),
            skyline: if rng.random::<f32>() < 0.8 { rng.random_range(0.05..0.45) } else { 0.0 },
            houses: rng.random(),
            skyline_colour: {
                let (light, hue) = (rng.random_range(0.25..0.6), rng.random_range(60.0..160.0));
                tone(rng, light, 0.05, hue)
            },
            seed: rng.random(),
        };
        let wall = (!outdoors).then(|| Wall::random(rng, up, distance));
        Self::Place { up, floor_height, floor: Texture::floor(rng, outdoors), wall, outdoors: sky }
    }

    /// What the ray through a pixel (x, y; a centre lies at .5) meets.
    pub fn hit(&self, camera: &Camera, x: f32, y: f32) -> Hit {
        match self {
            Self::Clutter { texture, shapes } => {
                let height = camera.size[1].max(1.0);
                let place = Vec2::new(x, y) / height;
                let top = shapes.iter().rev().find_map(|shape| shape.local(place).map(|at| (shape, at)));
                let colour = match top {
                    Some((shape, at)) => shape.texture.colour(at * 1.7),
                    None => texture.colour(place * 1.7),
                };
                Hit { colour, surface: None }
            }
            Self::Place { up, floor_height, floor, wall, outdoors } => {
                let ray = ray(camera, x, y);
                let down = -ray.dot(*up);
                let floor_at = if down > 1e-4 { -floor_height / down } else { f32::INFINITY };
                let (right, ahead) = ground_axes(*up);
                if let Some(wall) = wall {
                    let facing = -ray.dot(wall.normal);
                    let wall_at = if facing > 1e-4 { wall.distance / facing } else { f32::INFINITY };
                    if wall_at < floor_at && wall_at.is_finite() {
                        let point = ray * wall_at;
                        let along = up.cross(wall.normal);
                        let place = Vec2::new(point.dot(along), point.dot(*up) - floor_height);
                        return wall.hit(place, point);
                    }
                }
                let reach = if outdoors.skyline > 0.0 { 90.0 } else { 400.0 };
                if floor_at < reach {
                    let point = ray * floor_at;
                    let place = Vec2::new(point.dot(right), point.dot(ahead));
                    let far = (floor_at / 60.0).min(1.0).powi(2);
                    // Fine texture far away would only glitter: fade to the mean.
                    let mean = (floor.first + floor.second) / 2.0;
                    let fade = (floor_at / 35.0).min(1.0);
                    let broad = 0.72 + 0.56 * cloud(Vec3::new(place.x / 2.3, place.y / 2.3, 3.5), floor.seed);
                    let colour =
                        floor.colour(place).lerp(mean, fade) * if wall.is_some() { 1.0 } else { broad };
                    let colour = colour.lerp(outdoors.horizon, 0.25 * far);
                    return Hit { colour, surface: Some((point, *up)) };
                }
                let elevation = -down;
                let azimuth = ray.dot(right).atan2(ray.dot(ahead));
                Hit { colour: outdoors.colour(azimuth, elevation), surface: None }
            }
        }
    }
}

/// Unit direction of the ray through a pixel. Weak-perspective cameras are given a long lens.
fn ray(camera: &Camera, x: f32, y: f32) -> Vec3 {
    match camera.projection {
        Projection::Perspective { focal_px, principal_px } => {
            Vec3::new((x - principal_px[0]) / focal_px, -(y - principal_px[1]) / focal_px, -1.0).normalize()
        }
        Projection::WeakPerspective { .. } => {
            let [w, h] = camera.size;
            Vec3::new((x - w / 2.0) / (2.0 * h), -(y - h / 2.0) / (2.0 * h), -1.0).normalize()
        }
    }
}

/// Level axes of the floor: the camera's right, and ahead.
fn ground_axes(up: Vec3) -> (Vec3, Vec3) {
    let ahead = (Vec3::NEG_Z - up * Vec3::NEG_Z.dot(up)).try_normalize().unwrap_or(Vec3::NEG_Z);
    (ahead.cross(up), ahead)
}

impl Wall {
    fn random(rng: &mut ChaCha8Rng, up: Vec3, distance: f32) -> Self {
        let (right, ahead) = ground_axes(up);
        let turn: f32 = rng.random_range(-0.5..0.5);
        let normal = (-ahead * turn.cos() + right * turn.sin()).normalize();
        let light = rng.random_range(0.35..0.95);
        // Most walls are warm.
        let hue = if rng.random::<f32>() < 0.6 {
            rng.random_range(40.0..110.0)
        } else {
            rng.random_range(0.0..360.0)
        };
        let plain = rng.random::<f32>() < 0.6;
        let texture = if plain {
            Texture {
                cover: Cover::Mottled { size: 0.7, contrast: 0.3 },
                first: tone(rng, light, 0.03, hue),
                second: tone(rng, light - 0.04, 0.03, hue),
                seed: rng.random(),
            }
        } else {
            Texture::any(rng)
        };
        let panels = (0..rng.random_range(0..7)).map(|_| Panel::random(rng, distance)).collect();
        Self {
            distance: distance + rng.random_range(0.8..4.0),
            normal,
            texture,
            skirting: tone(rng, 0.9 * light, 0.02, hue),
            panels,
        }
    }

    fn hit(&self, place: Vec2, point: Vec3) -> Hit {
        let lit = Some((point, self.normal));
        if let Some(panel) =
            self.panels.iter().rev().find(|p| place.cmpge(p.low).all() && place.cmple(p.high).all())
        {
            let inner = (place - panel.low).min(panel.high - place).min_element();
            if inner < panel.frame_width {
                return Hit { colour: panel.frame, surface: lit };
            }
            let colour = panel.fill.colour(place);
            return if panel.glow > 0.0 {
                Hit { colour: colour * panel.glow, surface: None }
            } else {
                Hit { colour, surface: lit }
            };
        }
        if (0.0..0.1).contains(&place.y) {
            return Hit { colour: self.skirting, surface: lit };
        }
        Hit { colour: self.texture.colour(place), surface: lit }
    }
}

impl Panel {
    fn random(rng: &mut ChaCha8Rng, distance: f32) -> Self {
        let width = rng.random_range(0.2..1.4);
        let x = rng.random_range(-0.9..0.9) * distance;
        let door = rng.random::<f32>() < 0.3;
        let (bottom, top) = if door {
            (0.0, rng.random_range(1.8..2.2))
        } else {
            let bottom = rng.random_range(0.3..1.8);
            (bottom, bottom + rng.random_range(0.15..1.3))
        };
        let light = rng.random_range(0.2..0.95);
        Self {
            low: Vec2::new(x - width / 2.0, bottom),
            high: Vec2::new(x + width / 2.0, top),
            fill: Texture::any(rng),
            frame: tone(rng, light, 0.03, 60.0),
            frame_width: rng.random_range(0.0..0.07),
            glow: if rng.random::<f32>() < 0.2 { rng.random_range(0.9..1.6) } else { 0.0 },
        }
    }
}

impl Outdoors {
    fn colour(&self, azimuth: f32, elevation: f32) -> Vec3 {
        let slope = elevation / (1.0 - elevation * elevation).max(1e-3).sqrt();
        if self.skyline > 0.0 {
            let shade = if self.houses {
                let block = (azimuth * 9.0).floor();
                let height = self.skyline * (0.3 + 0.7 * hash(block as i32, 1, 0, self.seed));
                (slope < height).then(|| {
                    let window =
                        ((azimuth * 90.0).rem_euclid(1.0) > 0.55) && ((slope * 45.0).rem_euclid(1.0) > 0.5);
                    let tone = 0.6 + 0.8 * hash(block as i32, 2, 0, self.seed);
                    if window { 0.45 * tone } else { tone }
                })
            } else {
                let crowns = cloud(Vec3::new(azimuth * 7.0, 0.0, 0.0), self.seed);
                let leaves = cloud(Vec3::new(azimuth * 60.0, slope * 60.0, 1.0), self.seed);
                (slope < self.skyline * (0.35 + crowns) - 0.05 * leaves).then_some(0.35 + 1.1 * leaves)
            };
            if let Some(shade) = shade {
                return (self.skyline_colour * shade).lerp(self.horizon, 0.18);
            }
        }
        let base = self.horizon.lerp(self.zenith, (elevation * 2.2).clamp(0.0, 1.0));
        let above = (elevation + 0.15).max(0.05);
        let veil = cloud(Vec3::new(azimuth * 2.5, 1.2 / above, 0.0), self.seed ^ 0x9);
        let cover = ((veil - 0.52) * 4.0).clamp(0.0, 1.0) * self.clouds;
        base.lerp(Vec3::splat(0.92), cover)
    }
}

impl Shape {
    fn random(rng: &mut ChaCha8Rng) -> Self {
        let size = 0.4 * rng.random::<f32>().powi(2) + 0.02;
        Self {
            center: Vec2::new(rng.random_range(-0.1..1.6), rng.random_range(-0.1..1.1)),
            half: Vec2::new(size * rng.random_range(0.1..2.0), size * rng.random_range(0.1..2.0)),
            angle: if rng.random() { 0.0 } else { rng.random_range(0.0..3.2) },
            round: rng.random::<f32>() < 0.3,
            texture: Texture::any(rng),
        }
    }

    /// The place within the shape, `None` outside.
    fn local(&self, place: Vec2) -> Option<Vec2> {
        let local = Vec2::from_angle(-self.angle).rotate(place - self.center);
        let unit = local / self.half;
        let inside = if self.round { unit.length_squared() < 1.0 } else { unit.abs().max_element() < 1.0 };
        inside.then_some(local)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::stream;

    #[test]
    fn the_floor_lies_where_it_should() {
        let camera = Camera {
            projection: Projection::Perspective { focal_px: 200.0, principal_px: [64.0, 64.0] },
            size: [128.0; 2],
        };
        let mut rng = stream(1, 1);
        let texture = Texture::any(&mut rng);
        let sky = Outdoors {
            zenith: Vec3::ZERO,
            horizon: Vec3::ONE,
            clouds: 0.5,
            skyline: 0.2,
            houses: true,
            skyline_colour: Vec3::splat(0.3),
            seed: 1,
        };
        let backdrop =
            Backdrop::Place { up: Vec3::Y, floor_height: -1.5, floor: texture, wall: None, outdoors: sky };
        let (point, normal) = backdrop.hit(&camera, 64.0, 124.0).surface.unwrap();
        assert!((point - Vec3::new(0.0, -1.5, -5.0)).length() < 1e-3 && normal == Vec3::Y);
        assert!(backdrop.hit(&camera, 64.0, 20.0).surface.is_none());
    }

    #[test]
    fn all_kinds_give_sane_colours() {
        let camera = Camera {
            projection: Projection::Perspective { focal_px: 100.0, principal_px: [32.0, 32.0] },
            size: [64.0; 2],
        };
        for item in 0..60 {
            let mut rng = stream(2, item);
            let up = Vec3::new(0.05, 1.0, 0.2).normalize();
            let backdrop = Backdrop::random(&mut rng, up, -1.2, 3.0);
            for i in 0..64 {
                let colour = backdrop.hit(&camera, i as f32 + 0.5, (i * 37 % 64) as f32 + 0.5).colour;
                assert!(
                    colour.is_finite() && colour.min_element() >= 0.0 && colour.max_element() < 2.5,
                    "{colour}"
                );
            }
        }
    }
}
