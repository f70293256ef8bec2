//! The built-in body: posing and measuring.

use glam::{Mat3, Vec3};
use humanifold::body::{BodyModel, PoseInput};
use humanifold::geometry::rotations::exp_so3;

use super::{flat, vec3s};
use crate::case::{Case, CaseResult, Failure, Outputs};

pub fn forward(case: &Case) -> CaseResult {
    let model = BodyModel::load(case.file("model")?)?;
    let rotations: Vec<Mat3> = vec3s(&case.f32("pose")?).into_iter().map(exp_so3).collect();
    let betas = case.f32("betas")?;
    let input = PoseInput {
        betas: &betas,
        rotations: &rotations,
        transl: Vec3::from_slice(&case.f32("transl")?),
        correctives: true,
        offsets: &[],
    };
    let posed = model.pose_checked(&input)?;
    let plain = model.pose_checked(&PoseInput { correctives: false, ..input })?;
    let ids = case.usize("vertex_ids")?;
    let pick = |points: &[Vec3]| -> Vec<f32> { ids.iter().flat_map(|at| points[*at].to_array()).collect() };
    let joints90 = model.joints90(&posed, input.transl).ok_or_else(|| Failure::broken("no 90 joints"))?;
    Ok(Outputs::new()
        .f32("joints", &[24, 3], flat(&posed.joints))
        .f32("vertices", &[ids.len(), 3], pick(&posed.vertices))
        .f32("vertices_without_correctives", &[ids.len(), 3], pick(&plain.vertices))
        .f32("coco17", &[17, 3], flat(&model.coco17(&posed.vertices)))
        .f32("h36m17", &[17, 3], flat(&model.h36m17(&posed.vertices)))
        .f32("extra66", &[66, 3], flat(&joints90[24..])))
}

pub fn measure(case: &Case) -> CaseResult {
    let model = BodyModel::load(case.file("model")?)?;
    let measures = model.measure(&case.f32("betas")?);
    let tapes = measures.tapes.ok_or_else(|| Failure::broken("no landmarks"))?;
    let mut out = Outputs::new();
    for (name, value) in [
        ("stature", measures.stature),
        ("weightkg", measures.weight),
        ("crotchheight", tapes.crotch_height),
        ("span", measures.span),
        ("chestcircumference", tapes.chest),
        ("waistcircumference", tapes.waist),
        ("buttockcircumference", tapes.buttock),
        ("thighcircumference", tapes.thigh),
        ("calfcircumference", tapes.calf),
    ] {
        out = out.f64(name, &[1], vec![value]);
    }
    Ok(out)
}
