//! Kind `formats`: files of numbers and the readers of data sets.

use std::path::Path;

use humanifold::formats::keypoint_json::{CocoKeypoints, OpenPosePerson};
use humanifold::formats::motion::{Family, Motion};
use humanifold::formats::npy::read_npy;
use humanifold::formats::{Array, ArrayData, Npz};

use crate::case::{Case, CaseResult, Failure, Outputs};

pub fn kinds() -> Vec<(&'static str, fn(&Case) -> CaseResult)> {
    vec![("formats", formats)]
}

fn formats(case: &Case) -> CaseResult {
    let input = case.file("input")?;
    if holds_objects(input) {
        return Err(Failure::NotBuilt("object arrays"));
    }
    let bytes = || std::fs::read(input).map_err(Failure::broken);
    match (case.text("op")?, case.text("format")?) {
        ("load", "npy") => {
            let mut listing = Listing::default();
            listing.array("/", &read_npy(input)?);
            Ok(listing.finish())
        }
        ("load", "npz") => {
            let npz = Npz::read(input)?;
            let mut listing = Listing::default();
            listing.line("/", &["dict", &npz.names().count().to_string()]);
            for name in npz.names() {
                listing.array(&format!("/{}", escaped(name, true)), npz.get(name)?);
            }
            Ok(listing.finish())
        }
        ("motion", _) => Ok(motion(&Motion::read(input)?)),
        ("coco_keypoints", _) => Ok(coco(&CocoKeypoints::parse(&bytes()?)?)),
        ("openpose", _) => Ok(openpose(&OpenPosePerson::parse_all(&bytes()?)?)),
        (op, format) => Err(Failure::broken(format!("unknown op `{op}` on `{format}`"))),
    }
}

/// Object arrays hold pickles, for which there is no reader yet.
fn holds_objects(path: &Path) -> bool {
    match Npz::read(path) {
        Ok(npz) => npz
            .names()
            .any(|name| npz.get(name).is_err_and(|error| error.to_string().contains("Python objects"))),
        Err(_) => read_npy(path).is_err_and(|error| error.to_string().contains("Python objects")),
    }
}

fn motion(motion: &Motion) -> Outputs {
    let frames = motion.body.len();
    let family = match motion.family {
        Family::Smpl => 0,
        Family::SmplH => 1,
        Family::SmplX => 2,
    };
    let outputs = Outputs::new()
        .i64("family", &[], vec![family])
        .f64("root", &[frames, 3], motion.root.as_flattened().to_vec())
        .f64("body", &[frames, 63], motion.body.as_flattened().to_vec())
        .f64("trans", &[frames, 3], motion.trans.as_flattened().to_vec())
        .f64("betas", &[motion.betas.len()], motion.betas.clone())
        .scalar("fps", motion.frame_rate)
        .u8("gender", &[motion.gender.len()], motion.gender.clone().into_bytes());
    match &motion.hands {
        Some(hands) => outputs.f64("hands", &[frames, 90], hands.as_flattened().to_vec()),
        None => outputs,
    }
}

fn coco(file: &CocoKeypoints) -> Outputs {
    let count = file.people.len();
    let people = || file.people.iter();
    Outputs::new()
        .i64("image_id", &[count], people().map(|person| person.image_id).collect())
        .f64(
            "keypoints",
            &[count, 17, 3],
            people()
                .flat_map(|person| *person.keypoints.as_flattened().first_chunk::<51>().unwrap())
                .collect(),
        )
        .f64("bbox", &[count, 4], people().flat_map(|person| person.bbox).collect())
}

fn openpose(people: &[OpenPosePerson]) -> Outputs {
    fn part<const N: usize>(
        people: &[OpenPosePerson],
        get: impl Fn(&OpenPosePerson) -> [[f64; 3]; N],
    ) -> Vec<f64> {
        people.iter().flat_map(|person| get(person).into_iter().flatten()).collect()
    }
    let count = people.len();
    Outputs::new()
        .f64("body", &[count, 25, 3], part(people, |person| person.body))
        .f64("left_hand", &[count, 21, 3], part(people, |person| person.left_hand))
        .f64("right_hand", &[count, 21, 3], part(people, |person| person.right_hand))
        .f64("face", &[count, 70, 3], part(people, |person| person.face))
}

/// The text form of a loaded file, one line a node, with its arrays beside it.
#[derive(Default)]
struct Listing {
    text: String,
    arrays: Vec<Array>,
}

impl Listing {
    fn line(&mut self, path: &str, fields: &[&str]) {
        self.text.push_str(path);
        for field in fields {
            self.text.push('\t');
            self.text.push_str(field);
        }
        self.text.push('\n');
    }

    fn array(&mut self, path: &str, array: &Array) {
        let sizes: Vec<String> = array.shape.iter().map(usize::to_string).collect();
        let shape = if sizes.is_empty() { "-".to_owned() } else { sizes.join(",") };
        if let ArrayData::Text(texts) = &array.data {
            self.line(path, &["strs", &shape]);
            let parent = path.trim_end_matches('/');
            for (at, text) in texts.iter().enumerate() {
                self.line(&format!("{parent}/[{at}]"), &["str", &escaped(text, false)]);
            }
        } else {
            let index = self.arrays.len().to_string();
            self.line(path, &["array", array.data.code(), &shape, &index]);
            self.arrays.push(array.clone());
        }
    }

    fn finish(self) -> Outputs {
        let bytes = self.text.into_bytes();
        let outputs = Outputs::new().u8("tree", &[bytes.len()], bytes);
        self.arrays
            .into_iter()
            .enumerate()
            .fold(outputs, |outputs, (at, array)| outputs.array(&format!("arr_{at}"), array))
    }
}

fn escaped(text: &str, key: bool) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '/' if key => out.push_str("\\/"),
            control if (control as u32) < 32 || control as u32 == 127 => {
                out.push_str(&format!("\\x{:02x}", control as u32));
            }
            other => out.push(other),
        }
    }
    out
}
