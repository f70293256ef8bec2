//! Light for a synthetic picture.

use glam::Vec3;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::raster::Light;

/// Random lights: a key from somewhere above or beside, a weaker fill, more or less light from all round.
pub fn random_light(rng: &mut ChaCha8Rng, up: Vec3) -> Light {
    let towards = |rng: &mut ChaCha8Rng| {
        Vec3::new(rng.random_range(-1.0..1.0), rng.random_range(-0.2..1.0), rng.random_range(-0.4..1.0))
            .try_normalize()
            .unwrap_or(Vec3::Y)
    };
    let upright = glam::Quat::from_rotation_arc(Vec3::Y, up);
    let warmth: f32 = rng.random_range(-0.15..0.2);
    let warm = Vec3::new(1.0 + warmth, 1.0, 1.0 - warmth);
    let cool = Vec3::new(1.0 - 0.6 * warmth, 1.0, 1.0 + 0.6 * warmth);
    let exposure = rng.random_range(0.6..1.25);
    let key = exposure * rng.random_range(0.2..1.1);
    let sky = exposure * rng.random_range(0.25..0.75);
    Light {
        key_direction: upright * towards(rng),
        key: warm * key,
        fill_direction: upright * towards(rng),
        fill: cool * (key * rng.random_range(0.0..0.4)),
        up,
        sky: cool * sky,
        ground: warm * (sky * rng.random_range(0.2..0.8)),
    }
}
