//! HuManiFlow's checkpoints: the authors' layout, and the older container that HRNet's file has.

use std::path::Path;

use burn::tensor::Device;
use humanifold::estimators::humaniflow::encoder::EncoderConfig;
use humanifold::estimators::humaniflow::model::FlowModel;
use humanifold::estimators::humaniflow::weights::{StateDict, WeightsError};
use humanifold::formats::torch::Torch;
use humanifold::formats::values::TensorRef;
use serde_json::Value;

use crate::case::{Case, CaseResult, Failure, Kinds, Outputs};
use crate::humaniflow_network::sizes;

pub fn kinds() -> Kinds {
    vec![("checkpoint", checkpoint)]
}

impl From<WeightsError> for Failure {
    fn from(error: WeightsError) -> Self {
        Self::refused(error.word(), &error)
    }
}

fn checkpoint(case: &Case) -> CaseResult {
    let torch = Torch::read(case.file("checkpoint")?)?;
    if case.flag("bare") {
        let tensors = torch.bare_state_dict().ok_or_else(|| Failure::broken("no tensors"))?;
        return listed(case, &torch, &tensors, Outputs::new());
    }
    let key = if case.has_param("state") { case.text("state")? } else { "best_model_state_dict" };
    let tensors = torch.state_dict(key)?;
    let state = StateDict::of_tensors(&torch, tensors.clone())?;

    let (config, width) = sizes(case, &Value::Object(case.params.clone()))?;
    let encoder = EncoderConfig::new().with_base_width(width);
    encoder
        .load(&state, "image_encoder.", Path::new(""), &Device::flex())
        .map_err(|error| Failure::refused("shape", error))?;
    let model = FlowModel::<f32>::new(config.clone(), &state)?;

    let values = torch.values();
    let number = |name: &str| -> Result<Vec<i64>, Failure> {
        let found = values.entry(values.top(), name).and_then(|id| values.number(id));
        found.map(|value| vec![value as i64]).ok_or_else(|| Failure::broken(format!("no `{name}`")))
    };
    let mut out =
        Outputs::new().i64("epoch", &[1], number("epoch")?).i64("best_epoch", &[1], number("best_epoch")?);
    let best = values
        .entry(values.top(), "best_epoch_val_metrics")
        .ok_or_else(|| Failure::broken("no best values"))?;
    let names = case.param("metrics")?.as_array().cloned().unwrap_or_default();
    let of_metric = |name: &Value| {
        values
            .entry(best, name.as_str().unwrap_or_default())
            .and_then(|id| values.number(id))
            .unwrap_or(f64::NAN)
    };
    out = out.f64("best_values", &[names.len()], names.iter().map(of_metric).collect());

    let mut lists: [(&str, Vec<f32>); 6] = [
        ("cam_wp", Vec::new()),
        ("glob_rotmat", Vec::new()),
        ("shape_mode", Vec::new()),
        ("shape_log_std", Vec::new()),
        ("pose_axisangle_point_est", Vec::new()),
        ("pose_rotmats_point_est", Vec::new()),
    ];
    for features in case.f32("input_feats")?.chunks(config.features) {
        let heads = model.heads(features)?;
        let point = model.point_estimate(&heads);
        let made = [
            heads.camera.to_vec(),
            heads.global.to_vec(),
            heads.shape_mean.clone(),
            heads.shape_log_std.clone(),
            point.vectors.concat(),
            point.rotations.concat(),
        ];
        for ((_, list), values) in lists.iter_mut().zip(made) {
            list.extend(values);
        }
    }
    for (name, list) in lists {
        out = out.f32(name, &case.expected(name)?.shape, list);
    }
    listed(case, &torch, &tensors, out)
}

/// Counts, and the tensors that the case names.
fn listed(case: &Case, torch: &Torch, tensors: &[(String, &TensorRef)], mut out: Outputs) -> CaseResult {
    let values: usize = tensors.iter().map(|(_, tensor)| tensor.shape.iter().product::<usize>()).sum();
    out =
        out.i64("num_tensors", &[1], vec![tensors.len() as i64]).i64("num_values", &[1], vec![values as i64]);
    for key in case.param("keys")?.as_array().into_iter().flatten().filter_map(Value::as_str) {
        let (_, tensor) = tensors
            .iter()
            .find(|(name, _)| name == key)
            .ok_or_else(|| Failure::broken(format!("no `{key}`")))?;
        let mut array = torch.tensor(tensor)?;
        // Cases hold single numbers as arrays of one.
        if array.shape.is_empty() {
            array.shape = vec![1];
        }
        out = out.array(&format!("t:{key}"), array);
    }
    Ok(out)
}
