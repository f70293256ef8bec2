//! Pose-NDF's files.

use humanifold::estimators::pose_ndf::{ParentTable, PoseNdf, PoseNdfConfig};
use humanifold::formats::torch::Torch;

use crate::case::{Case, CaseResult, Failure, Kinds, Outputs};

pub fn kinds() -> Kinds {
    vec![("pose_ndf_checkpoint", checkpoint)]
}

fn checkpoint(case: &Case) -> CaseResult {
    let config = PoseNdfConfig::read(case.file("config")?)?;
    if case.text("op")? == "config" {
        let dims: Vec<i64> = config.dims.iter().map(|&dim| dim as i64).collect();
        return Ok(Outputs::new()
            .i64("dims", &[dims.len()], dims)
            .f64("beta", &[2], config.beta.to_vec())
            .f64("loss_weights", &[3], config.loss_weights.to_vec())
            .f64("learning_rate", &[1], vec![config.learning_rate])
            .i64("batch_size", &[1], vec![config.batch_size as i64])
            .i64("num_pts", &[1], vec![config.points as i64])
            .bools("flip", &[1], [config.flip]));
    }
    let parents = match case.text("parents")? {
        "original" => ParentTable::Original,
        "kinematic" => ParentTable::Kinematic,
        _ => ParentTable::Other(config.parents.clone().ok_or_else(|| Failure::broken("no table"))?),
    };
    let torch = Torch::read(case.file("checkpoint")?)?;
    let network = PoseNdf::from_checkpoint(&torch, &config, parents)?;
    let distances = case
        .f64("pose")?
        .chunks_exact(84)
        .map(|pose| {
            network.distance(&std::array::from_fn(|joint| std::array::from_fn(|k| pose[4 * joint + k])))
        })
        .collect::<Vec<_>>();
    let (mut values, mut checksum) = (0, 0.0);
    let tensors = torch.state_dict("model_state_dict")?;
    for (_, tensor) in &tensors {
        let numbers = torch.tensor(tensor)?.to_f64()?;
        values += numbers.len();
        checksum += numbers.iter().sum::<f64>();
    }
    Ok(Outputs::new()
        .f64("distance", &[distances.len()], distances)
        .i64("epoch", &[1], vec![network.epoch.unwrap_or(-1)])
        .i64("tensor_count", &[1], vec![tensors.len() as i64])
        .i64("value_count", &[1], vec![values as i64])
        .f64("checksum", &[1], vec![checksum]))
}
