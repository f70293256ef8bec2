//! What cameras and files do to pictures: blur, noise, colour casts, compression, and patches that hide things.

use glam::Vec3;
use image::codecs::jpeg::{JpegDecoder, JpegEncoder};
use image::{DynamicImage, ExtendedColorType, ImageEncoder};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use super::obstacles::Patch;
use crate::formats::picture::Picture;

/// Shares of pictures that get each disturbance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AugmentConfig {
    pub blur: f32,
    pub noise: f32,
    pub compression: f32,
    /// Each channel times a number within ±this.
    pub colour_cast: f32,
    /// One square patch, a fifth of the picture's width.
    pub patch: f32,
    /// The picture goes dark below, above or beside a line near the middle.
    pub bottom: f32,
    pub top: f32,
    pub side: f32,
}

impl Default for AugmentConfig {
    fn default() -> Self {
        Self {
            blur: 0.4,
            noise: 0.6,
            compression: 0.6,
            colour_cast: 0.2,
            patch: 0.1,
            bottom: 0.02,
            top: 0.005,
            side: 0.05,
        }
    }
}

impl AugmentConfig {
    /// No disturbance at all.
    pub fn none() -> Self {
        Self {
            blur: 0.0,
            noise: 0.0,
            compression: 0.0,
            colour_cast: 0.0,
            patch: 0.0,
            bottom: 0.0,
            top: 0.0,
            side: 0.0,
        }
    }

    /// Parts of a picture of this size that are to be hidden.
    pub fn patches(&self, [w, h]: [f32; 2], rng: &mut ChaCha8Rng) -> Vec<Patch> {
        let draws: [f32; 4] = std::array::from_fn(|_| rng.random());
        let mut patches = Vec::new();
        let off: f32 = rng.random_range(-0.2..0.2);
        if draws[0] < self.patch {
            let (x, y) = (w * rng.random_range(0.2..0.8), h * rng.random_range(0.2..0.8));
            let half = 0.094 * w.max(h);
            patches.push(([x - half, y - half, x + half, y + half], rng.random()));
        }
        if draws[1] < self.bottom {
            patches.push(([0.0, h * (0.5 + off), w, h], [0; 3]));
        }
        if draws[2] < self.top {
            patches.push(([0.0, 0.0, w, h * (0.5 + off)], [0; 3]));
        }
        if draws[3] < self.side {
            let line = w * (0.5 + 0.03 * off / 0.2);
            let side = if rng.random() { [0.0, 0.0, line, h] } else { [line, 0.0, w, h] };
            patches.push((side, [0; 3]));
        }
        patches
    }

    /// Disturbs the whole picture.
    pub fn disturb(&self, picture: &mut Picture, rng: &mut ChaCha8Rng) {
        let draws: [f32; 3] = std::array::from_fn(|_| rng.random());
        if draws[0] < self.blur {
            let sigma = picture.width.max(picture.height) as f32 / 256.0 * rng.random_range(0.3..1.3);
            blur(picture, sigma);
        }
        let cast = Vec3::from_array(std::array::from_fn(|_| {
            1.0 + self.colour_cast * (2.0 * rng.random::<f32>() - 1.0)
        }));
        let sd = if draws[1] < self.noise { rng.random_range(1.0..9.0) } else { 0.0 };
        if cast != Vec3::ONE || sd > 0.0 {
            for pixel in picture.rgb_mut().chunks_exact_mut(3) {
                for (value, factor) in pixel.iter_mut().zip(cast.to_array()) {
                    let grain: f32 = if sd > 0.0 { rng.sample(StandardNormal) } else { 0.0 };
                    *value = (f32::from(*value) * factor + sd * grain + 0.5).clamp(0.0, 255.0) as u8;
                }
            }
        }
        if draws[2] < self.compression {
            let quality = rng.random_range(25..95);
            if let Some(squeezed) = through_jpeg(picture, quality) {
                *picture = squeezed;
            }
        }
    }
}

/// Fills a rectangle (x0, y0, x1, y1 in pixels) with one colour.
pub fn cover(picture: &mut Picture, [x0, y0, x1, y1]: [f32; 4], colour: [u8; 3]) {
    let (width, height) = (picture.width, picture.height);
    let clamp = |v: f32, end: usize| v.round().clamp(0.0, end as f32) as usize;
    let rgb = picture.rgb_mut();
    for y in clamp(y0, height)..clamp(y1, height) {
        for x in clamp(x0, width)..clamp(x1, width) {
            rgb[(y * width + x) * 3..][..3].copy_from_slice(&colour);
        }
    }
}

/// Blurs with three box filters, which together resemble a Gaussian of this standard deviation in pixels.
pub fn blur(picture: &mut Picture, sigma: f32) {
    let (width, height) = (picture.width, picture.height);
    let mut values: Vec<Vec3> =
        picture.rgb.chunks_exact(3).map(|p| Vec3::new(p[0].into(), p[1].into(), p[2].into())).collect();
    blur_values(&mut values, width, height, sigma);
    for (pixel, value) in picture.rgb_mut().chunks_exact_mut(3).zip(values) {
        pixel.copy_from_slice(&value.to_array().map(|v| (v + 0.5).clamp(0.0, 255.0) as u8));
    }
}

/// As [`blur`], on numbers.
pub fn blur_values(values: &mut [Vec3], width: usize, height: usize, sigma: f32) {
    if width == 0 || height == 0 || sigma <= 0.05 {
        return;
    }
    // A box of half-width r (with soft ends) has the variance of a Gaussian's third.
    let half = ((4.0 * sigma * sigma + 1.0).sqrt() - 1.0) / 2.0;
    let mut line = vec![Vec3::ZERO; width.max(height)];
    for _ in 0..3 {
        for y in 0..height {
            box_filter(&mut values[y * width..(y + 1) * width], 1, width, half, &mut line);
        }
        for x in 0..width {
            box_filter(&mut values[x..], width, height, half, &mut line);
        }
    }
}

/// Means over a window of half-width `half` (its ends count by their share) along `count` values, `step` apart.
fn box_filter(values: &mut [Vec3], step: usize, count: usize, half: f32, line: &mut [Vec3]) {
    for (i, value) in line[..count].iter_mut().enumerate() {
        *value = values[i * step];
    }
    let (whole, part) = (half as usize, half.fract());
    let at = |i: isize| line[i.clamp(0, count as isize - 1) as usize];
    let scale = 1.0 / (2.0 * half + 1.0);
    let reach = whole as isize;
    let mut sum: Vec3 = (-reach..=reach).map(at).sum();
    for i in 0..count as isize {
        let ends = (at(i - reach - 1) + at(i + reach + 1)) * part;
        values[i as usize * step] = (sum + ends) * scale;
        sum += at(i + reach + 1) - at(i - reach);
    }
}

/// The picture after being saved as JPEG and read again; `None` if the encoder refuses it.
pub fn through_jpeg(picture: &Picture, quality: u8) -> Option<Picture> {
    let bytes = jpeg_bytes(picture, quality)?;
    let decoder = JpegDecoder::new(std::io::Cursor::new(bytes)).ok()?;
    let rgb = DynamicImage::from_decoder(decoder).ok()?.into_rgb8().into_raw();
    (rgb.len() == picture.width * picture.height * 3)
        .then(|| Picture::new(picture.width, picture.height, rgb))
}

/// The picture as a JPEG file.
pub fn jpeg_bytes(picture: &Picture, quality: u8) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, quality)
        .write_image(&picture.rgb, picture.width as u32, picture.height as u32, ExtendedColorType::Rgb8)
        .ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::stream;

    #[test]
    fn blurring_keeps_the_mean_and_has_the_width_asked_for() {
        let (width, height) = (65, 65);
        let mut values = vec![Vec3::ZERO; width * height];
        values[32 * width + 32] = Vec3::ONE;
        blur_values(&mut values, width, height, 3.0);
        let total: f32 = values.iter().map(|v| v.x).sum();
        let variance: f32 =
            values.iter().enumerate().map(|(i, v)| v.x * ((i % width) as f32 - 32.0).powi(2)).sum();
        assert!((total - 1.0).abs() < 1e-3, "{total}");
        assert!((variance.sqrt() - 3.0).abs() < 0.25, "{}", variance.sqrt());
    }

    #[test]
    fn covered_rectangles_take_their_colour() {
        let config = AugmentConfig { patch: 1.0, side: 1.0, ..AugmentConfig::none() };
        let mut picture = Picture::filled(64, 64, [200; 3]);
        let patches = config.patches([64.0; 2], &mut stream(4, 0));
        assert_eq!(patches.len(), 2);
        let (side, colour) = patches[1];
        cover(&mut picture, side, colour);
        let [x0, y0, x1, y1] = side;
        let middle = picture.pixel(((x0 + x1) / 2.0) as usize, ((y0 + y1) / 2.0) as usize);
        assert_eq!(middle, colour);
    }

    #[test]
    fn compression_changes_little() {
        let mut picture = Picture::filled(40, 24, [90, 140, 200]);
        picture.rgb_mut()[0] = 0;
        let back = through_jpeg(&picture, 90).unwrap();
        assert_eq!((back.width, back.height), (40, 24));
        assert!(back.pixel(30, 12)[1].abs_diff(140) < 6);
    }
}
