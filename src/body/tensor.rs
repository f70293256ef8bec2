//! The body as tensor operations, so that gradients flow from joints and points to shape and pose.
//!
//! One matrix product each for shape, correctives and skinning; the chain goes level by level of the tree.
//! Used by losses and refinements that need the mesh; [`super::keypoint_chain`] is far faster where they do not.

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::model::BodyModel;

/// A body (or some of its points) on a device.
#[derive(Clone, Debug)]
pub struct TensorBody {
    joints: usize,
    points: usize,
    /// `[1, 3 v]` and `[betas, 3 v]`.
    template: Tensor<2>,
    shapedirs: Tensor<2>,
    /// `[9 (joints − 1), 3 v]`; `None` leaves correctives out.
    correctives: Option<Tensor<2>>,
    /// `[1, 3 joints]` and `[betas, 3 joints]`.
    rest: Tensor<2>,
    rest_shapes: Tensor<2>,
    /// `[v, joints]`.
    weights: Tensor<2>,
    /// `[joints]`: the parent, the root's being itself; and `[1, joints, 1]`: 0 for the root, else 1.
    parents: Tensor<1, Int>,
    has_parent: Tensor<3>,
    /// Joints of each level of the tree, and where their parents stand in the level above.
    levels: Vec<(Tensor<1, Int>, Tensor<1, Int>)>,
    /// Where each joint stands when levels are laid one after the other.
    order: Tensor<1, Int>,
}

impl TensorBody {
    /// All points, or those of `subset` in its order.
    pub fn new(model: &BodyModel, device: &Device, subset: Option<&[usize]>) -> Self {
        let every: Vec<usize>;
        let kept = match subset {
            Some(subset) => subset,
            None => {
                every = (0..model.num_vertices()).collect();
                &every
            }
        };
        let (points, joints, betas) = (kept.len(), model.num_joints(), model.num_betas());
        let floats = |values: Vec<f32>, shape: [usize; 2]| {
            Tensor::<2>::from_data(TensorData::new(values, shape), device)
        };
        let numbers = |values: Vec<usize>| {
            let values: Vec<i64> = values.into_iter().map(|value| value as i64).collect();
            let count = values.len();
            Tensor::<1, Int>::from_data(TensorData::new(values, [count]), device)
        };

        let template = kept.iter().flat_map(|point| model.v_template[*point].to_array()).collect();
        let shapedirs = model
            .shapedirs
            .iter()
            .flat_map(|direction| {
                kept.iter().flat_map(|point| direction[3 * point..3 * point + 3].iter().copied())
            })
            .collect();
        let rest = model.joints_template.iter().flat_map(|joint| joint.to_array()).collect();
        let rest_shapes =
            model.joints_shapedirs.iter().flatten().flat_map(|direction| direction.to_array()).collect();
        let mut weights = vec![0.0; points * joints];
        for (row, point) in kept.iter().enumerate() {
            for (joint, weight) in model.weights.entries(*point) {
                weights[row * joints + joint] = weight;
            }
        }

        let parents: Vec<usize> = (0..joints).map(|joint| model.parent(joint).unwrap_or(joint)).collect();
        let mut depth = vec![0usize; joints];
        let mut levels: Vec<Vec<usize>> = Vec::new();
        for joint in 0..joints {
            depth[joint] = model.parent(joint).map_or(0, |parent| depth[parent] + 1);
            if depth[joint] == levels.len() {
                levels.push(Vec::new());
            }
            levels[depth[joint]].push(joint);
        }
        let flat = levels.concat();
        let place_of = |list: &[usize], joint: usize| list.iter().position(|own| *own == joint).unwrap_or(0);
        let order = (0..joints).map(|joint| place_of(&flat, joint)).collect();
        let levels = (0..levels.len())
            .map(|level| {
                let above = level.checked_sub(1).map_or(&levels[0], |above| &levels[above]);
                let places = levels[level].iter().map(|joint| place_of(above, parents[*joint])).collect();
                (numbers(levels[level].clone()), numbers(places))
            })
            .collect();
        let has_parent = (0..joints).map(|joint| f32::from(u8::from(joint > 0))).collect::<Vec<_>>();
        Self {
            joints,
            points,
            template: floats(template, [1, 3 * points]),
            shapedirs: floats(shapedirs, [betas, 3 * points]),
            correctives: Some(floats(dense_correctives(model, kept), [9 * (joints - 1), 3 * points])),
            rest: floats(rest, [1, 3 * joints]),
            rest_shapes: floats(rest_shapes, [betas, 3 * joints]),
            weights: floats(weights, [points, joints]),
            parents: numbers(parents),
            has_parent: Tensor::from_data(TensorData::new(has_parent, [1, joints, 1]), device),
            levels,
            order: numbers(order),
        }
    }

    /// The same body without pose correctives.
    #[must_use]
    pub fn without_correctives(mut self) -> Self {
        self.correctives = None;
        self
    }

    /// Joints `[n, joints, 3]` and points `[n, v, 3]` of shapes `[n, betas]`, local rotations
    /// `[n, joints, 3, 3]` (the root's first) and translations `[n, 3]`, all on this body's device.
    pub fn forward(
        &self,
        betas: Tensor<2>,
        rotations: Tensor<4>,
        transl: Tensor<2>,
    ) -> (Tensor<3>, Tensor<3>) {
        let [n, used] = betas.dims();
        let (joints, points) = (self.joints, self.points);
        let rows = |dirs: &Tensor<2>| {
            if dirs.dims()[0] == used { dirs.clone() } else { dirs.clone().slice(0..used) }
        };

        let mut shaped = self.template.clone() + betas.clone().matmul(rows(&self.shapedirs));
        if let Some(correctives) = &self.correctives {
            let eye = Tensor::<2>::eye(3, &rotations.device()).reshape([1, 1, 3, 3]);
            let feature: Tensor<2> =
                (rotations.clone().slice([0..n, 1..joints]) - eye).reshape([n, 9 * (joints - 1)]);
            shaped = shaped + feature.matmul(correctives.clone());
        }
        let rest: Tensor<3> =
            (self.rest.clone() + betas.matmul(rows(&self.rest_shapes))).reshape([n, joints, 3]);
        let to_parent = rest.clone() - rest.clone().select(1, self.parents.clone()) * self.has_parent.clone();

        let mut turns: Vec<Tensor<4>> = Vec::new();
        let mut places: Vec<Tensor<4>> = Vec::new();
        for (own, above) in &self.levels {
            let turn = rotations.clone().select(1, own.clone());
            let arm: Tensor<4> = to_parent.clone().select(1, own.clone()).unsqueeze_dim(3);
            let (turn, place) = match (turns.last(), places.last()) {
                (Some(parents), Some(at)) => {
                    let parents = parents.clone().select(1, above.clone());
                    let place = at.clone().select(1, above.clone()) + parents.clone().matmul(arm);
                    (parents.matmul(turn), place)
                }
                _ => (turn, arm),
            };
            turns.push(turn);
            places.push(place);
        }
        let turns = Tensor::cat(turns, 1).select(1, self.order.clone());
        let places = Tensor::cat(places, 1).select(1, self.order.clone());

        // Rest to posed: rotation and what is left of the place, four columns of three.
        let shift = places.clone() - turns.clone().matmul(rest.unsqueeze_dim(3));
        let skin: Tensor<4> = Tensor::cat(vec![turns, shift], 3);
        let flat: Tensor<2> = skin.swap_dims(0, 1).reshape([joints, n * 12]);
        let blended: Tensor<4> = self.weights.clone().matmul(flat).reshape([points, n, 3, 4]).swap_dims(0, 1);
        let turn = blended.clone().slice([0..n, 0..points, 0..3, 0..3]);
        let shift: Tensor<3> = blended.slice([0..n, 0..points, 0..3, 3..4]).reshape([n, points, 3]);
        let shaped: Tensor<4> = shaped.reshape([n, points, 1, 3]);
        let vertices: Tensor<3> = (turn * shaped).sum_dim(3).reshape([n, points, 3]) + shift;

        let transl: Tensor<3> = transl.reshape([n, 1, 3]);
        (places.reshape([n, joints, 3]) + transl.clone(), vertices + transl)
    }
}

fn dense_correctives(model: &BodyModel, kept: &[usize]) -> Vec<f32> {
    let mut rows_of: Vec<Vec<usize>> = vec![Vec::new(); model.num_vertices()];
    for (row, point) in kept.iter().enumerate() {
        rows_of[*point].push(row);
    }
    let width = 3 * kept.len();
    let mut out = vec![0.0; 9 * (model.num_joints() - 1) * width];
    for (joint, point, values) in model.correctives.entries() {
        for row in &rows_of[point] {
            for (axis, own) in values.iter().enumerate() {
                for (at, value) in own.iter().enumerate() {
                    out[(9 * (joint - 1) + at) * width + 3 * row + axis] = *value;
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use glam::{Mat3, Vec3};

    use super::*;
    use crate::body::BodyState;
    use crate::geometry::rotations::exp_so3;

    fn state(model: &BodyModel, seed: f32) -> BodyState {
        let mut state = model.rest_state();
        for (at, beta) in state.betas.iter_mut().enumerate() {
            *beta = (seed + at as f32).sin();
        }
        state.global_orient = exp_so3(Vec3::new(0.2, seed, -0.3));
        for (at, rotation) in state.body_pose.iter_mut().enumerate() {
            let at = at as f32;
            *rotation = exp_so3(0.7 * Vec3::new((seed * at).sin(), (1.1 * at).cos(), (0.3 * at).sin()));
        }
        state.transl = Vec3::new(seed, 0.1, -3.0);
        state
    }

    fn rows(rotation: &Mat3) -> [f32; 9] {
        rotation.transpose().to_cols_array()
    }

    fn tensors(states: &[BodyState], device: &Device) -> (Tensor<2>, Tensor<4>, Tensor<2>) {
        let n = states.len();
        let betas: Vec<f32> = states.iter().flat_map(|s| s.betas.clone()).collect();
        let rotations: Vec<f32> = states
            .iter()
            .flat_map(|s| {
                std::iter::once(&s.global_orient).chain(&s.body_pose).flat_map(rows).collect::<Vec<_>>()
            })
            .collect();
        let transl: Vec<f32> = states.iter().flat_map(|s| s.transl.to_array()).collect();
        (
            Tensor::from_data(TensorData::new(betas, [n, 10]), device),
            Tensor::from_data(TensorData::new(rotations, [n, 24, 3, 3]), device),
            Tensor::from_data(TensorData::new(transl, [n, 3]), device),
        )
    }

    #[test]
    fn equals_the_plain_path() {
        let model = BodyModel::default_body().unwrap();
        let device = Device::flex();
        let states = [state(&model, 0.4), state(&model, 1.7)];
        let subset: Vec<usize> = (0..model.num_vertices()).step_by(37).collect();
        let (betas, rotations, transl) = tensors(&states, &device);
        for correctives in [true, false] {
            let mut body = TensorBody::new(&model, &device, Some(&subset));
            if !correctives {
                body = body.without_correctives();
            }
            let (joints, points) = body.forward(betas.clone(), rotations.clone(), transl.clone());
            let joints = joints.into_data().try_to_vec::<f32>().unwrap();
            let points = points.into_data().try_to_vec::<f32>().unwrap();
            for (at, state) in states.iter().enumerate() {
                let posed = model.pose(state, correctives);
                for (joint, want) in posed.joints.iter().enumerate() {
                    let got = Vec3::from_slice(&joints[3 * (24 * at + joint)..]);
                    assert!(got.abs_diff_eq(*want, 1e-5));
                }
                for (row, point) in subset.iter().enumerate() {
                    let got = Vec3::from_slice(&points[3 * (subset.len() * at + row)..]);
                    assert!(got.abs_diff_eq(posed.vertices[*point], 1e-5));
                }
            }
        }
    }

    #[test]
    fn gradients_equal_difference_quotients() {
        let model = BodyModel::default_body().unwrap();
        let device = Device::flex().autodiff();
        let subset = [100, 2500, 5000, 7000];
        let body = TensorBody::new(&model, &device, Some(&subset));
        let state = state(&model, 0.9);
        let weight =
            |at: usize| Vec3::new((at as f32).sin(), (2.0 * at as f32).cos(), (0.7 * at as f32).sin());
        let value = |state: &BodyState| -> f64 {
            let posed = model.pose(state, true);
            subset
                .iter()
                .map(|point| posed.vertices[*point])
                .chain(posed.joints)
                .enumerate()
                .map(|(at, point)| point.as_dvec3().dot(weight(at).as_dvec3()))
                .sum()
        };
        let (betas, rotations, transl) = tensors(std::slice::from_ref(&state), &device);
        let (betas, rotations, transl) =
            (betas.require_grad(), rotations.require_grad(), transl.require_grad());
        let (joints, points) = body.forward(betas.clone(), rotations.clone(), transl.clone());
        let weights: Vec<f32> = (0..28).flat_map(|at| weight(at).to_array()).collect();
        let weights = Tensor::<3>::from_data(TensorData::new(weights, [1, 28, 3]), &device);
        let gradients = (Tensor::cat(vec![points, joints], 1) * weights).sum().backward();
        let list = |data: TensorData| data.try_to_vec::<f32>().unwrap();
        let of_betas = list(betas.grad(&gradients).unwrap().into_data());
        let of_rotations = list(rotations.grad(&gradients).unwrap().into_data());

        let h = 2e-3f32;
        for (at, got) in of_betas.iter().enumerate() {
            let mut moved = state.clone();
            moved.betas[at] += h;
            let plus = value(&moved);
            moved.betas[at] -= 2.0 * h;
            let want = ((plus - value(&moved)) / (2.0 * f64::from(h))) as f32;
            assert!((got - want).abs() < 5e-3, "beta {at}: {got} for {want}");
        }
        for joint in [1, 4, 9, 16, 20] {
            for entry in 0..9 {
                let mut moved = state.clone();
                let mut step = Mat3::ZERO;
                step.col_mut(entry % 3)[entry / 3] = h;
                moved.body_pose[joint - 1] += step;
                let plus = value(&moved);
                moved.body_pose[joint - 1] -= step * 2.0;
                let want = ((plus - value(&moved)) / (2.0 * f64::from(h))) as f32;
                let got = of_rotations[9 * joint + entry];
                assert!((got - want).abs() < 5e-3, "joint {joint} entry {entry}: {got} for {want}");
            }
        }
        let of_transl = list(transl.grad(&gradients).unwrap().into_data());
        let sum: Vec3 = (0..28).map(weight).sum();
        assert!(Vec3::from_slice(&of_transl).abs_diff_eq(sum, 1e-4));
    }
}
