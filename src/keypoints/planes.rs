//! Maps one after the other, as the published networks take and give them ([`super::FeatureMap`] has them interleaved).

use crate::formats::picture::Picture;

/// Several maps of one size, `[planes, height, width]`; colours are 0..1, red first.
#[derive(Clone, Debug, PartialEq)]
pub struct Planes {
    pub count: usize,
    pub height: usize,
    pub width: usize,
    pub values: Vec<f32>,
}

impl Planes {
    pub fn zeros(count: usize, height: usize, width: usize) -> Self {
        Self { count, height, width, values: vec![0.0; count * height * width] }
    }

    pub fn of_picture(picture: &Picture) -> Self {
        let pixels = picture.width * picture.height;
        let mut planes = Self::zeros(3, picture.height, picture.width);
        for (i, rgb) in picture.rgb.chunks_exact(3).take(pixels).enumerate() {
            for (c, &v) in rgb.iter().enumerate() {
                planes.values[c * pixels + i] = f32::from(v) / 255.0;
            }
        }
        planes
    }

    pub fn plane(&self, index: usize) -> &[f32] {
        let size = self.height * self.width;
        &self.values[index * size..(index + 1) * size]
    }

    pub fn planes(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact((self.height * self.width).max(1))
    }

    /// The first three planes as a picture.
    pub fn to_picture(&self) -> Picture {
        let size = self.height * self.width;
        let byte = |v: f32| (v.clamp(0.0, 1.0) * 255.0).round() as u8;
        let rgb = (0..size).flat_map(|i| [0, 1, 2].map(|c| byte(self.plane(c.min(self.count - 1))[i])));
        Picture::new(self.width, self.height, rgb.collect())
    }
}
