//! Who is in a photo: the detector's people, or those of a keypoint file.

use std::path::Path;

use super::config::PredictConfig;
use crate::formats::Picture;
use crate::formats::keypoint_json::{CocoPerson, KeypointFile};
use crate::keypoints::{COCO_KEYPOINTS, DetectOptions, Finder, Keypoint, KeypointSource, Person};
use crate::progress::Cancel;

/// Confidence of a labelled keypoint whose flag says that it is hidden.
const HIDDEN: f32 = 0.5;

/// The detector's people, the most prominent first.
///
/// # Errors
/// Where the networks' weights cannot be used or `cancel` was raised.
pub fn detected(
    finder: &Finder,
    picture: &Picture,
    config: &PredictConfig,
    cancel: &Cancel,
) -> anyhow::Result<Vec<Person>> {
    let (width, height) = (picture.width as f32, picture.height as f32);
    if picture.width.min(picture.height) < 2 {
        return Ok(Vec::new());
    }
    if config.cropped {
        let person = finder.keypoints_in_box(picture, [0.0, 0.0, width, height], true)?;
        let seen = person.keypoints.iter().any(|keypoint| keypoint.score > 0.0);
        return Ok(if seen { vec![person] } else { Vec::new() });
    }
    Ok(finder.find_people(picture, &DetectOptions::default(), cancel)?)
}

/// The people that a keypoint file has for this photo: by file name where the file names its pictures,
/// else all of them. The largest first.
pub fn from_file(file: &KeypointFile, photo: &Path, picture: &Picture) -> Vec<Person> {
    let name = photo.file_name().unwrap_or_default().to_string_lossy();
    let mut people: Vec<Person> = match file {
        KeypointFile::Coco(coco) => coco
            .people
            .iter()
            .filter(|person| {
                coco.images.get(&person.image_id).is_none_or(|image| {
                    Path::new(image).file_name().is_some_and(|image| image.to_string_lossy() == name)
                })
            })
            .map(|person| of_coco(person, coco.results))
            .collect(),
        KeypointFile::OpenPose(people) => people
            .iter()
            .map(|person| {
                let keypoints = person.coco17().map(|[x, y, score]| keypoint(x, y, score as f32));
                person_of(keypoints, None, None)
            })
            .collect(),
    };
    people.retain(|person| person.keypoints.iter().any(|keypoint| keypoint.score > 0.0));
    for person in &mut people {
        // A box far outside is of no use for drawing.
        let (width, height) = (picture.width as f32, picture.height as f32);
        let [x0, y0, x1, y1] = person.bbox;
        person.bbox =
            [x0.clamp(0.0, width), y0.clamp(0.0, height), x1.clamp(0.0, width), y1.clamp(0.0, height)];
    }
    let area = |person: &Person| (person.bbox[2] - person.bbox[0]) * (person.bbox[3] - person.bbox[1]);
    people.sort_by(|a, b| area(b).total_cmp(&area(a)));
    people
}

fn of_coco(person: &CocoPerson, results: bool) -> Person {
    let mut keypoints = [Keypoint { x: 0.0, y: 0.0, score: 0.0 }; COCO_KEYPOINTS];
    for (at, ([x, y, v], to)) in person.keypoints.iter().zip(&mut keypoints).enumerate() {
        let score = match (&person.keypoint_scores, results) {
            (Some(scores), _) => scores[at] as f32,
            (None, true) => *v as f32,
            (None, false) if *v <= 0.0 => 0.0,
            (None, false) if *v < 2.0 => HIDDEN,
            (None, false) => 1.0,
        };
        *to = keypoint(*x, *y, score);
    }
    let [x, y, width, height] = person.bbox.map(|value| value as f32);
    let bbox = (width > 0.0 && height > 0.0).then_some([x, y, x + width, y + height]);
    person_of(keypoints, bbox, person.score.map(|score| score as f32))
}

fn keypoint(x: f64, y: f64, score: f32) -> Keypoint {
    let score = if score.is_finite() { score.clamp(0.0, 1.0) } else { 0.0 };
    Keypoint { x: x as f32, y: y as f32, score }
}

fn person_of(keypoints: [Keypoint; COCO_KEYPOINTS], bbox: Option<[f32; 4]>, score: Option<f32>) -> Person {
    let mut person =
        Person { bbox: [0.0; 4], keypoints, score: 0.0, source: KeypointSource::File, mask: None };
    // Ten per cent around the keypoints: they lie inside the body.
    person.bbox = bbox.or_else(|| person.joint_box(f32::MIN_POSITIVE).map(grown)).unwrap_or_default();
    person.score = score.map_or_else(|| person.mean_score(), |score| score.clamp(0.0, 1.0));
    person
}

fn grown([x0, y0, x1, y1]: [f32; 4]) -> [f32; 4] {
    let margin = 0.1 * (x1 - x0).max(y1 - y0);
    [x0 - margin, y0 - margin, x1 + margin, y1 + margin]
}

/// One line where the keypoints deserve a warning.
pub fn doubt(person: &Person) -> Option<String> {
    let reliability = person.reliability();
    let who = match person.source {
        KeypointSource::MoveNet | KeypointSource::Hrnet => "the detector is unsure of this person",
        _ => "the keypoints given are few or unsure",
    };
    reliability.is_low().then(|| {
        format!(
            "{who} ({} of 17 keypoints seen, mean confidence {:.2}): check the figure, place keypoints by hand in \
             the window, or give them with --keypoints FILE",
            reliability.visible, reliability.mean_score
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> KeypointFile {
        KeypointFile::parse(text.as_bytes()).unwrap()
    }

    fn flat(v: f64) -> String {
        let numbers: Vec<String> = (0..17)
            .flat_map(|at| [at as f64 * 3.0 + 1.0, 50.0 - at as f64, v])
            .map(|x| x.to_string())
            .collect();
        numbers.join(",")
    }

    #[test]
    fn people_are_chosen_by_the_photo_s_name_and_flags_become_confidences() {
        let text = format!(
            r#"{{"images": [{{"id": 1, "file_name": "dir/a.jpg"}}, {{"id": 2, "file_name": "b.jpg"}}],
                "annotations": [{{"image_id": 1, "keypoints": [{}]}}, {{"image_id": 2, "keypoints": [{}]}}]}}"#,
            flat(2.0),
            flat(1.0)
        );
        let picture = Picture::filled(100, 100, [0; 3]);
        let people = from_file(&file(&text), Path::new("/x/b.jpg"), &picture);
        assert_eq!(people.len(), 1);
        assert_eq!(people[0].keypoints[3].score, HIDDEN);
        assert!(people[0].bbox[2] > people[0].bbox[0]);
        assert!(from_file(&file(&text), Path::new("c.jpg"), &picture).is_empty());
        // A bare list of results has scores and no names.
        let results = format!(r#"[{{"image_id": 5, "keypoints": [{}]}}]"#, flat(0.7));
        let people = from_file(&file(&results), Path::new("c.jpg"), &picture);
        assert_eq!(people[0].keypoints[0].score, 0.7);
    }

    #[test]
    fn few_sure_keypoints_are_doubtful() {
        let picture = Picture::filled(100, 100, [0; 3]);
        let results = |score: f64| format!(r#"[{{"image_id": 5, "keypoints": [{}]}}]"#, flat(score));
        let person = |score: f64| from_file(&file(&results(score)), Path::new("c.jpg"), &picture).remove(0);
        assert!(doubt(&person(0.9)).is_none());
        assert!(doubt(&person(0.1)).unwrap().contains("0 of 17"));
    }
}
