//! From numbers to colours, and the bar that says which is which.

use super::canvas::{Area, Canvas};
use super::text::Align;
use crate::raster::Colormap;

/// A colour map over 0..=`high` with round ticks.
#[derive(Clone, Debug, PartialEq)]
pub struct ColorScale {
    pub map: Colormap,
    /// End of the scale; larger values get the last colour.
    pub high: f32,
    /// Distance of the ticks.
    pub step: f32,
}

impl ColorScale {
    /// A scale that ends at a round number not below `largest`, with four to eight ticks.
    pub fn up_to(map: Colormap, largest: f32) -> Self {
        let largest = if largest.is_finite() && largest > 0.0 { largest } else { 1.0 };
        let magnitude = 10f32.powf((largest / 5.0).log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0]
            .map(|factor| factor * magnitude)
            .into_iter()
            .find(|step| largest / step <= 6.0)
            .unwrap_or(magnitude * 10.0);
        Self { map, high: (largest / step).ceil() * step, step }
    }

    pub fn color(&self, value: f32) -> [u8; 3] {
        self.map.colour(value / self.high)
    }

    pub fn colors(&self, values: &[f32]) -> Vec<[u8; 3]> {
        values.iter().map(|&value| self.color(value)).collect()
    }

    /// Values of the ticks with their labels.
    pub fn ticks(&self) -> Vec<(f32, String)> {
        let count = (self.high / self.step).round() as usize;
        let decimals = (0..4).find(|&digits| {
            let factor = 10f32.powi(digits);
            ((self.step * factor).round() - self.step * factor).abs() < 1e-3 * factor * self.step
        });
        let decimals = decimals.unwrap_or(3) as usize;
        (0..=count)
            .map(|at| {
                let value = at as f32 * self.step;
                (value, format!("{value:.decimals$}"))
            })
            .collect()
    }

    /// Draws an upright bar into the left of the area, ticks to its right; `overflow` marks the upper end as open.
    pub fn draw(&self, canvas: &mut Canvas, area: Area, bar_width: usize, text_size: f32, overflow: bool) {
        let table = self.map.table();
        for row in 0..area.height {
            let share = 1.0 - (row as f32 + 0.5) / area.height as f32;
            let color = table[(share * (table.len() - 1) as f32).round() as usize];
            canvas.fill(Area::new(area.x, area.y + row, bar_width, 1), color);
        }
        canvas.frame(Area { width: bar_width, ..area }, [70, 74, 80]);
        let ticks = self.ticks();
        for (at, (value, label)) in ticks.iter().enumerate() {
            let y = area.y as f32 + (1.0 - value / self.high) * (area.height as f32 - 1.0);
            canvas.fill(Area::new(area.x + bar_width, y.round() as usize, 6, 1), [70, 74, 80]);
            let label =
                if overflow && at + 1 == ticks.len() { format!("≥ {label}") } else { label.clone() };
            canvas.text(
                &label,
                (area.x + bar_width + 11) as f32,
                y - text_size * 0.5,
                text_size,
                [48, 52, 58],
                Align::Left,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_cover_the_values() {
        for largest in [0.03, 0.4, 1.0, 3.3, 7.9, 12.0, 48.0, 250.0] {
            let scale = ColorScale::up_to(Colormap::Ember, largest);
            let ticks = scale.ticks();
            assert!((3..=8).contains(&ticks.len()), "{largest}: {ticks:?}");
            assert!(
                scale.high >= largest * 0.999 && scale.high <= largest * 1.6,
                "{largest}: {}",
                scale.high
            );
            let parsed: Vec<f32> = ticks.iter().map(|(_, label)| label.parse().unwrap()).collect();
            assert!(parsed.windows(2).all(|pair| pair[0] < pair[1]), "{ticks:?}");
        }
        assert_eq!(ColorScale::up_to(Colormap::Ember, 7.9).ticks()[1].1, "2");
        assert!(ColorScale::up_to(Colormap::Ember, f32::NAN).high > 0.0);
    }
}
