//! Damaged files, the licensed layout, the built-in file.

use std::collections::BTreeMap;

use super::*;
use crate::formats::Array;

/// A file of one triangle a joint in SMPL's layout.
fn small() -> BTreeMap<String, Array> {
    let (points, joints) = (30, 24);
    let mut tree: Vec<i64> = crate::body::joint_sets::SMPL_PARENTS.iter().map(|p| i64::from(*p)).collect();
    tree.extend(0..24);
    let dense = |rows: usize, cols: usize| {
        (0..rows * cols).map(|at| f64::from(u8::from(at / cols == at % cols))).collect::<Vec<_>>()
    };
    let mut weights = dense(points, joints);
    for point in joints..points {
        weights[point * joints] = 1.0;
    }
    BTreeMap::from([
        (
            "v_template".to_owned(),
            Array::f64(&[points, 3], (0..3 * points).map(|at| at as f64 / 50.0).collect()),
        ),
        ("shapedirs".to_owned(), Array::f64(&[points, 3, 10], vec![0.01; 30 * points])),
        ("posedirs".to_owned(), Array::f64(&[points, 3, 207], vec![0.001; points * 3 * 207])),
        ("J_regressor".to_owned(), Array::f64(&[joints, points], dense(joints, points))),
        ("weights".to_owned(), Array::f64(&[points, joints], weights)),
        ("kintree_table".to_owned(), Array::i64(&[2, joints], tree)),
        ("f".to_owned(), Array::i64(&[2, 3], vec![0, 1, 2, 2, 1, 29])),
    ])
}

fn word(change: impl Fn(&mut BTreeMap<String, Array>)) -> &'static str {
    let mut arrays = small();
    change(&mut arrays);
    BodyModel::from_arrays(&arrays, LoadOptions::default()).map_or_else(|error| error.word(), |_| "accepted")
}

#[test]
fn damaged_files_are_refused_with_their_reason() {
    assert_eq!(word(|_| {}), "accepted");
    for key in small().keys() {
        assert_eq!(word(|arrays| drop(arrays.remove(key))), "missing", "{key}");
        assert_eq!(
            word(|arrays| drop(arrays.insert(key.clone(), Array::f64(&[7], vec![0.0; 7])))),
            "shape",
            "{key}"
        );
    }
    let set = |key: &'static str, at: usize, value: f64| {
        move |arrays: &mut BTreeMap<String, Array>| {
            let Some(array) = arrays.get_mut(key) else { return };
            let mut values = array.to_f64().unwrap();
            values[at] = value;
            *array = Array::f64(&array.shape.clone(), values);
        }
    };
    assert_eq!(word(set("f", 2, 30.0)), "value");
    assert_eq!(word(set("kintree_table", 5, 9.0)), "value");
    assert_eq!(word(set("kintree_table", 5, -1.0)), "value");
    for key in ["v_template", "shapedirs", "posedirs", "J_regressor", "weights"] {
        assert_eq!(word(set(key, 3, f64::NAN)), "value", "{key}");
    }
}

#[test]
fn a_licensed_layout_gets_keypoints_from_its_joints() {
    let model = BodyModel::from_arrays(&small(), LoadOptions { betas: 4, expression: 0 }).unwrap();
    assert_eq!((model.num_betas(), model.num_vertices(), model.family), (4, 30, Family::Smpl));
    let posed = model.pose(&model.rest_state(), true);
    assert_eq!(model.coco17(&posed.vertices)[11], posed.joints[1]);
    assert_eq!(model.h36m17(&posed.vertices)[1], posed.joints[2]);
    assert!(model.joints90(&posed, Vec3::ZERO).is_none());
}

#[test]
fn the_built_in_body_has_what_its_readme_says() {
    let model = BodyModel::default_body().unwrap();
    assert_eq!((model.num_vertices(), model.faces.len(), model.num_joints()), (7699, 15394, 24));
    assert!(model.h36m90_right_first);
    let extras = model.extras.as_ref().unwrap();
    for (point, other) in extras.mirror.iter().enumerate() {
        assert_eq!(model.v_template[*other as usize], model.v_template[point] * Vec3::new(-1.0, 1.0, 1.0));
    }
    assert_eq!(extras.joint_mirror, crate::body::joint_sets::SMPL_MIRROR.map(|at| at as u8));
    assert_eq!(model.parents, crate::body::joint_sets::SMPL_PARENTS);
    assert!((0..7699).all(|point| (model.weights.row_sum(point) - 1.0).abs() < 1e-6));
    assert!(extras.mask("skin").iter().all(|value| (0.0..=1.0).contains(value)));
    let tall = extras.statistics.typical(crate::body::Sex::Man, 1.9, 90.0);
    let predicted = extras.statistics.predict(&tall);
    assert!((predicted[0] - 1.9).abs() < 0.03 && (predicted[1] - 90.0).abs() < 4.0, "{predicted:?}");
    let shape = extras.statistics.shape_from_measurements(&[("stature", 1.6), ("weightkg", 60.0)]).unwrap();
    assert!((extras.statistics.predict(&shape)[0] - 1.6).abs() < 0.02);
    assert!(extras.statistics.shape_from_measurements(&[("wit", 1.0)]).is_err());
}
