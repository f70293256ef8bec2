//! The way from a photo to people: find (multipose), merge, refine (thunder, guided), merge again, order.
//!
//! Commands and the window call [`Detector::find_people`]; networks are read when they are first needed.

use std::path::PathBuf;
use std::sync::OnceLock;

use glam::Vec2;

use super::blazepose::MaskNetwork;
use super::decode::{self, MapJoint, MapPerson};
use super::feature_map::FeatureMap;
use super::movenet::{MoveNet, STRIDE, THUNDER_SIDE};
use super::regions::{self, Bbox, Candidate, FOLLOWED, PERSON, SQUARE_MARGIN, VISIBLE};
use super::{COCO_KEYPOINTS, Crop, Keypoint, KeypointError, KeypointSource, MIRRORED, Person, PersonMask};
use super::{mask, sampling};
use crate::formats::model_files;
use crate::formats::picture::Picture;
use crate::progress::Cancel;

/// Long sides at which multipose looks: large people are found at the small size, small ones at the large size.
const SEARCH_SIDES: [usize; 2] = [256, 384];
/// Added when small people are looked for.
const SMALL_PEOPLE_SIDE: usize = 512;
/// A joint box that agrees less than this with the square's box asks for a second look.
const SECOND_LOOK: f32 = 0.8;
/// Visible joints that a person found without multipose must have.
const FALLBACK_JOINTS: usize = 6;
/// Joints of the square and its mirror image closer than this (in squares) are averaged.
const MIRROR_AGREEMENT: f32 = 0.05;

/// Spines that lean more than this from upright (radians) ask for a look with the square turned along them.
/// Thunder learned from people who stand: head down it mixes up left and right.
const TURNED_LOOK: f32 = 1.05;

/// How [`Detector::find_people`] looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DetectOptions {
    /// People with a lower score are dropped: 0.15 shows all that are likely, 0.3 only sure ones.
    pub min_score: f32,
    /// Also looks at a larger size, for people below a quarter of the picture; about twice the time.
    pub small_people: bool,
    /// Also looks at the mirrored square of each person: a tenth less error on photos, twice the time a person.
    pub fine: bool,
}

impl Default for DetectOptions {
    fn default() -> Self {
        Self { min_score: PERSON, small_people: false, fine: true }
    }
}

/// MoveNet and the mask network.
pub struct Detector {
    files: [PathBuf; 3],
    multipose: OnceLock<MoveNet>,
    thunder: OnceLock<MoveNet>,
    mask: OnceLock<MaskNetwork>,
}

impl Detector {
    /// Finds the shipped weights (`formats::model_files`); they are read when first needed.
    ///
    /// # Errors
    /// A file is not there.
    pub fn load() -> Result<Self, KeypointError> {
        let find = |name: &str| model_files::find(&format!("keypoints/{name}.safetensors"));
        Ok(Self {
            files: [find("multipose")?, find("thunder")?, find("person_mask")?],
            multipose: OnceLock::new(),
            thunder: OnceLock::new(),
            mask: OnceLock::new(),
        })
    }

    pub fn multipose(&self) -> Result<&MoveNet, KeypointError> {
        lazily(&self.multipose, || MoveNet::load(&self.files[0]))
    }

    pub fn thunder(&self) -> Result<&MoveNet, KeypointError> {
        lazily(&self.thunder, || MoveNet::load(&self.files[1]))
    }

    pub fn mask_network(&self) -> Result<&MaskNetwork, KeypointError> {
        lazily(&self.mask, || MaskNetwork::load(&self.files[2]))
    }

    /// All people of a photo; first the one that is largest and surest (`score * sqrt(box area)`).
    /// Nobody found is an empty list.
    ///
    /// # Errors
    /// Empty pictures, unreadable weights, cancelled.
    pub fn find_people(
        &self,
        picture: &Picture,
        options: &DetectOptions,
        cancel: &Cancel,
    ) -> Result<Vec<Person>, KeypointError> {
        let mut sides = SEARCH_SIDES.to_vec();
        if options.small_people {
            sides.push(SMALL_PEOPLE_SIDE);
        }
        let mut found = Vec::new();
        for side in sides {
            stop_if(cancel)?;
            found.extend(self.search(picture, side)?);
        }
        let mut people = Vec::new();
        for person in merged(found, options.min_score) {
            stop_if(cancel)?;
            people.push(self.refined(picture, person, options.fine)?);
        }
        let mut people = merged(people, options.min_score);
        if people.is_empty() {
            stop_if(cancel)?;
            people.extend(self.whole_picture(picture, options.fine)?);
        }
        let prominence = |person: &Person| person.score * regions::area(person.bbox).sqrt();
        people.sort_by(|a, b| prominence(b).total_cmp(&prominence(a)));
        Ok(people)
    }

    /// The person in a box drawn by hand: x0, y0, x1, y1 in pixels of the photo.
    ///
    /// # Errors
    /// Boxes without a finite positive size, unreadable weights.
    pub fn keypoints_in_box(
        &self,
        picture: &Picture,
        bbox: Bbox,
        fine: bool,
    ) -> Result<Person, KeypointError> {
        if !bbox.iter().all(|v| v.is_finite()) || bbox[2] - bbox[0] < 1.0 || bbox[3] - bbox[1] < 1.0 {
            return Err(KeypointError::Shape(format!(
                "the box {bbox:?} (left, top, right, bottom) has no area: draw it around the person"
            )));
        }
        let crop = regions::square_around(bbox, SQUARE_MARGIN);
        let keypoints = self.look(picture, &crop, None, fine)?;
        let mut person = Person { bbox, keypoints, score: 0.0, source: KeypointSource::MoveNet, mask: None };
        self.look_again_if_cut(picture, &mut person, fine)?;
        self.look_along_spine(picture, &mut person, fine)?;
        person.score = person.mean_score();
        Ok(person)
    }

    /// "This person" or not, for every pixel of the photo.
    ///
    /// # Errors
    /// Empty pictures, unreadable weights.
    pub fn mask(&self, picture: &Picture, person: &Person) -> Result<PersonMask, KeypointError> {
        mask::person_mask(self.mask_network()?, picture, person)
    }

    /// Multipose on the whole picture with its long side brought to `side`.
    fn search(&self, picture: &Picture, side: usize) -> Result<Vec<Person>, KeypointError> {
        let long = picture.width.max(picture.height).max(1) as f32;
        let scaled = |length: usize| ((length as f32 * side as f32 / long).round() as usize).max(1);
        let (rows, columns) = (scaled(picture.height), scaled(picture.width));
        let (height, width) = (rows.next_multiple_of(STRIDE), columns.next_multiple_of(STRIDE));
        let input = sampling::pasted(&sampling::resize(picture, rows, columns, true)?, height, width, 0, 0);
        let people = decode::multi(&self.multipose()?.forward(&input)?)?;
        let down = height as f32 / rows as f32 * picture.height as f32;
        let across = width as f32 / columns as f32 * picture.width as f32;
        Ok(people.iter().map(|person| in_photo(person, down, across)).collect())
    }

    /// Thunder on the square around a person found by multipose.
    fn refined(&self, picture: &Picture, mut person: Person, fine: bool) -> Result<Person, KeypointError> {
        if let Some(joints) = regions::joint_box(&person.keypoints, FOLLOWED) {
            person.bbox = regions::joined(person.bbox, joints);
        }
        let crop = regions::square_around(person.bbox, SQUARE_MARGIN);
        person.keypoints = self.look(picture, &crop, Some(&person.keypoints), fine)?;
        self.look_again_if_cut(picture, &mut person, fine)?;
        self.look_along_spine(picture, &mut person, fine)?;
        Ok(person)
    }

    /// Who does not stand is looked at again with the head up; the surer look stays.
    fn look_along_spine(
        &self,
        picture: &Picture,
        person: &mut Person,
        fine: bool,
    ) -> Result<(), KeypointError> {
        let at = |k: usize| person.keypoints[k].position();
        let spine = at(5) + at(6) - at(11) - at(12);
        let angle = spine.x.atan2(-spine.y);
        let seen = [5, 6, 11, 12].into_iter().all(|k| person.keypoints[k].score >= FOLLOWED);
        if !seen || angle.abs() < TURNED_LOOK {
            return Ok(());
        }
        let crop = Crop { angle, ..regions::square_around(person.bbox, SQUARE_MARGIN) };
        let keypoints = self.look(picture, &crop, Some(&person.keypoints), fine)?;
        let sum = |joints: &[Keypoint; COCO_KEYPOINTS]| joints.iter().map(|joint| joint.score).sum::<f32>();
        if sum(&keypoints) > sum(&person.keypoints) {
            person.keypoints = keypoints;
        }
        Ok(())
    }

    /// Joints far outside the box mean that the square has cut the person: once more with a larger one.
    fn look_again_if_cut(
        &self,
        picture: &Picture,
        person: &mut Person,
        fine: bool,
    ) -> Result<(), KeypointError> {
        let Some(joints) = regions::joint_box(&person.keypoints, FOLLOWED) else { return Ok(()) };
        let joined = regions::joined(person.bbox, joints);
        if regions::overlap(person.bbox, joined) < SECOND_LOOK {
            person.bbox = joined;
            let crop = regions::square_around(joined, SQUARE_MARGIN);
            person.keypoints = self.look(picture, &crop, Some(&person.keypoints), fine)?;
        }
        Ok(())
    }

    /// Thunder on a square; `guide` are rough joints in the photo of whoever is meant.
    pub fn look(
        &self,
        picture: &Picture,
        crop: &Crop,
        guide: Option<&[Keypoint; COCO_KEYPOINTS]>,
        fine: bool,
    ) -> Result<[Keypoint; COCO_KEYPOINTS], KeypointError> {
        let square = sampling::crop_square(picture, crop, THUNDER_SIDE)?;
        let guide = guide.map(|joints| {
            joints.map(|joint| {
                let unit = crop.from_photo(joint.position());
                [unit.y, unit.x]
            })
        });
        let mut joints = self.joints_of(&square, guide.as_ref())?;
        if fine {
            let flipped = guide.map(|guide| MIRRORED.map(|k| [guide[k][0], 1.0 - guide[k][1]]));
            let other = self.joints_of(&square.mirrored(), flipped.as_ref())?;
            for (k, joint) in joints.iter_mut().enumerate() {
                let twin = other[MIRRORED[k]];
                *joint = of_both(*joint, MapJoint { x: 1.0 - twin.x, ..twin });
            }
        }
        Ok(joints.map(|joint| {
            let at = crop.to_photo(Vec2::new(joint.x, joint.y));
            Keypoint { x: at.x, y: at.y, score: joint.score }
        }))
    }

    fn joints_of(
        &self,
        square: &FeatureMap,
        guide: Option<&[[f32; 2]; COCO_KEYPOINTS]>,
    ) -> Result<[MapJoint; COCO_KEYPOINTS], KeypointError> {
        let maps = self.thunder()?.forward(square)?;
        guide.map_or_else(|| decode::single(&maps), |guide| decode::guided(&maps, guide))
    }

    /// For pictures where multipose sees nobody: thunder on everything, then twice on what it found.
    fn whole_picture(&self, picture: &Picture, fine: bool) -> Result<Option<Person>, KeypointError> {
        let whole = regions::whole_square(picture.height, picture.width);
        let mut keypoints = self.look(picture, &whole, None, false)?;
        for round in 0..2 {
            let square = regions::next_square(&keypoints, picture.height, picture.width);
            keypoints = self.look(picture, &square, None, fine && round == 1)?;
        }
        let Some(bbox) = regions::joint_box(&keypoints, FOLLOWED) else { return Ok(None) };
        let mut person = Person { bbox, keypoints, score: 0.0, source: KeypointSource::MoveNet, mask: None };
        person.score = person.mean_score();
        let seen = keypoints.iter().filter(|joint| joint.score > VISIBLE).count();
        Ok((seen >= FALLBACK_JOINTS).then_some(person))
    }
}

fn lazily<T>(
    cell: &OnceLock<T>,
    load: impl FnOnce() -> Result<T, KeypointError>,
) -> Result<&T, KeypointError> {
    if let Some(network) = cell.get() {
        return Ok(network);
    }
    let network = load()?;
    Ok(cell.get_or_init(|| network))
}

fn stop_if(cancel: &Cancel) -> Result<(), KeypointError> {
    if cancel.is_cancelled() { Err(KeypointError::Cancelled) } else { Ok(()) }
}

fn merged(people: Vec<Person>, min_score: f32) -> Vec<Person> {
    let candidates: Vec<Candidate> = people
        .iter()
        .map(|person| Candidate {
            joints: person.keypoints.map(Keypoint::position),
            bbox: person.bbox,
            score: person.score,
        })
        .collect();
    let mut people: Vec<Option<Person>> = people.into_iter().map(Some).collect();
    regions::merge_people(&candidates, min_score)
        .into_iter()
        .filter_map(|index| people[index].take())
        .collect()
}

/// `down` and `across`: the photo's pixels that the padded picture's height and width stand for.
fn in_photo(person: &MapPerson, down: f32, across: f32) -> Person {
    let [ymin, xmin, ymax, xmax] = person.bbox;
    Person {
        bbox: [xmin * across, ymin * down, xmax * across, ymax * down],
        keypoints: person.joints.map(|joint| Keypoint {
            x: joint.x * across,
            y: joint.y * down,
            score: joint.score,
        }),
        score: person.score,
        source: KeypointSource::MoveNet,
        mask: None,
    }
}

/// One joint seen in the square and in its mirror image.
fn of_both(a: MapJoint, b: MapJoint) -> MapJoint {
    let (first, second) = (Vec2::new(a.x, a.y), Vec2::new(b.x, b.y));
    if first.distance(second) < MIRROR_AGREEMENT {
        let sum = (a.score + b.score).max(f32::MIN_POSITIVE);
        let at = (first * a.score + second * b.score) / sum;
        return MapJoint { y: at.y, x: at.x, score: (a.score + b.score) / 2.0 };
    }
    let surer = if a.score >= b.score { a } else { b };
    MapJoint { score: surer.score / 2.0, ..surer }
}
