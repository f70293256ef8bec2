//! Kind `measurements`: sections of meshes, solids, limbs.

use glam::DVec3;
use humanifold::body::measure::LimbLengths;
use humanifold::geometry::mesh::{MeshError, area, height, section, volume};

use super::{dvec3s, ends_with};
use crate::case::{Case, CaseResult, Failure, Outputs};

impl From<MeshError> for Failure {
    fn from(error: MeshError) -> Self {
        Self::refused("value", &error)
    }
}

pub fn measurements(case: &Case) -> CaseResult {
    let points = || ends_with(case, "vertices", &[3]).map(|values| dvec3s(&values));
    let faces = || -> Result<Vec<[u32; 3]>, Failure> {
        Ok(case.usize("faces")?.chunks_exact(3).map(|f| [f[0] as u32, f[1] as u32, f[2] as u32]).collect())
    };
    Ok(match case.text("op")? {
        "plane_section" => {
            let part = case.has_param("part").then(|| case.count("part")).transpose()?;
            let face_part = case.has("face_part").then(|| case.usize("face_part")).transpose()?;
            let wanted = |face: usize| match (&part, &face_part) {
                (Some(part), Some(all)) => all.get(face) == Some(part),
                _ => true,
            };
            let point = DVec3::from_slice(&ends_with(case, "point", &[3])?);
            let normal = DVec3::from_slice(&ends_with(case, "normal", &[3])?);
            let cut = section(&points()?, &faces()?, point, normal, wanted)?;
            let lengths: Vec<f64> = cut.loops.iter().map(|line| line.length).collect();
            let closed = cut.loops.iter().filter(|line| line.closed).count();
            Outputs::new()
                .scalar("total", cut.total())
                .scalar("hull", cut.hull)
                .scalar("largest_hull", cut.largest_hull)
                .i64("count", &[], vec![lengths.len() as i64])
                .i64("closed", &[], vec![closed as i64])
                .f64("loop_lengths", &[lengths.len()], lengths)
        }
        "solid" => {
            let (points, faces) = (points()?, faces()?);
            Outputs::new()
                .scalar("volume", volume(&points, &faces)?)
                .scalar("area", area(&points, &faces)?)
                .scalar("height", height(&points))
        }
        "limb_lengths" => limbs(case)?,
        other => return Err(Failure::broken(format!("no operation `{other}`"))),
    })
}

fn limbs(case: &Case) -> CaseResult {
    let shape = case.shape("joints")?;
    let joints = dvec3s(&ends_with(case, "joints", &[24, 3])?);
    let people: Vec<LimbLengths> = joints.chunks(24).filter_map(LimbLengths::of).collect();
    type Length = fn(&LimbLengths) -> f64;
    let fields: [(&str, Length); 11] = [
        ("left_arm", |l| l.left_arm),
        ("right_arm", |l| l.right_arm),
        ("left_leg", |l| l.left_leg),
        ("right_leg", |l| l.right_leg),
        ("left_upper_arm", |l| l.left_upper_arm),
        ("left_forearm", |l| l.left_forearm),
        ("left_thigh", |l| l.left_thigh),
        ("left_calf", |l| l.left_calf),
        ("spine", |l| l.spine),
        ("shoulder_breadth", |l| l.shoulder_breadth),
        ("hip_breadth", |l| l.hip_breadth),
    ];
    Ok(fields.into_iter().fold(Outputs::new(), |out, (name, field)| {
        out.f64(name, &shape[..shape.len() - 2], people.iter().map(field).collect())
    }))
}
