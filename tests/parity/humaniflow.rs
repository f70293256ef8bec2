//! HuManiFlow behind its encoder: maps, splines, distributions, losses, spread.

use std::f64::consts::PI;

use glam::{DMat3, DQuat, DVec3, Vec3};
use humanifold::estimators::humaniflow::dense::{Dense, Mlp, Real, Scratch};
use humanifold::estimators::humaniflow::flow::{AtIdentity, PartFlow};
use humanifold::estimators::humaniflow::proxy::heatmaps::peaks;
use humanifold::estimators::humaniflow::so3;
use humanifold::estimators::humaniflow::spline::{RawSpline, SplineLimits};
use humanifold::estimators::humaniflow::spread::{jet, mesh_spread, order_by_keypoints};
use humanifold::estimators::humaniflow::transforms::{SplineNet, Transform};
use humanifold::geometry::rotations::{exp_so3_64, log_so3_64};

use crate::case::{Case, CaseResult, Failure, Kinds, Outputs};
use crate::hash1::Rule;

pub fn kinds() -> Kinds {
    vec![
        ("transforms", transforms),
        ("so3_maps", so3_maps),
        ("rational_spline", rational_spline),
        ("flow", flow),
        ("directional_variance", directional_variance),
    ]
}

fn counts(case: &Case, name: &str) -> Result<Vec<usize>, Failure> {
    Ok(case.numbers(name)?.into_iter().map(|n| n as usize).collect())
}

fn triples<R: Real>(values: &[f64]) -> Vec<[R; 3]> {
    values.chunks_exact(3).map(|c| [R::of(c[0]), R::of(c[1]), R::of(c[2])]).collect()
}

fn three(values: &[usize]) -> Result<[usize; 3], Failure> {
    values.try_into().map_err(|_| Failure::broken("a permutation of three"))
}

fn reals<R: Real>(values: Vec<f64>) -> Vec<R> {
    values.into_iter().map(R::of).collect()
}

/// Layers `{prefix}layers_L_*` of the case, or by rule with keys `{key}.nn.layers.L.*`.
fn network<R: Real>(
    case: &Case,
    prefix: &str,
    key: &str,
    inputs: usize,
    outputs: usize,
) -> Result<Mlp<R>, Failure> {
    let mut widths = vec![inputs];
    widths.extend(counts(case, "hidden_dims")?);
    widths.push(outputs);
    let rule = if case.has_param("weights") { Some(Rule::of(case)?) } else { None };
    let mut layers = Vec::new();
    for (l, pair) in widths.windows(2).enumerate() {
        let (weight, bias) = match &rule {
            Some(rule) => {
                let wide = |v: Vec<f32>| v.into_iter().map(f64::from).collect::<Vec<_>>();
                (
                    wide(rule.tensor(&format!("{key}nn.layers.{l}.weight"), &[pair[1], pair[0]])),
                    wide(rule.tensor(&format!("{key}nn.layers.{l}.bias"), &[pair[1]])),
                )
            }
            None => {
                let mut weight = case.f64(&format!("{prefix}layers_{l}_weight"))?;
                let mask = format!("{prefix}layers_{l}_mask");
                if case.has(&mask) {
                    weight.iter_mut().zip(case.f64(&mask)?).for_each(|(w, m)| *w *= m);
                }
                (weight, case.f64(&format!("{prefix}layers_{l}_bias"))?)
            }
        };
        layers.push(Dense::new(pair[0], reals(weight), reals(bias)));
    }
    Ok(Mlp::new(layers))
}

fn transforms(case: &Case) -> CaseResult {
    let context = if case.has("context") { reals(case.f64("context")?) } else { Vec::new() };
    let width = || case.count("context_dim");
    let spline_net = |inputs: usize, coordinates: usize| -> Result<SplineNet<f32>, Failure> {
        let segments = case.count("count_bins")?;
        let net = network(case, "", "", inputs, coordinates * (4 * segments - 1))?;
        Ok(SplineNet { net, segments, limits: SplineLimits::in_box(case.number("bound")?) })
    };
    let transform: Transform<f32> = match case.text("transform")? {
        "permute" => Transform::Permute(three(&counts(case, "permutation")?)?),
        "scaled_radial_tanh" => Transform::ScaledRadialTanh { radius: case.number("radius")? },
        "radial_tanh" => Transform::RadialTanh { radius: case.number("radius")? },
        "spline_coupling" => Transform::SplineCoupling(spline_net(width()? + 1, 2)?),
        "spline_masked" => Transform::SplineMasked(spline_net(width()? + 3, 3)?),
        "linear_plu" => Transform::LinearPlu {
            permutation: three(&counts(case, "permutation")?)?,
            lu: case.f32("LU")?.try_into().map_err(|_| Failure::broken("LU has nine numbers"))?,
        },
        "conditional_linear_plu" => Transform::ConditionalLinearPlu {
            permutation: three(&counts(case, "permutation")?)?,
            net: network(case, "", "", width()?, 9)?,
            softplus_beta: case.number("softplus_beta")?,
        },
        "additive_coupling" => Transform::AdditiveCoupling(network(case, "", "", width()? + 1, 2)?),
        "affine_coupling" => Transform::AffineCoupling {
            net: network(case, "", "", width()? + 1, 4)?,
            log_scale: (case.number("log_scale_min")?, case.number("log_scale_max")?),
        },
        other => return Err(Failure::broken(format!("unknown transform {other}"))),
    };
    let scratch = &mut Scratch::default();
    let (mut y, mut x) = (triples(&case.f64("x")?), triples(&case.f64("y")?));
    let (n, m) = (y.len(), x.len());
    let (mut at_x, mut at_y) = (vec![0.0; n], vec![0.0; m]);
    transform.forward(&mut y, &context, &mut at_x, scratch);
    transform.inverse(&mut x, &context, &mut at_y, scratch);
    Ok(Outputs::new()
        .f32("y", &[n, 3], y.concat())
        .f32("x", &[m, 3], x.concat())
        .f32("logdet_x", &[n], at_x)
        .f32("logdet_y", &[m], at_y))
}

fn matrices(case: &Case, name: &str) -> Result<Vec<DMat3>, Failure> {
    Ok(case.f64(name)?.chunks_exact(9).map(|c| DMat3::from_cols_slice(c).transpose()).collect())
}

fn vectors(case: &Case, name: &str) -> Result<Vec<DVec3>, Failure> {
    Ok(case.f64(name)?.chunks_exact(3).map(DVec3::from_slice).collect())
}

fn rows_of(matrices: impl IntoIterator<Item = DMat3>) -> Vec<f64> {
    matrices.into_iter().flat_map(so3::to_rows::<f64>).collect()
}

fn flat(vectors: impl IntoIterator<Item = DVec3>) -> Vec<f64> {
    vectors.into_iter().flat_map(|v| v.to_array()).collect()
}

fn so3_maps(case: &Case) -> CaseResult {
    let flip = DMat3::from_diagonal(DVec3::new(1.0, -1.0, -1.0));
    let out = Outputs::new();
    Ok(match case.text("op")? {
        "exp" => {
            let v = vectors(case, "v")?;
            out.f64("R", &[v.len(), 3, 3], rows_of(v.iter().map(|&v| exp_so3_64(v))))
        }
        "exp_logdet" => {
            let v = vectors(case, "v")?;
            let published = case.has_param("zero_vector");
            let value = |v: &DVec3| {
                if published { so3::exp_log_det_published(*v) } else { so3::exp_log_det(*v) }
            };
            out.f64("logdet", &[v.len()], v.iter().map(value).collect())
        }
        "log" => {
            let r = matrices(case, "R")?;
            out.f64("v", &[r.len(), 3], flat(r.iter().map(|&r| log_so3_64(&r))))
        }
        "log_near_pi" => {
            let r = matrices(case, "R")?;
            out.f64("R_back", &[r.len(), 3, 3], rows_of(r.iter().map(|&r| exp_so3_64(log_so3_64(&r)))))
        }
        "inverse_set" => {
            let radius = if case.has_param("radius") { case.number("radius")? } else { 1.5 * PI };
            let v: Vec<DVec3> = matrices(case, "R")?.into_iter().map(|r| log_so3_64(&r)).collect();
            let n = v.len();
            let others: Vec<[Option<DVec3>; 2]> =
                v.iter().map(|&v| so3::other_preimages(v, radius)).collect();
            let both = |side: usize| others.iter().map(move |pair| pair[side]);
            let all: Vec<Option<DVec3>> = both(0).chain(both(1)).collect();
            out.f64("v", &[n, 3], flat(v))
                .f64("set", &[2, n, 3], flat(all.iter().map(|v| v.unwrap_or(DVec3::ZERO))))
                .bools("mask", &[2, n], all.iter().map(Option::is_some))
        }
        "rot6d" => {
            let x = case.f32("x")?;
            let r: Vec<[f32; 9]> =
                x.chunks_exact(6).map(|c| so3::rotation_from_six(&std::array::from_fn(|k| c[k]))).collect();
            let back: Vec<f32> = r.iter().flat_map(so3::six_from_rotation).collect();
            let n = r.len();
            out.f32("R", &[n, 3, 3], r.concat()).f32("x_back", &[n, 6], back)
        }
        "rodrigues" => {
            let r: Vec<[f32; 9]> = triples(&case.f64("v")?).into_iter().map(so3::rodrigues).collect();
            out.f32("R", &[r.len(), 3, 3], r.concat())
        }
        "flip_points" => {
            let shape = case.shape("points")?;
            let flipped: Vec<DVec3> = vectors(case, "points")?.into_iter().map(|p| flip * p).collect();
            let turn = DMat3::from_rotation_y(-PI / 2.0);
            let turned = flat(flipped.iter().map(|&p| turn * p));
            out.f64("flipped", &shape, flat(flipped)).f64("rot90", &shape, turned)
        }
        "flip_rotations" => {
            let r = matrices(case, "R")?;
            let n = r.len();
            out.f64("post", &[n, 3, 3], rows_of(r.iter().map(|&r| r * flip)))
                .f64("pre", &[n, 3, 3], rows_of(r.iter().map(|&r| flip * r)))
                .f64("pre_vec", &[n, 3], flat(r.iter().map(|&r| log_so3_64(&(flip * r)))))
        }
        "quat" => {
            let q = case.f64("q")?;
            let r = q
                .chunks_exact(4)
                .map(|q| DMat3::from_quat(DQuat::from_xyzw(q[1], q[2], q[3], q[0]).normalize()));
            out.f64("R", &[q.len() / 4, 3, 3], rows_of(r))
        }
        other => return Err(Failure::broken(format!("unknown op {other}"))),
    })
}

fn rational_spline(case: &Case) -> CaseResult {
    fn run<R: Real>(case: &Case) -> CaseResult {
        let bins = case.count("count_bins")?;
        let limits = SplineLimits {
            bound: case.number("bound")?,
            min_width: case.number("min_bin_width")?,
            min_height: case.number("min_bin_height")?,
            min_derivative: case.number("min_derivative")?,
            min_lambda: case.number("min_lambda")?,
            search_margin: case.number("eps")?,
        };
        let read = |name: &str| -> Result<Vec<R>, Failure> { Ok(reals(case.f64(name)?)) };
        let (widths, heights) = (read("raw_widths")?, read("raw_heights")?);
        let (derivatives, lambdas) = (read("raw_derivatives")?, read("raw_lambdas")?);
        let (x, y) = (read("x")?, read("y")?);
        let (mut out, n) = ([const { Vec::new() }; 4], x.len());
        for i in 0..n {
            let spline = RawSpline {
                widths: &widths[i * bins..][..bins],
                heights: &heights[i * bins..][..bins],
                derivatives: &derivatives[i * (bins - 1)..][..bins - 1],
                lambdas: &lambdas[i * bins..][..bins],
            };
            let (forward, slope) = spline.forward(&limits, x[i]);
            let (inverse, slope_there) = spline.inverse(&limits, y[i]);
            for (list, value) in out.iter_mut().zip([forward, slope, inverse, -slope_there]) {
                list.push(value.wide());
            }
        }
        let [forward, slope, inverse, inverse_slope] = out;
        Ok(Outputs::new().f64("y", &[n], forward).f64("logdet", &[n], slope).f64("x", &[n], inverse).f64(
            "logdet_inverse",
            &[n],
            inverse_slope,
        ))
    }
    if case.input("x")?.data.code() == "f8" { run::<f64>(case) } else { run::<f32>(case) }
}

fn flow(case: &Case) -> CaseResult {
    fn part<R: Real>(case: &Case) -> Result<PartFlow<R>, Failure> {
        let segments = case.count("count_bins")?;
        let inputs = case.count("context_dim")? + 1;
        let first = case
            .params
            .get("weights")
            .and_then(|w| w.get("first_module"))
            .and_then(serde_json::Value::as_u64)
            .unwrap_or(0) as usize;
        let permutations = case.param("permutations")?.as_array().cloned().unwrap_or_default();
        let limits = SplineLimits::in_box(case.number("bound")?);
        let mut transforms = Vec::new();
        for i in 0..case.count("num_transforms")? {
            let permutation: Vec<usize> = permutations
                .get(i)
                .and_then(|list| list.as_array())
                .map(|list| list.iter().filter_map(|k| k.as_u64()).map(|k| k as usize).collect())
                .unwrap_or_default();
            transforms.push(Transform::Permute(three(&permutation)?));
            let key = format!("{}.", first + i);
            let net = network(case, &format!("flow{i}_"), &key, inputs, 2 * (4 * segments - 1))?;
            transforms.push(Transform::SplineCoupling(SplineNet { net, segments, limits }));
        }
        let radius = case.number("radius")?;
        transforms.push(Transform::ScaledRadialTanh { radius });
        Ok(PartFlow { transforms, base_std: case.number("base_std")?, support_radius: radius })
    }
    let sampling = part::<f32>(case)?;
    let density = part::<f64>(case)?;
    let scratch = &mut Scratch::default();
    let wide_scratch = &mut Scratch::default();
    let (context, wide_context) = (case.f32("context")?, case.f64("context")?);
    let std = sampling.base_std as f32;
    let mut samples: Vec<[f32; 3]> =
        triples(&case.f64("base_noise")?).into_iter().map(|e: [f32; 3]| e.map(|v| std * v)).collect();
    let n = samples.len();
    sampling.push_forward(&mut samples, &context, scratch);
    let mut zero = vec![[0.0f32; 3]; n];
    sampling.push_forward(&mut zero, &context, scratch);
    let rotations: Vec<DMat3> =
        samples.iter().map(|v| exp_so3_64(DVec3::from_array(v.map(f64::from)))).collect();
    let queried = matrices(case, "R_query")?;
    let mut log_prob =
        |r: &[DMat3]| density.log_prob(r, &wide_context, AtIdentity::AsPublished, wide_scratch);
    let (at_query, at_samples) = (log_prob(&queried), log_prob(&rotations));
    let at_vectors = density.log_prob_vectors(&triples(&case.f64("v_query")?), &wide_context, wide_scratch);
    Ok(Outputs::new()
        .f32("so3_samples", &[n, 3], samples.concat())
        .f64("R_samples", &[n, 3, 3], rows_of(rotations))
        .f32("so3_zero", &[n, 3], zero.concat())
        .f64("log_prob_R", &[n], at_query)
        .f64("log_prob_samples", &[n], at_samples)
        .f64("log_prob_v", &[n], at_vectors))
}

fn points(values: &[f32]) -> Vec<Vec3> {
    values.chunks_exact(3).map(Vec3::from_slice).collect()
}

fn directional_variance(case: &Case) -> CaseResult {
    let shape = case.shape("vertices")?;
    let flat = case.f32("vertices")?;
    let each = flat.len() / shape[0].max(1);
    let meshes: Vec<Vec<Vec3>> = flat.chunks_exact(each.max(1)).map(points).collect();
    match case.text("op")? {
        "variance" => {
            let spread = mesh_spread(&meshes.iter().map(Vec::as_slice).collect::<Vec<_>>());
            let n = spread.axis_std.len();
            let colours = |most: f64, values: Vec<f32>| -> Vec<f64> {
                values.into_iter().flat_map(|value| jet(f64::from(value), most)).collect()
            };
            let axis_std: Vec<f32> = spread.axis_std.iter().flat_map(|v| v.to_array()).collect();
            Ok(Outputs::new()
                .f64("colours", &[n, 3], colours(case.number("colour_max")?, spread.mean_distance.clone()))
                .f64("axis_colours", &[n, 3, 3], colours(case.number("axis_colour_max")?, axis_std.clone()))
                .f32("mean_distance", &[n], spread.mean_distance)
                .f32("axis_std", &[n, 3], axis_std))
        }
        "sort" => {
            let map = counts(case, "coco_map")?;
            let of_one = case.shape("joints")?[1] * 3;
            let joints: Vec<[Vec3; 17]> = case
                .f32("joints")?
                .chunks_exact(of_one)
                .map(|all| {
                    let all = points(all);
                    std::array::from_fn(|k| all[map[k]])
                })
                .collect();
            let maps = case.shape("heatmaps")?;
            let peaks = peaks(&case.f32("heatmaps")?, maps[2], maps[3], 1e-6, false);
            let camera = case.f32("cam_wp")?;
            let order = order_by_keypoints(
                &joints,
                [camera[0], camera[1], camera[2]],
                maps[3] as f32,
                &peaks.keypoints,
                &peaks.seen,
            );
            let sorted: Vec<f32> =
                order.iter().flat_map(|&i| flat[i * each..][..each].iter().copied()).collect();
            Ok(Outputs::new()
                .i64("order", &[order.len()], order.into_iter().map(|i| i as i64).collect())
                .f32("vertices", &shape, sorted))
        }
        other => Err(Failure::broken(format!("unknown op {other}"))),
    }
}
