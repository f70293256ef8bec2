//! Mask of one person: the square around the hips through the mask network, pasted back on the photo.

use rayon::prelude::*;

use super::blazepose::{MASK_SIDE, MaskNetwork};
use super::feature_map::FeatureMap;
use super::regions::{self, FOLLOWED};
use super::{COCO_KEYPOINTS, Crop, KeypointError, Person, PersonMask, sampling};
use crate::formats::picture::Picture;

/// Side of the square in largest distances of a joint from the hips; measured on labelled masks.
const HIP_MARGIN: f32 = 2.75;
/// Side of the square in longer sides of the box, where the hips are not seen.
const BOX_MARGIN: f32 = 1.75;
/// Values above half of the range are "person".
const INSIDE: u8 = 127;
/// Holes below this share of the person's area are filled.
const HOLE_SHARE: f32 = 0.01;

/// The square that the mask network looks at.
pub fn mask_square(person: &Person) -> Crop {
    let joints = &person.keypoints;
    if joints[11].score >= FOLLOWED && joints[12].score >= FOLLOWED {
        let center = (joints[11].position() + joints[12].position()) / 2.0;
        let reach = joints
            .iter()
            .filter(|joint| joint.score >= FOLLOWED)
            .map(|joint| joint.position().distance(center))
            .fold(1.0, f32::max);
        return Crop { center, side: HIP_MARGIN * reach, angle: 0.0 };
    }
    regions::square_around(person.bbox, BOX_MARGIN)
}

pub(super) fn person_mask(
    network: &MaskNetwork,
    picture: &Picture,
    person: &Person,
) -> Result<PersonMask, KeypointError> {
    let crop = mask_square(person);
    let inside = network.forward(&sampling::crop_square(picture, &crop, MASK_SIDE)?)?;
    Ok(paste(&inside, &crop, picture.width, picture.height))
}

/// The crop's values on the photo's pixels, bilinear; 0 outside the crop.
fn paste(inside: &FeatureMap, crop: &Crop, width: usize, height: usize) -> PersonMask {
    let mut values = vec![0_u8; width * height];
    let scale = inside.width as f32 / crop.side;
    let corner = crop.center - crop.side / 2.0;
    let last = inside.width as f32 - 1.0;
    let mapped = |pixel: usize, start: f32| (pixel as f32 + 0.5 - start) * scale - 0.5;
    values.par_chunks_mut(width.max(1)).enumerate().for_each(|(y, line)| {
        let row = mapped(y, corner.y);
        if !(-0.5..=last + 0.5).contains(&row) {
            return;
        }
        let row = row.clamp(0.0, last);
        let (top, down) = (row as usize, row.fract());
        let bottom = (top + 1).min(inside.height - 1);
        for (x, value) in line.iter_mut().enumerate() {
            let column = mapped(x, corner.x);
            if !(-0.5..=last + 0.5).contains(&column) {
                continue;
            }
            let column = column.clamp(0.0, last);
            let (left, across) = (column as usize, column.fract());
            let right = (left + 1).min(inside.width - 1);
            let mix =
                |row: usize| inside.at(row, left, 0) * (1.0 - across) + inside.at(row, right, 0) * across;
            *value = ((mix(top) * (1.0 - down) + mix(bottom) * down) * 255.0).round() as u8;
        }
    });
    PersonMask { width, height, values }
}

impl PersonMask {
    /// Whether the pixel is more likely this person than not.
    pub fn contains(&self, x: usize, y: usize) -> bool {
        x < self.width && y < self.height && self.values[y * self.width + x] > INSIDE
    }

    /// x0, y0, x1, y1 around all pixels of the person.
    pub fn bounds(&self) -> Option<[f32; 4]> {
        let mut bounds: Option<[f32; 4]> = None;
        for (index, value) in self.values.iter().enumerate() {
            if *value > INSIDE {
                let (x, y) = ((index % self.width) as f32, (index / self.width) as f32);
                let pixel = [x, y, x + 1.0, y + 1.0];
                bounds = Some(bounds.map_or(pixel, |b| regions::joined(b, pixel)));
            }
        }
        bounds
    }

    /// Black and white: only what hangs together with the trunk (shoulders and hips), small holes filled.
    /// Without a trunk joint on the mask everything above one half stays.
    pub fn trunk_part(&self, person: &Person) -> PersonMask {
        let joints = &person.keypoints[..COCO_KEYPOINTS];
        let seeds: Vec<usize> = [5, 6, 11, 12]
            .into_iter()
            .map(|k| joints[k].position())
            .filter(|at| at.x >= 0.0 && at.y >= 0.0 && self.contains(at.x as usize, at.y as usize))
            .map(|at| at.y as usize * self.width + at.x as usize)
            .collect();
        let mut part: Vec<bool> = self.values.iter().map(|v| *v > INSIDE).collect();
        if !seeds.is_empty() {
            let mut kept = vec![false; part.len()];
            for seed in seeds {
                self.flood(seed, &mut kept, |index| part[index]);
            }
            part = kept;
        }
        let area = part.iter().filter(|inside| **inside).count();
        let mut seen = part.clone();
        for start in 0..part.len() {
            if seen[start] {
                continue;
            }
            let hole = self.flood(start, &mut seen, |index| !part[index]);
            let at_border = hole.iter().any(|index| {
                let (x, y) = (index % self.width, index / self.width);
                x == 0 || y == 0 || x + 1 == self.width || y + 1 == self.height
            });
            if !at_border && (hole.len() as f32) < HOLE_SHARE * area as f32 {
                hole.iter().for_each(|index| part[*index] = true);
            }
        }
        let values = part.iter().map(|inside| u8::from(*inside) * 255).collect();
        PersonMask { width: self.width, height: self.height, values }
    }

    /// Marks all unmarked pixels that hang together with `start` (over their sides) and fulfil `wanted`.
    fn flood(&self, start: usize, marked: &mut [bool], wanted: impl Fn(usize) -> bool) -> Vec<usize> {
        if marked[start] || !wanted(start) {
            return Vec::new();
        }
        marked[start] = true;
        let mut pixels = vec![start];
        let mut next = 0;
        while next < pixels.len() {
            let index = pixels[next];
            next += 1;
            let (x, y) = (index % self.width, index / self.width);
            let neighbours = [
                (x > 0).then(|| index - 1),
                (x + 1 < self.width).then_some(index + 1),
                (y > 0).then(|| index - self.width),
                (y + 1 < self.height).then_some(index + self.width),
            ];
            for neighbour in neighbours.into_iter().flatten() {
                if !marked[neighbour] && wanted(neighbour) {
                    marked[neighbour] = true;
                    pixels.push(neighbour);
                }
            }
        }
        pixels
    }
}

#[cfg(test)]
mod tests {
    use glam::Vec2;

    use super::*;
    use crate::keypoints::{Keypoint, KeypointSource};

    fn person(at: Vec2, score: f32) -> Person {
        let keypoints = [Keypoint { x: at.x, y: at.y, score }; COCO_KEYPOINTS];
        Person { bbox: [10.0, 10.0, 50.0, 90.0], keypoints, score, source: KeypointSource::Hand, mask: None }
    }

    #[test]
    fn without_hips_the_box_decides() {
        let crop = mask_square(&person(Vec2::new(30.0, 50.0), 0.1));
        assert_eq!((crop.center, crop.side), (Vec2::new(30.0, 50.0), 140.0));
    }

    #[test]
    fn pasting_keeps_positions() {
        let mut inside = FeatureMap::zeros(8, 8, 1);
        inside.values[3 * 8 + 5] = 1.0;
        let crop = Crop { center: Vec2::new(20.0, 30.0), side: 16.0, angle: 0.0 };
        let mask = paste(&inside, &crop, 40, 60);
        // Cell (3, 5) covers the pixels 22..24 x 28..30 of the photo.
        assert_eq!(mask.bounds(), Some([22.0, 28.0, 24.0, 30.0]));
        assert_eq!(mask.values[0], 0);
    }

    #[test]
    fn only_the_trunk_part_stays_and_small_holes_close() {
        let (width, height) = (40, 40);
        let mut values = vec![0; width * height];
        for y in 5..35 {
            for x in 5..30 {
                values[y * width + x] = 255;
            }
            values[y * width + 35] = 255;
        }
        values[20 * width + 20] = 0;
        let mask = PersonMask { width, height, values };
        let part = mask.trunk_part(&person(Vec2::new(10.0, 10.0), 1.0));
        assert!(part.contains(20, 20) && part.contains(6, 6));
        assert!(!part.contains(35, 10) && !part.contains(2, 2));
    }
}
