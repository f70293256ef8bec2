//! Heads and the 23 conditional flows in plain numbers: point estimate, samples, densities.
//! [`FlowModel<f32>`] samples; [`FlowModel<f64>`] gives densities (the published code runs them in f32).
//!
//! Rows are worked through in blocks of a fixed size, so the number of threads never changes a result.

use rayon::prelude::*;

use super::config::{FlowConfig, Tree};
use super::dense::{Dense, Mlp, Real, Scratch, elu};
use super::flow::{AtIdentity, PartFlow};
use super::so3;
use super::spline::{MAX_SEGMENTS, SplineLimits};
use super::transforms::{SplineNet, Transform};
use super::weights::{StateDict, WeightsError};
use crate::geometry::rotations::exp_so3_64;

/// Rows that one thread takes at a time.
const BLOCK: usize = 32;

/// What the heads make of one picture's features.
#[derive(Clone, Debug, PartialEq)]
pub struct Heads<R> {
    pub features: Vec<R>,
    /// Weak perspective of the crop: scale, then shift in metres, y down; a unit is half the crop's side.
    pub camera: [R; 3],
    /// Row-major, of a y-up body.
    pub global: [R; 9],
    pub shape_mean: Vec<R>,
    pub shape_log_std: Vec<R>,
}

/// Rotations of all parts in some bodies, body by body, part by part.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Poses<R> {
    /// Rotation vectors as the flow gives them (up to 1.5 π long).
    pub vectors: Vec<[R; 3]>,
    /// Row-major.
    pub rotations: Vec<[R; 9]>,
}

/// Everything behind the encoder.
#[derive(Clone, Debug)]
pub struct FlowModel<R> {
    pub config: FlowConfig,
    pub tree: Tree,
    pub at_identity: AtIdentity,
    fc1: Dense<R>,
    fc_shape: Dense<R>,
    fc_global: Dense<R>,
    fc_camera: Dense<R>,
    init_global: [R; 6],
    init_camera: [R; 3],
    fc_joint: Dense<R>,
    /// All parts' contexts as far as they depend on the shared feature, part after part.
    context_shared: Dense<R>,
    /// What the ancestors' rotations add to a part's context.
    context_ancestors: Vec<Dense<R>>,
    flows: Vec<PartFlow<R>>,
}

/// Sizes that the arithmetic cannot work with.
pub fn check(config: &FlowConfig) -> Result<(), WeightsError> {
    let well_ordered = config.parents.first() == Some(&-1)
        && config.parents.iter().enumerate().skip(1).all(|(joint, &p)| p >= 0 && (p as usize) < joint);
    if !well_ordered {
        return Err(WeightsError::Config(
            "parents must start with −1 and come before their children".to_owned(),
        ));
    }
    if !(2..=MAX_SEGMENTS).contains(&config.segments) {
        return Err(WeightsError::Config(format!(
            "splines have 2 to {MAX_SEGMENTS} segments, not {}",
            config.segments
        )));
    }
    Ok(())
}

impl<R: Real> FlowModel<R> {
    /// # Errors
    /// Where a tensor is missing or has another shape than `config` says.
    pub fn new(config: FlowConfig, state: &StateDict) -> Result<Self, WeightsError> {
        check(&config)?;
        state.check(&config.tensors(), &["image_encoder."])?;
        let real = |name: &str| -> Result<Vec<R>, WeightsError> {
            Ok(state.get(name)?.values.iter().map(|&v| R::of(f64::from(v))).collect())
        };
        let linear = |name: &str, inputs: usize| -> Result<Dense<R>, WeightsError> {
            Ok(Dense::new(inputs, real(&format!("{name}.weight"))?, real(&format!("{name}.bias"))?))
        };
        let tree = Tree::new(&config.parents);
        let shared = config.joint_features;
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        let mut context_ancestors = Vec::new();
        for (part, ancestors) in tree.ancestors.iter().enumerate() {
            let own = 9 * ancestors.len();
            let rows = real(&format!("fc_flow_context.{part}.weight"))?;
            bias.extend(real(&format!("fc_flow_context.{part}.bias"))?);
            let mut rest = Vec::with_capacity(config.context * own);
            for row in rows.chunks_exact(shared + own) {
                weight.extend_from_slice(&row[..shared]);
                rest.extend_from_slice(&row[shared..]);
            }
            context_ancestors.push(Dense::new(own, rest, vec![R::ZERO; config.context]));
        }
        let widths = config.coupling_widths();
        let mut flows = Vec::new();
        for part in 0..config.parts() {
            let mut transforms = Vec::new();
            for i in 0..config.couplings {
                let module =
                    format!("pose_so3flow_transform_modules.{}.nn.layers", part * config.couplings + i);
                let layers = widths[..widths.len() - 1]
                    .iter()
                    .enumerate()
                    .map(|(layer, &inputs)| linear(&format!("{module}.{layer}"), inputs))
                    .collect::<Result<_, _>>()?;
                transforms.push(Transform::Permute(FlowConfig::permutation(i)));
                transforms.push(Transform::SplineCoupling(SplineNet {
                    net: Mlp::new(layers),
                    segments: config.segments,
                    limits: SplineLimits::in_box(config.support_radius),
                }));
            }
            transforms.push(Transform::ScaledRadialTanh { radius: config.support_radius });
            flows.push(PartFlow {
                transforms,
                base_std: config.base_std,
                support_radius: config.support_radius,
            });
        }
        let fixed = |name: &str, values: &mut [R]| -> Result<(), WeightsError> {
            values.copy_from_slice(&real(name)?);
            Ok(())
        };
        let (mut init_global, mut init_camera) = ([R::ZERO; 6], [R::ZERO; 3]);
        fixed("init_glob", &mut init_global)?;
        fixed("init_cam", &mut init_camera)?;
        Ok(Self {
            tree,
            at_identity: AtIdentity::default(),
            fc1: linear("fc1", config.features)?,
            fc_shape: linear("fc_shape", config.hidden)?,
            fc_global: linear("fc_glob", config.hidden)?,
            fc_camera: linear("fc_cam", config.hidden)?,
            init_global,
            init_camera,
            fc_joint: linear("fc_input_shape_glob_cam_feats", config.joint_inputs())?,
            context_shared: Dense::new(shared, weight, bias),
            context_ancestors,
            flows,
            config,
        })
    }

    /// The distribution of one part.
    pub fn part(&self, part: usize) -> Option<&PartFlow<R>> {
        self.flows.get(part)
    }

    /// # Errors
    /// Where there are not as many features as the network takes, or one is not finite.
    pub fn heads(&self, features: &[R]) -> Result<Heads<R>, WeightsError> {
        if features.len() != self.config.features || features.iter().any(|f| !f.wide().is_finite()) {
            return Err(WeightsError::Config(format!(
                "{} features must be given, all finite, not {}",
                self.config.features,
                features.len()
            )));
        }
        let (mut x, mut out) = (Vec::new(), Vec::new());
        self.fc1.apply(features, 1, &mut x);
        x.iter_mut().for_each(|v| *v = elu(*v));
        self.fc_camera.apply(&x, 1, &mut out);
        let camera = std::array::from_fn(|k| out[k] + self.init_camera[k]);
        self.fc_global.apply(&x, 1, &mut out);
        let six = std::array::from_fn(|k| out[k] + self.init_global[k]);
        self.fc_shape.apply(&x, 1, &mut out);
        let (mean, log_std) = out.split_at(self.config.betas);
        Ok(Heads {
            features: features.to_vec(),
            camera,
            global: so3::rotation_from_six(&six),
            shape_mean: mean.to_vec(),
            shape_log_std: log_std.to_vec(),
        })
    }

    /// Contexts as far as shape and global rotation make them: parts × context numbers a row.
    fn shared_contexts(&self, heads: &Heads<R>, shapes: &[R], globals: &[[R; 9]]) -> Vec<R> {
        let rows = globals.len();
        let mut input = Vec::with_capacity(rows * self.config.joint_inputs());
        for (shape, global) in shapes.chunks_exact(self.config.betas).zip(globals) {
            input.extend_from_slice(&heads.features);
            input.extend_from_slice(shape);
            input.extend_from_slice(global);
            input.extend_from_slice(&heads.camera);
        }
        let (mut joint, mut contexts) = (Vec::new(), Vec::new());
        self.fc_joint.apply(&input, rows, &mut joint);
        joint.iter_mut().for_each(|v| *v = elu(*v));
        self.context_shared.apply(&joint, rows, &mut contexts);
        contexts
    }

    /// Context of one part for all rows; `shared` has one row for all or one for each.
    fn context(&self, part: usize, shared: &[R], rotations: &[Vec<[R; 9]>], rows: usize) -> Vec<R> {
        let width = self.config.context;
        let stride =
            if shared.len() == self.config.parts() * width { 0 } else { self.config.parts() * width };
        let mut context = Vec::with_capacity(rows * width);
        for row in 0..rows {
            context.extend_from_slice(&shared[row * stride + part * width..][..width]);
        }
        let ancestors = &self.tree.ancestors[part];
        if !ancestors.is_empty() {
            let mut input = Vec::with_capacity(rows * 9 * ancestors.len());
            input.extend((0..rows).flat_map(|row| ancestors.iter().flat_map(move |&a| rotations[a][row])));
            self.context_ancestors[part].accumulate(&input, rows, &mut context);
        }
        context.iter_mut().for_each(|v| *v = elu(*v));
        context
    }

    /// Runs base points (rows × parts) through the flows, root to leaf.
    fn push_forward(&self, shared: &[R], base: &[[R; 3]], to_rotation: fn([R; 3]) -> [R; 9]) -> Poses<R> {
        let parts = self.config.parts();
        let rows = base.len() / parts;
        let mut scratch = Scratch::default();
        let mut rotations: Vec<Vec<[R; 9]>> = Vec::with_capacity(parts);
        let mut vectors: Vec<Vec<[R; 3]>> = Vec::with_capacity(parts);
        for part in 0..parts {
            let context = self.context(part, shared, &rotations, rows);
            let mut x: Vec<[R; 3]> = (0..rows).map(|row| base[row * parts + part]).collect();
            self.flows[part].push_forward(&mut x, &context, &mut scratch);
            rotations.push(x.iter().map(|&v| to_rotation(v)).collect());
            vectors.push(x);
        }
        let in_rows = |row: usize| (0..parts).map(move |part| (part, row));
        Poses {
            vectors: (0..rows).flat_map(in_rows).map(|(part, row)| vectors[part][row]).collect(),
            rotations: (0..rows).flat_map(in_rows).map(|(part, row)| rotations[part][row]).collect(),
        }
    }

    /// The pose that zero noise gives with the mean shape; rotations by the body model's float32 formula.
    pub fn point_estimate(&self, heads: &Heads<R>) -> Poses<R> {
        let shared = self.shared_contexts(heads, &heads.shape_mean, &[heads.global]);
        let base = vec![[R::ZERO; 3]; self.config.parts()];
        self.push_forward(&shared, &base, |v| {
            so3::rodrigues(v.map(|x| x.wide() as f32)).map(|x| R::of(f64::from(x)))
        })
    }

    /// One pose for each row of `noise` (standard normal, rows × parts). `shapes` has one row for all
    /// (the mean shape, as prediction has it) or one for each.
    pub fn sample(&self, heads: &Heads<R>, shapes: &[R], noise: &[[R; 3]], temperature: f64) -> Poses<R> {
        let (parts, betas) = (self.config.parts(), self.config.betas);
        let scale = R::of(self.config.base_std * temperature);
        let one_shape = shapes.len() == betas;
        let common = one_shape.then(|| self.shared_contexts(heads, shapes, &[heads.global]));
        let blocks: Vec<Poses<R>> = noise
            .par_chunks(BLOCK * parts)
            .enumerate()
            .map(|(block, noise)| {
                let base: Vec<[R; 3]> = noise.iter().map(|e| e.map(|v| scale * v)).collect();
                let own;
                let shared = match &common {
                    Some(shared) => shared,
                    None => {
                        let rows = noise.len() / parts;
                        let shapes = &shapes[block * BLOCK * betas..][..rows * betas];
                        own = self.shared_contexts(heads, shapes, &vec![heads.global; rows]);
                        &own
                    }
                };
                self.push_forward(shared, &base, |v| {
                    so3::to_rows(exp_so3_64(glam::DVec3::from_array(v.map(Real::wide))))
                })
            })
            .collect();
        let mut all = Poses::default();
        for block in blocks {
            all.vectors.extend(block.vectors);
            all.rotations.extend(block.rotations);
        }
        all
    }

    /// Log-density of each part (rows × parts) given its ancestors' rotations in the same row.
    /// `shapes`, `globals` and `rotations` have a row each.
    pub fn log_prob(
        &self,
        heads: &Heads<R>,
        shapes: &[R],
        globals: &[[R; 9]],
        rotations: &[[f64; 9]],
    ) -> Vec<f64> {
        let (parts, betas) = (self.config.parts(), self.config.betas);
        let blocks: Vec<Vec<f64>> = rotations
            .par_chunks(BLOCK * parts)
            .enumerate()
            .map(|(block, rotations)| {
                let rows = rotations.len() / parts;
                let first = block * BLOCK;
                let shared = self.shared_contexts(
                    heads,
                    &shapes[first * betas..][..rows * betas],
                    &globals[first..][..rows],
                );
                let of_part = |part: usize| (0..rows).map(move |row| &rotations[row * parts + part]);
                let given: Vec<Vec<[R; 9]>> =
                    (0..parts).map(|part| of_part(part).map(|r| r.map(R::of)).collect()).collect();
                let mut scratch = Scratch::default();
                let mut out = vec![0.0; rows * parts];
                for part in 0..parts {
                    let context = self.context(part, &shared, &given, rows);
                    let queried: Vec<_> = of_part(part).map(so3::from_rows).collect();
                    let density =
                        self.flows[part].log_prob(&queried, &context, self.at_identity, &mut scratch);
                    for (row, value) in density.into_iter().enumerate() {
                        out[row * parts + part] = value;
                    }
                }
                out
            })
            .collect();
        blocks.concat()
    }
}
