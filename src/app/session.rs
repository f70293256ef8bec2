//! What the window shows at the moment. Panels read it; plugins change it when actions come in.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bevy::prelude::Resource;
use bevy_egui::egui::{ColorImage, TextureHandle};
use glam::{Vec2, Vec3};

use crate::body::{BodyModel, Trajectory};
use crate::estimators::{Estimate, EstimateOptions};
use crate::formats::picture::Picture;
use crate::formats::registry::Row;
use crate::keypoints::{COCO_KEYPOINTS, Keypoint, KeypointSource, Network, Person, hrnet};
use crate::tasks::Stage;

/// Most samples that are asked for and drawn.
pub const MOST_SAMPLES: usize = 200;
/// Most bodies standing side by side.
pub const SIDE_BY_SIDE: usize = 12;
/// Below this score a keypoint is drawn as unsure.
pub const UNSURE: f32 = 0.3;

/// What stands on the stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// The point estimate, or the selected sample, alone.
    One,
    /// The same with all samples around it.
    Cloud,
    /// Samples in rows.
    SideBySide,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colouring {
    Clothed,
    Plain,
    Uncertainty,
}

/// Of the camera's space: x to the right, y up, z towards the viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    Total,
    X,
    Y,
    Z,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Front,
    Left,
    Back,
    Top,
}

#[derive(Clone, Copy, Debug)]
pub struct View {
    pub scene: Scene,
    pub colouring: Colouring,
    pub axis: Axis,
    /// The body drawn over the photo.
    pub overlay: bool,
    pub sample: Option<usize>,
    /// The estimate before the last edit beside the new one.
    pub before: bool,
}

pub enum PhotoState {
    Reading,
    /// Read; people are being looked for.
    Looking,
    Ready,
    Failed(String),
}

/// A photo and what was found in it.
pub struct Photo {
    pub id: u64,
    pub name: String,
    pub path: Option<PathBuf>,
    pub state: PhotoState,
    pub picture: Option<Picture>,
    /// Reduced copies for the screen; textures are made from them when first drawn.
    pub preview: Option<Arc<ColorImage>>,
    pub thumbnail: Option<Arc<ColorImage>>,
    pub preview_texture: Option<TextureHandle>,
    pub thumbnail_texture: Option<TextureHandle>,
    pub people: Vec<Person>,
    /// As the detector gave them, to come back to.
    pub found: Vec<Person>,
    pub person: usize,
}

impl Photo {
    pub fn current_person(&self) -> Option<&Person> {
        self.people.get(self.person)
    }

    pub fn current_person_mut(&mut self) -> Option<&mut Person> {
        self.people.get_mut(self.person)
    }

    /// The score a keypoint had when it was found; a hand-placed person's are certain.
    pub fn found_score(&self, keypoint: usize) -> f32 {
        let found = self.found.get(self.person).and_then(|person| person.keypoints.get(keypoint));
        found.map_or(1.0, |keypoint| keypoint.score)
    }
}

/// The newest estimate.
#[derive(Clone)]
pub struct Shown {
    pub estimate: Arc<Estimate>,
    pub stage: Stage,
    pub took: Duration,
    /// From the request (a pointer's movement) to the answer.
    pub latency: Duration,
    /// Where the network ran.
    pub device: Arc<str>,
}

/// How far points of the body move from sample to sample, metres a point.
#[derive(Clone, Debug)]
pub struct Spread {
    pub x: Vec<f32>,
    pub y: Vec<f32>,
    pub z: Vec<f32>,
    pub total: Vec<f32>,
    /// The mean over points of `total`, metres.
    pub mean: f32,
    /// The same before the last change of the evidence, where there was one.
    pub mean_before: Option<f32>,
}

impl Spread {
    pub fn axis(&self, axis: Axis) -> &[f32] {
        match axis {
            Axis::Total => &self.total,
            Axis::X => &self.x,
            Axis::Y => &self.y,
            Axis::Z => &self.z,
        }
    }
}

/// A trajectory under the timeline.
pub struct Timeline {
    pub trajectory: Arc<Trajectory>,
    pub frame: usize,
    pub playing: bool,
    /// Part of a frame that has passed while playing.
    pub passed: f32,
    /// Whether the frame at hand, and not the estimate, stands on the stage.
    pub on_stage: bool,
}

/// Joints of a sample for its small figure, the camera's space, metres.
pub type Figure = [Vec3; crate::body::state::JOINTS];

#[derive(Resource)]
pub struct Session {
    pub photos: Vec<Photo>,
    pub selected: Option<u64>,
    pub options: EstimateOptions,
    pub refine: bool,
    pub view: View,
    /// Whose keypoints photos get.
    pub network: Network,
    pub keypoint: Option<usize>,
    /// A keypoint is being dragged.
    pub hand: bool,
    pub shown: Option<Shown>,
    /// From the last request to its prediction on the stage; refinements follow.
    pub predicted_after: Duration,
    /// The estimate before the evidence was last changed by hand, drawn as a ghost while a keypoint is selected.
    pub before: Option<Arc<Estimate>>,
    pub estimating: bool,
    pub estimate_error: Option<String>,
    pub spread: Option<Arc<Spread>>,
    pub figures: Arc<Vec<Figure>>,
    pub timeline: Option<Timeline>,
    pub body: Option<Arc<BodyModel>>,
    /// The photo with the body drawn over it.
    pub overlay: Option<Arc<ColorImage>>,
    pub overlay_texture: Option<TextureHandle>,
    /// Where the selected person's keypoints are on the screen, points of the window.
    pub keypoint_places: Vec<[f32; 2]>,
    /// Example photos that were found, with their thumbnails.
    pub examples: Vec<Example>,
    /// What is missing for more, in one line each.
    pub notes: Vec<String>,
    /// Other people's files that can be used, found or not.
    pub models: Vec<Row>,
    pub models_open: bool,
    pub error: Option<String>,
    pub tasks_open: bool,
    /// Closed by hand: refinements no longer open it.
    pub timeline_closed: bool,
    pub device: String,
}

pub struct Example {
    pub path: PathBuf,
    pub caption: String,
    pub thumbnail: Arc<ColorImage>,
    pub texture: Option<TextureHandle>,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            photos: Vec::new(),
            selected: None,
            options: EstimateOptions { samples: 100, seed: 0, temperature: 1.0 },
            refine: true,
            view: View {
                scene: Scene::Cloud,
                colouring: Colouring::Clothed,
                axis: Axis::Total,
                overlay: false,
                sample: None,
                before: true,
            },
            network: Network::default(),
            keypoint: None,
            hand: false,
            shown: None,
            predicted_after: Duration::ZERO,
            before: None,
            estimating: false,
            estimate_error: None,
            spread: None,
            figures: Arc::default(),
            timeline: None,
            body: None,
            overlay: None,
            overlay_texture: None,
            keypoint_places: Vec::new(),
            examples: Vec::new(),
            notes: Vec::new(),
            models: Vec::new(),
            models_open: false,
            error: None,
            tasks_open: false,
            timeline_closed: false,
            device: String::new(),
        }
    }
}

impl Session {
    /// The estimate to be drawn as a ghost beside the new one.
    pub fn ghost(&self) -> Option<&Arc<Estimate>> {
        let wanted = self.view.before && self.keypoint.is_some() && self.view.scene != Scene::SideBySide;
        let playing = self.timeline.as_ref().is_some_and(|timeline| timeline.on_stage);
        self.before.as_ref().filter(|_| wanted && !playing)
    }

    /// The row of HRNet's file, once files were looked for.
    pub fn hrnet(&self) -> Option<&Row> {
        self.models.iter().find(|row| row.title == hrnet::FILE)
    }

    pub fn photo(&self) -> Option<&Photo> {
        let id = self.selected?;
        self.photos.iter().find(|photo| photo.id == id)
    }

    pub fn photo_mut(&mut self) -> Option<&mut Photo> {
        let id = self.selected?;
        self.photos.iter_mut().find(|photo| photo.id == id)
    }

    /// Forgets what belongs to the person shown before.
    pub fn clear_estimate(&mut self) {
        self.shown = None;
        self.before = None;
        self.estimate_error = None;
        self.spread = None;
        self.figures = Arc::default();
        self.timeline = None;
        self.overlay = None;
        self.overlay_texture = None;
        self.keypoint_places.clear();
        self.keypoint = None;
        self.view.sample = None;
    }
}

/// COCO's keypoints of someone who stands facing the camera, in units of the body's height: x from the middle to the
/// right of the picture, y from the top of the head down.
const STANDING: [[f32; 2]; COCO_KEYPOINTS] = [
    [0.0, 0.07],
    [0.02, 0.055],
    [-0.02, 0.055],
    [0.045, 0.065],
    [-0.045, 0.065],
    [0.105, 0.185],
    [-0.105, 0.185],
    [0.15, 0.345],
    [-0.15, 0.345],
    [0.165, 0.49],
    [-0.165, 0.49],
    [0.065, 0.49],
    [-0.065, 0.49],
    [0.07, 0.73],
    [-0.07, 0.73],
    [0.075, 0.95],
    [-0.075, 0.95],
];

/// A person to be put in place by hand.
pub fn standing_person(width: usize, height: usize) -> Person {
    let (width, height) = (width as f32, height as f32);
    let tall = (height * 0.8).min(width * 2.0);
    let (middle, top) = (width / 2.0, (height - tall) / 2.0);
    let keypoints = STANDING.map(|[x, y]| Keypoint { x: middle + x * tall, y: top + y * tall, score: 1.0 });
    let bbox = [middle - 0.25 * tall, top, middle + 0.25 * tall, top + tall];
    Person { bbox, keypoints, score: 1.0, source: KeypointSource::Hand, mask: None }
}

/// The box around the keypoints in use, a little wider than they are.
pub fn box_around(person: &Person) -> [f32; 4] {
    let points: Vec<Vec2> =
        person.keypoints.iter().filter(|k| k.score > 0.0).map(|k| Vec2::new(k.x, k.y)).collect();
    let Some(first) = points.first() else { return person.bbox };
    let (low, high) = points.iter().fold((*first, *first), |(low, high), p| (low.min(*p), high.max(*p)));
    let margin = 0.12 * (high - low).max_element().max(1.0);
    [low.x - margin, low.y - margin, high.x + margin, high.y + margin]
}
