//! Maps of channels, the channels of a cell side by side: the pictures that networks take and give.

use rayon::prelude::*;

/// A `height x width x channels` map, the channels of a cell side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureMap {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    pub values: Vec<f32>,
}

impl FeatureMap {
    /// `None` when the number of values is not the product of the sides.
    pub fn new(height: usize, width: usize, channels: usize, values: Vec<f32>) -> Option<Self> {
        let wanted = height.checked_mul(width)?.checked_mul(channels)?;
        (wanted == values.len()).then_some(Self { height, width, channels, values })
    }

    pub fn zeros(height: usize, width: usize, channels: usize) -> Self {
        Self { height, width, channels, values: vec![0.0; height * width * channels] }
    }

    pub fn cells(&self) -> usize {
        self.height * self.width
    }

    /// Value at (row, column, channel).
    pub fn at(&self, row: usize, column: usize, channel: usize) -> f32 {
        self.values[(row * self.width + column) * self.channels + channel]
    }

    /// The same map left-right reversed.
    pub fn mirrored(&self) -> Self {
        let mut values = Vec::with_capacity(self.values.len());
        for row in self.values.chunks_exact(self.width * self.channels) {
            for cell in row.chunks_exact(self.channels).rev() {
                values.extend_from_slice(cell);
            }
        }
        Self { values, ..*self }
    }

    pub fn sigmoid(mut self) -> Self {
        for value in &mut self.values {
            *value = 1.0 / (1.0 + (-*value).exp());
        }
        self
    }
}

/// The two source indices of a doubled axis and the weight of the second.
fn doubled(index: usize, length: usize) -> (usize, usize, f32) {
    if index.is_multiple_of(2) {
        ((index / 2).saturating_sub(1), index / 2, 0.75)
    } else {
        (index / 2, (index / 2 + 1).min(length - 1), 0.25)
    }
}

/// Twice the size, bilinear, half-pixel centres, edges clamped; `plus` (of the result's size) is added.
pub fn upsample2(input: &FeatureMap, plus: Option<&FeatureMap>) -> FeatureMap {
    let c = input.channels;
    let mut out = FeatureMap::zeros(input.height * 2, input.width * 2, c);
    if let Some(plus) = plus {
        assert_eq!(plus.values.len(), out.values.len(), "sum of maps of different sizes");
    }
    let row_length = out.width * c;
    out.values.par_chunks_mut(row_length).enumerate().for_each(|(y, row)| {
        let (top, bottom, down) = doubled(y, input.height);
        let line = input.width * c;
        let mixed: Vec<f32> = input.values[top * line..(top + 1) * line]
            .iter()
            .zip(&input.values[bottom * line..(bottom + 1) * line])
            .map(|(a, b)| a + (b - a) * down)
            .collect();
        for (x, cell) in row.chunks_exact_mut(c).enumerate() {
            let (left, right, across) = doubled(x, input.width);
            let (a, b) = (&mixed[left * c..(left + 1) * c], &mixed[right * c..(right + 1) * c]);
            for ((value, a), b) in cell.iter_mut().zip(a).zip(b) {
                *value = a + (b - a) * across;
            }
        }
        if let Some(plus) = plus {
            for (value, extra) in row.iter_mut().zip(&plus.values[y * row_length..]) {
                *value += extra;
            }
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubling_keeps_straight_lines_straight_inside() {
        let values = (0..4).flat_map(|y| (0..5).map(move |x| (y * 10 + x) as f32)).collect();
        let up = upsample2(&FeatureMap { height: 4, width: 5, channels: 1, values }, None);
        assert_eq!((up.height, up.width), (8, 10));
        assert_eq!(up.at(0, 0, 0), 0.0);
        assert!((up.at(3, 4, 0) - (1.25 * 10.0 + 1.75)).abs() < 1e-5);
        assert_eq!(up.at(7, 9, 0), 34.0);
    }

    #[test]
    fn mirroring_twice_changes_nothing() {
        let values = (0..24).map(|v| v as f32).collect();
        let input = FeatureMap { height: 3, width: 4, channels: 2, values };
        assert_eq!(input.mirrored().mirrored(), input);
        assert_eq!(input.mirrored().at(1, 0, 1), input.at(1, 3, 1));
    }
}
