//! Good files that are mutated: some made here, so that the test needs no others, and those of the parity cases.

use std::path::{Path, PathBuf};

use humanifold::formats::Array;
use humanifold::formats::npy::npy_bytes;
use humanifold::formats::npz::npz_bytes;

/// Files of cases beyond this are left out: mutations would seldom meet their structure.
const LARGEST: u64 = 40_000;

/// Endings and bytes of the cases' small files, in the order of their names.
pub fn from_cases() -> Vec<(String, Vec<u8>)> {
    fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
        for path in std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                collect(&path, files);
            } else if std::fs::metadata(&path).is_ok_and(|file| file.len() <= LARGEST) {
                files.push(path);
            }
        }
    }
    let mut files = Vec::new();
    match std::env::var("HUMANIFOLD_CASES") {
        Ok(list) => {
            list.split(':')
                .filter(|folder| !folder.is_empty())
                .for_each(|f| collect(Path::new(f), &mut files));
        }
        Err(_) => collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/cases"), &mut files),
    }
    files.sort();
    let ending = |path: &Path| path.extension().map(|ending| ending.to_string_lossy().into_owned());
    files.iter().filter_map(|path| Some((ending(path)?, std::fs::read(path).ok()?))).collect()
}

fn arrays() -> Vec<Array> {
    vec![
        Array::f32(&[2, 3], vec![1.0, -2.5, 0.0, 3.0, 1e-40, 7.0]),
        Array::f64(&[20, 3], (0..60).map(f64::from).collect()),
        Array::i64(&[1], vec![-1]),
        Array::text(&[2], vec!["neutral".to_owned(), "größe".to_owned()]),
        Array::bool(&[4], vec![true, false, true, true]),
    ]
}

/// A dict of a list, a number, and an object array's parts, at protocol 2.
const SMALL_PICKLE: &[u8] =
    b"\x80\x02}q\x00(U\x01a]q\x01(K\x01G@\x04\0\0\0\0\0\0NeU\x01bh\x01X\x01\0\0\0c\x8a\x02\xff\x7fu.";

/// The array [[1, 2], [3, 4]] of f8 as Python 2 writes it, named `name` in a dict.
const ARRAY_PICKLE: &[u8] = b"\x80\x02}q\x00U\x0av_templateq\x01cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85q\x04U\x01bq\x05\x87q\x06Rq\x07(K\x01K\x02K\x02\x86q\x08cnumpy\ndtype\nq\x09U\x02f8q\nK\x00K\x01\x87q\x0bRq\x0c(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U \0\0\0\0\0\0\xf0?\0\0\0\0\0\0\0@\0\0\0\0\0\0\x08@\0\0\0\0\0\0\x10@tbs.";

/// One object in an array, as an npy file's data.
const OBJECT_PICKLE: &[u8] = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x00cnumpy\nndarray\nq\x01K\x00\x85q\x02U\x01bq\x03\x87q\x04Rq\x05(K\x01K\x01\x85q\x06cnumpy\ndtype\nq\x07U\x02O8q\x08K\x00K\x01\x87q\x09Rq\n(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb\x89]q\x0bU\x01xatb.";

/// A state dict of one 2 × 3 tensor.
const TENSOR_PICKLE: &[u8] = b"\x80\x02}q\x00X\x06\0\0\0weightq\x01ctorch._utils\n_rebuild_tensor_v2\nq\x02((X\x07\0\0\0storageq\x03ctorch\nFloatStorage\nq\x04X\x01\0\0\x000q\x05X\x03\0\0\0cpuq\x06K\x06tq\x07QK\x00K\x02K\x03\x86q\x08K\x03K\x01\x86q\t\x89ccollections\nOrderedDict\nq\n)Rq\x0btq\x0cRq\rs.";

pub fn npy() -> Vec<Vec<u8>> {
    let mut objects = b"\x93NUMPY\x01\0".to_vec();
    let mut header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".to_vec();
    header.resize(117, b' ');
    header.push(b'\n');
    objects.extend((header.len() as u16).to_le_bytes());
    objects.extend(header);
    objects.extend(OBJECT_PICKLE);
    arrays().iter().map(npy_bytes).chain([objects]).collect()
}

pub fn npz() -> Vec<Vec<u8>> {
    let arrays = arrays();
    let large = Array::i64(&[1000], (0..1000).collect());
    let all: Vec<(&str, &Array)> =
        ["a", "sub/b", "c", "d", "e"].into_iter().zip(&arrays).chain([("large", &large)]).collect();
    vec![npz_bytes(&all).expect("small arrays"), npz_bytes(&all[..1]).expect("small arrays")]
}

/// A sound archive of stored members.
pub fn stored_zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in members {
        let at = out.len() as u32;
        let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        common.extend(crc32(data).to_le_bytes());
        common.extend((data.len() as u32).to_le_bytes());
        common.extend((data.len() as u32).to_le_bytes());
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        out.extend(b"PK\x03\x04");
        out.extend(&common);
        out.extend(name.as_bytes());
        out.extend(*data);
        directory.extend(b"PK\x01\x02\x14\0");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(at.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (at, count) = (out.len() as u32, members.len() as u16);
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend(count.to_le_bytes());
    out.extend(count.to_le_bytes());
    out.extend((directory.len() as u32).to_le_bytes());
    out.extend(at.to_le_bytes());
    out.extend([0, 0]);
    out
}

fn crc32(data: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in data {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

pub fn in_npz(member: &[u8]) -> Vec<u8> {
    stored_zip(&[("poses.npy", member)])
}

pub fn in_torch(pickle: &[u8]) -> Vec<u8> {
    stored_zip(&[("archive/data.pkl", pickle), ("archive/data/0", &[0; 24]), ("archive/version", b"3\n")])
}

pub fn pickles() -> Vec<Vec<u8>> {
    [SMALL_PICKLE, ARRAY_PICKLE, OBJECT_PICKLE].map(<[u8]>::to_vec).to_vec()
}

pub fn torch_pickles() -> Vec<Vec<u8>> {
    vec![TENSOR_PICKLE.to_vec()]
}

pub fn torch() -> Vec<Vec<u8>> {
    // The older stream: magic, version, system, object, keys, then count and numbers.
    let mut stream = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}q\x00(X\x10\0\0\0protocol_versionq\x01M\xe9\x03X\r\0\0\0little_endianq\x02\x88u.".to_vec();
    stream.extend(TENSOR_PICKLE);
    stream.extend(b"\x80\x02]q\x00X\x01\0\0\x000q\x01a.\x06\0\0\0\0\0\0\0");
    stream.extend([0; 24]);
    vec![in_torch(TENSOR_PICKLE), stream]
}

/// Variables `a` (numbers) and `c` (a cell with text in it).
pub fn matlab() -> Vec<Vec<u8>> {
    fn element(kind: u32, data: &[u8]) -> Vec<u8> {
        let mut out = [kind.to_le_bytes(), (data.len() as u32).to_le_bytes()].concat();
        out.extend(data);
        out.resize(out.len().next_multiple_of(8), 0);
        out
    }
    fn matrix(class: u32, sizes: [i32; 2], name: &str, rest: &[u8]) -> Vec<u8> {
        let flags = [class.to_le_bytes(), [0; 4]].concat();
        let sizes: Vec<u8> = sizes.iter().flat_map(|size| size.to_le_bytes()).collect();
        element(
            14,
            &[element(6, &flags), element(5, &sizes), element(1, name.as_bytes()), rest.to_vec()].concat(),
        )
    }
    let mut out = b"MATLAB 5.0 MAT-file".to_vec();
    out.resize(124, b' ');
    out.extend(b"\x00\x01IM");
    out.extend(matrix(6, [2, 3], "a", &element(2, &[1, 2, 3, 4, 5, 6])));
    out.extend(matrix(1, [1, 1], "c", &matrix(4, [1, 3], "", &element(16, b"abc"))));
    vec![out]
}

pub fn safetensors() -> Vec<Vec<u8>> {
    let header = br#"{"__metadata__":{"a":"b"},"w":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"i":{"dtype":"I64","shape":[1],"data_offsets":[16,24]}}"#;
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend(header);
    out.extend([0; 24]);
    vec![out]
}

pub fn json() -> Vec<Vec<u8>> {
    let list = |count: usize| vec!["1.5"; count].join(",");
    vec![
        format!(r#"{{"people": [{{"pose_keypoints_2d": [{}], "face_keypoints_2d": []}}]}}"#, list(75)).into_bytes(),
        format!(
            r#"{{"images": [{{"id": 1, "file_name": "a.jpg"}}], "annotations": [{{"image_id": 1, "keypoints": [{}], "bbox": [1, 2, 3, 4]}}]}}"#,
            list(51)
        )
        .into_bytes(),
    ]
}
