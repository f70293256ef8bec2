//! Sizes of the network and the tree its parts form.

use std::f64::consts::PI;

use super::weights::{StateDict, WeightsError};

/// SMPL's parents; the root has −1.
pub const SMPL_PARENTS: [i32; 24] =
    [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21];

/// Sizes of everything behind the encoder; the default is the published network.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct FlowConfig {
    /// Width of the encoder's features.
    pub features: usize,
    /// Width of the layer that all heads share.
    pub hidden: usize,
    /// Width of the feature that all contexts share.
    pub joint_features: usize,
    pub context: usize,
    /// Widths of the couplings' networks between input and output.
    pub coupling_hidden: Vec<usize>,
    /// Segments of each spline, at least 2.
    pub segments: usize,
    /// Couplings a part.
    pub couplings: usize,
    pub betas: usize,
    /// Half-width of the splines' box, radius of the squash and of the support, all three.
    pub support_radius: f64,
    pub base_std: f64,
    /// Parent of each joint, the root (−1) first; parents come before their children.
    pub parents: Vec<i32>,
}

impl Default for FlowConfig {
    fn default() -> Self {
        Self {
            features: 512,
            hidden: 512,
            joint_features: 256,
            context: 64,
            coupling_hidden: vec![64, 32, 32],
            segments: 8,
            couplings: 2,
            betas: 10,
            support_radius: 1.5 * PI,
            base_std: 0.6,
            parents: SMPL_PARENTS.to_vec(),
        }
    }
}

impl FlowConfig {
    /// The sizes that a checkpoint's tensors have, for bodies of SMPL's tree.
    ///
    /// # Errors
    /// Where tensors are missing from which sizes are taken.
    pub fn of_state(state: &StateDict) -> Result<Self, WeightsError> {
        let side = |name: &str, axis: usize| -> Result<usize, WeightsError> {
            let shape = &state.get(name)?.shape;
            shape
                .get(axis)
                .copied()
                .ok_or_else(|| WeightsError::Tensors(format!("`{name}` is {shape:?}, it has too few axes")))
        };
        let coupling = |layer: usize| format!("pose_so3flow_transform_modules.0.nn.layers.{layer}.weight");
        let mut coupling_hidden = Vec::new();
        while state.0.contains_key(&coupling(coupling_hidden.len() + 1)) {
            coupling_hidden.push(side(&coupling(coupling_hidden.len()), 0)?);
        }
        let modules = (0..)
            .take_while(|m| {
                state.0.contains_key(&format!("pose_so3flow_transform_modules.{m}.nn.layers.0.weight"))
            })
            .count();
        let default = Self::default();
        Ok(Self {
            features: side("fc1.weight", 1)?,
            hidden: side("fc1.weight", 0)?,
            joint_features: side("fc_input_shape_glob_cam_feats.weight", 0)?,
            context: side("fc_flow_context.0.weight", 0)?,
            segments: (side(&coupling(coupling_hidden.len()), 0)? / 2 + 1) / 4,
            couplings: modules / default.parts(),
            betas: side("fc_shape.weight", 0)? / 2,
            coupling_hidden,
            ..default
        })
    }

    pub fn parts(&self) -> usize {
        self.parents.len().saturating_sub(1)
    }

    /// Width of what the shared feature is made of: features, shape, global rotation, camera.
    pub fn joint_inputs(&self) -> usize {
        self.features + self.betas + 9 + 3
    }

    /// Numbers a coupling's network puts out: two splines.
    pub fn spline_numbers(&self) -> usize {
        2 * (4 * self.segments - 1)
    }

    /// Which coordinate goes where before coupling `i`: the identity turned left by `i`.
    pub fn permutation(i: usize) -> [usize; 3] {
        std::array::from_fn(|k| (k + i) % 3)
    }

    /// Widths of a coupling's network from input to output.
    pub fn coupling_widths(&self) -> Vec<usize> {
        let mut widths = vec![self.context + 1];
        widths.extend_from_slice(&self.coupling_hidden);
        widths.push(self.spline_numbers());
        widths
    }

    /// Names (as in the authors' checkpoints) and shapes of all tensors behind the encoder.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let tree = Tree::new(&self.parents);
        let mut all = vec![("init_glob".to_owned(), vec![1, 6]), ("init_cam".to_owned(), vec![3])];
        let mut linear = |name: &str, inputs: usize, outputs: usize| {
            all.push((format!("{name}.weight"), vec![outputs, inputs]));
            all.push((format!("{name}.bias"), vec![outputs]));
        };
        linear("fc1", self.features, self.hidden);
        linear("fc_shape", self.hidden, 2 * self.betas);
        linear("fc_glob", self.hidden, 6);
        linear("fc_cam", self.hidden, 3);
        linear("fc_input_shape_glob_cam_feats", self.joint_inputs(), self.joint_features);
        for (part, ancestors) in tree.ancestors.iter().enumerate() {
            let inputs = self.joint_features + 9 * ancestors.len();
            linear(&format!("fc_flow_context.{part}"), inputs, self.context);
        }
        let widths = self.coupling_widths();
        for module in 0..self.parts() * self.couplings {
            for (layer, pair) in widths.windows(2).enumerate() {
                let name = format!("pose_so3flow_transform_modules.{module}.nn.layers.{layer}");
                linear(&name, pair[0], pair[1]);
            }
        }
        all
    }
}

/// Who conditions whom. Part `p` is joint `p + 1`; the root is no part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// Ancestors of each part, nearest first, the root left out.
    pub ancestors: Vec<Vec<usize>>,
    /// Parts by the number of their ancestors; parts of one level do not depend on each other.
    pub levels: Vec<Vec<usize>>,
}

impl Tree {
    /// Parents that do not come before their children end the line of ancestors.
    pub fn new(parents: &[i32]) -> Self {
        let mut ancestors: Vec<Vec<usize>> = Vec::new();
        for (joint, &parent) in parents.iter().enumerate().skip(1) {
            let mut line = Vec::new();
            if let Some(part) = usize::try_from(parent).ok().filter(|&p| p > 0 && p < joint).map(|p| p - 1) {
                line.push(part);
                line.extend_from_slice(&ancestors[part]);
            }
            ancestors.push(line);
        }
        let deepest = ancestors.iter().map(Vec::len).max().unwrap_or(0);
        let of_depth = |depth| (0..ancestors.len()).filter(|&p| ancestors[p].len() == depth).collect();
        let levels = (0..=deepest).map(of_depth).collect();
        Self { ancestors, levels }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smpl_has_eight_levels_and_the_published_number_of_values() {
        let tree = Tree::new(&SMPL_PARENTS);
        assert_eq!(tree.levels.len(), 8);
        assert_eq!(tree.ancestors[21], [19, 17, 15, 12, 8, 5, 2]);
        let tensors = FlowConfig::default().tensors();
        // 546 tensors in the authors' file, 120 of them the encoder's.
        assert_eq!(tensors.len(), 546 - 120);
        let mut state = StateDict::default();
        for (name, shape) in tensors {
            state.insert(&name, &shape, Vec::new());
        }
        assert_eq!(FlowConfig::of_state(&state).expect("all tensors"), FlowConfig::default());
    }
}
