//! Files of published sizes to what they are read for: `cargo bench --bench files`.
//!
//! The files are made here, in a temporary folder: SMPL's sizes, keys and chumpy objects as the download has them, with
//! numbers of no meaning; a clip of AMASS. `benches/files_smplx.py` poses the same number of bodies with smplx.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use divan::{Bencher, counter::ItemsCount};
use glam::{Mat3, Vec3};
use humanifold::body::motion::read_clips;
use humanifold::body::{BodyModel, BodyState, Posed};
use humanifold::formats::motion::{Family, Motion};

const POINTS: usize = 6890;
const JOINTS: usize = 24;
const FACES: usize = 13776;
const PARENTS: [u32; JOINTS] =
    [u32::MAX, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21];

fn main() {
    if let Err(error) = rayon::ThreadPoolBuilder::new().num_threads(2).build_global() {
        eprintln!("threads stay as they are: {error}");
    }
    divan::main();
}

/// A pickle of protocol 2 as Python 2 writes it.
#[derive(Default)]
struct Pickle(Vec<u8>);

impl Pickle {
    fn put(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.put(&[b'U', text.len() as u8]).put(text.as_bytes())
    }

    fn number(&mut self, number: usize) -> &mut Self {
        self.put(b"J").put(&(number as u32).to_le_bytes())
    }

    /// numpy's array of little-endian items; one of another order in memory where `fortran`.
    fn array(&mut self, shape: &[usize], kind: &str, fortran: bool, data: &[u8]) -> &mut Self {
        self.put(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01(");
        for &side in shape {
            self.number(side);
        }
        self.put(b"tcnumpy\ndtype\n").text(kind);
        self.put(b"K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb");
        self.put(if fortran { b"\x88T" } else { b"\x89T" })
            .put(&(data.len() as u32).to_le_bytes())
            .put(data)
            .put(b"tb")
    }

    fn floats(&mut self, shape: &[usize], value: impl Fn(usize) -> f64) -> &mut Self {
        let data: Vec<u8> = (0..shape.iter().product()).flat_map(|i| value(i).to_le_bytes()).collect();
        self.array(shape, "f8", false, &data)
    }

    fn whole(&mut self, shape: &[usize], value: impl Fn(usize) -> u32) -> &mut Self {
        let data: Vec<u8> = (0..shape.iter().product()).flat_map(|i| value(i).to_le_bytes()).collect();
        self.array(shape, "u4", false, &data)
    }
}

/// Numbers between −0.5 and 0.5 that look random.
fn noise(i: usize) -> f64 {
    ((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64 / f64::from(1u32 << 24) - 0.5
}

/// SMPL 1.0's file: 10 shape directions in a chumpy object, everything else plain, the regressor sparse.
fn smpl_pickle() -> Vec<u8> {
    let mut file = Pickle::default();
    file.put(b"\x80\x02}(");
    file.text("f").whole(&[FACES, 3], |i| (i % POINTS) as u32);
    file.text("J_regressor").put(b"cscipy.sparse.csc\ncsc_matrix\n)\x81}(");
    let entries = 10 * JOINTS;
    file.text("_shape").number(JOINTS).number(POINTS).put(b"\x86");
    file.text("maxprint").number(50).text("data").floats(&[entries], |_| 0.1);
    // The first 240 points, a column each, ten to a joint.
    file.text("indices").whole(&[entries], |i| (i / 10) as u32);
    file.text("indptr").whole(&[POINTS + 1], |i| i.min(entries) as u32);
    file.put(b"ub");
    file.text("kintree_table")
        .whole(&[2, JOINTS], |i| PARENTS.get(i).copied().unwrap_or((i % JOINTS) as u32));
    file.text("weights").floats(&[POINTS, JOINTS], |i| {
        let (point, joint) = (i / JOINTS, i % JOINTS);
        if (joint + JOINTS - point % JOINTS) % JOINTS < 4 { 0.25 } else { 0.0 }
    });
    file.text("weights_prior").floats(&[POINTS, JOINTS], noise);
    file.text("vert_sym_idxs").whole(&[POINTS], |i| i as u32);
    file.text("posedirs").floats(&[POINTS, 3, 207], |i| 0.01 * noise(i));
    file.text("bs_style").text("lbs").text("bs_type").text("lrotmin");
    file.text("v_template").floats(&[POINTS, 3], noise);
    file.text("shapedirs")
        .put(b"cchumpy.ch\nCh\n)\x81}(")
        .text("x")
        .floats(&[POINTS, 3, 10], |i| 0.02 * noise(i));
    file.text("_dirty_vars").put(b"c__builtin__\nset\n]\x85R");
    file.text("_itr").put(b"N").text("_depends_on_deps").put(b"}").put(b"ub");
    file.put(b"u.");
    file.0
}

fn folder() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| tempfile::tempdir().expect("a temporary folder")).path()
}

fn smpl() -> &'static Path {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| {
        let path = folder().join("basicmodel_neutral.pkl");
        let bytes = smpl_pickle();
        eprintln!("SMPL's file: {:.1} MB", bytes.len() as f64 / 1e6);
        std::fs::write(&path, bytes).expect("writable");
        path
    })
}

fn bent(model: &BodyModel, at: usize) -> BodyState {
    let mut state = model.rest_state();
    state.betas.fill(0.3);
    for (joint, rotation) in state.body_pose.iter_mut().enumerate() {
        let angle = noise(at * 64 + joint) as f32;
        *rotation = Mat3::from_axis_angle(Vec3::new(0.6, 0.0, 0.8), angle);
    }
    state
}

/// From the file to the points of a posed body.
#[divan::bench(sample_count = 20)]
fn smpl_pkl_to_posed_body(bencher: Bencher) {
    let path = smpl();
    let mut posed = Posed::default();
    bencher.bench_local(|| {
        let model = BodyModel::load(path).expect("a body");
        model.pose_into(&bent(&model, 0), true, &mut posed);
        posed.vertices.len()
    });
}

/// A hundred bodies of SMPL's size, correctives and all.
#[divan::bench(sample_count = 40)]
fn smpl_pose_100(bencher: Bencher) {
    let model = BodyModel::load(smpl()).expect("a body");
    let states: Vec<BodyState> = (0..100).map(|at| bent(&model, at)).collect();
    bencher.counter(ItemsCount::new(100usize)).bench_local(|| model.pose_batch(&states, true));
}

/// A clip of AMASS (SMPL-H, 156 numbers a frame): from the file to its motion.
#[divan::bench(args = [10_000], sample_count = 20)]
fn amass_npz_read(bencher: Bencher, frames: usize) {
    let path = folder().join("clip.npz");
    let motion = Motion {
        family: Family::SmplH,
        root: (0..frames).map(|f| [noise(f), 0.1, 0.2]).collect(),
        body: (0..frames).map(|f| std::array::from_fn(|k| noise(63 * f + k))).collect(),
        hands: Some((0..frames).map(|f| std::array::from_fn(|k| noise(90 * f + k))).collect()),
        trans: (0..frames).map(|f| [0.0, noise(f), 1.0]).collect(),
        betas: vec![0.1; 16],
        frame_rate: 120.0,
        gender: "female".to_owned(),
        z_up: true,
    };
    motion.write(&path).expect("writable");
    bencher.counter(ItemsCount::new(frames)).bench_local(|| read_clips(&path).expect("a motion"));
}
