//! The authors' `config.yaml`: two or three levels of keys by indentation, of which the last of two equal ones counts.

use std::collections::BTreeMap;
use std::path::Path;

use crate::formats::{FormatError, read_bytes};

/// A config longer than this is none.
const LONGEST: usize = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// Slope 0.01 below zero.
    LeakyRelu,
    Relu,
    Softplus {
        beta: f64,
    },
}

/// What of a config is read.
#[derive(Clone, Debug, PartialEq)]
pub struct PoseNdfConfig {
    /// Widths of the distance network between its input and its output.
    pub dims: Vec<usize>,
    pub encoder: bool,
    pub encoder_activation: Activation,
    pub activation: Activation,
    /// Sharpness of softplus in the encoder and in the distance network.
    pub beta: [f64; 2],
    /// Of the distance, the manifold and the eikonal term.
    pub loss_weights: [f64; 3],
    pub learning_rate: f64,
    pub batch_size: usize,
    /// Poses drawn from a file.
    pub points: usize,
    pub flip: bool,
    /// NRDF's table of parents.
    pub parents: Option<Vec<i32>>,
}

impl Default for PoseNdfConfig {
    /// The released network.
    fn default() -> Self {
        let softplus = Activation::Softplus { beta: 100.0 };
        Self {
            dims: vec![256, 512, 1024, 512, 256, 64],
            encoder: true,
            encoder_activation: softplus,
            activation: softplus,
            beta: [100.0, 100.0],
            loss_weights: [0.5, 0.1, 0.0],
            learning_rate: 1e-5,
            batch_size: 4,
            points: 10_000,
            flip: true,
            parents: None,
        }
    }
}

impl PoseNdfConfig {
    /// # Errors
    /// `Missing` (no file), `Malformed` (no config), `Value` (a value that cannot be one).
    pub fn read(path: &Path) -> Result<Self, FormatError> {
        read_bytes(path).and_then(|bytes| Self::parse(&bytes)).map_err(|error| error.at(path))
    }

    /// # Errors
    /// As [`PoseNdfConfig::read`].
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        let text = std::str::from_utf8(bytes)
            .ok()
            .filter(|text| text.len() <= LONGEST)
            .ok_or_else(|| FormatError::malformed("no config of Pose-NDF: not a short text"))?;
        let values = flat(text);
        if !values.keys().any(|key| key.starts_with("model.")) {
            return Err(FormatError::malformed("no config of Pose-NDF: there is no `model`"));
        }
        let text = |key: &str| values.get(key).map(String::as_str);
        let wrong = |key: &str| FormatError::value(format!("`{key}: {}`", text(key).unwrap_or_default()));
        let number = |key: &str, usual: f64| match text(key) {
            None => Ok(usual),
            Some(value) => {
                value.parse().ok().filter(|value: &f64| value.is_finite()).ok_or_else(|| wrong(key))
            }
        };
        let count = |key: &str, usual: usize| match text(key) {
            None => Ok(usual),
            Some(value) => value.parse().map_err(|_| wrong(key)),
        };
        let flag = |key: &str, usual: bool| match text(key) {
            None => Ok(usual),
            Some("true" | "True" | "TRUE" | "yes" | "on") => Ok(true),
            Some("false" | "False" | "FALSE" | "no" | "off") => Ok(false),
            Some(_) => Err(wrong(key)),
        };
        let activation = |key: &str, beta: f64| match text(key) {
            None | Some("lrelu") => Ok(Activation::LeakyRelu),
            Some("relu") => Ok(Activation::Relu),
            Some("softplus") => Ok(Activation::Softplus { beta }),
            Some(_) => Err(wrong(key)),
        };
        let beta = [number("model.StrEnc.beta", 100.0)?, number("model.DFNet.beta", 100.0)?];
        Ok(Self {
            dims: match text("model.DFNet.dims") {
                None => Self::default().dims,
                Some(list) => numbers(list).ok_or_else(|| wrong("model.DFNet.dims"))?,
            },
            encoder: flag("model.StrEnc.use", true)?,
            encoder_activation: activation("model.StrEnc.act", beta[0])?,
            activation: activation("model.DFNet.act", beta[1])?,
            beta,
            loss_weights: [
                number("train.dist", 1.0)?,
                number("train.man_loss", 1.0)?,
                number("train.eikonal", 1.0)?,
            ],
            learning_rate: number("train.optimizer_param", 1e-5)?,
            batch_size: count("train.batch_size", 4)?,
            points: count("data.num_pts", 5000)?,
            flip: flag("data.flip", false)?,
            parents: match text("model.StrEnc.smpl_mapping") {
                None => None,
                Some(list) => Some(numbers(list).ok_or_else(|| wrong("model.StrEnc.smpl_mapping"))?),
            },
        })
    }
}

/// A list of numbers with or without brackets.
fn numbers<T: std::str::FromStr>(list: &str) -> Option<Vec<T>> {
    list.trim_matches(['[', ']']).split(',').map(|number| number.trim().parse().ok()).collect()
}

/// Values by their keys with dots between the levels.
fn flat(text: &str) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    let mut levels: Vec<(usize, &str)> = Vec::new();
    for line in text.lines() {
        let line = line.split_once(" #").map_or(line, |(line, _)| line);
        let indent = line.len() - line.trim_start().len();
        let line = line.trim();
        let Some((key, value)) = line.split_once(':').filter(|_| !line.starts_with('#')) else { continue };
        while levels.last().is_some_and(|(own, _)| *own >= indent) {
            levels.pop();
        }
        let value = value.trim().trim_matches(['"', '\'']);
        if value.is_empty() {
            // Deeper levels than a config has are left out.
            if levels.len() < 8 {
                levels.push((indent, key.trim()));
            }
            continue;
        }
        let mut path: Vec<&str> = levels.iter().map(|(_, key)| *key).collect();
        path.push(key.trim());
        out.insert(path.join("."), value.to_owned());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configs_are_read_as_the_authors_write_them() {
        let text =
            b"model:\n  DFNet:\n    dims: [ 16, 8 ]\n    act: softplus\n  StrEnc:\n    use: True #todo\n\
                     train:\n  dist: 1.0\n  dist: 0.5\n  optimizer_param: 1e-5\n";
        let config = PoseNdfConfig::parse(text).unwrap();
        assert_eq!((config.dims.as_slice(), config.loss_weights[0]), (&[16, 8][..], 0.5));
        assert_eq!(config.encoder_activation, Activation::LeakyRelu);
        assert_eq!(PoseNdfConfig::parse(b"a: b").unwrap_err().word(), "malformed");
        assert_eq!(PoseNdfConfig::parse(b"model:\n  DFNet:\n    dims: x\n").unwrap_err().word(), "value");
    }
}
