//! HuManiFlow as a whole: the model's outputs, the training loss with its gradients.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use humanifold::estimators::humaniflow::config::{FlowConfig, SMPL_PARENTS};
use humanifold::estimators::humaniflow::encoder::EncoderConfig;
use humanifold::estimators::humaniflow::flow::AtIdentity;
use humanifold::estimators::humaniflow::losses::{LossInput, LossWeights, Reduction, losses};
use humanifold::estimators::humaniflow::model::FlowModel;
use humanifold::estimators::humaniflow::net::FlowNet;
use humanifold::estimators::humaniflow::optimise::{
    CocoBody, Evidence, Objective, OptimiseConfig, Variables, descend,
};
use humanifold::estimators::humaniflow::so3;
use humanifold::estimators::humaniflow::stacked::PoseTargets;
use humanifold::estimators::humaniflow::weights::StateDict;
use humanifold::formats::Array;
use humanifold::geometry::rotations::log_so3_64;
use humanifold::tensors::weights::collect;
use serde_json::Value;

use crate::body::smpl::published_body;
use crate::case::{Case, CaseResult, Failure, Kinds, Outputs};
use crate::hash1::{self, Rule};

pub fn kinds() -> Kinds {
    vec![("losses", training_loss), ("model", model), ("optimise", optimise)]
}

/// Sizes of a case's network, with the encoder's width.
fn config(case: &Case) -> Result<(FlowConfig, usize), Failure> {
    sizes(case, case.param("config")?)
}

/// As [`config`], from any list of sizes.
pub fn sizes(case: &Case, given: &Value) -> Result<(FlowConfig, usize), Failure> {
    let default = FlowConfig::default();
    let parents = match case.has_param("parents") {
        true => case.numbers("parents")?.into_iter().map(|p| p as i32).collect(),
        false => SMPL_PARENTS.to_vec(),
    };
    if given.as_str() == Some("default") {
        return Ok((FlowConfig { parents, ..default }, 64));
    }
    let count = |name: &str, usual: usize| {
        given.get(name).and_then(Value::as_u64).map_or(usual, |value| value as usize)
    };
    let coupling_hidden = given
        .get("hidden_dims")
        .and_then(Value::as_array)
        .map(|list| list.iter().filter_map(Value::as_u64).map(|n| n as usize).collect())
        .unwrap_or(default.coupling_hidden);
    let width = count("base_width", 64);
    let config = FlowConfig {
        features: 8 * width,
        hidden: count("fc1_dim", default.hidden),
        joint_features: count("feats_dim", default.joint_features),
        context: count("context_dim", default.context),
        coupling_hidden,
        segments: count("count_bins", default.segments),
        betas: count("num_betas", default.betas),
        parents,
        ..FlowConfig::default()
    };
    Ok((config, width))
}

fn nines(values: &[f64]) -> Vec<[f64; 9]> {
    values.chunks_exact(9).map(|c| std::array::from_fn(|k| c[k])).collect()
}

fn tensor<const D: usize>(case: &Case, name: &str, device: &Device) -> Result<Tensor<D>, Failure> {
    Ok(Tensor::from_data(TensorData::new(case.f32(name)?, case.shape(name)?), device))
}

fn host<const D: usize>(tensor: Tensor<D>) -> Result<Array, Failure> {
    let shape = tensor.dims();
    Ok(Array::f32(&shape, tensor.try_into_vec_as::<f32>().map_err(Failure::broken)?))
}

/// Gradients of all parameters by the authors' names, linear weights output-major.
struct Collected<'a> {
    gradients: &'a Gradients,
    path: Vec<String>,
    found: BTreeMap<String, Result<Array, Failure>>,
}

impl ModuleVisitor for Collected<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad(self.gradients) {
            let gradient = if D == 2 { gradient.transpose() } else { gradient };
            self.found.insert(self.path.join("."), host(gradient));
        }
    }
}

fn training_loss(case: &Case) -> CaseResult {
    let (config, _) = config(case)?;
    let device = Device::flex().autodiff();
    let net = FlowNet::from_state(&config, &Rule::of(case)?.flow_state(&config), &device)
        .map_err(Failure::broken)?;
    let features = tensor::<2>(case, "input_feats", &device)?.require_grad();
    let joints2d = tensor::<4>(case, "pred_joints2D", &device)?.require_grad();
    let target_shape = tensor::<2>(case, "target_shape", &device)?;
    let rows = target_shape.dims()[0];
    let target_global = tensor::<3>(case, "target_glob_rotmats", &device)?.reshape([rows, 9]);
    let rotations = nines(&case.f64("target_pose_rotmats")?);
    let targets = PoseTargets::new(&config, &rotations, AtIdentity::AsPublished, &device);

    let heads = net.heads(features.clone());
    let joint = net.joint_features(
        features.clone(),
        target_shape.clone(),
        target_global.clone(),
        heads.camera.clone(),
    );
    let weight = |name: &str| {
        case.param("weights_loss")?
            .get(name)
            .and_then(Value::as_f64)
            .ok_or_else(|| Failure::broken(format!("no weight {name}")))
    };
    let weights = LossWeights {
        pose: weight("POSE")?,
        shape: weight("SHAPE")?,
        joints2d: weight("JOINTS2D")?,
        global: weight("GLOB_ROTMATS")?,
    };
    let reduction = if case.text("reduction")? == "sum" { Reduction::Sum } else { Reduction::Mean };
    let input = LossInput {
        pose_log_prob: net.stacked().log_prob(joint, &targets),
        shape_mean: heads.shape_mean,
        shape_log_std: heads.shape_log_std,
        target_shape,
        global: heads.global,
        target_global,
        joints2d: joints2d.clone(),
        target_joints2d: tensor(case, "target_joints2D", &device)?,
        visible: tensor(case, "target_joints2D_vis", &device)?,
        crop: case.number("img_wh")?,
    };
    let terms = losses(input, &weights, reduction);
    let gradients = terms.total.backward();
    let of = |name: &str| Failure::broken(format!("no gradient of {name}"));
    let mut out = Outputs::new()
        .array("total", host(terms.total.inner())?)
        .array("pose_nll", host(terms.pose.inner())?)
        .array("shape_nll", host(terms.shape.inner())?)
        .array("joints2D", host(terms.joints2d.inner())?)
        .array("glob", host(terms.global.inner())?)
        .array("grad_input_feats", host(features.grad(&gradients).ok_or_else(|| of("features"))?)?)
        .array("grad_pred_joints2D", host(joints2d.grad(&gradients).ok_or_else(|| of("joints"))?)?);
    let mut visitor = Collected { gradients: &gradients, path: Vec::new(), found: BTreeMap::new() };
    net.visit(&mut visitor);
    for (name, gradient) in visitor.found {
        out = out.array(&format!("grad:{name}"), gradient?);
    }
    Ok(out)
}

/// Features of the case's input, one picture after the other.
fn encode(case: &Case, rule: &Rule, width: usize) -> Result<Vec<f32>, Failure> {
    let device = Device::flex();
    let config = EncoderConfig::new().with_base_width(width);
    let mut state = StateDict::default();
    for tensor in collect(&config.init(&device), Path::new("")).map_err(Failure::broken)? {
        let name = format!("image_encoder.{}", tensor.name);
        let values = rule.tensor(&name, &tensor.shape);
        state.insert(&name, &tensor.shape, values);
    }
    let encoder =
        config.load(&state, "image_encoder.", Path::new(""), &device).map_err(Failure::broken)?.folded();
    let (shape, values) = hash1::input(case)?;
    let x = Tensor::<4>::from_data(TensorData::new(values, shape), &device);
    encoder.forward(x).try_into_vec_as::<f32>().map_err(Failure::broken)
}

fn model(case: &Case) -> CaseResult {
    let (config, width) = config(case)?;
    let (parts, betas) = (config.parts(), config.betas);
    let rule = Rule::of(case)?;
    let state = rule.flow_state(&config);
    let features = encode(case, &rule, width)?;
    let images = features.len() / config.features;
    let samples = case.count("num_samples")?;

    let sampling = FlowModel::<f32>::new(config.clone(), &state).map_err(Failure::broken)?;
    let mut density = FlowModel::<f64>::new(config.clone(), &state).map_err(Failure::broken)?;
    density.at_identity = AtIdentity::AsPublished;
    let pose_noise = case.f32("pose_noise")?;
    let shape_noise = case.f32("shape_noise")?;
    let target_shapes = case.f64("target_shape")?;
    let target_poses = nines(&case.f64("target_pose_rotmats")?);
    let target_globals = nines(&case.f64("target_glob_rotmats")?);
    let mut lists: BTreeMap<&str, Vec<f32>> = BTreeMap::new();
    for image in 0..images {
        let own = &features[image * config.features..][..config.features];
        let heads = sampling.heads(own).map_err(Failure::broken)?;
        let point = sampling.point_estimate(&heads);
        let mut shapes = Vec::new();
        for sample in 0..samples {
            for k in 0..betas {
                let spread = heads.shape_log_std[k].exp();
                let noise = shape_noise[(sample * images + image) * betas + k];
                let fixed = case.flag("use_shape_mode_for_samples");
                shapes.push(heads.shape_mean[k] + if fixed { 0.0 } else { spread * noise });
            }
        }
        let noise: Vec<[f32; 3]> = (0..samples)
            .flat_map(|sample| (0..parts).map(move |part| (sample, part)))
            .map(|(sample, part)| {
                let at = ((part * images + image) * samples + sample) * 3;
                std::array::from_fn(|k| pose_noise[at + k])
            })
            .collect();
        let drawn = sampling.sample(&heads, &shapes, &noise, 1.0);

        let wide: Vec<f64> = own.iter().map(|&f| f64::from(f)).collect();
        let wide_heads = density.heads(&wide).map_err(Failure::broken)?;
        let shape = &target_shapes[image * betas..][..betas];
        let log_prob = density.log_prob(
            &wide_heads,
            shape,
            &target_globals[image..=image],
            &target_poses[image * parts..][..parts],
        );
        let shape_log_prob = shape.iter().zip(&wide_heads.shape_mean).zip(&wide_heads.shape_log_std).map(
            |((beta, mean), log_std)| {
                let z = (beta - mean) * (-log_std).exp();
                (-0.5 * z * z - log_std - 0.5 * std::f64::consts::TAU.ln()) as f32
            },
        );
        let mut add = |name: &'static str, values: Vec<f32>| lists.entry(name).or_default().extend(values);
        add("input_feats", own.to_vec());
        add("cam_wp", heads.camera.to_vec());
        add("glob_rotmat", heads.global.to_vec());
        add("shape_mode", heads.shape_mean.clone());
        add("shape_log_std", heads.shape_log_std.clone());
        add("pose_axisangle_point_est", point.vectors.concat());
        add("pose_rotmats_point_est", point.rotations.concat());
        add("pose_rotmats_samples", drawn.rotations.concat());
        add("shape_samples", shapes);
        add("pose_log_prob", log_prob.into_iter().map(|v| v as f32).collect());
        add("shape_log_prob", shape_log_prob.collect());
    }
    let mut out = Outputs::new();
    for (name, values) in lists {
        out = out.f32(name, &case.expected(name)?.shape, values);
    }
    Ok(out)
}

fn optimise(case: &Case) -> CaseResult {
    let (config, _) = config(case)?;
    let device = Device::flex().autodiff();
    let net = FlowNet::from_state(&config, &Rule::of(case)?.flow_state(&config), &device)
        .map_err(Failure::broken)?;
    let body = CocoBody::new(&published_body(case, config.betas)?, &device);
    let weights = case.param("loss_weights")?;
    let weight = |name: &str| weights.get(name).and_then(Value::as_f64).unwrap_or(0.0);
    let settings = OptimiseConfig {
        steps: case.count("iterations")?,
        rate: case.number("lr")?,
        joints2d: weight("JOINTS2D"),
        pose_prior: weight("POSE_PRIOR"),
        shape_prior: weight("SHAPE_PRIOR"),
        crop: case.number("img_wh")?,
    };
    let features = tensor::<2>(case, "input_feats", &device)?;
    let n = features.dims()[0];
    let threshold = case.number("visibility_threshold")?;
    let visible: Vec<f32> = case
        .f64("hrnet_joints2D_conf")?
        .into_iter()
        .enumerate()
        .map(|(i, score)| f32::from(u8::from(i % 17 < 7 || score > threshold)))
        .collect();
    let turned: Vec<f32> = nines(&case.f64("glob_rotmat")?)
        .iter()
        .flat_map(|r| log_so3_64(&so3::from_rows(r)).as_vec3().to_array())
        .collect();
    let start = Variables {
        pose: tensor::<3>(case, "pose_axisangle_point_est", &device)?.reshape([n, 3 * config.parts()]),
        global: Tensor::from_data(TensorData::new(turned.clone(), [n, 3]), &device),
        shape: tensor(case, "shape_mode", &device)?,
        camera: tensor(case, "cam_wp", &device)?,
    };
    let evidence = Evidence {
        heads: net.heads(features.clone()),
        features,
        keypoints: tensor(case, "cropped_joints2D", &device)?,
        visible: Tensor::from_data(TensorData::new(visible, [n, 17]), &device),
    };
    let descent = descend(&net, &body, &evidence, start, &settings);
    let list = |of: fn(&Objective) -> f32| descent.objectives.iter().map(of).collect::<Vec<f32>>();
    let steps = [descent.objectives.len()];
    let first = descent.first_gradients.ok_or_else(|| Failure::broken("no gradients"))?;
    Ok(Outputs::new()
        .f32("loss", &steps, list(|o| o.total))
        .f32("joints2D_loss", &steps, list(|o| o.joints2d))
        .f32("pose_log_prob", &steps, list(|o| o.pose_log_prob))
        .f32("shape_log_prob", &steps, list(|o| o.shape_log_prob))
        .f32("glob_axis_angle_start", &[n, 3], turned)
        .array("final_pose_axisangle", host(descent.end.pose.inner())?)
        .array("final_shape", host(descent.end.shape.inner())?)
        .array("final_cam_wp", host(descent.end.camera.inner())?)
        .array("grad0_pose", host(first.pose)?)
        .array("grad0_glob", host(first.global)?)
        .array("grad0_shape", host(first.shape)?)
        .array("grad0_cam", host(first.camera)?))
}
