//! The published system as an [`Estimator`]: photo and person to a distribution of bodies.
//!
//! Person ──`proxy`──▶ edges, heatmaps ──`encoder`──▶ features ──[`FlowModel`]──▶ poses ──▶ camera's space
//!
//! The network's body is y-up and its camera y-down with z away from it, half a turn about x apart; this
//! program's camera is y-up and looks along −z, so that half turn cancels and only the shift's y changes sign.
//! One file because loading, both camera conversions and the evidence belong to one system's door.

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use glam::{Mat3, Vec2, Vec3};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::config::FlowConfig;
use super::encoder::{EncoderConfig, FoldedEncoder, Layers};
use super::model::{FlowModel, Heads, Poses};
use super::net::FlowNet;
use super::optimise::{CocoBody, Evidence, OptimiseConfig, Variables, descend};
use super::proxy::{Proxy, ProxyOptions};
use super::weights::{StateDict, WeightsError};
use crate::body::state::BODY_JOINTS;
use crate::body::{BodyModel, BodyState, Trajectory};
use crate::estimators::{Estimate, EstimateError, EstimateOptions, Estimator};
use crate::formats::picture::Picture;
use crate::geometry::camera::{Camera, Projection};
use crate::geometry::rotations::{exp_so3, log_so3};
use crate::keypoints::{COCO_KEYPOINTS, Crop, KeypointSource, Person};
use crate::progress::Cancel;

/// Fewest visible keypoints that an estimate is made from.
const NEEDED_KEYPOINTS: usize = 4;

/// Score from which a limb's keypoint of this program's detector counts: its scores are lower than those of the
/// original's detector, for which the default of [`ProxyOptions`] is meant.
const MOVENET_SCORE: f32 = 0.3;

/// The shape that samples have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SampleShapes {
    /// The mean shape for all, as the original's prediction.
    #[default]
    Mean,
    /// Drawn from the predicted normals, as the original's evaluation.
    Drawn,
}

pub struct HumaniflowEstimator {
    encoder: FoldedEncoder,
    device: Device,
    sampling: FlowModel<f32>,
    density: FlowModel<f64>,
    source: String,
    optimisation: Option<Optimisation>,
    pub proxy: ProxyOptions,
    pub shapes: SampleShapes,
}

/// The published refinement of the point estimate, where it is wanted.
struct Optimisation {
    net: FlowNet,
    body: CocoBody,
    config: OptimiseConfig,
    device: Device,
}

impl HumaniflowEstimator {
    /// With weights from a file: the authors' checkpoint or its tensors in a safetensors file.
    ///
    /// # Errors
    /// Where the file cannot be read or holds another network.
    pub fn load(path: &Path, device: &Device) -> Result<Self, WeightsError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Self::from_state(&StateDict::read(path)?, &name, path, device)
    }

    /// With weights at hand; `name` is what people see, `path` is named in errors.
    ///
    /// # Errors
    /// Where the tensors are not those of this network for bodies of SMPL's tree.
    pub fn from_state(
        state: &StateDict,
        name: &str,
        path: &Path,
        device: &Device,
    ) -> Result<Self, WeightsError> {
        let config = FlowConfig::of_state(state)?;
        let layers = if state.0.contains_key("image_encoder.layer1.0.conv3.weight") {
            Layers::Fifty
        } else {
            Layers::Eighteen
        };
        let first = &state.get("image_encoder.conv1.weight")?.shape;
        let (width, channels) = (first.first().copied().unwrap_or(0), first.get(1).copied().unwrap_or(0));
        let encoder = EncoderConfig::new().with_layers(layers).with_base_width(width);
        if channels != encoder.channels_in || encoder.features() != config.features {
            return Err(WeightsError::Config(format!(
                "the encoder takes {channels} channels and gives {} features, it must take {} and give {}",
                encoder.features(),
                encoder.channels_in,
                config.features
            )));
        }
        Ok(Self {
            encoder: encoder.load(state, "image_encoder.", path, device)?.folded(),
            device: device.clone(),
            sampling: FlowModel::new(config.clone(), state)?,
            density: FlowModel::new(config, state)?,
            source: format!("HuManiFlow ({name})"),
            optimisation: None,
            proxy: ProxyOptions::default(),
            shapes: SampleShapes::default(),
        })
    }

    /// Refines the point estimate as published, with the keypoints of `model`. The samples stay as drawn.
    ///
    /// # Errors
    /// Where `state` is not the network's.
    pub fn with_optimisation(
        mut self,
        state: &StateDict,
        model: &BodyModel,
        config: OptimiseConfig,
    ) -> Result<Self, WeightsError> {
        let device = self.device.clone().autodiff();
        let net = FlowNet::from_state(&self.sampling.config, state, &device)?;
        let body = CocoBody::new(model, &device);
        self.optimisation = Some(Optimisation { net, body, config, device });
        Ok(self)
    }

    /// Standard normal numbers for each sample from a stream of its own: rows × parts, then rows × betas.
    fn noise(&self, options: &EstimateOptions) -> (Vec<[f32; 3]>, Vec<f32>) {
        let (parts, betas) = (self.sampling.config.parts(), self.sampling.config.betas);
        let mut poses = Vec::with_capacity(options.samples * parts);
        let mut shapes = Vec::with_capacity(options.samples * betas);
        for sample in 0..options.samples {
            let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
            rng.set_stream(sample as u64);
            poses.extend(
                (0..parts)
                    .map(|_| -> [f32; 3] { std::array::from_fn(|_| rng.sample::<f32, _>(StandardNormal)) }),
            );
            shapes.extend((0..betas).map(|_| rng.sample::<f32, _>(StandardNormal)));
        }
        (poses, shapes)
    }

    /// Shape of each sample, one after the other.
    fn sample_shapes(&self, heads: &Heads<f32>, noise: &[f32], options: &EstimateOptions) -> Vec<f32> {
        let betas = heads.shape_mean.len();
        noise
            .iter()
            .enumerate()
            .map(|(i, e)| {
                let k = i % betas.max(1);
                let spread = match self.shapes {
                    SampleShapes::Mean => 0.0,
                    SampleShapes::Drawn => heads.shape_log_std[k].exp() * options.temperature,
                };
                heads.shape_mean[k] + spread * e
            })
            .collect()
    }

    fn evidence(proxy: &Proxy) -> Vec<(String, Picture)> {
        let size = proxy.planes.width;
        let grey = |values: Vec<f32>| {
            let most = values.iter().copied().fold(1e-6, f32::max);
            let rgb = values.iter().flat_map(|v| [(v / most * 255.0).clamp(0.0, 255.0).round() as u8; 3]);
            Picture::new(size, proxy.planes.height, rgb.collect())
        };
        let mut bumps = vec![0.0f32; size * proxy.planes.height];
        for k in 1..proxy.planes.count {
            bumps.iter_mut().zip(proxy.planes.plane(k)).for_each(|(sum, v)| *sum = sum.max(*v));
        }
        vec![
            ("Square about the person".to_owned(), proxy.picture.to_picture()),
            ("Edges".to_owned(), grey(proxy.planes.plane(0).to_vec())),
            ("Keypoint heatmaps".to_owned(), grey(bumps)),
        ]
    }
}

/// A point estimate: what a body needs of the network's own numbers.
struct Point {
    shape: Vec<f32>,
    global: Mat3,
    rotations: Vec<Mat3>,
    camera: [f32; 3],
}

impl Optimisation {
    /// The point before each step and after the last, with the objective at each; the last one's is its
    /// predecessor's, for it was not evaluated.
    fn run(
        &self,
        features: &[f32],
        start: &Poses<f32>,
        heads: &Heads<f32>,
        proxy: &Proxy,
    ) -> Vec<(Point, f32)> {
        let row = |values: Vec<f32>| {
            let count = values.len();
            Tensor::<2>::from_data(TensorData::new(values, [1, count]), &self.device)
        };
        let global = log_so3(rows(&heads.global)).to_array().to_vec();
        let variables = Variables {
            pose: row(start.vectors.concat()),
            global: row(global),
            shape: row(heads.shape_mean.clone()),
            camera: row(heads.camera.to_vec()),
        };
        let features = row(features.to_vec());
        let keypoints = proxy.keypoints.iter().flat_map(|k| k.to_array()).collect();
        let visible = proxy.visible.iter().map(|seen| f32::from(u8::from(*seen))).collect();
        let evidence = Evidence {
            heads: self.net.heads(features.clone()),
            features,
            keypoints: row(keypoints).reshape([1, COCO_KEYPOINTS, 2]),
            visible: row(visible),
        };
        let config = OptimiseConfig { crop: proxy.planes.width as f64, ..self.config.clone() };
        let descent = descend(&self.net, &self.body, &evidence, variables, &config);
        let list = |t: &Tensor<2>| t.to_data().convert::<f32>().try_to_vec::<f32>().unwrap_or_default();
        let point = |v: &Variables| {
            let turn = |v: &[f32]| exp_so3(Vec3::from_slice(v));
            Point {
                shape: list(&v.shape),
                global: list(&v.global).chunks_exact(3).next().map_or(Mat3::IDENTITY, turn),
                rotations: list(&v.pose).chunks_exact(3).map(turn).collect(),
                camera: list(&v.camera).try_into().unwrap_or(heads.camera),
            }
        };
        let last = descent.objectives.last().map_or(f32::NAN, |objective| objective.total);
        let values = descent.objectives.iter().map(|objective| objective.total).chain([last]);
        descent.path.iter().chain([&descent.end]).map(point).zip(values).collect()
    }
}

fn rows(r: &[f32; 9]) -> Mat3 {
    Mat3::from_cols_array(r).transpose()
}

/// The network's camera of a crop as a camera of the photo, and where the body stands before it.
fn place(camera: [f32; 3], crop: &Crop, size: [f32; 2]) -> Option<(Camera, Vec3)> {
    let [s, tx, ty] = camera;
    let scale_px = 0.5 * crop.side * s;
    let usable = scale_px.is_finite() && scale_px > 1e-3 && tx.is_finite() && ty.is_finite();
    let origin = crop.to_photo(Vec2::splat(0.5));
    let projection = Projection::WeakPerspective { scale_px, origin_px: origin.to_array() };
    usable.then_some((Camera { projection, size }, Vec3::new(tx, -ty, 0.0)))
}

fn body(shape: &[f32], global: Mat3, rotations: impl IntoIterator<Item = Mat3>, transl: Vec3) -> BodyState {
    let mut body_pose = [Mat3::IDENTITY; BODY_JOINTS];
    for (slot, rotation) in body_pose.iter_mut().zip(rotations) {
        *slot = rotation;
    }
    BodyState { betas: shape.to_vec(), global_orient: global, body_pose, transl }
}

fn stop(cancel: &Cancel) -> Result<(), EstimateError> {
    if cancel.is_cancelled() { Err(EstimateError::Cancelled) } else { Ok(()) }
}

fn weights(error: WeightsError) -> EstimateError {
    EstimateError::Weights(error.into())
}

impl Estimator for HumaniflowEstimator {
    fn name(&self) -> String {
        self.source.clone()
    }

    fn estimate(
        &self,
        picture: &Picture,
        person: &Person,
        options: &EstimateOptions,
        cancel: &Cancel,
    ) -> Result<Estimate, EstimateError> {
        let mut settings = self.proxy.clone();
        if person.source == KeypointSource::MoveNet {
            settings.min_score = settings.min_score.min(MOVENET_SCORE);
        }
        let proxy = Proxy::new(picture, person, &settings);
        let visible = proxy.visible.iter().filter(|seen| **seen).count();
        if visible < NEEDED_KEYPOINTS {
            return Err(EstimateError::TooFewKeypoints { visible, needed: NEEDED_KEYPOINTS });
        }
        stop(cancel)?;
        let planes = &proxy.planes;
        let features =
            self.encoder.features(planes.values.clone(), planes.height, planes.width, &self.device);
        stop(cancel)?;

        let heads = self.sampling.heads(&features).map_err(weights)?;
        let size = [picture.width as f32, picture.height as f32];
        let global = rows(&heads.global);
        let point = self.sampling.point_estimate(&heads);
        let refined = self
            .optimisation
            .as_ref()
            .map_or_else(Vec::new, |wanted| wanted.run(&features, &point, &heads, &proxy));
        stop(cancel)?;
        let scale = refined.last().map_or(heads.camera, |(point, _)| point.camera);
        let Some((camera, transl)) = place(scale, &proxy.crop, size) else {
            let why = format!("the network gives a camera of scale {}: {}", scale[0], self.source);
            return Err(EstimateError::Weights(anyhow::anyhow!(why)));
        };
        let start = body(&heads.shape_mean, global, point.rotations.iter().map(rows), transl);
        let frames: Vec<BodyState> = refined
            .iter()
            .map(|(point, _)| {
                let transl = Vec3::new(point.camera[1], -point.camera[2], 0.0);
                body(&point.shape, point.global, point.rotations.iter().copied(), transl)
            })
            .collect();
        let mode = frames.last().cloned().unwrap_or(start);
        let refinement = (!frames.is_empty()).then(|| Trajectory {
            frames,
            values: refined.iter().map(|(_, value)| *value).collect(),
            value_name: "objective".to_owned(),
            frame_rate: None,
            source: format!("{}, published refinement", self.source),
        });
        let (noise, shape_noise) = self.noise(options);
        let shapes = self.sample_shapes(&heads, &shape_noise, options);
        let of_samples = match self.shapes {
            SampleShapes::Mean => &heads.shape_mean,
            SampleShapes::Drawn => &shapes,
        };
        let drawn = self.sampling.sample(&heads, of_samples, &noise, f64::from(options.temperature));
        stop(cancel)?;

        let (parts, betas) = (self.sampling.config.parts(), self.sampling.config.betas);
        let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
        let exact = self.density.heads(&wide(&features)).map_err(weights)?;
        let rotations: Vec<[f64; 9]> = drawn.rotations.iter().map(|r| r.map(f64::from)).collect();
        let globals = vec![heads.global.map(f64::from); options.samples];
        let log_prob = self.density.log_prob(&exact, &wide(&shapes), &globals, &rotations);
        stop(cancel)?;

        Ok(Estimate {
            mode,
            camera,
            samples: drawn
                .rotations
                .chunks_exact(parts)
                .zip(shapes.chunks_exact(betas))
                .map(|(rotations, shape)| body(shape, global, rotations.iter().map(rows), transl))
                .collect(),
            log_prob: log_prob.chunks_exact(parts).map(|row| row.iter().sum::<f64>() as f32).collect(),
            evidence: Self::evidence(&proxy),
            seed: options.seed,
            source: self.source.clone(),
            refinement,
            prior: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimators::humaniflow::spread::project;
    use crate::estimators::humaniflow::weights::looks_like_humaniflow;
    use crate::keypoints::Keypoint;
    use crate::tensors::weights::{NamedTensor, Precision, to_bytes};

    /// A body's point falls on the photo where the network's camera puts it in the crop.
    #[test]
    fn the_camera_of_the_photo_is_the_crops() {
        let crop = Crop { center: Vec2::new(300.0, 220.0), side: 400.0, angle: 0.0 };
        let camera = [0.8, 0.1, -0.3];
        let (photo, transl) = place(camera, &crop, [640.0, 480.0]).expect("a usable camera");
        let point = Vec3::new(0.3, 0.7, -0.2);
        let unit = project(point, camera, 1.0);
        let seen = photo.project(point + transl).expect("weak perspective sees everything");
        assert!(seen.distance(crop.to_photo(unit)) < 1e-3, "{seen}");
        assert!(place([0.0, 0.0, 0.0], &crop, [640.0, 480.0]).is_none());
    }

    /// A small network of the published layout, its numbers drawn evenly.
    fn small_state() -> StateDict {
        let config = FlowConfig {
            features: 16,
            hidden: 8,
            joint_features: 6,
            context: 5,
            coupling_hidden: vec![6, 5],
            segments: 4,
            ..FlowConfig::default()
        };
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let mut state = StateDict::default();
        for (name, shape) in config.tensors() {
            let values = match name.as_str() {
                "init_glob" => vec![1.0, 0.0, 0.0, 1.0, 0.0, 0.0],
                "init_cam" => vec![0.9, 0.0, 0.0],
                _ => (0..shape.iter().product()).map(|_| rng.random_range(-0.2..0.2)).collect(),
            };
            state.insert(&name, &shape, values);
        }
        let device = Device::flex();
        let encoder = EncoderConfig::new().with_base_width(2).init(&device);
        for tensor in crate::tensors::weights::collect(&encoder, Path::new("")).expect("tensors on the CPU") {
            state.insert(&format!("image_encoder.{}", tensor.name), &tensor.shape, tensor.values);
        }
        state
    }

    fn small() -> HumaniflowEstimator {
        HumaniflowEstimator::from_state(&small_state(), "small", Path::new("small"), &Device::flex())
            .expect("a state of that network")
    }

    #[test]
    fn a_weight_file_is_known_by_its_tensors() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("flow.safetensors");
        let state = small_state();
        let tensors: Vec<NamedTensor> = state
            .0
            .iter()
            .map(|(name, t)| NamedTensor {
                name: name.clone(),
                shape: t.shape.clone(),
                values: t.values.clone(),
            })
            .collect();
        let bytes =
            to_bytes(&tensors, Precision::Single, &Default::default()).expect("tensors of one name each");
        std::fs::write(&path, bytes).expect("a file");
        assert!(looks_like_humaniflow(&path));
        let read = StateDict::read(&path).expect("tensors");
        assert!(read == state);
        assert!(HumaniflowEstimator::load(&path, &Device::flex()).is_ok());
        std::fs::write(&path, b"PK\x03\x04 and nothing else").expect("a file");
        assert!(HumaniflowEstimator::load(&path, &Device::flex()).is_err());
    }

    #[test]
    fn the_published_refinement_lowers_its_objective() {
        let Ok(model) = BodyModel::default_body() else { return };
        let config = OptimiseConfig { steps: 4, rate: 1e-6, ..OptimiseConfig::default() };
        let estimator = small().with_optimisation(&small_state(), &model, config).expect("its own state");
        let picture = Picture::filled(120, 160, [90, 120, 150]);
        let keypoints = std::array::from_fn(|k| Keypoint { x: 60.0, y: 20.0 + 7.0 * k as f32, score: 0.9 });
        let bbox = [20.0, 10.0, 100.0, 150.0];
        let person = Person { bbox, keypoints, score: 1.0, source: KeypointSource::Hand, mask: None };
        let options = EstimateOptions { samples: 1, seed: 3, temperature: 1.0 };
        let estimate = estimator.estimate(&picture, &person, &options, &Cancel::new()).expect("an estimate");
        let way = estimate.refinement.expect("a refinement");
        assert_eq!((way.frames.len(), way.values.len()), (5, 5));
        assert!(way.values[..4].windows(2).all(|pair| pair[1] < pair[0]), "{:?}", way.values);
        assert_eq!(way.frames[4], estimate.mode);
    }

    #[test]
    fn a_photo_gives_bodies_that_the_seed_decides() {
        let estimator = small();
        let picture = Picture::filled(120, 160, [90, 120, 150]);
        let keypoints = std::array::from_fn(|k| Keypoint {
            x: 40.0 + 2.0 * k as f32,
            y: 20.0 + 7.0 * k as f32,
            score: 0.9,
        });
        let bbox = [20.0, 10.0, 100.0, 150.0];
        let mut person = Person { bbox, keypoints, score: 1.0, source: KeypointSource::Hand, mask: None };
        let options = EstimateOptions { samples: 7, seed: 3, temperature: 1.0 };
        let run = |person: &Person, options: &EstimateOptions| {
            estimator.estimate(&picture, person, options, &Cancel::new())
        };
        let a = run(&person, &options).expect("a person with all keypoints");
        let b = run(&person, &EstimateOptions { samples: 3, ..options.clone() }).expect("the same person");
        assert_eq!((a.samples.len(), a.log_prob.len(), a.evidence.len()), (7, 7, 3));
        assert_eq!(a.samples[..3], b.samples[..]);
        assert_ne!(a.samples[0], a.samples[1]);
        assert!(a.log_prob.iter().all(|p| p.is_finite()));
        assert!(a.samples[0].global_orient.determinant() > 0.99 && a.samples[0].betas.len() == 10);

        person.keypoints = [Keypoint { x: 0.0, y: 0.0, score: 0.0 }; COCO_KEYPOINTS];
        assert!(matches!(run(&person, &options), Err(EstimateError::TooFewKeypoints { visible: 0, .. })));
        let cancel = Cancel::new();
        cancel.cancel();
        person.keypoints = keypoints;
        let stopped = estimator.estimate(&picture, &person, &options, &cancel);
        assert!(matches!(stopped, Err(EstimateError::Cancelled)));
    }
}
