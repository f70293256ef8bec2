//! Readers that stand on those of files: bodies, motions, keypoints, configs.

use humanifold::body::files::open_bytes;
use humanifold::body::{BodyModel, LoadOptions};
use humanifold::estimators::pose_ndf::PoseNdfConfig;
use humanifold::formats::acclaim::{Amc, Asf};
use humanifold::formats::bvh::Bvh;
use humanifold::formats::motion::Motion;
use humanifold::formats::pickle::parse_pickle;
use humanifold::formats::pw3d::Pw3dSequence;
use humanifold::formats::{Limits, Npz};

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

fn bvh(bytes: &[u8]) {
    let _ = Bvh::parse(bytes);
}

fn acclaim(bytes: &[u8]) {
    let _ = Asf::parse(bytes);
    let _ = Amc::parse(bytes);
}

fn sequence(bytes: &[u8]) {
    if let Ok(values) = parse_pickle(bytes, &Limits::default()) {
        let _ = Pw3dSequence::from_values(&values);
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
    let skeleton = b":units\n length 0.45\n:bonedata\n begin\n name lfemur\n direction 0 -1 0\n length 7.1\n axis 0 0 20 XYZ\n \
        dof rx ry\n end\n:hierarchy\n begin\n root lfemur\n end\n";
    let motion_text = b":FULLY-SPECIFIED\n:DEGREES\n1\nroot 1 2 3 4 5 6\nlfemur 10 -3\n2\nroot 0 0 0 0 0 0\n";
    let walk = b"HIERARCHY\nROOT Hips\n{\n OFFSET 0 1 0\n CHANNELS 6 Xposition Yposition Zposition Zrotation \
        Xrotation Yrotation\n JOINT Spine\n {\n  OFFSET 0 1 0\n  CHANNELS 3 Zrotation Xrotation Yrotation\n  End Site\n  \
        {\n   OFFSET 0 1 0\n  }\n }\n}\nMOTION\nFrames: 2\nFrame Time: 0.02\n0 1 0 0 0 0 1 2 3\n0 1 0 0 9 0 1 2 3\n";
    let mut sequences = of("pkl", b"cam_poses");
    sequences.extend(crate::seeds::pickles());
    vec![
        Reader::new("bvh", bvh, vec![walk.to_vec()]),
        Reader::new("asf, amc", acclaim, vec![skeleton.to_vec(), motion_text.to_vec()]),
        Reader::new("3dpw", sequence, sequences),
        Reader::new("body", body, bodies),
        Reader::new("motion", motion, motions),
        Reader::new("config", config, configs),
    ]
}
