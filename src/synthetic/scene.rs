//! Whole synthetic pictures: a dressed person before a random camera, in random light and surroundings, perhaps
//! behind something, as a real camera and file would show it; with the truth that belongs to it.

use std::path::Path;

use glam::{Vec2, Vec3};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::augment::{AugmentConfig, cover};
use super::backdrop::Backdrop;
use super::clothes::random_outfit;
use super::lifting::framed;
use super::light::random_light;
use super::obstacles::{self, within};
use super::occlusion::Visibility;
use super::shape::sample_betas;
use super::truth::{SyntheticTruth, seen_box, visible_in};
use super::{CameraConfig, PoseSource, SyntheticError, WorldPose, stream};
use crate::body::keypoint_chain::KeypointChain;
use crate::body::{BodyError, BodyModel, BodyState, Posed};
use crate::formats::picture::{Picture, pictures_in};
use crate::raster::light::{Material, encode, linear};
use crate::raster::passes::interpolate;
use crate::raster::{Culling, Light, Raster, ShadowMap, vertex_normals_into, view};

/// How pictures are drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SceneConfig {
    pub camera: CameraConfig,
    pub augment: AugmentConfig,
    /// Share of pictures whose key light casts shadows.
    pub shadows: f32,
    /// Share of pictures with something before the person; it leaves at least half of the framed keypoints.
    pub occluded: f32,
}

impl Default for SceneConfig {
    fn default() -> Self {
        Self {
            camera: CameraConfig::default(),
            augment: AugmentConfig::default(),
            shadows: 0.6,
            occluded: 0.25,
        }
    }
}

/// A picture and its truth.
#[derive(Clone, Debug)]
pub struct SceneSample {
    pub picture: Picture,
    pub truth: SyntheticTruth,
    /// 255 where the body is seen, a pixel each.
    pub silhouette: Vec<u8>,
}

/// Draws pictures of one body model; cheap to share between threads.
#[derive(Clone, Debug)]
pub struct SceneMaker<'a> {
    model: &'a BodyModel,
    chain: KeypointChain,
    poses: &'a PoseSource,
    config: SceneConfig,
    /// Pictures of the camera's size to stand behind the person, instead of procedural surroundings, for half of
    /// the samples.
    backgrounds: Vec<Picture>,
    disturbed: bool,
}

/// Memory that one thread reuses from picture to picture.
#[derive(Clone, Debug)]
pub struct SceneBuffers {
    raster: Raster,
    posed: Posed,
    normals: Vec<Vec3>,
}

impl Default for SceneBuffers {
    fn default() -> Self {
        Self { raster: Raster::new(0, 0), posed: Posed::default(), normals: Vec::new() }
    }
}

impl<'a> SceneMaker<'a> {
    /// # Errors
    /// For a body whose tree is not SMPL's.
    pub fn new(model: &'a BodyModel, poses: &'a PoseSource, config: SceneConfig) -> Result<Self, BodyError> {
        let chain = KeypointChain::new(model)?;
        Ok(Self { model, chain, poses, config, backgrounds: Vec::new(), disturbed: true })
    }

    /// Puts pictures of a folder behind half of the people; without one, all surroundings are procedural.
    ///
    /// # Errors
    /// Folders that cannot be listed or hold no picture, pictures that cannot be read.
    pub fn with_backgrounds(mut self, folder: Option<&Path>) -> Result<Self, SyntheticError> {
        let Some(folder) = folder else { return Ok(self) };
        let [width, height] = self.config.camera.size.map(|side| side as usize);
        let at = |reason: String| {
            let hint = "give a folder of photos without people, for backgrounds";
            SyntheticError::Backgrounds(format!("{reason}; {hint}: {}", folder.display()))
        };
        let files = pictures_in(folder).map_err(|error| at(format!("cannot be listed ({error})")))?;
        if files.is_empty() {
            return Err(at("no picture in it".to_owned()));
        }
        for file in files {
            self.backgrounds.push(Picture::read(&file)?.resized(width, height));
        }
        Ok(self)
    }

    /// The same with poses as captured: for measuring.
    pub fn undisturbed(mut self) -> Self {
        self.disturbed = false;
        self
    }

    /// Picture `item` of the endless list that `seed` names.
    pub fn at(&self, seed: u64, item: u64, buffers: &mut SceneBuffers) -> SceneSample {
        self.sample(&mut stream(seed, item), buffers)
    }

    /// The next picture of a random stream.
    pub fn sample(&self, rng: &mut ChaCha8Rng, buffers: &mut SceneBuffers) -> SceneSample {
        let pose = if self.disturbed { self.poses.sample(rng) } else { self.poses.sample_undisturbed(rng) };
        let betas = sample_betas(self.model, rng);
        self.with_pose(&pose, betas, rng, buffers)
    }

    /// A picture of a given person.
    pub fn with_pose(
        &self,
        pose: &WorldPose,
        betas: Vec<f32>,
        rng: &mut ChaCha8Rng,
        buffers: &mut SceneBuffers,
    ) -> SceneSample {
        let view = self.config.camera.sample(rng);
        let mut state = BodyState {
            betas,
            global_orient: view.rotation * pose.root(),
            body_pose: pose.rotations(),
            transl: Vec3::ZERO,
        };
        let mut points = self.chain.points();
        self.chain.forward_state(&state, &mut points);
        let (transl, camera) = view.place(&framed(&points.coco, &points.joints), self.config.camera.size);
        state.transl = transl;
        let coco17_3d = points.coco.map(|p| p + transl);
        let joints = points.joints.map(|p| p + transl);

        let up = view.rotation * Vec3::Y;
        let outfit = random_outfit(rng);
        self.model.pose_offset_into(&state, true, &outfit.offsets(self.model), &mut buffers.posed);
        let vertices = &buffers.posed.vertices;
        vertex_normals_into(vertices, &self.model.faces, &mut buffers.normals);
        let light = random_light(rng, up);
        let floor = vertices.iter().map(|v| v.dot(up)).fold(f32::INFINITY, f32::min);
        let backdrop = Backdrop::random(rng, up, floor, view.distance);
        let coco17 = coco17_3d.map(|p| camera.project(p).unwrap_or(Vec2::splat(-1e4)));
        let person =
            obstacles::Placed { camera: &camera, joints: &joints, coco17_3d: &coco17_3d, coco17: &coco17 };
        let (occluders, patches) = obstacles::before(&self.config, rng, &person, up, floor);
        let shadow = (rng.random::<f32>() < self.config.shadows)
            .then(|| ShadowMap::new(vertices, &self.model.faces, light.key_direction, 192));
        let photo = (!self.backgrounds.is_empty() && rng.random::<bool>()).then(|| {
            let chosen = rng.random_range(0..self.backgrounds.len());
            &self.backgrounds[chosen]
        });

        // Twice the size gives soft outlines; colours are found once a pixel.
        let [width, height] = self.config.camera.size.map(|v| v as usize);
        let double = view::window(&camera, Vec2::ZERO, 2.0, [2.0 * width as f32, 2.0 * height as f32]);
        let raster = &mut buffers.raster;
        raster.begin(2 * width, 2 * height);
        raster.draw(vertices, &self.model.faces, &double, 0, Culling::Back);
        let body_faces = self.model.faces.len();
        raster.draw(&occluders.vertices, &occluders.faces, &double, body_faces as u32, Culling::None);

        let dressed = outfit.on(self.model);
        let plain = Material::skin(outfit.upper.colour);
        let mut rgb = Vec::with_capacity(width * height * 3);
        let mut silhouette = Vec::with_capacity(width * height);
        for y in 0..height {
            for x in 0..width {
                let subs: [usize; 4] = std::array::from_fn(|i| (2 * y + i / 2) * 2 * width + 2 * x + i % 2);
                let covered = subs.iter().filter(|&&s| raster.face(s).is_some()).count();
                let body = subs.iter().filter(|&&s| raster.face(s).is_some_and(|f| f < body_faces)).count();
                silhouette.push((body * 255 / 4) as u8);
                let mut colour = Vec3::ZERO;
                if covered > 0 {
                    // Of the covered quarters, the one that most resemble: body if at least half is body.
                    let wants_body = 2 * body >= covered;
                    let chosen = subs
                        .into_iter()
                        .find(|&s| raster.face(s).is_some_and(|f| (f < body_faces) == wants_body))
                        .unwrap_or(subs[0]);
                    if let Some(face) = raster.face(chosen) {
                        let w = raster.weights(chosen);
                        colour = if face < body_faces {
                            let normal = interpolate(&self.model.faces, &buffers.normals, face, w);
                            let point = interpolate(&self.model.faces, vertices, face, w);
                            let (material, bump) = match &dressed {
                                Some(dressed) => {
                                    let surface = dressed.surface(face, w);
                                    (surface.material, surface.bump)
                                }
                                None => (plain, Vec3::ZERO),
                            };
                            let normal = (normal.normalize_or_zero() + bump).normalize_or_zero();
                            shaded(&light, &material, point, normal, shadow.as_ref())
                        } else {
                            let (point, normal, albedo) = occluders.surface(face - body_faces, w);
                            let material = Material { albedo, ..Material::matt([0; 3]) };
                            shaded(&light, &material, point, normal, None)
                        };
                    }
                }
                if covered < 4 {
                    let behind = match photo {
                        Some(photo) => linear(photo.pixel(x, y)),
                        None => {
                            let hit = backdrop.hit(&camera, x as f32 + 0.5, y as f32 + 0.5);
                            match hit.surface {
                                Some((point, normal)) => {
                                    let material =
                                        Material { gloss: 0.0, wrap: Vec3::ZERO, ..Material::matt([0; 3]) };
                                    let material = Material { albedo: hit.colour, ..material };
                                    shaded(&light, &material, point, normal, shadow.as_ref())
                                }
                                None => hit.colour,
                            }
                        }
                    };
                    colour = behind.lerp(colour, covered as f32 / 4.0);
                }
                rgb.extend_from_slice(&encode(colour));
            }
        }
        let mut visibility = visible_in(raster, &camera, &self.model.joint_face, &coco17_3d);
        let bbox =
            seen_box(raster, body_faces, camera.size).unwrap_or([0.0, 0.0, camera.size[0], camera.size[1]]);

        let mut picture = Picture::new(width, height, rgb);
        for (patch, colour) in patches {
            cover(&mut picture, patch, colour);
            for (place, seen) in coco17.iter().zip(&mut visibility) {
                if within(patch, *place) && *seen != Visibility::OutOfFrame {
                    *seen = Visibility::Occluded;
                }
            }
        }
        self.config.augment.disturb(&mut picture, rng);
        let truth = SyntheticTruth { state, camera, coco17, coco17_3d, visibility, joints, bbox };
        SceneSample { picture, truth, silhouette }
    }
}

fn shaded(light: &Light, material: &Material, point: Vec3, normal: Vec3, shadow: Option<&ShadowMap>) -> Vec3 {
    let visible = shadow.map_or(1.0, |map| map.visible(point + normal * 0.01, 0.015));
    light.shade(material, normal, (-point).normalize_or_zero(), light.ambient(normal), visible)
}

#[cfg(test)]
mod tests {
    use rayon::prelude::*;

    use super::*;
    use crate::keypoints::COCO_KEYPOINTS;
    use crate::synthetic::PoseFile;

    fn standing() -> PoseSource {
        use crate::formats::array::Array;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("poses.npz");
        let mut numbers = vec![0.0; 69];
        (numbers[47], numbers[50]) = (-1.0, 1.0);
        let body = Array::f32(&[1, 23, 3], numbers);
        crate::formats::npz::write_npz(&path, &[("pose_body", &body)]).unwrap();
        PoseSource::File(PoseFile::read(&path).unwrap())
    }

    #[test]
    fn the_same_picture_on_any_number_of_threads() {
        let model = BodyModel::default_body().unwrap();
        let poses = standing();
        let config = SceneConfig {
            camera: CameraConfig { size: [96.0; 2], ..CameraConfig::default() },
            ..SceneConfig::default()
        };
        let maker = SceneMaker::new(&model, &poses, config).unwrap();
        let together: Vec<SceneSample> = (0..8u64)
            .into_par_iter()
            .map_init(SceneBuffers::default, |buffers, i| maker.at(5, i, buffers))
            .collect();
        let mut buffers = SceneBuffers::default();
        for (i, sample) in together.iter().enumerate() {
            let alone = maker.at(5, i as u64, &mut buffers);
            assert_eq!(sample.picture.rgb, alone.picture.rgb);
            assert_eq!(sample.truth.state, alone.truth.state);
            assert_eq!(sample.truth.visibility, alone.truth.visibility);
        }
    }

    #[test]
    fn pictures_of_a_folder_stand_behind_half_of_the_people() {
        let model = BodyModel::default_body().unwrap();
        let poses = standing();
        let folder = tempfile::tempdir().unwrap();
        let maker = || {
            let camera = CameraConfig { size: [48.0; 2], ..CameraConfig::default() };
            let config = SceneConfig { camera, augment: AugmentConfig::none(), shadows: 0.0, occluded: 0.0 };
            SceneMaker::new(&model, &poses, config).unwrap()
        };
        let empty = maker().with_backgrounds(Some(folder.path())).err().map(|error| error.to_string());
        assert!(empty.is_some_and(|text| text.contains("no picture in it")));
        Picture::filled(90, 30, [10, 250, 10]).write_png(&folder.path().join("green.png")).unwrap();
        let maker = maker().with_backgrounds(Some(folder.path())).unwrap();
        let mut buffers = SceneBuffers::default();
        let green = (0..40).filter(|&item| {
            let sample = maker.at(3, item, &mut buffers);
            let shown = sample.silhouette.iter().enumerate().filter(|(_, body)| **body == 0);
            shown.map(|(i, _)| sample.picture.pixel(i % 48, i / 48)).all(|p| p[1] > 200 && p[0] < 100)
        });
        let green = green.count();
        assert!((10..=30).contains(&green), "{green}");
    }

    #[test]
    fn nothing_hides_more_than_half_of_a_person() {
        let model = BodyModel::default_body().unwrap();
        let poses = standing();
        let augment = AugmentConfig { patch: 0.5, bottom: 0.5, side: 0.5, ..AugmentConfig::none() };
        let camera = CameraConfig { size: [48.0; 2], ..CameraConfig::default() };
        let maker =
            SceneMaker::new(&model, &poses, SceneConfig { camera, augment, shadows: 0.0, occluded: 1.0 })
                .unwrap();
        let mut buffers = SceneBuffers::default();
        let mut some = 0;
        for item in 0..60 {
            let truth = maker.at(8, item, &mut buffers).truth;
            let count = |wanted: Visibility| truth.visibility.iter().filter(|v| **v == wanted).count();
            let framed = COCO_KEYPOINTS - count(Visibility::OutOfFrame);
            // Boxes are tested by rays, pictures by pixels: at an edge the two may differ.
            assert!(count(Visibility::Occluded) <= framed / 2 + 1, "{item}: {:?}", truth.visibility);
            some += count(Visibility::Occluded);
        }
        assert!(some > 60, "{some}");
    }

    #[test]
    fn visible_keypoints_lie_on_the_silhouette() {
        let model = BodyModel::default_body().unwrap();
        let poses = standing();
        let config = SceneConfig { augment: AugmentConfig::none(), occluded: 0.0, ..SceneConfig::default() };
        let maker = SceneMaker::new(&model, &poses, config).unwrap();
        let mut buffers = SceneBuffers::default();
        let (mut on, mut visible) = (0, 0);
        for item in 0..12 {
            let sample = maker.at(6, item, &mut buffers);
            for k in 0..17 {
                if sample.truth.visibility[k] == Visibility::Visible {
                    let place = sample.truth.coco17[k];
                    visible += 1;
                    on += usize::from(sample.silhouette[place.y as usize * 256 + place.x as usize] > 0);
                }
            }
            let [x0, y0, x1, y1] = sample.truth.bbox;
            assert!(x0 < x1 && y0 < y1 && x1 <= 256.0 && y1 <= 256.0);
        }
        assert!(visible > 80 && on * 100 >= visible * 95, "{on} of {visible}");
    }
}
