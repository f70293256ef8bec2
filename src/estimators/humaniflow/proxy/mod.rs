//! What the network sees instead of a photo: an edge map and 17 keypoint heatmaps of a square about the person.
//!
//! photo + person ──[`crops`]──▶ 256x256 ──[`edges`], [`heatmaps`]──▶ `[18, 256, 256]` ──▶ encoder

pub mod edges;
pub mod heatmaps;

use glam::Vec2;

use crate::formats::picture::Picture;
pub use crate::keypoints::crops;
pub use crate::keypoints::planes::Planes;
use crate::keypoints::{COCO_KEYPOINTS, Crop, Person};
use crops::{BoxRegion, crop_bilinear, move_points};
use edges::{EdgeOptions, edge_map};
use heatmaps::heatmap;

/// What is at the left and right of the person's upright box in the square crop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sides {
    /// Black, as in the original's prediction: the square is cut from a 3:4 crop, so an eighth on each side
    /// is empty and shows as an edge.
    #[default]
    Black,
    /// The photo, as in its training.
    Photo,
}

/// How the proxy is made; the defaults are the original's for prediction.
#[derive(Clone, Debug)]
pub struct ProxyOptions {
    /// Side of the square in pixels.
    pub size: usize,
    /// The person's box is enlarged by this.
    pub box_scale: f32,
    pub sides: Sides,
    pub edges: EdgeOptions,
    /// Standard deviation of a heatmap's bump, pixels.
    pub heatmap_std: f32,
    /// Keypoints of hips, arms and legs (COCO 7..16) up to this score are left out; those of head and shoulders
    /// only where their score is 0 (switched off by hand).
    pub min_score: f32,
}

impl Default for ProxyOptions {
    fn default() -> Self {
        Self {
            size: 256,
            box_scale: 1.2,
            sides: Sides::default(),
            edges: EdgeOptions::default(),
            heatmap_std: 4.0,
            min_score: 0.75,
        }
    }
}

/// The proxy representation of one person.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// The edge map, then one heatmap a keypoint: `[18, size, size]`.
    pub planes: Planes,
    /// The square in colour.
    pub picture: Planes,
    /// Where the square lies in the photo.
    pub crop: Crop,
    /// Pixels of the square (pixel centres at whole numbers).
    pub keypoints: [Vec2; COCO_KEYPOINTS],
    pub visible: [bool; COCO_KEYPOINTS],
}

impl Proxy {
    /// From a photo and the person's box and keypoints. A box without area is replaced by the whole photo.
    pub fn new(photo: &Picture, person: &Person, options: &ProxyOptions) -> Self {
        let [x0, y0, x1, y1] = person.bbox;
        let usable = person.bbox.iter().all(|v| v.is_finite()) && x1 > x0 && y1 > y0;
        let region = if usable {
            BoxRegion { centre: [(y0 + y1) / 2.0, (x0 + x1) / 2.0], height: y1 - y0, width: x1 - x0 }
        } else {
            BoxRegion::whole(photo.height, photo.width)
        };
        let upright = region.with_aspect(4.0 / 3.0).scaled(options.box_scale);
        let square = BoxRegion { width: upright.height, ..upright };
        let size = [options.size, options.size];
        let photo = Planes::of_picture(photo);
        let picture = match options.sides {
            Sides::Photo => crop_bilinear(&photo, &square, size),
            Sides::Black => {
                let first = crop_bilinear(&photo, &upright, [288, 384]);
                let inner = BoxRegion { centre: [192.0, 144.0], height: 384.0, width: 384.0 };
                crop_bilinear(&first, &inner, size)
            }
        };
        let found = person.keypoints.map(|point| point.position());
        let keypoints = move_points(&found, &square, size);
        let visible = std::array::from_fn(|k| {
            let score = person.keypoints[k].score;
            keypoints[k].is_finite() && if k < 7 { score > 0.0 } else { score > options.min_score }
        });
        let mut planes = Planes::zeros(1 + COCO_KEYPOINTS, options.size, options.size);
        let area = options.size * options.size;
        planes.values[..area].copy_from_slice(&edge_map(&picture, &options.edges));
        for (k, out) in planes.values[area..].chunks_exact_mut(area.max(1)).enumerate() {
            if visible[k] {
                heatmap(keypoints[k], options.heatmap_std, options.size, out);
            }
        }
        let crop =
            Crop { center: Vec2::new(square.centre[1], square.centre[0]), side: square.height, angle: 0.0 };
        Self { planes, picture, crop, keypoints, visible }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keypoints::{Keypoint, KeypointSource, hrnet};

    #[test]
    fn keypoints_land_where_their_pixels_do() {
        // A white dot in a black photo, the keypoint on it.
        let (width, height) = (200, 150);
        let mut rgb = vec![0u8; width * height * 3];
        for y in 68..73 {
            for x in 88..93 {
                rgb[(y * width + x) * 3..][..3].fill(255);
            }
        }
        let photo = Picture::new(width, height, rgb);
        let point = Keypoint { x: 90.5, y: 70.5, score: 1.0 };
        let mut keypoints = [point; COCO_KEYPOINTS];
        keypoints[3].score = 0.0;
        keypoints[9].score = 0.5;
        let bbox = [60.0, 30.0, 120.0, 130.0];
        let person = Person { bbox, keypoints, score: 1.0, source: KeypointSource::Hand, mask: None };
        for sides in [Sides::Black, Sides::Photo] {
            let proxy = Proxy::new(&photo, &person, &ProxyOptions { sides, ..ProxyOptions::default() });
            assert_eq!(proxy.planes.values.len(), 18 * 256 * 256);
            let (mut weight, mut sum) = (0.0, Vec2::ZERO);
            for (i, v) in proxy.picture.plane(0).iter().enumerate() {
                weight += v;
                sum += *v * (Vec2::new((i % 256) as f32, (i / 256) as f32) + 0.5);
            }
            let dot = sum / weight;
            assert!(dot.distance(proxy.keypoints[0]) < 0.7, "{sides:?}: {dot} {}", proxy.keypoints[0]);
            let in_photo = proxy.crop.to_photo(dot / 256.0);
            assert!(in_photo.distance(point.position()) < 0.5, "{sides:?}: {in_photo}");
            assert!(!proxy.visible[3] && !proxy.visible[9] && proxy.visible[10]);
            let peak = proxy.planes.plane(1).iter().cloned().fold(0.0, f32::max);
            assert!(peak > 0.9, "{peak}");
            assert!(proxy.planes.plane(10).iter().all(|v| *v == 0.0));
        }
    }

    /// The original never leaves its crops: places of the 288 x 384 crop become places of the 256 x 256 square.
    #[test]
    fn hrnet_s_keypoints_land_where_the_original_puts_them() {
        let photo = Picture::filled(500, 400, [90, 90, 90]);
        let bbox = [130.0, 40.0, 260.0, 380.0];
        let region = BoxRegion { centre: [210.0, 195.0], height: 340.0, width: 130.0 };
        let input = hrnet::Input::new(&Planes::of_picture(&photo), region, hrnet::INPUT_SIZE, 1.2);
        for place in [Vec2::ZERO, Vec2::new(40.0, 120.0), Vec2::new(284.0, 380.0)] {
            let at = input.to_photo(place);
            let keypoints = [Keypoint { x: at.x, y: at.y, score: 0.8 }; COCO_KEYPOINTS];
            let person = Person { bbox, keypoints, score: 1.0, source: KeypointSource::Hrnet, mask: None };
            let proxy = Proxy::new(&photo, &person, &ProxyOptions::default());
            let wanted = Vec2::new((place.x - 144.0) * 2.0 / 3.0 + 128.0, place.y * 2.0 / 3.0);
            assert!(proxy.keypoints[9].distance(wanted) < 1e-3, "{} {wanted}", proxy.keypoints[9]);
            assert!(proxy.visible[9], "0.8 is above the published threshold");
        }
    }

    #[test]
    fn a_box_without_area_means_the_whole_photo() {
        let photo = Picture::filled(40, 80, [90, 90, 90]);
        let keypoints = [Keypoint { x: 20.0, y: 40.0, score: 0.9 }; COCO_KEYPOINTS];
        let bbox = [f32::NAN; 4];
        let person = Person { bbox, keypoints, score: 0.0, source: KeypointSource::File, mask: None };
        let proxy = Proxy::new(&photo, &person, &ProxyOptions::default());
        assert!((proxy.crop.side - 96.0).abs() < 1e-3 && proxy.planes.values.iter().all(|v| v.is_finite()));
    }
}
