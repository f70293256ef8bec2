//! HRNet-W48 (Sun et al. 2019), the keypoint network of the published systems: finer keypoints than MoveNet's in a box
//! that is already there. Its file cannot ship.
//!
//! photo + box ──[`Input`]──▶ 288x384, normalised ──[`network`]──▶ heatmaps ──[`peaks`]──▶ keypoints in the photo

pub mod network;
pub mod weights;

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use glam::Vec2;

pub use network::{HrnetConfig, Network};
pub use weights::{Weights, WeightsError};

use super::crops::{BoxRegion, crop_bilinear};
use super::planes::Planes;
use super::regions::Bbox;
use super::{COCO_KEYPOINTS, Keypoint, KeypointError, KeypointSource, Person};
use crate::formats::picture::Picture;
use crate::formats::registry;

/// Title of its row in the table of files that cannot ship.
pub const FILE: &str = "HRNet-W48";

/// Width and height of what the network sees.
pub const INPUT_SIZE: [usize; 2] = [288, 384];
/// The person's box is enlarged by this.
const BOX_SCALE: f32 = 1.2;
/// ImageNet's colours, red first.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];

/// A crop of a photo made for the network.
#[derive(Clone, Debug)]
pub struct Input {
    /// The person's box brought to the crop's aspect, not enlarged.
    pub region: BoxRegion,
    /// Colours 0..1, black outside the photo.
    pub picture: Planes,
    /// The same with ImageNet's mean and spread taken out.
    pub normalised: Planes,
    enlarged: BoxRegion,
}

impl Input {
    /// `size` is width and height of the crop, `scale` what the box is enlarged by.
    pub fn new(photo: &Planes, region: BoxRegion, size: [usize; 2], scale: f32) -> Self {
        let region = region.with_aspect(size[1] as f32 / size[0] as f32);
        let enlarged = region.scaled(scale);
        let picture = crop_bilinear(photo, &enlarged, size);
        let mut normalised = picture.clone();
        let area = (size[0] * size[1]).max(1);
        for ((plane, mean), std) in normalised.values.chunks_exact_mut(area).zip(MEAN).zip(STD) {
            plane.iter_mut().for_each(|v| *v = (*v - mean) / std);
        }
        Self { region, picture, normalised, enlarged }
    }

    /// A place in the crop's pixels as one of the photo.
    pub fn to_photo(&self, point: Vec2) -> Vec2 {
        let size = Vec2::new(self.picture.width as f32, self.picture.height as f32);
        let extent = Vec2::new(self.enlarged.width, self.enlarged.height);
        let centre = Vec2::new(self.enlarged.centre[1], self.enlarged.centre[0]);
        (point - size / 2.0) * (extent / size) + centre
    }
}

/// Where each heatmap is largest (the first such cell, row by row), as pixels of a crop of `size` (width, height), and
/// how large it is there; (0, 0) where nothing is positive. Cells are not divided further, as published.
pub fn peaks(heatmaps: &Planes, size: [usize; 2]) -> Vec<(Vec2, f32)> {
    let width = heatmaps.width.max(1);
    let cell = Vec2::new(
        size[0] as f32 / heatmaps.width.max(1) as f32,
        size[1] as f32 / heatmaps.height.max(1) as f32,
    );
    heatmaps
        .planes()
        .map(|map| {
            let first = (0, f32::NEG_INFINITY);
            let (at, largest) =
                map.iter().enumerate().fold(first, |best, (at, &v)| if v > best.1 { (at, v) } else { best });
            let place = if largest > 0.0 {
                cell * Vec2::new((at % width) as f32, (at / width) as f32)
            } else {
                Vec2::ZERO
            };
            (place, largest)
        })
        .collect()
}

/// A box that some detector found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// x0, y0, x1, y1.
    pub bbox: Bbox,
    pub person: bool,
    pub score: f32,
}

/// The person surer than `score` whose box's centre is nearest to the middle of a picture, and the whole picture where
/// there is none.
pub fn centre_most(found: &[Found], score: f32, height: usize, width: usize) -> BoxRegion {
    let middle = Vec2::new(width as f32, height as f32) / 2.0;
    let region = |bbox: Bbox| {
        let [x0, y0, x1, y1] = bbox;
        BoxRegion { centre: [(y0 + y1) / 2.0, (x0 + x1) / 2.0], height: y1 - y0, width: x1 - x0 }
    };
    let distance = |r: &BoxRegion| Vec2::new(r.centre[1], r.centre[0]).distance_squared(middle);
    found
        .iter()
        .filter(|found| found.person && found.score > score)
        .map(|found| region(found.bbox))
        .min_by(|a, b| distance(a).total_cmp(&distance(b)))
        .unwrap_or_else(|| BoxRegion::whole(height, width))
}

/// The network with the authors' weights.
pub struct Hrnet {
    network: Network,
    device: Device,
}

impl Hrnet {
    /// Where the authors' file lies.
    ///
    /// # Errors
    /// What to fetch and where to put it.
    pub fn find() -> Result<PathBuf, KeypointError> {
        Ok(registry::find(FILE)?)
    }

    /// # Errors
    /// Where the file cannot be read or holds another network.
    pub fn load(path: &Path, device: &Device) -> Result<Self, KeypointError> {
        let mut weights = Weights::read(path)?;
        let network = Network::new(&HrnetConfig::default(), &mut weights, device).map_err(|error| {
            KeypointError::OtherWeights { network: FILE, what: error.to_string(), path: path.into() }
        })?;
        let left: Vec<&str> = weights.left_over().collect();
        if let Some(first) = left.first() {
            tracing::warn!("{} tensors have no place in {FILE}, the first is `{first}`", left.len());
        }
        Ok(Self { network, device: device.clone() })
    }

    /// Heatmaps of one normalised crop, a quarter as large.
    ///
    /// # Errors
    /// Sides that are no multiples of 32.
    pub fn heatmaps(&self, input: &Planes) -> Result<Planes, KeypointError> {
        forward(&self.network, input, &self.device)
    }

    /// The keypoints of the person in a box of the photo.
    ///
    /// # Errors
    /// Pictures without area; what the device says.
    pub fn keypoints(&self, photo: &Planes, bbox: Bbox) -> Result<[Keypoint; COCO_KEYPOINTS], KeypointError> {
        let [x0, y0, x1, y1] = bbox;
        let usable = bbox.iter().all(|v| v.is_finite()) && x1 > x0 && y1 > y0;
        let region = if usable {
            BoxRegion { centre: [(y0 + y1) / 2.0, (x0 + x1) / 2.0], height: y1 - y0, width: x1 - x0 }
        } else {
            BoxRegion::whole(photo.height, photo.width)
        };
        let input = Input::new(photo, region, INPUT_SIZE, BOX_SCALE);
        let found = peaks(&self.heatmaps(&input.normalised)?, INPUT_SIZE);
        Ok(std::array::from_fn(|k| {
            let (place, largest) = found.get(k).copied().unwrap_or_default();
            let at = input.to_photo(place);
            Keypoint {
                x: at.x,
                y: at.y,
                score: if largest.is_finite() { largest.clamp(0.0, 1.0) } else { 0.0 },
            }
        }))
    }

    /// People found by another network, with this network's keypoints in their boxes.
    ///
    /// # Errors
    /// As [`Hrnet::keypoints`].
    pub fn look_again(&self, picture: &Picture, people: Vec<Person>) -> Result<Vec<Person>, KeypointError> {
        if people.is_empty() {
            return Ok(people);
        }
        let photo = Planes::of_picture(picture);
        let again = |person: Person| {
            let keypoints = self.keypoints(&photo, person.bbox)?;
            Ok(Person { keypoints, source: KeypointSource::Hrnet, ..person })
        };
        people.into_iter().map(again).collect()
    }
}

/// One crop through a network.
///
/// # Errors
/// Sides that are no multiples of 32, a device that fails.
pub fn forward(network: &Network, input: &Planes, device: &Device) -> Result<Planes, KeypointError> {
    let Planes { count, height, width, values } = input;
    let fits = *count == 3 && [height, width].iter().all(|side| **side > 0 && side.is_multiple_of(32));
    if !fits {
        return Err(KeypointError::Shape(format!(
            "{count} planes of {width} x {height}: HRNet takes three, with sides that are multiples of 32"
        )));
    }
    let x = Tensor::from_data(TensorData::new(values.clone(), [1, *count, *height, *width]), device);
    let values =
        network.forward(x).into_data().convert::<f32>().try_to_vec().map_err(|error| {
            KeypointError::Shape(format!("HRNet's heatmaps cannot be fetched: {error:?}"))
        })?;
    Ok(Planes { count: network.joints, height: height / 4, width: width / 4, values })
}

#[cfg(test)]
mod tests;
