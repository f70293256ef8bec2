//! Kind `formats`: files of numbers and the readers of data sets.

use humanifold::formats::keypoint_json::{CocoKeypoints, OpenPosePerson};
use humanifold::formats::motion::{Family, Motion};
use humanifold::formats::npy::{holds_objects, parse_npy_objects, read_npy};
use humanifold::formats::pickle::{Node, NodeId, Pickle};
use humanifold::formats::{Array, ArrayData, Limits, Npz};

use crate::case::{Case, CaseResult, Failure, Kinds, Outputs};

pub fn kinds() -> Kinds {
    vec![("formats", formats)]
}

fn formats(case: &Case) -> CaseResult {
    let input = case.file("input")?;
    let bytes = || std::fs::read(input).map_err(Failure::broken);
    match (case.text("op")?, case.text("format")?) {
        ("load", "npy") => {
            let mut listing = Listing::default();
            let bytes = bytes()?;
            if holds_objects(&bytes) {
                listing.objects("/", &parse_npy_objects(&bytes, &Limits::default())?);
            } else {
                listing.array("/", &read_npy(input)?);
            }
            Ok(listing.finish())
        }
        ("load", "npz") => {
            let npz = Npz::read(input)?;
            let mut listing = Listing::default();
            listing.line("/", &["dict", &npz.names().count().to_string()]);
            for name in npz.names() {
                let path = format!("/{}", escaped(name, true));
                let member = npz.member_bytes(name)?;
                if holds_objects(&member) {
                    listing.objects(&path, &parse_npy_objects(&member, &Limits::default())?);
                } else {
                    listing.array(&path, npz.get(name)?);
                }
            }
            Ok(listing.finish())
        }
        ("motion", _) => Ok(motion(&Motion::read(input)?)),
        ("coco_keypoints", _) => Ok(coco(&CocoKeypoints::parse(&bytes()?)?)),
        ("openpose", _) => Ok(openpose(&OpenPosePerson::parse_all(&bytes()?)?)),
        (op, format) => Err(Failure::broken(format!("unknown op `{op}` on `{format}`"))),
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
        let shape = shape_text(&array.shape);
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

    fn objects(&mut self, path: &str, pickle: &Pickle) {
        self.node(path, pickle, pickle.top());
    }

    fn node(&mut self, path: &str, pickle: &Pickle, id: NodeId) {
        let parent = path.trim_end_matches('/');
        match pickle.get(id) {
            Node::None => self.line(path, &["none"]),
            Node::Bool(value) => self.line(path, &["bool", if *value { "true" } else { "false" }]),
            Node::Int(value) => self.line(path, &["int", &value.to_string()]),
            Node::Float(value) => {
                let bits = if value.is_nan() { 0x7ff8_0000_0000_0000 } else { value.to_bits() };
                self.line(path, &["float", &format!("{bits:016x}")]);
            }
            Node::Text(text) => self.line(path, &["str", &escaped(text, false)]),
            Node::Bytes(bytes) => {
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                self.line(path, &["bytes", &hex]);
            }
            Node::List(items) => {
                self.line(path, &["list", &items.len().to_string()]);
                self.items(parent, pickle, items);
            }
            Node::Tuple(items) => {
                self.line(path, &["tuple", &items.len().to_string()]);
                self.items(parent, pickle, items);
            }
            Node::Set(items) => self.line(path, &["set", &items.len().to_string()]),
            Node::Objects { shape, items } => {
                self.line(path, &["objs", &shape_text(shape)]);
                self.items(parent, pickle, items);
            }
            Node::Dict(entries) => {
                self.line(path, &["dict", &entries.len().to_string()]);
                for (at, &(key, value)) in entries.iter().enumerate() {
                    let component = match pickle.get(key) {
                        Node::Text(text) => escaped(text, true),
                        Node::Int(number) => format!("#{number}"),
                        _ => format!("?{at}"),
                    };
                    self.node(&format!("{parent}/{component}"), pickle, value);
                }
            }
            Node::Array(array) => self.array(path, array),
            Node::Name(_) | Node::Type { .. } | Node::EmptyArray => self.line(path, &["unfinished"]),
        }
    }

    fn items(&mut self, parent: &str, pickle: &Pickle, items: &[NodeId]) {
        for (at, &item) in items.iter().enumerate() {
            self.node(&format!("{parent}/[{at}]"), pickle, item);
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

fn shape_text(shape: &[usize]) -> String {
    let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
    if sizes.is_empty() { "-".to_owned() } else { sizes.join(",") }
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
