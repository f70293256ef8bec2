//! 2D keypoints as JSON: COCO's layout in and out, OpenPose's layout in.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::error::{FormatError, read_bytes};
use super::json::parse_json;

/// Keypoints of one person in COCO's layout.
#[derive(Clone, Debug, PartialEq)]
pub struct CocoPerson {
    pub image_id: i64,
    /// x, y in pixels and v: 0 absent, 1 hidden, 2 visible in annotations; a score in results.
    pub keypoints: [[f64; 3]; 17],
    /// x, y, width, height; zeros where the file has none.
    pub bbox: [f64; 4],
    /// Of the whole person.
    pub score: Option<f64>,
    /// Confidences beside the flags of `keypoints`; this program writes them.
    pub keypoint_scores: Option<[f64; 17]>,
}

/// A file in COCO's layout.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CocoKeypoints {
    pub people: Vec<CocoPerson>,
    /// File names by image id.
    pub images: BTreeMap<i64, String>,
    /// A bare list of results: the third number of a keypoint is a score.
    pub results: bool,
}

/// Keypoints of one person in OpenPose's layout: x, y, confidence; zeros for what is absent.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenPosePerson {
    pub body: [[f64; 3]; 25],
    pub left_hand: [[f64; 3]; 21],
    pub right_hand: [[f64; 3]; 21],
    pub face: [[f64; 3]; 70],
}

/// Either layout, told apart by its keys.
#[derive(Clone, Debug, PartialEq)]
pub enum KeypointFile {
    Coco(CocoKeypoints),
    OpenPose(Vec<OpenPosePerson>),
}

/// OpenPose's 25 body keypoints that are COCO's 17, in COCO's order.
pub const OPENPOSE_TO_COCO: [usize; 17] = [0, 16, 15, 18, 17, 5, 2, 6, 3, 7, 4, 12, 9, 13, 10, 14, 11];

impl KeypointFile {
    /// # Errors
    /// `Malformed` (no JSON), `Missing` (neither layout), `Shape` (wrong counts), `Value` (no number).
    pub fn read(path: &Path) -> Result<Self, FormatError> {
        read_bytes(path).and_then(|bytes| Self::parse(&bytes)).map_err(|error| error.at(path))
    }

    /// # Errors
    /// As [`KeypointFile::read`].
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        let value = parse_json(bytes)?;
        if value.get("people").is_some() {
            OpenPosePerson::all(&value).map(Self::OpenPose)
        } else {
            CocoKeypoints::from_json(&value).map(Self::Coco)
        }
    }
}

impl CocoKeypoints {
    /// # Errors
    /// As [`KeypointFile::read`].
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        Self::from_json(&parse_json(bytes)?)
    }

    fn from_json(value: &Value) -> Result<Self, FormatError> {
        let (list, results) = match value {
            Value::Array(list) => (list, true),
            _ => match value.get("annotations") {
                Some(Value::Array(list)) => (list, false),
                Some(_) => return Err(FormatError::value("`annotations` is no list")),
                None => {
                    return Err(FormatError::missing("no `annotations` (COCO) and no `people` (OpenPose)"));
                }
            },
        };
        let mut images = BTreeMap::new();
        for image in value.get("images").and_then(Value::as_array).into_iter().flatten() {
            if let (Some(id), Some(name)) =
                (image.get("id").and_then(Value::as_i64), image.get("file_name").and_then(Value::as_str))
            {
                images.insert(id, name.to_owned());
            }
        }
        let people = list
            .iter()
            .enumerate()
            .map(|(at, entry)| {
                CocoPerson::from_json(entry).map_err(|error| error.within(&format!("annotation {at}")))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { people, images, results })
    }

    /// The document that COCO's own tools read; `sizes` are the pictures' widths and heights by image id.
    pub fn to_json(
        &self,
        sizes: &BTreeMap<i64, [usize; 2]>,
        keypoint_names: &[&str],
        skeleton: &[[usize; 2]],
    ) -> Value {
        let images: Vec<Value> = self
            .images
            .iter()
            .map(|(id, name)| match sizes.get(id) {
                Some([width, height]) => {
                    json!({"id": id, "file_name": name, "width": width, "height": height})
                }
                None => json!({"id": id, "file_name": name}),
            })
            .collect();
        let annotations: Vec<Value> = self
            .people
            .iter()
            .enumerate()
            .map(|(at, person)| {
                let flat: Vec<f64> = person.keypoints.iter().flatten().map(|&value| rounded(value)).collect();
                let mut entry = json!({
                    "id": at + 1,
                    "image_id": person.image_id,
                    "category_id": 1,
                    "keypoints": flat,
                    "num_keypoints": person.keypoints.iter().filter(|keypoint| keypoint[2] > 0.0).count(),
                    "bbox": person.bbox.map(rounded),
                    "area": rounded(person.bbox[2] * person.bbox[3]),
                    "iscrowd": 0,
                });
                if let Some(score) = person.score {
                    entry["score"] = json!(rounded(score));
                }
                if let Some(scores) = person.keypoint_scores {
                    entry["keypoint_scores"] = json!(scores.map(rounded));
                }
                entry
            })
            .collect();
        // COCO counts keypoints from one in its skeletons.
        let skeleton: Vec<[usize; 2]> = skeleton.iter().map(|edge| edge.map(|end| end + 1)).collect();
        json!({
            "images": images,
            "annotations": annotations,
            "categories": [{"id": 1, "name": "person", "supercategory": "person",
                            "keypoints": keypoint_names, "skeleton": skeleton}],
        })
    }
}

impl CocoPerson {
    fn from_json(entry: &Value) -> Result<Self, FormatError> {
        let keypoints = entry.get("keypoints").ok_or_else(|| FormatError::missing("no `keypoints`"))?;
        let flat: [f64; 51] = numbers(keypoints, "keypoints")?;
        let bbox = match entry.get("bbox") {
            Some(bbox) => numbers::<4>(bbox, "bbox")?,
            None => [0.0; 4],
        };
        let image_id = match entry.get("image_id") {
            Some(id) => id.as_i64().ok_or_else(|| FormatError::value("`image_id` is no whole number"))?,
            None => 0,
        };
        let score = match entry.get("score") {
            Some(score) => Some(score.as_f64().ok_or_else(|| FormatError::value("`score` is no number"))?),
            None => None,
        };
        let keypoint_scores =
            entry.get("keypoint_scores").map(|scores| numbers(scores, "keypoint_scores")).transpose()?;
        Ok(Self { image_id, keypoints: triples(&flat), bbox, score, keypoint_scores })
    }
}

impl OpenPosePerson {
    /// Every person of a document.
    ///
    /// # Errors
    /// As [`KeypointFile::read`].
    pub fn parse_all(bytes: &[u8]) -> Result<Vec<Self>, FormatError> {
        Self::all(&parse_json(bytes)?)
    }

    fn all(value: &Value) -> Result<Vec<Self>, FormatError> {
        match value.get("people") {
            Some(Value::Array(people)) => people
                .iter()
                .enumerate()
                .map(|(at, person)| {
                    Self::from_json(person).map_err(|error| error.within(&format!("person {at}")))
                })
                .collect(),
            Some(_) => Err(FormatError::value("`people` is no list")),
            None => Err(FormatError::missing("no `people`")),
        }
    }

    fn from_json(person: &Value) -> Result<Self, FormatError> {
        fn part<const N: usize>(person: &Value, name: &str) -> Result<[[f64; 3]; N], FormatError> {
            let modern = format!("{name}_2d");
            let list = person.get(&modern).or_else(|| person.get(name));
            match list {
                None => Ok([[0.0; 3]; N]),
                Some(Value::Array(list)) if list.is_empty() => Ok([[0.0; 3]; N]),
                Some(list) => {
                    let values = number_list(list, name)?;
                    if values.len() != N * 3 {
                        return Err(FormatError::shape(format!(
                            "`{name}` has {} numbers, {} are expected",
                            values.len(),
                            N * 3
                        )));
                    }
                    Ok(triples(&values))
                }
            }
        }
        Ok(Self {
            body: part(person, "pose_keypoints")?,
            left_hand: part(person, "hand_left_keypoints")?,
            right_hand: part(person, "hand_right_keypoints")?,
            face: part(person, "face_keypoints")?,
        })
    }

    /// COCO's 17 with their confidences.
    pub fn coco17(&self) -> [[f64; 3]; 17] {
        OPENPOSE_TO_COCO.map(|index| self.body[index])
    }
}

fn number_list(value: &Value, name: &str) -> Result<Vec<f64>, FormatError> {
    let list = value.as_array().ok_or_else(|| FormatError::value(format!("`{name}` is no list")))?;
    list.iter()
        .map(|number| {
            number
                .as_f64()
                .filter(|number| number.is_finite())
                .ok_or_else(|| FormatError::value(format!("{number} among the numbers of `{name}`")))
        })
        .collect()
}

fn numbers<const N: usize>(value: &Value, name: &str) -> Result<[f64; N], FormatError> {
    let list = number_list(value, name)?;
    let count = list.len();
    list.try_into().map_err(|_| FormatError::shape(format!("`{name}` has {count} numbers, {N} are expected")))
}

fn triples<const N: usize>(flat: &[f64]) -> [[f64; 3]; N] {
    let (chunks, _) = flat.as_chunks::<3>();
    std::array::from_fn(|at| chunks.get(at).copied().unwrap_or_default())
}

/// To a thousandth: of a pixel, or of a score.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person() -> CocoPerson {
        CocoPerson {
            image_id: 1,
            keypoints: std::array::from_fn(|at| [at as f64 * 10.5, 100.0 + at as f64, (at % 3) as f64]),
            bbox: [1.0, 2.0, 30.0, 40.0],
            score: Some(0.75),
            keypoint_scores: Some([0.5; 17]),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let file = CocoKeypoints {
            people: vec![person()],
            images: BTreeMap::from([(1, "a.jpg".to_owned())]),
            results: false,
        };
        let json = file.to_json(&BTreeMap::from([(1, [640, 480])]), &["nose"], &[[0, 1]]);
        assert_eq!(CocoKeypoints::parse(json.to_string().as_bytes()).unwrap(), file);
        assert_eq!(json["categories"][0]["skeleton"][0], json!([1, 2]));
    }

    #[test]
    fn wrong_counts_and_numbers_are_named() {
        let text = |list: &str| format!(r#"{{"annotations": [{{"image_id": 1, "keypoints": {list}}}]}}"#);
        let word = |text: String| KeypointFile::parse(text.as_bytes()).unwrap_err().word();
        assert_eq!(word(text("[1, 2, 3]")), "shape");
        assert_eq!(word(text(&format!("[{}]", ["null"; 51].join(",")))), "value");
        assert_eq!(word(text(&format!("[{}]", ["NaN"; 51].join(",")))), "malformed");
        assert_eq!(word("{}".to_owned()), "missing");
    }
}
