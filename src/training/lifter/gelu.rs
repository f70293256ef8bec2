//! The Gaussian error linear unit and its slope in plain arithmetic that compilers turn into vector instructions.

use std::f32::consts::LOG2_E;

/// Added and taken away again, it rounds to whole numbers.
const ROUNDER: f32 = 12_582_912.0;

/// e to a number that is not positive; within 1e-6 of it, relatively.
#[inline]
fn exp_of_negative(x: f32) -> f32 {
    let power = x.max(-86.0) * LOG2_E + ROUNDER;
    let whole = power - ROUNDER;
    let rest = (x.max(-86.0) * LOG2_E - whole) * std::f32::consts::LN_2;
    let series = 1.0
        + rest
            * (1.0
                + rest
                    * (0.5 + rest * (1.0 / 6.0 + rest * (1.0 / 24.0 + rest * (1.0 / 120.0 + rest / 720.0)))));
    let exponent = (power.to_bits() as i32).wrapping_sub(ROUNDER.to_bits() as i32).wrapping_add(127);
    series * f32::from_bits((exponent as u32) << 23)
}

/// `x Φ(x)` and its derivative. Φ by Abramowitz and Stegun's formula 7.1.26, within 2e-7.
#[inline]
pub fn gelu(x: f32) -> (f32, f32) {
    let bell = exp_of_negative(-0.5 * x * x);
    let t = 1.0 / (1.0 + 0.231_641_9 * x.abs());
    let series =
        t * (0.254_829_6 + t * (-0.284_496_74 + t * (1.421_413_7 + t * (-1.453_152 + t * 1.061_405_4))));
    let tail = 0.5 * series * bell;
    let share = if x >= 0.0 { 1.0 - tail } else { tail };
    (x * share, share + x * bell * 0.398_942_3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_the_tables_and_slopes_match_differences() {
        for (x, wanted) in [(0.0, 0.0), (1.0, 0.841_344_7), (-1.0, -0.158_655_25), (3.0, 2.995_950_3)] {
            assert!((gelu(x).0 - wanted).abs() < 1e-6, "{x}");
        }
        for i in -60..60 {
            let x = i as f32 * 0.1;
            let step = 1e-2;
            let numeric = (gelu(x + step).0 - gelu(x - step).0) / (2.0 * step);
            assert!((numeric - gelu(x).1).abs() < 2e-4, "{x}");
        }
        assert!(gelu(-40.0).0.abs() < 1e-30);
    }
}
