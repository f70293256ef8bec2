//! Weights and inputs that cases give by rule: numbers from a tensor's name.

use serde_json::Value;

use humanifold::estimators::humaniflow::config::FlowConfig;
use humanifold::estimators::humaniflow::weights::StateDict;

use crate::case::{Case, Failure};

/// `count` numbers in [−1, 1) that belong to `name`.
pub fn uniform(name: &str, seed: u64, count: usize) -> Vec<f64> {
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |h, byte| (h ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (1..=count as u64)
        .map(|i| {
            let mut z = hash.wrapping_add(seed).wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^= z >> 31;
            (z >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        })
        .collect()
}

/// The rule's parameters.
#[derive(Clone)]
pub struct Rule {
    pub seed: u64,
    pub gain: f64,
    pub prefix: String,
}

impl Rule {
    pub fn of(case: &Case) -> Result<Self, Failure> {
        let rule = case.param("weights")?;
        if rule.get("rule").and_then(Value::as_str) != Some("hash1") {
            return Err(Failure::broken("weights by an unknown rule"));
        }
        Ok(Self {
            seed: rule.get("seed").and_then(Value::as_u64).unwrap_or(0),
            gain: rule.get("gain").and_then(Value::as_f64).unwrap_or(1.0),
            prefix: rule.get("prefix").and_then(Value::as_str).unwrap_or("").to_owned(),
        })
    }

    /// The tensor of that name and shape.
    pub fn tensor(&self, key: &str, shape: &[usize]) -> Vec<f32> {
        let key = format!("{}{key}", self.prefix);
        match key.as_str() {
            "init_glob" => return vec![1.0, 0.0, 0.0, 1.0, 0.0, 0.0],
            "init_cam" => return vec![0.9, 0.0, 0.0],
            _ => {}
        }
        let count = shape.iter().product();
        let scale = self.gain * (3.0 / (count as f64 / shape[0] as f64)).sqrt();
        let value = |u: f64| match () {
            () if key.ends_with("running_var") => 1.0 + 0.5 * u,
            () if key.ends_with("running_mean") => 0.1 * u,
            () if shape.len() >= 2 => u * scale,
            () if key.ends_with(".weight") => 1.0 + 0.1 * u,
            () => 0.1 * u,
        };
        uniform(&key, self.seed, count).into_iter().map(|u| value(u) as f32).collect()
    }

    /// All tensors behind the encoder.
    pub fn flow_state(&self, config: &FlowConfig) -> StateDict {
        let mut state = StateDict::default();
        for (name, shape) in config.tensors() {
            let values = self.tensor(&name, &shape);
            state.insert(&name, &shape, values);
        }
        state
    }
}

/// The input picture-like array: given, or by rule.
pub fn input(case: &Case) -> Result<(Vec<usize>, Vec<f32>), Failure> {
    if case.has("x") {
        return Ok((case.shape("x")?, case.f32("x")?));
    }
    let rule = case.param("input")?;
    let shape: Vec<usize> = rule
        .get("shape")
        .and_then(Value::as_array)
        .and_then(|list| list.iter().map(|n| n.as_u64().map(|n| n as usize)).collect())
        .ok_or_else(|| Failure::broken("an input by rule has a shape"))?;
    let name = rule.get("name").and_then(Value::as_str).unwrap_or("input");
    let seed = rule.get("seed").and_then(Value::as_u64).unwrap_or(0);
    let positive = rule.get("positive_part").and_then(Value::as_bool).unwrap_or(false);
    let values = uniform(name, seed, shape.iter().product())
        .into_iter()
        .map(|u| if positive { u.max(0.0) as f32 } else { u as f32 })
        .collect();
    Ok((shape, values))
}
