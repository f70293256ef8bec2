//! MoveNet's maps to joints: one person (plain or guided) and several people.
//!
//! Everything here is y before x, and in cells of the maps until the last step. Ties go to the lowest
//! row-major cell. Source: the published graphs; "guided" is ours (rough joints come from outside).

use super::feature_map::FeatureMap;
use super::{COCO_KEYPOINTS, KeypointError};

/// People that multipose reports, always.
pub const MULTIPOSE_ROWS: usize = 6;
/// Numbers in a row of multipose: 17 x (y, x, score), ymin, xmin, ymax, xmax, score.
pub const MULTIPOSE_COLUMNS: usize = COCO_KEYPOINTS * 3 + 5;

/// Cells added to distances that divide the centre map and the joint maps.
const CENTER_SOFTENING: f32 = 1.8;
const JOINT_SOFTENING: f32 = 1.799_804_7;
/// Two centres closer than this are equal.
const PEAK_TOLERANCE: f32 = 1.013_28e-6;
/// Square of the reach of a rough joint, in shares of the shorter side.
const MULTIPOSE_SPREAD: f32 = 0.300_048_83;
/// Joints below it do not count for a person's score.
const MULTIPOSE_JOINT_SCORE: f32 = 0.126_95;

/// The heads' outputs at a quarter of the picture's size; `center` and `heatmap` after the sigmoid.
#[derive(Clone, Debug)]
pub struct Maps {
    /// 1 channel.
    pub center: FeatureMap,
    /// 17 channels.
    pub heatmap: FeatureMap,
    /// 34 channels: (dy, dx) for every joint.
    pub regress: FeatureMap,
    /// 34 channels: (dy, dx) for every joint.
    pub offset: FeatureMap,
    /// Multipose only, 2 channels each: height and width; (dy, dx) of the box's centre.
    pub boxes: Option<(FeatureMap, FeatureMap)>,
}

/// y, x as shares of height and width (a little outside 0..1 is possible), score 0..1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MapJoint {
    pub y: f32,
    pub x: f32,
    pub score: f32,
}

/// A row of multipose's result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MapPerson {
    pub joints: [MapJoint; COCO_KEYPOINTS],
    /// ymin, xmin, ymax, xmax as shares of height and width.
    pub bbox: [f32; 4],
    pub score: f32,
}

impl MapPerson {
    /// The row as the published graph lays it out.
    pub fn row(&self) -> [f32; MULTIPOSE_COLUMNS] {
        let mut row = [0.0; MULTIPOSE_COLUMNS];
        for (to, joint) in row.chunks_exact_mut(3).zip(&self.joints) {
            to.copy_from_slice(&[joint.y, joint.x, joint.score]);
        }
        row[COCO_KEYPOINTS * 3..COCO_KEYPOINTS * 3 + 4].copy_from_slice(&self.bbox);
        row[MULTIPOSE_COLUMNS - 1] = self.score;
        row
    }
}

/// Refuses maps of different sizes or with other channel counts.
fn check<const N: usize>(maps: [(&FeatureMap, usize, &str); N]) -> Result<(usize, usize), KeypointError> {
    let (height, width) = (maps[0].0.height, maps[0].0.width);
    for (map, channels, name) in maps {
        if (map.height, map.width, map.channels) != (height, width, channels) || map.values.is_empty() {
            return Err(KeypointError::Shape(format!(
                "map \"{name}\" is {} x {} with {} channels, {height} x {width} with {channels} was expected",
                map.height, map.width, map.channels
            )));
        }
    }
    Ok((height, width))
}

/// The cell with the largest value of `value(row, column)`.
fn largest(height: usize, width: usize, mut value: impl FnMut(usize, usize) -> f32) -> (usize, usize) {
    let (mut best, mut cell) = (f32::NEG_INFINITY, (0, 0));
    for row in 0..height {
        for column in 0..width {
            let v = value(row, column);
            if v > best {
                (best, cell) = (v, (row, column));
            }
        }
    }
    cell
}

fn rough_joints(regress: &FeatureMap, (row, column): (usize, usize)) -> [[f32; 2]; COCO_KEYPOINTS] {
    std::array::from_fn(|k| {
        [row as f32 + regress.at(row, column, 2 * k), column as f32 + regress.at(row, column, 2 * k + 1)]
    })
}

/// The fine position of joint `k` found in a cell.
fn refined(maps: &Maps, k: usize, (row, column): (usize, usize), score: f32) -> MapJoint {
    MapJoint {
        y: (row as f32 + maps.offset.at(row, column, 2 * k)) / maps.heatmap.height as f32,
        x: (column as f32 + maps.offset.at(row, column, 2 * k + 1)) / maps.heatmap.width as f32,
        score,
    }
}

fn joints_near(maps: &Maps, rough: &[[f32; 2]; COCO_KEYPOINTS]) -> [MapJoint; COCO_KEYPOINTS] {
    let (height, width) = (maps.heatmap.height, maps.heatmap.width);
    std::array::from_fn(|k| {
        let [y, x] = rough[k];
        let cell = largest(height, width, |row, column| {
            let (dy, dx) = (row as f32 - y, column as f32 - x);
            maps.heatmap.at(row, column, k) / ((dy * dy + dx * dx).sqrt() + JOINT_SOFTENING)
        });
        refined(maps, k, cell, maps.heatmap.at(cell.0, cell.1, k))
    })
}

/// The person nearest to the middle.
///
/// # Errors
/// The maps do not fit each other.
pub fn single(maps: &Maps) -> Result<[MapJoint; COCO_KEYPOINTS], KeypointError> {
    let (height, width) = check([
        (&maps.heatmap, 17, "kpt_heatmap"),
        (&maps.center, 1, "center"),
        (&maps.regress, 34, "kpt_regress"),
        (&maps.offset, 34, "kpt_offset"),
    ])?;
    let (middle_y, middle_x) = (height as f32 / 2.0, width as f32 / 2.0);
    let cell = largest(height, width, |row, column| {
        let (dy, dx) = (row as f32 - middle_y, column as f32 - middle_x);
        maps.center.at(row, column, 0) / ((dy * dy + dx * dx).sqrt() + CENTER_SOFTENING)
    });
    Ok(joints_near(maps, &rough_joints(&maps.regress, cell)))
}

/// The person whose rough joints are given: (y, x) as shares of height and width.
///
/// # Errors
/// The maps do not fit each other.
pub fn guided(
    maps: &Maps,
    prior: &[[f32; 2]; COCO_KEYPOINTS],
) -> Result<[MapJoint; COCO_KEYPOINTS], KeypointError> {
    let (height, width) = check([(&maps.heatmap, 17, "kpt_heatmap"), (&maps.offset, 34, "kpt_offset")])?;
    Ok(joints_near(maps, &prior.map(|[y, x]| [y * height as f32, x * width as f32])))
}

/// Cells that are the largest of the 5x5 around them, surest first; filled up with score 0.
fn peaks(center: &FeatureMap) -> [((usize, usize), f32); MULTIPOSE_ROWS] {
    let (height, width) = (center.height, center.width);
    let mut found = Vec::new();
    for row in 0..height {
        for column in 0..width {
            let value = center.at(row, column, 0);
            let mut around = f32::NEG_INFINITY;
            for r in row.saturating_sub(2)..(row + 3).min(height) {
                for c in column.saturating_sub(2)..(column + 3).min(width) {
                    around = around.max(center.at(r, c, 0));
                }
            }
            let kept = if (value - around).abs() < PEAK_TOLERANCE { value } else { 0.0 };
            found.push(((row, column), kept));
        }
    }
    // Stable: equal peaks stay in row-major order.
    found.sort_by(|a, b| b.1.total_cmp(&a.1));
    std::array::from_fn(|i| found.get(i).copied().unwrap_or(((0, 0), 0.0)))
}

/// What multipose knows of a person before the joints are looked up.
struct Candidate {
    /// ymin, xmin, ymax, xmax in cells, within the map.
    bbox: [f32; 4],
    rough: [[f32; 2]; COCO_KEYPOINTS],
    peak: f32,
}

impl Candidate {
    fn contains(&self, row: usize, column: usize) -> bool {
        let (row, column, [ymin, xmin, ymax, xmax]) = (row as f32, column as f32, self.bbox);
        row >= ymin && row < ymax && column >= xmin && column < xmax
    }

    fn weighted(&self, heatmap: &FeatureMap, k: usize, (row, column): (usize, usize), reach: f32) -> f32 {
        if !self.contains(row, column) {
            return 0.0;
        }
        let (dy, dx) = (row as f32 - self.rough[k][0], column as f32 - self.rough[k][1]);
        heatmap.at(row, column, k) * (-(dy * dy + dx * dx) / reach).exp()
    }

    /// The cell with the largest weighted value of joint `k`; (0, 0) for an empty box.
    fn cell_of(&self, heatmap: &FeatureMap, k: usize, reach: f32) -> (usize, usize) {
        // exp(-(dy² + dx²)) = exp(-dy²) exp(-dx²): one exponential a row and one a column.
        let falloff = |side: usize, axis: usize| -> Vec<f32> {
            (0..side).map(|i| (-(i as f32 - self.rough[k][axis]).powi(2) / reach).exp()).collect()
        };
        let (down, across) = (falloff(heatmap.height, 0), falloff(heatmap.width, 1));
        largest(heatmap.height, heatmap.width, |row, column| {
            if self.contains(row, column) {
                heatmap.at(row, column, k) * (down[row] * across[column])
            } else {
                0.0
            }
        })
    }
}

/// Six people in the order of their centre peaks; most of them are noise.
///
/// # Errors
/// The maps do not fit each other, or the heads for boxes are missing.
pub fn multi(maps: &Maps) -> Result<[MapPerson; MULTIPOSE_ROWS], KeypointError> {
    let Some((scale, shift)) = &maps.boxes else {
        return Err(KeypointError::Shape("the maps have no boxes: several people need multipose".to_owned()));
    };
    let (height, width) = check([
        (&maps.heatmap, 17, "kpt_heatmap"),
        (&maps.center, 1, "center"),
        (&maps.regress, 34, "kpt_regress"),
        (&maps.offset, 34, "kpt_offset"),
        (scale, 2, "box_scale"),
        (shift, 2, "box_offset"),
    ])?;
    let sides = [height as f32, width as f32];
    let candidates = peaks(&maps.center).map(|((row, column), peak)| {
        let middle = [row as f32 + shift.at(row, column, 0), column as f32 + shift.at(row, column, 1)];
        let half = [0, 1].map(|axis| scale.at(row, column, axis).max(0.0) / 2.0);
        let side = |axis: usize, sign: f32| (middle[axis] + sign * half[axis]).clamp(0.0, sides[axis]);
        Candidate {
            bbox: [side(0, -1.0), side(1, -1.0), side(0, 1.0), side(1, 1.0)],
            rough: rough_joints(&maps.regress, (row, column)),
            peak,
        }
    });
    let reach = MULTIPOSE_SPREAD * sides[0].min(sides[1]);
    Ok(std::array::from_fn(|person| {
        let candidate = &candidates[person];
        let joints: [MapJoint; COCO_KEYPOINTS] = std::array::from_fn(|k| {
            let cell = candidate.cell_of(&maps.heatmap, k, reach);
            let score = candidates
                .iter()
                .map(|other| other.weighted(&maps.heatmap, k, cell, reach))
                .fold(0.0, f32::max);
            refined(maps, k, cell, score)
        });
        let sure = joints.iter().filter(|joint| joint.score > MULTIPOSE_JOINT_SCORE);
        let (sum, count) = sure.fold((0.0, 0), |(sum, count), joint| (sum + joint.score, count + 1));
        let [ymin, xmin, ymax, xmax] = candidate.bbox;
        MapPerson {
            joints,
            bbox: [ymin / sides[0], xmin / sides[1], ymax / sides[0], xmax / sides[1]]
                .map(|v| v.clamp(0.0, 1.0)),
            score: candidate.peak * sum / count.max(1) as f32,
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(channels: usize, value: f32) -> FeatureMap {
        FeatureMap { height: 12, width: 16, channels, values: vec![value; 12 * 16 * channels] }
    }

    fn maps() -> Maps {
        Maps {
            center: flat(1, 0.1),
            heatmap: flat(17, 0.05),
            regress: flat(34, 0.0),
            offset: flat(34, 0.25),
            boxes: Some((flat(2, 8.0), flat(2, 0.0))),
        }
    }

    fn put(map: &mut FeatureMap, row: usize, column: usize, channel: usize, value: f32) {
        map.values[(row * map.width + column) * map.channels + channel] = value;
    }

    #[test]
    fn the_guide_decides_between_two_equal_peaks() {
        let mut maps = maps();
        put(&mut maps.heatmap, 2, 3, 9, 0.9);
        put(&mut maps.heatmap, 9, 12, 9, 0.9);
        let near = |y: f32, x: f32| guided(&maps, &[[y / 12.0, x / 16.0]; 17]).expect("maps fit")[9];
        assert_eq!(near(2.0, 4.0), MapJoint { y: 2.25 / 12.0, x: 3.25 / 16.0, score: 0.9 });
        assert_eq!(near(8.0, 11.0), MapJoint { y: 9.25 / 12.0, x: 12.25 / 16.0, score: 0.9 });
    }

    #[test]
    fn people_come_in_the_order_of_their_peaks_and_keep_to_their_boxes() {
        let mut maps = maps();
        put(&mut maps.center, 3, 4, 0, 0.5);
        put(&mut maps.center, 8, 12, 0, 0.8);
        put(&mut maps.heatmap, 3, 5, 0, 0.7);
        put(&mut maps.heatmap, 8, 11, 0, 0.7);
        let people = multi(&maps).expect("maps fit");
        assert_eq!(people[0].bbox, [4.0 / 12.0, 8.0 / 16.0, 1.0, 1.0]);
        assert!((people[0].joints[0].y - 8.25 / 12.0).abs() < 1e-6);
        assert!((people[1].joints[0].y - 3.25 / 12.0).abs() < 1e-6);
    }

    #[test]
    fn maps_of_different_sizes_are_refused() {
        let mut maps = maps();
        maps.offset = FeatureMap::zeros(12, 15, 34);
        assert!(matches!(single(&maps), Err(KeypointError::Shape(_))));
        assert!(matches!(multi(&maps), Err(KeypointError::Shape(_))));
        maps.boxes = None;
        assert!(matches!(multi(&maps), Err(KeypointError::Shape(_))));
    }
}
