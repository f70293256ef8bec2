//! The project's colour maps, in one place. Made in Oklab (Ottosson 2020), where equal steps look equal: lightness
//! rises linearly along each sequential map, so that it also reads in grey and to colour-blind eyes.

use std::sync::OnceLock;

const STEPS: usize = 256;

/// A colour map; [`Colormap::colour`] takes a value in 0..1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Colormap {
    /// Dark violet over red and orange to pale yellow: uncertainty, error.
    Ember,
    /// Dark blue over green to pale yellow: depth, height.
    Lagoon,
    /// Blue over near-white to orange: signed differences, 0.5 is none.
    Balance,
}

/// Lightness, chroma, hue (degrees) at evenly spaced places; lightness and chroma are interpolated linearly, hue the way it is written.
type Anchors = &'static [[f32; 3]];

const EMBER: Anchors = &[
    [0.24, 0.09, 300.0],
    [0.38, 0.15, 325.0],
    [0.52, 0.18, 365.0],
    [0.66, 0.17, 398.0],
    [0.80, 0.14, 430.0],
    [0.94, 0.09, 462.0],
];
const LAGOON: Anchors = &[
    [0.26, 0.10, 285.0],
    [0.395, 0.095, 255.0],
    [0.53, 0.09, 220.0],
    [0.665, 0.11, 180.0],
    [0.80, 0.15, 135.0],
    [0.935, 0.14, 105.0],
];
const BALANCE: Anchors = &[
    [0.42, 0.13, 262.0],
    [0.69, 0.10, 250.0],
    [0.96, 0.00, 250.0],
    [0.96, 0.00, 60.0],
    [0.73, 0.12, 58.0],
    [0.50, 0.14, 45.0],
];

impl Colormap {
    pub const ALL: [Colormap; 3] = [Colormap::Ember, Colormap::Lagoon, Colormap::Balance];

    pub fn name(self) -> &'static str {
        match self {
            Colormap::Ember => "ember",
            Colormap::Lagoon => "lagoon",
            Colormap::Balance => "balance",
        }
    }

    /// The colour (sRGB) of a value; values outside 0..1 get the ends, NaN gets grey.
    pub fn colour(self, value: f32) -> [u8; 3] {
        if value.is_nan() {
            return [128; 3];
        }
        self.table()[(value.clamp(0.0, 1.0) * (STEPS - 1) as f32).round() as usize]
    }

    /// Colours of values between `low` and `high`, one a value.
    pub fn colours(self, values: &[f32], low: f32, high: f32) -> Vec<[u8; 3]> {
        let scale = if high > low { 1.0 / (high - low) } else { 0.0 };
        values.iter().map(|v| self.colour((v - low) * scale)).collect()
    }

    /// All 256 colours, from 0 to 1.
    pub fn table(self) -> &'static [[u8; 3]; STEPS] {
        static TABLES: OnceLock<[[[u8; 3]; STEPS]; 3]> = OnceLock::new();
        let tables = TABLES.get_or_init(|| [computed(EMBER), computed(LAGOON), computed(BALANCE)]);
        match self {
            Colormap::Ember => &tables[0],
            Colormap::Lagoon => &tables[1],
            Colormap::Balance => &tables[2],
        }
    }
}

fn computed(anchors: Anchors) -> [[u8; 3]; STEPS] {
    std::array::from_fn(|i| {
        let place = i as f32 / (STEPS - 1) as f32 * (anchors.len() - 1) as f32;
        let left = (place as usize).min(anchors.len() - 2);
        let t = place - left as f32;
        oklch_to_srgb(std::array::from_fn(|k| anchors[left][k] * (1.0 - t) + anchors[left + 1][k] * t))
    })
}

/// Lightness, chroma, hue (degrees) to sRGB; chroma is lowered until the colour exists on a screen.
pub fn oklch_to_srgb([lightness, chroma, hue]: [f32; 3]) -> [u8; 3] {
    let (sin, cos) = hue.to_radians().sin_cos();
    let mut chroma = chroma;
    for _ in 0..40 {
        let rgb = oklab_to_linear([lightness, chroma * cos, chroma * sin]);
        if rgb.iter().all(|v| (-0.0005..=1.0005).contains(v)) {
            break;
        }
        chroma *= 0.96;
    }
    oklab_to_linear([lightness, chroma * cos, chroma * sin]).map(linear_to_srgb)
}

fn oklab_to_linear([l, a, b]: [f32; 3]) -> [f32; 3] {
    let cube = |v: f32| v * v * v;
    let long = cube(l + 0.396_337_78 * a + 0.215_803_76 * b);
    let middle = cube(l - 0.105_561_346 * a - 0.063_854_17 * b);
    let short = cube(l - 0.089_484_18 * a - 1.291_485_5 * b);
    [
        4.076_741_7 * long - 3.307_711_6 * middle + 0.230_969_94 * short,
        -1.268_438 * long + 2.609_757_4 * middle - 0.341_319_38 * short,
        -0.004_196_086_3 * long - 0.703_418_6 * middle + 1.707_614_7 * short,
    ]
}

/// Linear light 0..1 to an sRGB byte.
pub fn linear_to_srgb(value: f32) -> u8 {
    let v = value.clamp(0.0, 1.0);
    let encoded = if v <= 0.003_130_8 { 12.92 * v } else { 1.055 * v.powf(1.0 / 2.4) - 0.055 };
    (encoded * 255.0 + 0.5) as u8
}

/// An sRGB byte to linear light 0..1.
pub fn srgb_to_linear(byte: u8) -> f32 {
    static TABLE: OnceLock<[f32; 256]> = OnceLock::new();
    TABLE.get_or_init(|| {
        std::array::from_fn(|i| {
            let v = i as f32 / 255.0;
            if v <= 0.040_45 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
        })
    })[usize::from(byte)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lightness(rgb: [u8; 3]) -> f32 {
        let [r, g, b] = rgb.map(srgb_to_linear);
        let l = (0.412_221_46 * r + 0.536_332_55 * g + 0.051_445_995 * b).cbrt();
        let m = (0.211_903_5 * r + 0.680_699_5 * g + 0.107_396_96 * b).cbrt();
        let s = (0.088_302_46 * r + 0.281_718_85 * g + 0.629_978_7 * b).cbrt();
        0.210_454_26 * l + 0.793_617_8 * m - 0.004_072_047 * s
    }

    #[test]
    fn sequential_maps_rise_evenly_in_lightness() {
        for map in [Colormap::Ember, Colormap::Lagoon] {
            let table = map.table();
            let (first, last) = (lightness(table[0]), lightness(table[255]));
            assert!(last - first > 0.6);
            for (i, &colour) in table.iter().enumerate() {
                let expected = first + (last - first) * i as f32 / 255.0;
                assert!((lightness(colour) - expected).abs() < 0.012, "{} {i}", map.name());
            }
        }
    }

    #[test]
    fn the_middle_of_balance_is_neutral() {
        let [r, g, b] = Colormap::Balance.colour(0.5).map(i32::from);
        assert!((r - g).abs() < 3 && (g - b).abs() < 3 && r > 220);
    }

    #[test]
    fn values_outside_are_the_ends() {
        assert_eq!(Colormap::Ember.colour(-3.0), Colormap::Ember.colour(0.0));
        assert_eq!(Colormap::Ember.colour(f32::INFINITY), Colormap::Ember.colour(1.0));
        assert_eq!(Colormap::Ember.colour(f32::NAN), [128; 3]);
        assert_eq!(Colormap::Lagoon.colours(&[1.0, 1.0], 1.0, 1.0).len(), 2);
    }

    #[test]
    fn bytes_survive_linear_light() {
        assert!((0..=255u8).all(|v| linear_to_srgb(srgb_to_linear(v)) == v));
    }
}
