//! MoveNet (Google, Apache-2.0): one person in a square crop (thunder) or up to six in a picture (multipose).
//!
//! picture 0..255 ──▶ MobileNetV2 ──▶ feature pyramid ──▶ maps at a quarter of the size ──▶ `decode`
//! Channel counts come from the weight file; the arrangement of layers is fixed. The detector calls this.

use std::path::Path;

use super::KeypointError;
use super::decode::Maps;
use super::dense3x3::Dense3x3;
use super::feature_map::{FeatureMap, upsample2};
use super::kernels::{Activation, Depthwise, Padding, Pointwise};
use super::weights::{Weights, read_file};

/// Sides of the input must be multiples of this.
pub const STRIDE: usize = 32;
/// Side of the square that thunder was trained on.
pub const THUNDER_SIDE: usize = 256;

/// 2 / 255 as the published graph holds it (half precision).
const INPUT_SCALE: f32 = 0.007_843_018;
const BLOCKS: usize = 17;
const STRIDED: [usize; 4] = [1, 3, 6, 13];
const RESIDUAL: [usize; 10] = [2, 4, 5, 7, 8, 9, 11, 12, 14, 15];
/// Blocks whose outputs feed the pyramid, at strides 4, 8, 16.
const TAPS: [usize; 3] = [2, 5, 9];

struct Block {
    expand: Option<Pointwise>,
    depthwise: Depthwise,
    project: Pointwise,
    residual: bool,
}

impl Block {
    fn forward(&self, input: &FeatureMap) -> FeatureMap {
        let wide = self.expand.as_ref().map(|expand| expand.forward(input));
        let inner = self.depthwise.forward(wide.as_ref().unwrap_or(input));
        if self.residual { self.project.forward_plus(&inner, input) } else { self.project.forward(&inner) }
    }
}

struct Smooth {
    depthwise: Depthwise,
    pointwise: Pointwise,
}

struct Head {
    depthwise: Depthwise,
    pointwise: Pointwise,
    out: Pointwise,
}

impl Head {
    fn forward(&self, input: &FeatureMap) -> FeatureMap {
        self.out.forward(&self.pointwise.forward(&self.depthwise.forward(input)))
    }
}

/// Either network; they differ in channel counts and in the two heads for boxes.
pub struct MoveNet {
    stem: Dense3x3,
    blocks: Vec<Block>,
    last: Pointwise,
    /// For strides 32, 16, 8, 4.
    laterals: [Pointwise; 4],
    /// For strides 16, 8, 4.
    smooths: [Smooth; 3],
    center: Head,
    heatmap: Head,
    regress: Head,
    offset: Head,
    boxes: Option<(Head, Head)>,
}

impl MoveNet {
    /// # Errors
    /// The file cannot be read, or is not a MoveNet.
    pub fn load(path: &Path) -> Result<Self, KeypointError> {
        Self::from_bytes(&read_file(path)?, path)
    }

    /// `path` is for error messages.
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self, KeypointError> {
        let weights = Weights::new(bytes, path)?;
        let stem = weights.dense3x3("backbone.stem", 3, 2, Padding::End, Activation::Relu6)?;
        let mut blocks: Vec<Block> = Vec::with_capacity(BLOCKS);
        let mut channels = stem.taps.outputs;
        for index in 0..BLOCKS {
            let block = read_block(&weights, index, channels)?;
            channels = block.project.outputs;
            blocks.push(block);
        }
        let last = weights.pointwise("backbone.last", channels, Activation::Relu6)?;
        let tap = |index: usize| blocks.get(TAPS[index]).map_or(0, |block| block.project.outputs);
        let lateral = |stride: usize, inputs| {
            weights.pointwise(&format!("fpn.lateral{stride}"), inputs, Activation::None)
        };
        let laterals =
            [lateral(32, last.outputs)?, lateral(16, tap(2))?, lateral(8, tap(1))?, lateral(4, tap(0))?];
        let smooth = |stride: usize, before: usize, lateral: &Pointwise| {
            let name = format!("fpn.smooth{stride}");
            weights.expect_channels(&name, lateral.outputs, before)?;
            let depthwise = plain_depthwise(&weights, &format!("{name}.depthwise"), before)?;
            let pointwise = weights.pointwise(&format!("{name}.pointwise"), before, Activation::Relu)?;
            Ok::<_, KeypointError>(Smooth { depthwise, pointwise })
        };
        let smooth16 = smooth(16, laterals[0].outputs, &laterals[1])?;
        let smooth8 = smooth(8, smooth16.pointwise.outputs, &laterals[2])?;
        let smooth4 = smooth(4, smooth8.pointwise.outputs, &laterals[3])?;
        let features = smooth4.pointwise.outputs;
        let head = |name: &str, outputs| read_head(&weights, name, features, outputs);
        let boxes = if weights.contains("heads.box_scale.out.weight") {
            Some((head("box_scale", 2)?, head("box_offset", 2)?))
        } else {
            None
        };
        Ok(Self {
            center: head("center", 1)?,
            heatmap: head("kpt_heatmap", 17)?,
            regress: head("kpt_regress", 34)?,
            offset: head("kpt_offset", 34)?,
            boxes,
            stem,
            blocks,
            last,
            laterals,
            smooths: [smooth16, smooth8, smooth4],
        })
    }

    /// `picture`: 0..255, three channels, sides multiples of 32.
    ///
    /// # Errors
    /// The picture has another shape.
    pub fn forward(&self, picture: &FeatureMap) -> Result<Maps, KeypointError> {
        self.forward_observed(picture, |_, _| {})
    }

    /// Shows every named layer's output ("stem", "block0".."block16", "last", "fpn16", "fpn8", "fpn4").
    pub fn forward_observed(
        &self,
        picture: &FeatureMap,
        mut observe: impl FnMut(&str, &FeatureMap),
    ) -> Result<Maps, KeypointError> {
        let (height, width) = (picture.height, picture.width);
        let fits = |side: usize| side > 0 && side.is_multiple_of(STRIDE);
        if picture.channels != 3 || !fits(height) || !fits(width) {
            return Err(KeypointError::Shape(format!(
                "MoveNet takes RGB pictures whose sides are multiples of {STRIDE}, not {width} x {height} with {} channels",
                picture.channels
            )));
        }
        let values = picture.values.iter().map(|v| v * INPUT_SCALE - 1.0).collect();
        let mut x = self.stem.forward(&FeatureMap { values, ..*picture });
        observe("stem", &x);
        let mut taps = Vec::with_capacity(TAPS.len());
        for (index, block) in self.blocks.iter().enumerate() {
            x = block.forward(&x);
            observe(&format!("block{index}"), &x);
            if TAPS.contains(&index) {
                taps.push(x.clone());
            }
        }
        let last = self.last.forward(&x);
        observe("last", &last);
        let mut x = self.laterals[0].forward(&last);
        let stages = self.smooths.iter().zip(&self.laterals[1..]).zip(taps.iter().rev());
        for (((smooth, lateral), tap), name) in stages.zip(["fpn16", "fpn8", "fpn4"]) {
            let sum = upsample2(&x, Some(&lateral.forward(tap)));
            x = smooth.pointwise.forward(&smooth.depthwise.forward(&sum));
            observe(name, &x);
        }
        let boxes = self.boxes.as_ref().map(|(scale, offset)| (scale.forward(&x), offset.forward(&x)));
        Ok(Maps {
            center: self.center.forward(&x).sigmoid(),
            heatmap: self.heatmap.forward(&x).sigmoid(),
            regress: self.regress.forward(&x),
            offset: self.offset.forward(&x),
            boxes,
        })
    }
}

fn read_block(weights: &Weights, index: usize, inputs: usize) -> Result<Block, KeypointError> {
    let name = |part: &str| format!("backbone.blocks.{index}.{part}");
    let expand = if index == 0 {
        None
    } else {
        Some(weights.pointwise(&name("expand"), inputs, Activation::Relu6)?)
    };
    let inner = expand.as_ref().map_or(inputs, |layer| layer.outputs);
    let stride = if STRIDED.contains(&index) { 2 } else { 1 };
    let depthwise = weights.depthwise(&name("depthwise"), 3, stride, Padding::End, Activation::Relu6)?;
    weights.expect_channels(&name("depthwise"), depthwise.channels, inner)?;
    let project = weights.pointwise(&name("project"), inner, Activation::None)?;
    let residual = RESIDUAL.contains(&index);
    if residual {
        weights.expect_channels(&name("project"), project.outputs, inputs)?;
    }
    Ok(Block { expand, depthwise, project, residual })
}

fn plain_depthwise(weights: &Weights, name: &str, channels: usize) -> Result<Depthwise, KeypointError> {
    let layer = weights.depthwise(name, 3, 1, Padding::Both, Activation::None)?;
    weights.expect_channels(name, layer.channels, channels)?;
    Ok(layer)
}

fn read_head(weights: &Weights, name: &str, features: usize, outputs: usize) -> Result<Head, KeypointError> {
    let part = |part: &str| format!("heads.{name}.{part}");
    let depthwise = plain_depthwise(weights, &part("depthwise"), features)?;
    let pointwise = weights.pointwise(&part("pointwise"), features, Activation::Relu)?;
    let out = weights.pointwise(&part("out"), pointwise.outputs, Activation::None)?;
    weights.expect_channels(&part("out"), out.outputs, outputs)?;
    Ok(Head { depthwise, pointwise, out })
}
