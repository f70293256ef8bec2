//! A picture to draw on: rectangles, lines, discs and other pictures, antialiased.

use glam::Vec2;

use crate::formats::Picture;

/// A rectangle of whole pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    pub x: usize,
    pub y: usize,
    pub width: usize,
    pub height: usize,
}

impl Area {
    pub fn new(x: usize, y: usize, width: usize, height: usize) -> Self {
        Self { x, y, width, height }
    }

    /// The largest area of this shape (width over height) in the middle.
    pub fn inscribed(self, width: usize, height: usize) -> Self {
        let factor = (self.width as f32 / width.max(1) as f32).min(self.height as f32 / height.max(1) as f32);
        let (w, h) = (
            ((width as f32 * factor).round() as usize).clamp(1, self.width.max(1)),
            ((height as f32 * factor).round() as usize).clamp(1, self.height.max(1)),
        );
        Self::new(
            self.x + (self.width.saturating_sub(w)) / 2,
            self.y + (self.height.saturating_sub(h)) / 2,
            w,
            h,
        )
    }

    /// Equal areas in rows and columns with a gap between, row by row.
    pub fn grid(self, rows: usize, columns: usize, gap: usize) -> Vec<Self> {
        let (rows, columns) = (rows.max(1), columns.max(1));
        let width = self.width.saturating_sub(gap * (columns - 1)) / columns;
        let height = self.height.saturating_sub(gap * (rows - 1)) / rows;
        (0..rows * columns)
            .map(|at| {
                let (row, column) = (at / columns, at % columns);
                Self::new(self.x + column * (width + gap), self.y + row * (height + gap), width, height)
            })
            .collect()
    }
}

/// Drawing beyond the edges is cut off.
#[derive(Clone, Debug)]
pub struct Canvas {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
}

impl Canvas {
    pub fn new(width: usize, height: usize, color: [u8; 3]) -> Self {
        Self { width, height, rgb: color.repeat(width * height) }
    }

    pub fn into_picture(self) -> Picture {
        Picture::new(self.width, self.height, self.rgb)
    }

    pub fn width(&self) -> usize {
        self.width
    }

    pub fn height(&self) -> usize {
        self.height
    }

    /// Mixes a colour into a pixel; `share` 1 replaces it.
    pub fn blend(&mut self, x: i64, y: i64, color: [u8; 3], share: f32) {
        if x < 0 || y < 0 || x >= self.width as i64 || y >= self.height as i64 {
            return;
        }
        let at = (y as usize * self.width + x as usize) * 3;
        for (channel, wanted) in self.rgb[at..at + 3].iter_mut().zip(color) {
            *channel = (f32::from(*channel) * (1.0 - share) + f32::from(wanted) * share + 0.5) as u8;
        }
    }

    pub fn fill(&mut self, area: Area, color: [u8; 3]) {
        for y in area.y..(area.y + area.height).min(self.height) {
            let end = (area.x + area.width).min(self.width);
            if area.x < end {
                let row = (y * self.width + area.x) * 3..(y * self.width + end) * 3;
                self.rgb[row].as_chunks_mut::<3>().0.fill(color);
            }
        }
    }

    /// A frame of one pixel just inside the area.
    pub fn frame(&mut self, area: Area, color: [u8; 3]) {
        if area.width == 0 || area.height == 0 {
            return;
        }
        self.fill(Area { height: 1, ..area }, color);
        self.fill(Area { y: area.y + area.height - 1, height: 1, ..area }, color);
        self.fill(Area { width: 1, ..area }, color);
        self.fill(Area { x: area.x + area.width - 1, width: 1, ..area }, color);
    }

    /// Puts a picture with its top-left corner at (x, y).
    pub fn place(&mut self, picture: &Picture, x: usize, y: usize) {
        let columns = picture.width.min(self.width.saturating_sub(x));
        for row in 0..picture.height.min(self.height.saturating_sub(y)) {
            let from = row * picture.width * 3;
            let to = ((y + row) * self.width + x) * 3;
            self.rgb[to..to + columns * 3].copy_from_slice(&picture.rgb[from..from + columns * 3]);
        }
    }

    /// A line with round ends.
    pub fn line(&mut self, from: Vec2, to: Vec2, thickness: f32, color: [u8; 3], opacity: f32) {
        let along = to - from;
        let length_squared = along.length_squared();
        self.distance_field(from.min(to), from.max(to), thickness / 2.0, color, opacity, |p| {
            let t = if length_squared > 0.0 {
                ((p - from).dot(along) / length_squared).clamp(0.0, 1.0)
            } else {
                0.0
            };
            p.distance(from + along * t) - thickness / 2.0
        });
    }

    pub fn disc(&mut self, center: Vec2, radius: f32, color: [u8; 3], opacity: f32) {
        self.distance_field(center, center, radius, color, opacity, |p| p.distance(center) - radius);
    }

    /// A circle's line, `thickness` wide, centred on the radius.
    pub fn ring(&mut self, center: Vec2, radius: f32, thickness: f32, color: [u8; 3], opacity: f32) {
        let half = thickness / 2.0;
        self.distance_field(center, center, radius + half, color, opacity, |p| {
            (p.distance(center) - radius).abs() - half
        });
    }

    /// A rectangle's outline between two corners.
    pub fn rectangle(&mut self, low: Vec2, high: Vec2, thickness: f32, color: [u8; 3], opacity: f32) {
        let corners = [low, Vec2::new(high.x, low.y), high, Vec2::new(low.x, high.y)];
        for at in 0..4 {
            self.line(corners[at], corners[(at + 1) % 4], thickness, color, opacity);
        }
    }

    /// Blends where the signed distance (pixels, negative inside) is below half a pixel.
    fn distance_field(
        &mut self,
        low: Vec2,
        high: Vec2,
        reach: f32,
        color: [u8; 3],
        opacity: f32,
        distance: impl Fn(Vec2) -> f32,
    ) {
        if !low.is_finite() || !high.is_finite() {
            return;
        }
        let margin = reach + 1.0;
        let clamp = |value: f32, end: usize| value.clamp(0.0, end as f32) as i64;
        for y in clamp((low.y - margin).floor(), self.height)..clamp((high.y + margin).ceil(), self.height) {
            for x in clamp((low.x - margin).floor(), self.width)..clamp((high.x + margin).ceil(), self.width)
            {
                let share = (0.5 - distance(Vec2::new(x as f32 + 0.5, y as f32 + 0.5))).clamp(0.0, 1.0);
                if share > 0.0 {
                    self.blend(x, y, color, share * opacity);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_fill_and_inscribed_areas_keep_their_shape() {
        let area = Area::new(10, 20, 210, 100);
        let cells = area.grid(1, 2, 10);
        assert_eq!(cells, [Area::new(10, 20, 100, 100), Area::new(120, 20, 100, 100)]);
        let inner = area.inscribed(50, 100);
        assert_eq!((inner.width, inner.height, inner.x), (50, 100, 90));
    }

    #[test]
    fn nothing_is_drawn_outside() {
        let mut canvas = Canvas::new(8, 8, [0; 3]);
        canvas.disc(Vec2::new(-3.0, 100.0), 5.0, [255; 3], 1.0);
        canvas.line(Vec2::new(-50.0, 4.0), Vec2::new(50.0, 4.0), 2.0, [255; 3], 1.0);
        canvas.place(&Picture::filled(20, 20, [9; 3]), 6, 7);
        canvas.fill(Area::new(7, 0, 50, 1), [1; 3]);
        canvas.disc(Vec2::splat(f32::NAN), 5.0, [255; 3], 1.0);
        let picture = canvas.into_picture();
        assert_eq!(picture.pixel(0, 4), [255; 3]);
        assert_eq!(picture.pixel(7, 7), [9; 3]);
        assert_eq!(picture.pixel(7, 0), [1; 3]);
    }
}
