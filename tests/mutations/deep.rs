//! Readers that stand on those of files: bodies, motions, keypoints, configs.

use humanifold::body::files::open_bytes;
use humanifold::body::{BodyModel, LoadOptions};
use humanifold::estimators::pose_ndf::PoseNdfConfig;
use humanifold::formats::Npz;
use humanifold::formats::motion::Motion;

use crate::Reader;

fn body(bytes: &[u8]) {
    if let Ok(source) = open_bytes(bytes.to_vec(), "mutated".as_ref()) {
        let _ = BodyModel::from_arrays(source.as_ref(), LoadOptions::default());
    }
}

fn motion(bytes: &[u8]) {
    if let Ok(npz) = Npz::from_bytes(bytes.to_vec(), "mutated") {
        let _ = Motion::from_npz(&npz);
    }
}

fn config(bytes: &[u8]) {
    let _ = PoseNdfConfig::parse(bytes);
}

pub fn readers(cases: &[(String, Vec<u8>)]) -> Vec<Reader> {
    let of = |ending: &str, mark: &[u8]| -> Vec<Vec<u8>> {
        let found = |bytes: &[u8]| bytes.windows(mark.len()).any(|window| window == mark);
        cases
            .iter()
            .filter(|(own, bytes)| own == ending && found(bytes))
            .map(|(_, bytes)| bytes.clone())
            .collect()
    };
    let yaml = b"model:\n  DFNet:\n    dims: 16, 8\n    act: softplus\n  StrEnc:\n    use: True #todo\ntrain:\n  dist: 1.0\n";
    let mut bodies = of("npz", b"kintree_table");
    bodies.extend(of("pkl", b"kintree_table"));
    bodies.extend(crate::seeds::pickles());
    let mut motions = of("npz", b"mocap_fram");
    motions.extend(crate::seeds::npz());
    let mut configs = of("yaml", b"DFNet");
    configs.push(yaml.to_vec());
    vec![
        Reader::new("body", body, bodies),
        Reader::new("motion", motion, motions),
        Reader::new("config", config, configs),
    ]
}
