//! What a file is, told from the names in it, so that a file in the wrong place can be named for what it is.

/// Kinds of content that the program can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A model of a body (or part of one).
    Body(Body),
    Motion,
    /// A sequence of 3DPW.
    Sequence3dpw,
    /// Labels of a data set of photos.
    Labels,
    HumaniflowWeights,
    HrnetWeights,
    PoseNdfWeights,
    RegressionWeights,
    MeanParameters,
    Prediction,
    DensePoseTable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    BuiltIn,
    Smpl,
    SmplH,
    SmplX,
    Mano,
    Flame,
}

impl Content {
    /// What it is and what it is good for.
    pub fn description(self) -> &'static str {
        match self {
            Self::Body(Body::BuiltIn) => "this program's own body model",
            Self::Body(Body::Smpl) => "an SMPL body model",
            Self::Body(Body::SmplH) => "an SMPL-H body model; its body part can be used",
            Self::Body(Body::SmplX) => "an SMPL-X body model; its body part can be used",
            Self::Body(Body::Mano) => "a MANO hand model, which is no whole body",
            Self::Body(Body::Flame) => "a FLAME head model, which is no whole body",
            Self::Motion => "a motion (poses over time), not a model; open it as a motion",
            Self::Sequence3dpw => "a sequence of 3DPW, not a model; open it as a motion",
            Self::Labels => "a list of labelled photos of a data set",
            Self::HumaniflowWeights => "a checkpoint of HuManiFlow; give it with --weights",
            Self::HrnetWeights => "weights of the keypoint network HRNet",
            Self::PoseNdfWeights => "a checkpoint of Pose-NDF, a pose prior",
            Self::RegressionWeights => "a checkpoint of a network of the SPIN family",
            Self::MeanParameters => "mean parameters of a body regressor (smpl_mean_params)",
            Self::Prediction => "a prediction of HuManiFlow",
            Self::DensePoseTable => "DensePose's UV table (UV_Processed.mat)",
        }
    }
}

/// From the outermost names of a file: arrays of an npz, keys of a pickle, variables, names of tensors.
pub fn by_keys(keys: &[&str]) -> Option<Content> {
    let has = |name: &str| keys.contains(&name);
    let starts = |start: &str| keys.iter().any(|key| key.trim_start_matches("module.").starts_with(start));
    Some(if has("v_template") && (has("weights") || has("weights_index")) {
        Content::Body(if has("cloth_coords") {
            Body::BuiltIn
        } else if has("lmk_faces_idx") && has("hands_meanl") {
            Body::SmplX
        } else if has("hands_meanl") {
            Body::SmplH
        } else if has("hands_mean") {
            Body::Mano
        } else if has("lmk_faces_idx") {
            Body::Flame
        } else {
            Body::Smpl
        })
    } else if has("cam_poses") && has("poses") {
        Content::Sequence3dpw
    } else if has("pose_axisangle_point_est") || has("pose_rotmats_point_est") {
        Content::Prediction
    } else if (has("imgname") || has("fnames")) && (has("pose") || has("poses") || has("part")) {
        Content::Labels
    } else if has("poses") || has("pose_body") {
        Content::Motion
    } else if has("best_model_state_dict") || starts("fc_flow_context.") {
        Content::HumaniflowWeights
    } else if starts("enc.net.") || starts("dfnet.") {
        Content::PoseNdfWeights
    } else if starts("stage4.") && starts("final_layer.") {
        Content::HrnetWeights
    } else if has("total_step_count") && has("model") {
        Content::RegressionWeights
    } else if has("pose") && has("shape") && has("cam") {
        Content::MeanParameters
    } else if has("All_FaceIndices") {
        Content::DensePoseTable
    } else {
        return None;
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_told_apart() {
        assert_eq!(by_keys(&["poses", "trans", "betas"]), Some(Content::Motion));
        assert_eq!(by_keys(&["poses", "cam_poses"]), Some(Content::Sequence3dpw));
        assert_eq!(by_keys(&["imgname", "pose", "shape"]), Some(Content::Labels));
        assert_eq!(by_keys(&["v_template", "weights", "hands_meanl"]), Some(Content::Body(Body::SmplH)));
        assert_eq!(by_keys(&["module.stage4.0.x", "module.final_layer.bias"]), Some(Content::HrnetWeights));
        assert_eq!(by_keys(&["something"]), None);
    }
}
