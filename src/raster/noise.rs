//! Smooth noise for surfaces and backgrounds: the same numbers for the same place and seed, everywhere.

use glam::Vec3;

/// A well-mixed number in 0..1 for a cell and a seed.
pub fn hash(x: i32, y: i32, z: i32, seed: u32) -> f32 {
    let mut h = (x as u32)
        .wrapping_mul(0x8da6_b343)
        .wrapping_add((y as u32).wrapping_mul(0xd816_3841))
        .wrapping_add((z as u32).wrapping_mul(0xcb1a_b31f))
        .wrapping_add(seed.wrapping_mul(0x9e37_79b9));
    h ^= h >> 15;
    h = h.wrapping_mul(0x2c1b_3c6d);
    h ^= h >> 12;
    h = h.wrapping_mul(0x297a_2d39);
    h ^= h >> 15;
    (h >> 8) as f32 / (1u32 << 24) as f32
}

/// Value noise in 0..1: random at whole numbers, smooth between them.
pub fn value(p: Vec3, seed: u32) -> f32 {
    value_and_slope(p, seed).0
}

/// Value noise and its gradient.
pub fn value_and_slope(p: Vec3, seed: u32) -> (f32, Vec3) {
    let floor = p.floor();
    let t = p - floor;
    let (x, y, z) = (floor.x as i32, floor.y as i32, floor.z as i32);
    let fade = t * t * (3.0 - 2.0 * t);
    let slope = 6.0 * t * (Vec3::ONE - t);
    let at =
        |dx: i32, dy: i32, dz: i32| hash(x.wrapping_add(dx), y.wrapping_add(dy), z.wrapping_add(dz), seed);
    let (c000, c100, c010, c110) = (at(0, 0, 0), at(1, 0, 0), at(0, 1, 0), at(1, 1, 0));
    let (c001, c101, c011, c111) = (at(0, 0, 1), at(1, 0, 1), at(0, 1, 1), at(1, 1, 1));
    let mix = |a: f32, b: f32, w: f32| a + (b - a) * w;
    let (x00, x10) = (mix(c000, c100, fade.x), mix(c010, c110, fade.x));
    let (x01, x11) = (mix(c001, c101, fade.x), mix(c011, c111, fade.x));
    let (y0, y1) = (mix(x00, x10, fade.y), mix(x01, x11, fade.y));
    let along_x = mix(mix(c100 - c000, c110 - c010, fade.y), mix(c101 - c001, c111 - c011, fade.y), fade.z);
    let along_y = mix(x10 - x00, x11 - x01, fade.z);
    (mix(y0, y1, fade.z), Vec3::new(along_x, along_y, y1 - y0) * slope)
}

/// Three octaves of value noise, 0..1.
pub fn cloud(p: Vec3, seed: u32) -> f32 {
    0.57 * value(p, seed) + 0.29 * value(p * 2.03, seed ^ 0x51) + 0.14 * value(p * 4.11, seed ^ 0xa3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_agree_with_differences() {
        for i in 0..50 {
            let p = Vec3::new(i as f32 * 0.37 - 4.0, i as f32 * 0.11, 2.7 - i as f32 * 0.23);
            let (_, slope) = value_and_slope(p, 7);
            let h = 2e-3;
            let difference = |d: Vec3| (value(p + d * h, 7) - value(p - d * h, 7)) / (2.0 * h);
            let expected = Vec3::new(difference(Vec3::X), difference(Vec3::Y), difference(Vec3::Z));
            assert!((slope - expected).length() < 0.03, "{p} {slope} {expected}");
        }
    }

    #[test]
    fn noise_stays_in_range_and_varies() {
        let values: Vec<f32> = (0..1000).map(|i| cloud(Vec3::splat(i as f32 * 0.173), 3)).collect();
        assert!(values.iter().all(|v| (0.0..=1.0).contains(v)));
        let mean = values.iter().sum::<f32>() / 1000.0;
        let spread = values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / 1000.0;
        assert!((mean - 0.5).abs() < 0.1 && spread > 0.01);
    }
}
