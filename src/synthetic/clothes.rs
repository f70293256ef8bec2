//! Random outfits: skin tones, hair, garments with colours, cuts and patterns, shoes.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::raster::colormap::oklch_to_srgb;
use crate::raster::{Garment, Lower, Outfit, Pattern};

/// Skin from very light to very dark (lightness, chroma, hue of Oklch).
const SKIN: [[f32; 3]; 6] = [
    [0.85, 0.045, 55.0],
    [0.77, 0.060, 57.0],
    [0.68, 0.072, 58.0],
    [0.57, 0.075, 56.0],
    [0.46, 0.065, 52.0],
    [0.36, 0.045, 48.0],
];

/// A random person's clothes and colours.
pub fn random_outfit(rng: &mut ChaCha8Rng) -> Outfit {
    let place = rng.random::<f32>() * (SKIN.len() - 1) as f32;
    let (low, t) = ((place as usize).min(SKIN.len() - 2), place.fract());
    let skin: [f32; 3] = std::array::from_fn(|i| SKIN[low][i] * (1.0 - t) + SKIN[low + 1][i] * t);
    let darker = |light: f32, chroma: f32| oklch_to_srgb([skin[0] * light, skin[1] + chroma, 35.0]);
    let dark_skin = skin[0] < 0.55;
    let hair = match rng.random_range(0..10) {
        _ if dark_skin && rng.random::<f32>() < 0.85 => [0.20, 0.01, 60.0],
        0..=3 => [0.22, 0.02, 60.0],
        4..=6 => [0.34, 0.045, 55.0],
        7 => [0.62, 0.08, 80.0],
        8 => [0.45, 0.09, 45.0],
        _ => [0.72, 0.01, 80.0],
    };
    let sleeve = match rng.random_range(0..10) {
        0 => 0.0,
        1..=5 => rng.random_range(0.28..0.55),
        6 => rng.random_range(0.6..0.85),
        _ => rng.random_range(0.95..1.02),
    };
    let leg = match rng.random_range(0..10) {
        0..=1 => rng.random_range(0.2..0.4),
        2..=3 => rng.random_range(0.42..0.6),
        4 => rng.random_range(0.65..0.85),
        _ => rng.random_range(0.94..1.03),
    };
    let mut upper = garment(rng, sleeve);
    let mut lower = garment(rng, leg);
    // Trousers are mostly plain and often dark or blue.
    if rng.random::<f32>() < 0.75 {
        lower.pattern = Pattern::Plain;
    }
    if rng.random::<f32>() < 0.5 {
        let (light, chroma) = (rng.random_range(0.2..0.5), rng.random_range(0.0..0.06));
        lower.colour = oklch_to_srgb([light, chroma, 260.0]);
    }
    // Dresses, overalls and sports suits: one cloth from top to bottom.
    if rng.random::<f32>() < 0.12 {
        lower = Garment { length: lower.length, ..upper };
    }
    if rng.random::<f32>() < 0.06 {
        // Bare chest: the garment takes the skin's colour.
        upper = Garment { folds: 0.0, looseness: 0.0, ..Garment::plain(oklch_to_srgb(skin), 0.0) };
    }
    let shoe_light = rng.random_range(0.15..0.95);
    let shoe_hue = rng.random_range(0.0..360.0);
    Outfit {
        skin: oklch_to_srgb(skin),
        hair: oklch_to_srgb(hair),
        lips: darker(0.86, 0.03),
        iris: if rng.random::<f32>() < 0.7 { [70, 50, 36] } else { [92, 116, 132] },
        upper,
        tucked: rng.random::<f32>() < 0.3,
        lower,
        lower_kind: if rng.random::<f32>() < 0.12 { Lower::Skirt } else { Lower::Trousers },
        shoes: (rng.random::<f32>() < 0.85).then(|| oklch_to_srgb([shoe_light, 0.04, shoe_hue])),
        hair_volume: rng.random_range(0.0..0.03),
    }
}

fn garment(rng: &mut ChaCha8Rng, length: f32) -> Garment {
    let colour = cloth_colour(rng);
    let second = cloth_colour(rng);
    let pattern = match rng.random_range(0..20) {
        0..=1 => Pattern::Hoops { period: rng.random_range(0.02..0.2), share: rng.random_range(0.2..0.6) },
        2 => Pattern::Pinstripes { period: rng.random_range(0.02..0.1), share: rng.random_range(0.1..0.5) },
        3..=4 => Pattern::Checks { period: rng.random_range(0.02..0.14) },
        5..=6 => Pattern::Patches { size: rng.random_range(0.02..0.2) },
        7..=9 => Pattern::Print { size: rng.random_range(0.05..0.14) },
        _ => Pattern::Plain,
    };
    Garment {
        colour,
        second,
        pattern,
        length,
        looseness: 1.4 * rng.random::<f32>(),
        folds: rng.random_range(0.2..1.0),
        seed: rng.random(),
    }
}

fn cloth_colour(rng: &mut ChaCha8Rng) -> [u8; 3] {
    let lightness = rng.random_range(0.15..0.97);
    // Most cloth is muted.
    let chroma = 0.2 * rng.random::<f32>().powf(1.7);
    oklch_to_srgb([lightness, chroma, rng.random_range(0.0..360.0)])
}
