//! The flows of all parts level by level: sampling and densities on tensors.
//!
//! Parts of one level of the tree do not depend on each other, so each level is one batched product over weights
//! stacked for the pass. Given rotations ([`PoseTargets`]) need no order at all.

use std::f64::consts::{FRAC_PI_2, TAU};

use burn::nn::Linear;
use burn::tensor::activation::relu;
use burn::tensor::{Bool, Device, Tensor};

use super::config::{FlowConfig, Tree};
use super::dense::Scratch;
use super::flow::AtIdentity;
use super::net::{FlowNet, elu, exp_map, tensor};
use super::so3;
use super::spline::SplineLimits;
use super::tensor_spline::{self, RawSplines};
use super::transforms::Transform;

/// Log-density of a rotation vector that does not exist: no weight in a sum, and finite.
const ABSENT: f64 = -1e30;

impl FlowNet {
    /// All parts' weights in stacks, for one pass.
    pub fn stacked(&self) -> Stacked {
        let tree = Tree::new(&self.config.parents);
        let order: Vec<usize> = tree.levels.concat();
        let shared = self.config.joint_features;
        let context = |part: &usize| self.fc_flow_context.get(*part);
        let weight = |part: &usize| context(part).map(|linear| linear.weight.val());
        let bias = |part: &usize| context(part).and_then(|linear| linear.bias.as_ref()).map(|b| b.val());
        let ancestors = tree
            .levels
            .iter()
            .enumerate()
            .map(|(depth, parts)| {
                let rows = |w: Tensor<2>| w.narrow(0, shared, 9 * depth);
                (depth > 0).then(|| Tensor::stack(parts.iter().filter_map(weight).map(rows).collect(), 0))
            })
            .collect();
        let layers = self.config.coupling_hidden.len() + 1;
        let coupling = |level: &[usize], i: usize, l: usize| {
            let linears: Vec<&Linear> = level
                .iter()
                .filter_map(|part| {
                    self.pose_so3flow_transform_modules
                        .get(part * self.config.couplings + i)?
                        .nn
                        .layers
                        .get(l)
                })
                .collect();
            let biases = linears.iter().filter_map(|linear| linear.bias.as_ref());
            StackedLayer {
                weight: Tensor::stack(linears.iter().map(|linear| linear.weight.val()).collect(), 0),
                bias: Tensor::stack::<2>(biases.map(|b| b.val()).collect(), 0).unsqueeze_dim(1),
            }
        };
        let couplings = tree
            .levels
            .iter()
            .map(|level| {
                (0..self.config.couplings)
                    .map(|i| (0..layers).map(|l| coupling(level, i, l)).collect())
                    .collect()
            })
            .collect();
        let place = |part: usize| order.iter().position(|&p| p == part).unwrap_or(0);
        Stacked {
            shared_weight: Tensor::cat(
                order.iter().filter_map(weight).map(|w| w.narrow(0, 0, shared)).collect(),
                1,
            ),
            shared_bias: Tensor::cat(order.iter().filter_map(bias).collect(), 0).unsqueeze(),
            ancestors,
            couplings,
            lines: order
                .iter()
                .map(|&part| tree.ancestors[part].iter().map(|&a| place(a)).collect())
                .collect(),
            level_sizes: tree.levels.iter().map(Vec::len).collect(),
            in_part_order: (0..order.len()).map(place).collect(),
            order,
            config: self.config.clone(),
        }
    }
}

struct StackedLayer {
    /// \[parts, inputs, outputs\]
    weight: Tensor<3>,
    /// \[parts, 1, outputs\]
    bias: Tensor<3>,
}

/// The flows' weights in stacks, level by level. Tensors inside have the parts in the tree's order of levels.
pub struct Stacked {
    shared_weight: Tensor<2>,
    shared_bias: Tensor<2>,
    ancestors: Vec<Option<Tensor<3>>>,
    /// \[level\]\[coupling\]\[layer\]
    couplings: Vec<Vec<Vec<StackedLayer>>>,
    /// Places (not part numbers) of each part's ancestors.
    lines: Vec<Vec<usize>>,
    level_sizes: Vec<usize>,
    /// Part at each place.
    order: Vec<usize>,
    /// Place of each part.
    in_part_order: Vec<usize>,
    config: FlowConfig,
}

/// Samples of all parts: \[parts, rows, 3\] and \[parts, rows, 9\].
pub struct PartSamples {
    pub vectors: Tensor<3>,
    pub rotations: Tensor<3>,
}

fn reorder(x: Tensor<3>, places: &[usize]) -> Tensor<3> {
    if places.iter().enumerate().all(|(i, &place)| i == place) {
        return x;
    }
    Tensor::cat(places.iter().map(|&place| x.clone().narrow(0, place, 1)).collect(), 0)
}

impl Stacked {
    fn limits(&self) -> SplineLimits {
        SplineLimits::in_box(self.config.support_radius)
    }

    /// \[places, rows, context\] before the ancestors' share and the ELU.
    fn shared_contexts(&self, joint: Tensor<2>) -> Tensor<3> {
        let rows = joint.dims()[0];
        let flat = joint.matmul(self.shared_weight.clone()) + self.shared_bias.clone();
        flat.reshape([rows, self.order.len(), self.config.context]).swap_dims(0, 1)
    }

    /// Contexts of the parts of one level; `rotations` holds \[1, rows, 9\] for each place before it.
    fn level_context(
        &self,
        level: usize,
        first: usize,
        shared: &Tensor<3>,
        rotations: &[Tensor<3>],
    ) -> Tensor<3> {
        let count = self.level_sizes[level];
        let own = shared.clone().narrow(0, first, count);
        let Some(weight) = &self.ancestors[level] else { return elu(own) };
        let line =
            |place: usize| Tensor::cat(self.lines[place].iter().map(|&a| rotations[a].clone()).collect(), 2);
        let given = Tensor::cat((first..first + count).map(line).collect(), 0);
        elu(own + given.matmul(weight.clone()))
    }

    /// Splines of (x₁, x₂) from contexts and x₀.
    fn coupling(
        &self,
        layers: &[&StackedLayer],
        context: &Tensor<3>,
        x: Tensor<3>,
        inverse: bool,
    ) -> (Tensor<3>, Tensor<3>) {
        let [parts, rows, _] = x.dims();
        let (kept, moved) = (x.clone().narrow(2, 0, 1), x.narrow(2, 1, 2));
        let mut h = Tensor::cat(vec![context.clone(), kept.clone()], 2);
        for (l, layer) in layers.iter().enumerate() {
            h = if l == 0 { h } else { relu(h) };
            h = h.matmul(layer.weight.clone()) + layer.bias.clone();
        }
        let k = self.config.segments;
        let block =
            |start: usize, each: usize| h.clone().narrow(2, start, 2 * each).reshape([parts, rows, 2, each]);
        let raw = RawSplines {
            widths: block(0, k),
            heights: block(2 * k, k),
            derivatives: block(4 * k, k - 1),
            lambdas: block(6 * k - 2, k),
        };
        let (moved, log_det) = tensor_spline::run(raw, &self.limits(), moved, inverse);
        (Tensor::cat(vec![kept, moved], 2), log_det.sum_dim(2))
    }

    /// Poses from standard normal `noise` \[parts, rows, 3\], root to leaf; `joint` is \[rows, joint features\].
    pub fn sample(&self, joint: Tensor<2>, noise: Tensor<3>) -> PartSamples {
        let rows = joint.dims()[0];
        let shared = self.shared_contexts(joint);
        let noise = reorder(noise, &self.order);
        let mut rotations: Vec<Tensor<3>> = Vec::new();
        let mut vectors: Vec<Tensor<3>> = Vec::new();
        for (level, &count) in self.level_sizes.iter().enumerate() {
            let first = rotations.len();
            let context = self.level_context(level, first, &shared, &rotations);
            let mut x = noise.clone().narrow(0, first, count) * self.config.base_std;
            for (i, layers) in self.couplings[level].iter().enumerate() {
                x = permute(x, FlowConfig::permutation(i));
                x = self.coupling(&layers.iter().collect::<Vec<_>>(), &context, x, false).0;
            }
            let radius = self.config.support_radius;
            let length = x.clone().square().sum_dim(2).clamp_min(1e-14).sqrt();
            let v = x * ((length.clone() / radius).tanh() * radius / length);
            let turned = exp_map(v.clone());
            rotations.extend((0..count).map(|p| turned.clone().narrow(0, p, 1)));
            vectors.push(v);
        }
        let rotations = Tensor::cat(rotations, 0).reshape([self.order.len(), rows, 9]);
        PartSamples {
            vectors: reorder(Tensor::cat(vectors, 0), &self.in_part_order),
            rotations: reorder(rotations, &self.in_part_order),
        }
    }

    /// Log-density of each part of given poses, \[rows, parts\], given its ancestors' rotations in that pose.
    pub fn log_prob(&self, joint: Tensor<2>, targets: &PoseTargets) -> Tensor<2> {
        let rows = joint.dims()[0];
        let parts = self.order.len();
        let shared = self.shared_contexts(joint);
        let given = reorder(targets.rotations.clone(), &self.order);
        let rotations: Vec<Tensor<3>> = (0..parts).map(|p| given.clone().narrow(0, p, 1)).collect();
        let mut first = 0;
        let mut contexts = Vec::new();
        for (level, &count) in self.level_sizes.iter().enumerate() {
            contexts.push(self.level_context(level, first, &shared, &rotations));
            first += count;
        }
        let context = Tensor::cat(contexts, 0);
        let context = Tensor::cat(vec![context.clone(), context], 1);

        let mut x = reorder(targets.squashed_from.clone(), &self.order);
        let mut log_density = reorder(targets.offset.clone().unsqueeze_dim::<3>(2), &self.order);
        for i in (0..self.config.couplings).rev() {
            let whole: Vec<StackedLayer> = (0..self.config.coupling_hidden.len() + 1)
                .map(|l| {
                    let all = || self.couplings.iter().map(move |level| &level[i][l]);
                    StackedLayer {
                        weight: Tensor::cat(all().map(|layer| layer.weight.clone()).collect(), 0),
                        bias: Tensor::cat(all().map(|layer| layer.bias.clone()).collect(), 0),
                    }
                })
                .collect();
            let log_det;
            (x, log_det) = self.coupling(&whole.iter().collect::<Vec<_>>(), &context, x, true);
            log_density = log_density - log_det;
            x = permute(x, inverse_of(FlowConfig::permutation(i)));
        }
        let std = self.config.base_std;
        let constant = -3.0 * (std.ln() + 0.5 * TAU.ln());
        let density = log_density - x.square().sum_dim(2) * (0.5 / (std * std)) + constant;
        // Over the two rotation vectors of each rotation.
        let both = density.reshape([parts, 2, rows]);
        let largest = both.clone().detach().max_dim(1);
        let total = (both - largest.clone()).exp().sum_dim(1).log() + largest;
        reorder(total.swap_dims(1, 2), &self.in_part_order).reshape([parts, rows]).swap_dims(0, 1)
    }
}

fn inverse_of(permutation: [usize; 3]) -> [usize; 3] {
    let mut inverse = [0; 3];
    for (k, &from) in permutation.iter().enumerate() {
        inverse[from] = k;
    }
    inverse
}

fn permute(x: Tensor<3>, permutation: [usize; 3]) -> Tensor<3> {
    if permutation == [0, 1, 2] {
        return x;
    }
    Tensor::cat(permutation.iter().map(|&k| x.clone().narrow(2, k, 1)).collect(), 2)
}

/// Given poses, made ready for [`Stacked::log_prob`]; constants of a training step.
#[derive(Clone, Debug)]
pub struct PoseTargets {
    /// \[parts, rows, 9\]
    pub rotations: Tensor<3>,
    /// \[parts, 2 rows, 3\]: the squash undone on the first, then on the second rotation vector of each rotation.
    pub squashed_from: Tensor<3>,
    /// \[parts, 2 rows\]: what squash and exponential map add to the log-density.
    pub offset: Tensor<2>,
}

/// v − 2π v/|v| for rotation vectors longer than π/2, which have it within the support; and which have it.
fn second_preimage(v: &Tensor<3>, length: &Tensor<3>) -> (Tensor<3>, Tensor<3, Bool>) {
    let absent = length.clone().lower_equal_elem(FRAC_PI_2);
    let other = v.clone() * (length.clone().recip() * -TAU + 1.0);
    let spread = absent.clone().expand(v.dims());
    (other.mask_where(spread, v.clone()), absent)
}

impl PoseTargets {
    /// Rotation vectors \[parts, rows, 3\] of any length, with gradients with respect to them.
    pub fn of_vectors(config: &FlowConfig, vectors: Tensor<3>) -> Self {
        let [parts, rows, _] = vectors.dims();
        let long = |v: &Tensor<3>| v.clone().square().sum_dim(2).clamp_min(1e-12).sqrt();
        let rotations = exp_map(vectors.clone());
        // Whole turns are taken off: what the logarithm of the rotation gives, without its singularities.
        let length = long(&vectors);
        let turns = (length.clone().detach() / TAU).round();
        let v = vectors * (turns * -TAU / length + 1.0);
        let (other, absent) = second_preimage(&v, &long(&v));
        let both = Tensor::cat(vec![v, other], 1);
        let t = long(&both);
        let share = t.clone() / config.support_radius;
        // radius · atanh(t / radius)
        let unsquashed =
            ((share.clone() + 1.0).log() - (share.clone().neg() + 1.0).log()) * (0.5 * config.support_radius);
        let squash = (t.clone().log() - unsquashed.clone().log()) * 2.0
            + (share.clone().neg() + 1.0).log()
            + (share + 1.0).log();
        let volume = ((t.clone() * 0.5).sin().abs() * 2.0 / t.clone()).log() * 2.0;
        let squashed_from = both * (unsquashed / t);
        let present = Tensor::<3, Bool>::zeros([parts, rows, 1], &absent.device());
        let missing = Tensor::cat(vec![present, absent], 1);
        let offset = (squash + volume).neg().mask_fill(missing, ABSENT).reshape([parts, 2 * rows]);
        Self { rotations, squashed_from, offset }
    }

    /// `rotations` row-major, body by body, part by part.
    pub fn new(
        config: &FlowConfig,
        rotations: &[[f64; 9]],
        at_identity: AtIdentity,
        device: &Device,
    ) -> Self {
        let parts = config.parts();
        let rows = rotations.len() / parts.max(1);
        let squash = Transform::<f64>::ScaledRadialTanh { radius: config.support_radius };
        let mut scratch = Scratch::default();
        let mut ordered = Vec::with_capacity(parts * rows * 9);
        let mut vectors = Vec::with_capacity(parts * 2 * rows);
        let mut offset = Vec::with_capacity(parts * 2 * rows);
        for part in 0..parts {
            let mut second = Vec::with_capacity(rows);
            let mut add = |v: Option<glam::DVec3>| {
                let mut x = [v.unwrap_or_default().to_array()];
                let mut log_det = [0.0];
                squash.inverse(&mut x, &[], &mut log_det, &mut scratch);
                vectors.extend(x[0].map(|c| c as f32));
                offset.push(v.map_or(ABSENT, |v| {
                    let volume = match at_identity {
                        AtIdentity::Exact => so3::exp_log_det(v),
                        AtIdentity::AsPublished => so3::exp_log_det_published(v),
                    };
                    -log_det[0] - volume
                }) as f32);
            };
            for row in 0..rows {
                let rotation = &rotations[row * parts + part];
                ordered.extend(rotation.map(|c| c as f32));
                let (v, other) = so3::preimages(so3::from_rows(rotation), config.support_radius);
                add(Some(v));
                second.push(other);
            }
            second.into_iter().for_each(add);
        }
        Self {
            rotations: tensor(ordered, [parts, rows, 9], device),
            squashed_from: tensor(vectors, [parts, 2 * rows, 3], device),
            offset: tensor(offset, [parts, 2 * rows], device),
        }
    }
}
