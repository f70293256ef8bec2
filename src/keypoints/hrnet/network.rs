//! HRNet for inference: four branches of maps, each half as large as the one above, that add up to each other.
//!
//! named tensors ──[`Network::new`]──▶ convolutions with batch norm folded in ──[`Network::forward`]──▶ heatmaps

use burn::tensor::{Device, Tensor};

use super::weights::{Weights, WeightsError};
use crate::tensors::conv::{Geometry, add_upsampled, conv2d};
use crate::tensors::norm::FoldedConv;

/// Sizes of the network; the default is W48.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HrnetConfig {
    /// Channels of the largest maps; each smaller branch has twice as many.
    pub channels: usize,
    /// Modules of the stages with two, three and four branches.
    pub modules: [usize; 3],
    /// Basic blocks a branch.
    pub blocks: usize,
    /// Heatmaps.
    pub joints: usize,
}

impl Default for HrnetConfig {
    fn default() -> Self {
        Self { channels: 48, modules: [1, 4, 3], blocks: 4, joints: 17 }
    }
}

impl HrnetConfig {
    fn width(&self, branch: usize) -> usize {
        self.channels << branch
    }
}

/// Channels of the stem, and of the bottlenecks behind it.
const STEM: usize = 64;
const EXPANDED: usize = 256;
const BOTTLENECKS: usize = 4;

/// Convolutions one behind the other, and how they meet what is added to them.
#[derive(Clone, Debug)]
struct Chain(Vec<FoldedConv>);

impl Chain {
    /// ReLU behind all but the last; there `residual` is added first, and ReLU only where `relu`.
    fn forward(&self, x: Tensor<4>, residual: Option<Tensor<4>>, relu: bool) -> Tensor<4> {
        let Some((last, first)) = self.0.split_last() else { return x };
        let x = first.iter().fold(x, |x, conv| conv.forward(x, None, true));
        last.forward(x, residual, relu)
    }
}

/// A residual block: bottleneck or basic.
#[derive(Clone, Debug)]
struct Block {
    convs: Chain,
    downsample: Option<FoldedConv>,
}

impl Block {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let shortcut = match &self.downsample {
            Some(conv) => conv.forward(x.clone(), None, false),
            None => x.clone(),
        };
        self.convs.forward(x, Some(shortcut), true)
    }
}

/// What a module's output takes from one of its branches.
#[derive(Clone, Debug)]
enum Fusion {
    Same,
    /// From larger maps: strided convolutions.
    Down(Chain),
    /// From maps smaller by a factor of `2^steps`: a pointwise convolution, then each value repeated.
    Up {
        conv: Box<FoldedConv>,
        steps: usize,
    },
}

#[derive(Clone, Debug)]
struct Module {
    branches: Vec<Vec<Block>>,
    /// A row an output, an entry a branch.
    fusions: Vec<Vec<Fusion>>,
}

impl Module {
    fn forward(&self, maps: Vec<Tensor<4>>) -> Vec<Tensor<4>> {
        let maps: Vec<Tensor<4>> = maps
            .into_iter()
            .zip(&self.branches)
            .map(|(x, blocks)| blocks.iter().fold(x, |x, block| block.forward(x)))
            .collect();
        self.fusions
            .iter()
            .zip(&maps)
            .map(|(row, own)| {
                // The sum starts at the output's own branch; ReLU comes with the last term.
                let terms: Vec<(&Fusion, &Tensor<4>)> =
                    row.iter().zip(&maps).filter(|(fusion, _)| !matches!(fusion, Fusion::Same)).collect();
                let mut sum = own.clone();
                for (at, (fusion, x)) in terms.iter().enumerate() {
                    let last = at + 1 == terms.len();
                    sum = match fusion {
                        Fusion::Same => sum,
                        Fusion::Down(chain) => chain.forward((*x).clone(), Some(sum), last),
                        Fusion::Up { conv, steps } => {
                            add_upsampled(sum, conv.forward((*x).clone(), None, false), 1 << steps, last)
                        }
                    };
                }
                sum
            })
            .collect()
    }
}

#[derive(Clone, Debug)]
struct Stage {
    /// Makes the stage's newest branch from the smallest maps before it; the first stage's, from the stem's, also
    /// makes the largest.
    transitions: Vec<FoldedConv>,
    modules: Vec<Module>,
}

/// The network with its weights.
#[derive(Clone, Debug)]
pub struct Network {
    stem: Chain,
    layer1: Vec<Block>,
    stages: Vec<Stage>,
    last_weight: Tensor<4>,
    last_bias: Tensor<1>,
    pub joints: usize,
}

impl Network {
    /// # Errors
    /// Tensors that are missing or of another shape.
    pub fn new(config: &HrnetConfig, weights: &mut Weights, device: &Device) -> Result<Self, WeightsError> {
        let mut maker = Maker { weights, device };
        let stem = vec![
            maker.conv("conv1", "bn1", [3, STEM], 3, 2)?,
            maker.conv("conv2", "bn2", [STEM, STEM], 3, 2)?,
        ];
        let layer1 = (0..BOTTLENECKS).map(|at| maker.bottleneck(at)).collect::<Result<_, _>>()?;
        let mut stages = Vec::new();
        for (at, &modules) in config.modules.iter().enumerate() {
            stages.push(maker.stage(config, at + 2, modules)?);
        }
        let [weight, bias] = ["final_layer.weight", "final_layer.bias"];
        let last_weight = maker.weights.tensor(weight, [config.joints, config.channels, 1, 1], device)?;
        let last_bias = maker.weights.tensor(bias, [config.joints], device)?;
        Ok(Self { stem: Chain(stem), layer1, stages, last_weight, last_bias, joints: config.joints })
    }

    /// `[n, 3, h, w]`, sides multiples of 32, to heatmaps `[n, joints, h / 4, w / 4]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.stem.forward(x, None, true);
        let x = self.layer1.iter().fold(x, |x, block| block.forward(x));
        let mut maps = vec![x];
        for stage in &self.stages {
            let smallest = maps[maps.len() - 1].clone();
            if maps.len() == 1 && stage.transitions.len() == 2 {
                maps =
                    stage.transitions.iter().map(|conv| conv.forward(smallest.clone(), None, true)).collect();
            } else {
                maps.extend(stage.transitions.iter().map(|conv| conv.forward(smallest.clone(), None, true)));
            }
            maps = stage.modules.iter().fold(maps, |maps, module| module.forward(maps));
        }
        let largest = maps.swap_remove(0);
        conv2d(largest, self.last_weight.clone(), Some(self.last_bias.clone()), Geometry::new(1, 0))
    }
}

struct Maker<'a> {
    weights: &'a mut Weights,
    device: &'a Device,
}

impl Maker<'_> {
    fn conv(
        &mut self,
        conv: &str,
        norm: &str,
        channels: [usize; 2],
        kernel: usize,
        stride: usize,
    ) -> Result<FoldedConv, WeightsError> {
        self.weights.folded(conv, norm, channels, kernel, stride, self.device)
    }

    /// A convolution and its batch norm under one name, numbered.
    fn pair(
        &mut self,
        name: &str,
        channels: [usize; 2],
        kernel: usize,
        stride: usize,
    ) -> Result<FoldedConv, WeightsError> {
        self.conv(&format!("{name}.0"), &format!("{name}.1"), channels, kernel, stride)
    }

    fn bottleneck(&mut self, at: usize) -> Result<Block, WeightsError> {
        let channels = if at == 0 { STEM } else { EXPANDED };
        let sizes = [([channels, STEM], 1), ([STEM, STEM], 3), ([STEM, EXPANDED], 1)];
        let name = format!("layer1.{at}");
        let mut convs = Vec::new();
        for (k, (channels, kernel)) in (1..).zip(sizes) {
            convs.push(self.conv(
                &format!("{name}.conv{k}"),
                &format!("{name}.bn{k}"),
                channels,
                kernel,
                1,
            )?);
        }
        let downsample = match at {
            0 => Some(self.pair(&format!("{name}.downsample"), [channels, EXPANDED], 1, 1)?),
            _ => None,
        };
        Ok(Block { convs: Chain(convs), downsample })
    }

    fn basic(&mut self, name: &str, width: usize) -> Result<Block, WeightsError> {
        let mut convs = Vec::new();
        for k in 1..=2 {
            let (conv, norm) = (format!("{name}.conv{k}"), format!("{name}.bn{k}"));
            convs.push(self.conv(&conv, &norm, [width, width], 3, 1)?);
        }
        Ok(Block { convs: Chain(convs), downsample: None })
    }

    /// The stage that is called `number` in the file; it has as many branches.
    fn stage(&mut self, config: &HrnetConfig, number: usize, modules: usize) -> Result<Stage, WeightsError> {
        let (newest, name) = (number - 1, format!("transition{}", number - 1));
        let transitions = if number == 2 {
            vec![
                self.pair(&format!("{name}.0"), [EXPANDED, config.width(0)], 3, 1)?,
                self.pair(&format!("{name}.1.0"), [EXPANDED, config.width(1)], 3, 2)?,
            ]
        } else {
            let channels = [config.width(newest - 1), config.width(newest)];
            vec![self.pair(&format!("{name}.{newest}.0"), channels, 3, 2)?]
        };
        let modules = (0..modules)
            .map(|at| {
                // The network's last module has one output: the largest maps.
                let only_largest = number == 4 && at + 1 == modules;
                let outputs = if only_largest { 1 } else { number };
                self.module(config, &format!("stage{number}.{at}"), number, outputs)
            })
            .collect::<Result<_, _>>()?;
        Ok(Stage { transitions, modules })
    }

    fn module(
        &mut self,
        config: &HrnetConfig,
        name: &str,
        branches: usize,
        outputs: usize,
    ) -> Result<Module, WeightsError> {
        let mut own = Vec::new();
        for branch in 0..branches {
            let blocks = (0..config.blocks)
                .map(|at| self.basic(&format!("{name}.branches.{branch}.{at}"), config.width(branch)))
                .collect::<Result<_, _>>()?;
            own.push(blocks);
        }
        let mut fusions = Vec::new();
        for to in 0..outputs {
            let row = (0..branches)
                .map(|from| self.fusion(config, &format!("{name}.fuse_layers.{to}.{from}"), from, to))
                .collect::<Result<_, _>>()?;
            fusions.push(row);
        }
        Ok(Module { branches: own, fusions })
    }

    fn fusion(
        &mut self,
        config: &HrnetConfig,
        name: &str,
        from: usize,
        to: usize,
    ) -> Result<Fusion, WeightsError> {
        let (before, after) = (config.width(from), config.width(to));
        if from == to {
            return Ok(Fusion::Same);
        }
        if from > to {
            let conv = Box::new(self.pair(name, [before, after], 1, 1)?);
            return Ok(Fusion::Up { conv, steps: from - to });
        }
        let steps = to - from;
        let mut convs = Vec::new();
        for step in 0..steps {
            let channels = [before, if step + 1 == steps { after } else { before }];
            convs.push(self.pair(&format!("{name}.{step}"), channels, 3, 2)?);
        }
        Ok(Fusion::Down(Chain(convs)))
    }
}
