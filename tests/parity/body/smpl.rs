//! Kind `smpl`: bodies in SMPL's layout, forward and backward; kind `synthetic_smpl`: HuManiFlow's body wrapper.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use glam::{DVec3, Mat3, Vec3};
use humanifold::body::hands::HandedPose;
use humanifold::body::joint_maps::joint_map;
use humanifold::body::tensor::TensorBody;
use humanifold::body::{BodyModel, Family, LoadOptions, Posed, SparseRows};
use humanifold::formats::Array;
use humanifold::geometry::rotations::exp_so3_backward;

use super::{dmat3s, dvec3s, flat, mat3s, rows64, vec3s};
use crate::case::{Case, CaseResult, Failure, Outputs};

/// One case's people.
struct People {
    model: BodyModel,
    betas: Vec<Vec<f32>>,
    /// All rotation vectors, where the case gives them.
    poses: Vec<Vec<f32>>,
    rotations: Vec<Vec<Mat3>>,
    transl: Vec<Vec3>,
}

impl People {
    fn read(case: &Case) -> Result<Self, Failure> {
        let expression =
            if case.has_param("num_expression_coeffs") { case.count("num_expression_coeffs")? } else { 0 };
        let options = LoadOptions { betas: case.count("num_betas")?, expression };
        let model = BodyModel::load_with(case.file("model")?, options)?;
        let mut betas = rows(case, "betas")?;
        if case.has("expression") {
            for (betas, expression) in betas.iter_mut().zip(rows(case, "expression")?) {
                betas.extend(expression);
            }
        }
        let poses = if case.has("global_orient") {
            handed(case, &model)?
        } else if case.has("pose") {
            rows(case, "pose")?
        } else {
            Vec::new()
        };
        let mut rotations = Vec::new();
        for pose in &poses {
            rotations.push(model.rotations_from_vectors(pose)?);
        }
        if case.has("rotmats") {
            let all = mat3s(&case.f32("rotmats")?);
            rotations = all.chunks(model.num_joints()).map(<[Mat3]>::to_vec).collect();
        }
        let transl = if case.has("transl") { vec3s(&case.f32("transl")?) } else { vec![Vec3::ZERO] };
        Ok(Self { model, betas, poses, rotations, transl })
    }

    fn posed(&self) -> Result<Vec<Posed>, Failure> {
        Ok(self.model.pose_people(&self.betas, &self.rotations, &self.transl)?)
    }

    fn betas(&self, person: usize) -> &[f32] {
        &self.betas[person % self.betas.len()]
    }

    fn transl(&self, person: usize) -> Vec3 {
        self.transl[person % self.transl.len()]
    }
}

fn rows(case: &Case, name: &str) -> Result<Vec<Vec<f32>>, Failure> {
    let width = case.shape(name)?.last().copied().unwrap_or(0).max(1);
    Ok(case.f32(name)?.chunks(width).map(<[f32]>::to_vec).collect())
}

fn handed(case: &Case, model: &BodyModel) -> Result<Vec<Vec<f32>>, Failure> {
    let get = |name: &str| if case.has(name) { rows(case, name) } else { Ok(Vec::new()) };
    let (root, body) = (get("global_orient")?, get("body_pose")?);
    let (left, right) = (get("left_hand_pose")?, get("right_hand_pose")?);
    let (jaw, left_eye, right_eye) = (get("jaw_pose")?, get("leye_pose")?, get("reye_pose")?);
    (0..root.len())
        .map(|person| {
            let of = |rows: &'_ [Vec<f32>]| -> Vec<f32> { rows.get(person).cloned().unwrap_or_default() };
            let all = [&root, &body, &left, &right, &jaw, &left_eye, &right_eye].map(|rows| of(rows));
            let [root, body, left, right, jaw, left_eye, right_eye] = &all;
            Ok(model.handed_pose(&HandedPose {
                root,
                body,
                left_hand: left,
                right_hand: right,
                jaw,
                left_eye,
                right_eye,
                components: case.flag("use_pca"),
                flat: case.flag("flat_hand_mean"),
            })?)
        })
        .collect()
}

fn flat_all<'a>(lists: impl Iterator<Item = &'a Vec<Vec3>>) -> Vec<f32> {
    lists.flat_map(|points| flat(points)).collect()
}

pub fn smpl(case: &Case) -> CaseResult {
    let people = People::read(case)?;
    match case.text("op")? {
        "forward" => forward(case, &people),
        "transforms" => transforms(&people),
        "gradient" => gradient(case, &people),
        "rotate_world" => rotate_world(case, &people),
        "gltf_skin" => gltf_skin(&people),
        other => Err(Failure::broken(format!("no operation `{other}`"))),
    }
}

fn forward(case: &Case, people: &People) -> CaseResult {
    let posed = people.posed()?;
    let (n, model) = (posed.len(), &people.model);
    let (joints, points) = (model.num_joints(), model.num_vertices());
    let rest: Vec<Vec<Vec3>> = (0..n).map(|at| model.rest_joints(people.betas(at))).collect();
    let shaped: Vec<Vec<Vec3>> = (0..n).map(|at| model.shaped(people.betas(at))).collect();
    let mut out = Outputs::new()
        .f32("vertices", &[n, points, 3], flat_all(posed.iter().map(|p| &p.vertices)))
        .f32("joints", &[n, joints, 3], flat_all(posed.iter().map(|p| &p.joints)))
        .f32("rest_joints", &[n, joints, 3], flat_all(rest.iter()))
        .f32("v_shaped", &[n, points, 3], flat_all(shaped.iter()));
    if !people.poses.is_empty() {
        out = out.f32("full_pose", &[n, 3 * joints], people.poses.concat());
    }
    if case.has_param("vertex_ids") {
        let ids: Vec<usize> = case.numbers("vertex_ids")?.into_iter().map(|id| id as usize).collect();
        let all: Vec<Vec<Vec3>> = posed
            .iter()
            .map(|posed| {
                let picked: Vec<Vec3> = ids.iter().map(|id| posed.vertices[*id]).collect();
                [posed.joints.clone(), picked, model.face_landmarks(&posed.vertices)].concat()
            })
            .collect();
        let count = all.first().map_or(0, Vec::len);
        out = out.f32("joints_all", &[n, count, 3], flat_all(all.iter()));
    }
    Ok(out)
}

/// Row-major 4×4 of a rotation and a place.
fn four(rotation: &Mat3, place: Vec3) -> [f32; 16] {
    glam::Mat4::from_cols(
        rotation.x_axis.extend(0.0),
        rotation.y_axis.extend(0.0),
        rotation.z_axis.extend(0.0),
        place.extend(1.0),
    )
    .transpose()
    .to_cols_array()
}

fn transforms(people: &People) -> CaseResult {
    let posed = people.posed()?;
    let shape = [posed.len(), people.model.num_joints(), 4, 4];
    let world = posed.iter().enumerate().flat_map(|(at, posed)| {
        let transl = people.transl(at);
        posed.joint_transforms.iter().flat_map(move |(r, t)| four(r, *t - transl)).collect::<Vec<_>>()
    });
    let skin = (0..posed.len()).flat_map(|at| {
        let skin = people.model.skin_transforms(people.betas(at), &people.rotations[at]);
        skin.iter().flat_map(|(r, t)| four(r, *t)).collect::<Vec<_>>()
    });
    Ok(Outputs::new().f32("joint_transforms", &shape, world.collect()).f32(
        "skin_transforms",
        &shape,
        skin.collect(),
    ))
}

fn gradient(case: &Case, people: &People) -> CaseResult {
    let device = Device::flex().autodiff();
    let (n, joints, points) =
        (people.rotations.len(), people.model.num_joints(), people.model.num_vertices());
    let body = TensorBody::new(&people.model, &device, None);
    let numbers = |values: Vec<f32>| TensorData::new(values.clone(), [values.len()]);
    let leaf = |values: Vec<f32>| Tensor::<1>::from_data(numbers(values), &device).require_grad();
    let width = people.betas(0).len();
    let betas = leaf((0..n).flat_map(|at| people.betas(at).to_vec()).collect());
    let transl = leaf((0..n).flat_map(|at| people.transl(at).to_array()).collect());
    let all = people.rotations.iter().flatten();
    let rotations = leaf(all.flat_map(|r| r.transpose().to_cols_array()).collect());
    let (posed, vertices) = body.forward(
        betas.clone().reshape([n, width]),
        rotations.clone().reshape([n, joints, 3, 3]),
        transl.clone().reshape([n, 3]),
    );
    let weight = |name: &str, count: usize| -> Result<Tensor<3>, Failure> {
        Ok(Tensor::<1>::from_data(numbers(case.f32(name)?), &device).reshape([n, count, 3]))
    };
    let (w, u) = (weight("weight_vertices", points)?, weight("weight_joints", joints)?);
    let loss = match case.text("loss")? {
        "weighted_sum" => (vertices * w).sum() + (posed * u).sum(),
        "half_square" => (vertices - w).powi_scalar(2).sum() * 0.5 + (posed - u).powi_scalar(2).sum() * 0.5,
        other => return Err(Failure::broken(format!("no loss `{other}`"))),
    };
    let gradients = loss.backward();
    let of = |leaf: &Tensor<1>| -> Result<Vec<f32>, Failure> {
        let grad = leaf.grad(&gradients).ok_or_else(|| Failure::broken("no gradient"))?;
        grad.into_data().try_to_vec::<f32>().map_err(|error| Failure::broken(format!("{error:?}")))
    };
    let of_matrices: Vec<f64> = of(&rotations)?.into_iter().map(f64::from).collect();
    let vectors: Vec<f64> = people.poses.concat().into_iter().map(f64::from).collect();
    let of_pose: Vec<f64> = dvec3s(&vectors)
        .into_iter()
        .zip(dmat3s(&of_matrices))
        .flat_map(|(v, grad): (DVec3, _)| exp_so3_backward(v, &grad).to_array())
        .collect();
    let loss = loss.into_data().try_to_vec::<f32>().map_err(|error| Failure::broken(format!("{error:?}")))?;
    Ok(Outputs::new()
        .scalar("loss", f64::from(loss[0]))
        .f32("grad_betas", &[n, width], of(&betas)?)
        .f64("grad_pose", &[n, 3 * joints], of_pose)
        .f32("grad_transl", &[n, 3], of(&transl)?))
}

fn rotate_world(case: &Case, people: &People) -> CaseResult {
    let turns = dmat3s(&case.f64("rotation")?);
    let n = people.rotations.len();
    let (mut roots, mut places, mut vertices) = (Vec::new(), Vec::new(), Vec::new());
    for (at, turn) in turns.iter().enumerate().take(n) {
        let mut state = people.model.rest_state();
        state.betas = people.betas(at).to_vec();
        state.global_orient = people.rotations[at][0];
        state.body_pose.copy_from_slice(&people.rotations[at][1..24]);
        state.transl = people.transl(at);
        let turned = people.model.rotate_world(&state, turn.as_mat3());
        roots.extend(rows64(&turned.global_orient.as_dmat3()));
        places.extend(turned.transl.to_array());
        vertices.extend(flat(&people.model.pose(&turned, true).vertices));
    }
    Ok(Outputs::new().f64("root_matrix", &[n, 3, 3], roots).f32("transl", &[n, 3], places).f32(
        "vertices",
        &[n, people.model.num_vertices(), 3],
        vertices,
    ))
}

fn gltf_skin(people: &People) -> CaseResult {
    let model = &people.model;
    let rigged = model.rigged(people.betas(0), &people.rotations[0], people.transl(0));
    let (joints, points) = (model.num_joints(), model.num_vertices());
    let binds = rigged.rest_joints.iter().flat_map(|joint| four(&Mat3::IDENTITY, -*joint)).collect();
    let skinned = rigged.skinned(&model.parents);
    Ok(Outputs::new()
        .f32("inverse_bind", &[joints, 4, 4], binds)
        .f32("node_translation", &[joints, 3], flat(&rigged.node_translation))
        .f32("node_rotation_xyzw", &[joints, 4], rigged.node_rotation.concat())
        .i64("joints0", &[points, 4], rigged.joints.concat().into_iter().map(i64::from).collect())
        .f32("weights0", &[points, 4], rigged.weights.concat())
        .f32("base_positions", &[points, 3], flat(&rigged.points))
        .f32("skinned", &[points, 3], flat(&skinned.vertices)))
}

/// The body of a case's `model_*` arrays, with its regressors.
pub fn published_body(case: &Case, betas: usize) -> Result<BodyModel, Failure> {
    let arrays: BTreeMap<String, Array> = case
        .inputs()
        .iter()
        .filter_map(|name| Some((name.strip_prefix("model_")?.to_owned(), case.input(name).ok()?.clone())))
        .collect();
    let mut model = BodyModel::from_arrays(&arrays, LoadOptions { betas, expression: 0 })?;
    let points = model.num_vertices();
    let dense = |name: &str, rows: usize| -> Result<SparseRows, Failure> {
        Ok(SparseRows::from_dense(rows, points, &case.f32(&format!("model_{name}"))?))
    };
    let picked = case.usize("model_vertex_ids")?;
    let (extra, cocoplus, h36m) =
        (dense("J_regressor_extra", 9)?, dense("cocoplus_regressor", 19)?, dense("J_regressor_h36m", 17)?);
    model.set_regressors(&picked, &extra, &cocoplus, &h36m)?;
    Ok(model)
}

pub fn synthetic_smpl(case: &Case) -> CaseResult {
    let model = published_body(case, case.count("num_betas")?)?;
    let points = model.num_vertices();
    let betas = rows(case, "betas")?;
    let mut rotations = Vec::new();
    if case.flag("pose2rot") {
        let width = 3 * Family::Smpl.joints();
        for pose in case.f32("pose")?.chunks(width) {
            rotations.push(model.rotations_from_vectors(pose)?);
        }
    } else {
        rotations = mat3s(&case.f32("rotmats")?).chunks(24).map(<[Mat3]>::to_vec).collect();
    }
    let posed = model.pose_people(&betas, &rotations, &[Vec3::ZERO])?;
    let n = posed.len();
    let all: Option<Vec<Vec<Vec3>>> = posed.iter().map(|posed| model.joints90(posed, Vec3::ZERO)).collect();
    let all = all.ok_or_else(|| Failure::broken("no 90 joints"))?;
    let coco = joint_map("smpl90_to_coco17")?.indices;
    let lsp: Vec<f32> =
        all.iter().filter_map(|joints| model.lsp14(joints)).flat_map(|lsp| flat(&lsp)).collect();
    let coco: Vec<f32> =
        all.iter().flat_map(|joints| coco.iter().flat_map(|at| joints[*at].to_array())).collect();
    Ok(Outputs::new()
        .f32("vertices", &[n, points, 3], flat_all(posed.iter().map(|p| &p.vertices)))
        .f32("joints", &[n, 90, 3], flat_all(all.iter()))
        .f32("joints_coco", &[n, 17, 3], coco)
        .f32("joints_h36m14", &[n, 14, 3], lsp))
}
