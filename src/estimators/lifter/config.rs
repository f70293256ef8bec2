//! What can be chosen about the lifter's network.

use serde::{Deserialize, Serialize};

/// What the network reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputKind {
    /// Places and scores of the keypoints
    #[default]
    Keypoints,
    /// The picture's edges with heatmaps of the keypoints
    Picture,
    /// Both
    Both,
}

impl InputKind {
    pub fn reads_picture(self) -> bool {
        self != Self::Keypoints
    }

    pub fn reads_numbers(self) -> bool {
        self != Self::Picture
    }
}

/// Layout of the network; written beside the weights and read back with them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LifterConfig {
    /// Width of the trunk.
    pub width: usize,
    /// Width inside each residual block.
    pub inner: usize,
    pub blocks: usize,
    /// Width of the layer before the distribution's triangle.
    pub distribution_width: usize,
    /// Keypoints below this score are not given to the network.
    pub min_score: f32,
    /// Metres from the camera at which a person is assumed to stand: with 17 keypoints the distance can hardly be
    /// told from the size, and it decides how strong the perspective is. The harmonic mean of the distances
    /// seen in training.
    pub distance_m: f32,
    pub input: InputKind,
    /// Channels of the picture network's convolutions, where it has one, and width of its hidden layer.
    pub picture_widths: [usize; 4],
    pub picture_hidden: usize,
}

impl Default for LifterConfig {
    fn default() -> Self {
        Self {
            width: 512,
            inner: 768,
            blocks: 3,
            distribution_width: 384,
            min_score: 0.1,
            distance_m: 4.0,
            input: InputKind::Keypoints,
            picture_widths: [16, 32, 64, 128],
            picture_hidden: 256,
        }
    }
}
