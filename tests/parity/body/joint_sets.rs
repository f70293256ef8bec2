//! Kind `joint_sets`: maps between joint sets, mirrors, trees, regressors, pose layouts.

use glam::Vec3;
use humanifold::body::SparseRows;
use humanifold::body::joint_maps::{joint_map, joint_spread};
use humanifold::body::joint_sets::{mirror_of, parents_of, picked_of};
use humanifold::body::pose_layouts::{convert_pose, split_pose};
use humanifold::formats::Npz;

use super::{family, flat, vec3s};
use crate::case::{Case, CaseResult, Failure, Outputs};

pub fn joint_sets(case: &Case) -> CaseResult {
    Ok(match case.text("op")? {
        "map" => {
            let map = joint_map(case.text("map")?)?;
            let shape = joints_shape(case, map.source)?;
            let out = rearrange(&case.f64("joints")?, map.source, shape[2], map.indices);
            Outputs::new().f64("joints", &[shape[0], map.indices.len(), shape[2]], out).i64(
                "indices",
                &[map.indices.len()],
                integers(map.indices),
            )
        }
        "spread" => {
            let spread = joint_spread(case.text("map")?)?;
            let shape = joints_shape(case, spread.places.len())?;
            let (values, width) = (case.f64("joints")?, shape[2]);
            let mut out = vec![0.0; shape[0] * spread.target * width];
            let mut present = vec![0; spread.target];
            for (from, to) in spread.places.iter().enumerate() {
                present[*to] = 1;
                for batch in 0..shape[0] {
                    let source = (batch * spread.places.len() + from) * width;
                    let target = (batch * spread.target + to) * width;
                    out[target..target + width].copy_from_slice(&values[source..source + width]);
                }
            }
            Outputs::new().f64("joints", &[shape[0], spread.target, width], out).i64(
                "present",
                &[spread.target],
                present,
            )
        }
        "flip_joints" => {
            let mirror = mirror_of(case.text("set")?)?;
            let shape = joints_shape(case, mirror.len())?;
            let mut out = rearrange(&case.f64("joints")?, mirror.len(), shape[2], &mirror);
            out.iter_mut().step_by(shape[2]).for_each(|x| *x = -*x);
            Outputs::new().f64("joints", &shape, out).i64("permutation", &[mirror.len()], integers(&mirror))
        }
        "parents" => {
            let parents = parents_of(family(case, "family")?);
            Outputs::new().i64("parents", &[parents.len()], parents.into_iter().map(i64::from).collect())
        }
        "vertex_ids" => {
            Outputs::new().i64("vertex_ids", &[21], integers(&picked_of(family(case, "family")?)))
        }
        "split_pose" => {
            let mut out = [const { Vec::new() }; 6];
            let rows = pose_rows(case)?;
            for pose in &rows {
                let p = split_pose(family(case, "family")?, pose)?;
                let parts = [p.root, p.body, p.jaw, p.eyes, p.left_hand, p.right_hand];
                out.iter_mut().zip(parts).for_each(|(out, part)| out.extend(part));
            }
            let names = ["root", "body", "jaw", "eyes", "left_hand", "right_hand"];
            names.iter().zip(out).fold(Outputs::new(), |outputs, (name, values)| {
                outputs.f64(name, &[rows.len(), values.len() / rows.len().max(1)], values)
            })
        }
        "convert_pose" => {
            let (source, target) = (family(case, "source")?, family(case, "target")?);
            let rows = pose_rows(case)?;
            let mut out = Vec::new();
            for pose in &rows {
                out.extend(convert_pose(source, target, pose)?);
            }
            Outputs::new().f64("poses", &[rows.len(), 3 * target.joints()], out)
        }
        "regress" => {
            let (points, regressor) = (case.shape("vertices")?, case.shape("regressor")?);
            if points.len() != 3 || regressor.len() != 2 || points[1] != regressor[1] {
                return Err(Failure::refused("shape", format!("{regressor:?} over {points:?}")));
            }
            let rows = SparseRows::from_dense(regressor[0], regressor[1], &case.f32("regressor")?);
            let all = vec3s(&case.f32("vertices")?);
            let out: Vec<f32> = all.chunks(points[1].max(1)).flat_map(|p| flat(&rows.apply(p))).collect();
            Outputs::new().f32("joints", &[points[0], regressor[0], 3], out)
        }
        "smpl90" => smpl90(case)?,
        other => return Err(Failure::broken(format!("no operation `{other}`"))),
    })
}

fn smpl90(case: &Case) -> CaseResult {
    let points = vec3s(&case.f32("vertices")?);
    let file = Npz::read(case.file("regressors")?)?;
    let mut stems: Vec<&str> = file.names().filter_map(|name| name.strip_suffix("_shape")).collect();
    // Rows: 9 of the extra regressor, 19 of cocoplus, 17 of Human3.6M.
    stems.sort_by_key(|stem| if stem.contains("extra") { 0 } else { 1 + usize::from(stem.contains("h36m")) });
    let mut rows = SparseRows::picking(points.len(), &picked_of(humanifold::body::Family::Smpl));
    for stem in stems {
        let get = |end: &str| file.get(&format!("{stem}_{end}"));
        let shape = get("shape")?.to_usize()?;
        let (row, col, value) = (get("rows")?.to_usize()?, get("cols")?.to_usize()?, get("vals")?.to_f32()?);
        let entries = row.into_iter().zip(col).zip(value).map(|((row, col), value)| (row, col, value));
        rows = rows.stacked(&SparseRows::from_triplets(shape[0], points.len(), entries));
    }
    let mut joints: Vec<Vec3> = vec3s(&case.f32("smpl_joints")?);
    joints.extend(rows.apply(&points));
    let pick = |name: &str| -> Result<Vec<f32>, Failure> {
        let picked: Vec<Vec3> = joint_map(name)?.indices.iter().map(|at| joints[*at]).collect();
        Ok(flat(&picked))
    };
    Ok(Outputs::new()
        .f32("coco17", &[1, 17, 3], pick("smpl90_to_coco17")?)
        .f32("lsp14", &[1, 14, 3], pick("smpl90_to_lsp14")?)
        .f32("joints", &[1, joints.len(), 3], flat(&joints)))
}

fn joints_shape(case: &Case, count: usize) -> Result<Vec<usize>, Failure> {
    let shape = case.shape("joints")?;
    if shape.len() != 3 || shape[1] != count {
        return Err(Failure::refused("shape", format!("joints of shape {shape:?}, {count} are expected")));
    }
    Ok(shape)
}

fn rearrange(values: &[f64], count: usize, width: usize, from: &[usize]) -> Vec<f64> {
    values
        .chunks((count * width).max(1))
        .flat_map(|joints| {
            from.iter().flat_map(move |at| joints[at * width..(at + 1) * width].iter().copied())
        })
        .collect()
}

fn pose_rows(case: &Case) -> Result<Vec<Vec<f64>>, Failure> {
    let width = case.shape("poses")?.last().copied().unwrap_or(0).max(1);
    Ok(case.f64("poses")?.chunks(width).map(<[f64]>::to_vec).collect())
}

fn integers(values: &[usize]) -> Vec<i64> {
    values.iter().map(|value| *value as i64).collect()
}
