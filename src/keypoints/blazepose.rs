//! The mask branch of BlazePose GHUM (Google MediaPipe, Apache-2.0): a square crop to "this person" or not.
//!
//! picture 0..1 ──▶ inverted residuals ──▶ sums from coarse to fine ──▶ probability a pixel.
//! The detector calls this; cutting the crop and pasting back is in `mask`.

use std::path::Path;

use super::KeypointError;
use super::dense3x3::Dense3x3;
use super::feature_map::{FeatureMap, upsample2};
use super::kernels::{Activation, Depthwise, Padding, Pointwise};
use super::weights::{Weights, read_file};

/// Side of the square it was trained on.
pub const MASK_SIDE: usize = 256;

/// Kernel and stride of the depthwise layer of each block.
const KERNELS: [(usize, usize); 15] = [
    (3, 1),
    (3, 2),
    (3, 1),
    (5, 2),
    (5, 1),
    (3, 2),
    (3, 1),
    (3, 1),
    (5, 1),
    (5, 1),
    (5, 1),
    (5, 2),
    (5, 1),
    (5, 1),
    (5, 1),
];
const RESIDUAL: [usize; 9] = [2, 4, 6, 7, 9, 10, 12, 13, 14];
/// Blocks whose outputs are used again, at strides 2, 4, 8, 16.
const TAPS: [usize; 4] = [0, 2, 4, 10];

struct Block {
    expand: Option<Pointwise>,
    depthwise: Depthwise,
    project: Pointwise,
    residual: bool,
}

struct Separable {
    depthwise: Depthwise,
    pointwise: Pointwise,
}

impl Separable {
    fn forward(&self, input: &FeatureMap) -> FeatureMap {
        self.pointwise.forward(&self.depthwise.forward(input))
    }

    fn refine(&self, input: &FeatureMap) -> FeatureMap {
        self.pointwise.forward_plus(&self.depthwise.forward(input), input)
    }
}

pub struct MaskNetwork {
    stem: Dense3x3,
    blocks: Vec<Block>,
    last: (Pointwise, Depthwise),
    skip32: Separable,
    skip16: Separable,
    skip8: Separable,
    skip4: Separable,
    skip2: Separable,
    reduce: Separable,
    refine: [Separable; 4],
    out: Dense3x3,
}

impl MaskNetwork {
    /// # Errors
    /// The file cannot be read, or is not this network.
    pub fn load(path: &Path) -> Result<Self, KeypointError> {
        Self::from_bytes(&read_file(path)?, path)
    }

    /// `path` is for error messages.
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self, KeypointError> {
        let weights = Weights::new(bytes, path)?;
        let stem = weights.dense3x3("backbone.stem", 3, 2, Padding::Both, Activation::Relu6)?;
        let mut blocks: Vec<Block> = Vec::with_capacity(KERNELS.len());
        let mut channels = stem.taps.outputs;
        for (index, (kernel, stride)) in KERNELS.into_iter().enumerate() {
            let block = read_block(&weights, index, channels, kernel, stride)?;
            channels = block.project.outputs;
            blocks.push(block);
        }
        let expand = weights.pointwise("backbone.last.expand", channels, Activation::Relu6)?;
        let depthwise = depthwise3(&weights, "backbone.last.depthwise", expand.outputs)?;
        let tap = |index: usize| blocks.get(TAPS[index]).map_or(0, |block| block.project.outputs);
        let separable = |name: &str, inputs, outputs| read_separable(&weights, name, inputs, outputs);
        let skip32 = separable("neck.skip32", expand.outputs, None)?;
        let neck = skip32.pointwise.outputs;
        let reduce = separable("mask.reduce", neck, None)?;
        let thin = reduce.pointwise.outputs;
        let refine = |index: usize| separable(&format!("mask.refine.{index}"), thin, Some(thin));
        let out = weights.dense3x3("mask.out", thin, 1, Padding::Both, Activation::None)?;
        weights.expect_channels("mask.out", out.taps.outputs, 1)?;
        Ok(Self {
            skip16: separable("neck.skip16", tap(3), Some(neck))?,
            skip8: separable("neck.skip8", tap(2), Some(neck))?,
            skip4: separable("neck.skip4", tap(1), Some(neck))?,
            skip2: separable("neck.skip2", tap(0), Some(thin))?,
            refine: [refine(0)?, refine(1)?, refine(2)?, refine(3)?],
            last: (expand, depthwise),
            stem,
            blocks,
            skip32,
            reduce,
            out,
        })
    }

    /// `picture`: 0..255, three channels, sides multiples of 32. Result: one channel of the same size, 0..1.
    ///
    /// # Errors
    /// The picture has another shape.
    pub fn forward(&self, picture: &FeatureMap) -> Result<FeatureMap, KeypointError> {
        self.forward_observed(picture, |_, _| {})
    }

    /// Shows "neck32" (the coarsest neck map) and "neck4" (the sum at stride 4).
    pub fn forward_observed(
        &self,
        picture: &FeatureMap,
        mut observe: impl FnMut(&str, &FeatureMap),
    ) -> Result<FeatureMap, KeypointError> {
        let fits = |side: usize| side > 0 && side.is_multiple_of(32);
        if picture.channels != 3 || !fits(picture.height) || !fits(picture.width) {
            return Err(KeypointError::Shape(format!(
                "the mask network takes RGB pictures whose sides are multiples of 32, not {} x {} with {} channels",
                picture.width, picture.height, picture.channels
            )));
        }
        let values = picture.values.iter().map(|v| v / 255.0).collect();
        let mut x = self.stem.forward(&FeatureMap { values, ..*picture });
        let mut taps = Vec::with_capacity(TAPS.len());
        for (index, block) in self.blocks.iter().enumerate() {
            let wide = block.expand.as_ref().map(|expand| expand.forward(&x));
            let inner = block.depthwise.forward(wide.as_ref().unwrap_or(&x));
            x = if block.residual {
                block.project.forward_plus(&inner, &x)
            } else {
                block.project.forward(&inner)
            };
            if TAPS.contains(&index) {
                taps.push(x.clone());
            }
        }
        let x = self.last.1.forward(&self.last.0.forward(&x));
        let mut y = self.skip32.forward(&x);
        observe("neck32", &y);
        for (skip, tap) in [&self.skip16, &self.skip8, &self.skip4].into_iter().zip(taps.iter().skip(1).rev())
        {
            y = upsample2(&y, Some(&skip.forward(tap)));
        }
        observe("neck4", &y);
        let finest = taps.first().map(|tap| self.skip2.forward(tap));
        y = upsample2(&self.reduce.forward(&y), finest.as_ref());
        y = self.refine[1].refine(&self.refine[0].refine(&y));
        y = upsample2(&y, None);
        y = self.refine[3].refine(&self.refine[2].refine(&y));
        Ok(self.out.forward(&y).sigmoid())
    }
}

fn depthwise3(weights: &Weights, name: &str, channels: usize) -> Result<Depthwise, KeypointError> {
    let layer = weights.depthwise(name, 3, 1, Padding::Both, Activation::Relu6)?;
    weights.expect_channels(name, layer.channels, channels)?;
    Ok(layer)
}

fn read_block(
    weights: &Weights,
    index: usize,
    inputs: usize,
    kernel: usize,
    stride: usize,
) -> Result<Block, KeypointError> {
    let name = |part: &str| format!("backbone.blocks.{index}.{part}");
    let expand = if index == 0 {
        None
    } else {
        Some(weights.pointwise(&name("expand"), inputs, Activation::Relu6)?)
    };
    let inner = expand.as_ref().map_or(inputs, |layer| layer.outputs);
    let depthwise =
        weights.depthwise(&name("depthwise"), kernel, stride, Padding::Both, Activation::Relu6)?;
    weights.expect_channels(&name("depthwise"), depthwise.channels, inner)?;
    let project = weights.pointwise(&name("project"), inner, Activation::None)?;
    let residual = RESIDUAL.contains(&index);
    if residual {
        weights.expect_channels(&name("project"), project.outputs, inputs)?;
    }
    Ok(Block { expand, depthwise, project, residual })
}

fn read_separable(
    weights: &Weights,
    name: &str,
    inputs: usize,
    outputs: Option<usize>,
) -> Result<Separable, KeypointError> {
    let depthwise = depthwise3(weights, &format!("{name}.depthwise"), inputs)?;
    let pointwise = weights.pointwise(&format!("{name}.pointwise"), inputs, Activation::Relu6)?;
    if let Some(outputs) = outputs {
        weights.expect_channels(name, pointwise.outputs, outputs)?;
    }
    Ok(Separable { depthwise, pointwise })
}
