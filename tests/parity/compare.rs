//! Outputs against what a case expects.

use humanifold::formats::{Array, ArrayData};

use crate::case::{Case, Outputs, Tolerance};

/// One text for each output that does not pass; empty where all do.
pub fn outputs(case: &Case, outputs: &Outputs) -> Vec<String> {
    case.tolerance
        .iter()
        .filter_map(|(name, tolerance)| {
            let want = match case.expected(name) {
                Ok(want) => want,
                Err(error) => return Some(format!("{name}: {error:?}")),
            };
            let Some(got) = outputs.0.get(name) else { return Some(format!("{name}: not given")) };
            array(got, want, *tolerance).map(|problem| format!("{name}: {problem}"))
        })
        .collect()
}

fn array(got: &Array, want: &Array, tolerance: Tolerance) -> Option<String> {
    if got.shape != want.shape {
        return Some(format!("shape {:?}, must be {:?}", got.shape, want.shape));
    }
    if let (ArrayData::Text(a), ArrayData::Text(b)) = (&got.data, &want.data) {
        return a.iter().zip(b).find(|(a, b)| a != b).map(|(a, b)| format!("`{a}`, must be `{b}`"));
    }
    if want.is_integer() {
        // Unsigned 64-bit values do not fit f64, so integers are compared as they are.
        let (Some(a), Some(b)) = (integers(got), integers(want)) else {
            return Some("not whole numbers".to_owned());
        };
        let wrong = a.iter().zip(&b).filter(|(a, b)| a != b).count();
        let worst = a.iter().zip(&b).enumerate().max_by_key(|(_, (a, b))| (**a - **b).abs());
        return worst.filter(|_| wrong > 0).map(|(at, (a, b))| {
            format!("{a} at {at}, must be {b} exactly ({wrong} of {} differ)", want.len())
        });
    }
    let (Ok(a), Ok(b)) = (got.to_f64(), want.to_f64()) else {
        return Some("text, must be numbers".to_owned());
    };
    // Sorted by how far beyond the tolerance an element is.
    let (mut worst_excess, mut worst) = (0.0, None);
    let mut wrong = 0;
    for (at, (&a, &b)) in a.iter().zip(&b).enumerate() {
        let same = a == b || (a.is_nan() && b.is_nan());
        let error = if same { 0.0 } else { (a - b).abs() };
        let allowed = tolerance.abs + tolerance.rel * b.abs();
        if same || error <= allowed {
            continue;
        }
        wrong += 1;
        let excess = if error.is_nan() { f64::INFINITY } else { error - allowed };
        if worst.is_none() || excess > worst_excess {
            (worst_excess, worst) = (excess, Some((at, a, b, error)));
        }
    }
    worst.map(|(at, a, b, error)| {
        format!(
            "largest error {error:.3e} at {at} ({a} for {b}), tolerance {:.1e} + {:.1e} |want| ({wrong} of {} wrong)",
            tolerance.abs,
            tolerance.rel,
            want.len()
        )
    })
}

fn integers(array: &Array) -> Option<Vec<i128>> {
    match &array.data {
        ArrayData::U64(values) => Some(values.iter().map(|&value| i128::from(value)).collect()),
        _ => Some(array.to_i64().ok()?.into_iter().map(i128::from).collect()),
    }
}
