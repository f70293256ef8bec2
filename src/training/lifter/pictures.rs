//! Rendered people to train on: drawn once and kept, because a picture takes longer than a step with it. What the
//! detector would say of them is drawn anew each time.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, ensure};
use rayon::prelude::*;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::data::ExampleMaker;
use crate::body::BodyModel;
use crate::estimators::lifter::picture::{self, grey};
use crate::formats::atomic::write_atomic;
use crate::keypoints::Crop;
use crate::progress::{Cancel, Reporter};
use crate::synthetic::{
    CameraConfig, LiftingSample, PoseSource, SceneBuffers, SceneConfig, SceneMaker, SceneSample,
    SyntheticTruth, WorldPose, sample_betas, stream,
};
use crate::training::{TrainConfig, TrainError};

/// Side of the renders, pixels.
const SIDE: usize = 128;
const KEY: &str = "humanifold_pictures";

/// What decides the pictures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PictureKey {
    pub poses: String,
    pub seed: u64,
    pub count: usize,
}

/// Grey pictures of people whose bodies are known.
pub struct PictureBank {
    grey: Vec<u8>,
    pub people: Vec<LiftingSample>,
}

impl PictureBank {
    /// The renders of a run, from its file or anew.
    ///
    /// # Errors
    /// `Cancelled`, or a file that cannot be read or written.
    pub fn of_run(
        maker: &ExampleMaker,
        body: &BodyModel,
        poses: &PoseSource,
        config: &TrainConfig,
        reporter: &Reporter,
        cancel: &Cancel,
    ) -> Result<Self, TrainError> {
        let source = config.poses.as_ref().map_or_else(|| "prior".into(), |path| path.display().to_string());
        let key = PictureKey { poses: source, seed: config.seed, count: config.pictures };
        let cache = config.pictures_cache.as_deref();
        if let Some(path) = cache
            && let Some(kept) = Self::read(path, &key)?
        {
            return Ok(kept);
        }
        let pose = |rng: &mut _| maker.pose(rng);
        let made = Self::render(body, poses, pose, (key.seed, key.count), reporter, cancel);
        let made = if cancel.is_cancelled() { return Err(TrainError::Cancelled) } else { made? };
        if let Some(path) = cache {
            made.write(path, &key)?;
        }
        Ok(made)
    }

    /// Renders people in poses that `pose` draws.
    ///
    /// # Errors
    /// Where the body has other joints than SMPL's 24 or `cancel` was raised.
    pub fn render(
        body: &BodyModel,
        poses: &PoseSource,
        pose: impl Fn(&mut rand_chacha::ChaCha8Rng) -> WorldPose + Sync,
        (seed, count): (u64, usize),
        reporter: &Reporter,
        cancel: &Cancel,
    ) -> anyhow::Result<Self> {
        let camera = CameraConfig { size: [SIDE as f32; 2], ..CameraConfig::default() };
        let scenes = SceneMaker::new(body, poses, SceneConfig { camera, ..SceneConfig::default() })?;
        let done = AtomicU64::new(0);
        let rendered: Vec<(Vec<u8>, LiftingSample)> = (0..count as u64)
            .into_par_iter()
            .map_init(SceneBuffers::default, |buffers, item| {
                ensure!(!cancel.is_cancelled(), "cancelled");
                let mut rng = stream(seed, item);
                let pose = pose(&mut rng);
                let betas = sample_betas(body, &mut rng);
                let SceneSample { picture, truth, .. } = scenes.with_pose(&pose, betas, &mut rng, buffers);
                let bytes = picture.rgb.chunks_exact(3).map(|p| (grey([p[0], p[1], p[2]]) + 0.5) as u8);
                let SyntheticTruth { state, camera, coco17, coco17_3d, visibility, joints, bbox } = truth;
                let person = LiftingSample { state, camera, coco17, coco17_3d, visibility, joints, bbox };
                let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                if done.is_multiple_of(64) {
                    reporter.progress(done, count as u64, "renders");
                }
                Ok((bytes.collect(), person))
            })
            .collect::<anyhow::Result<_>>()?;
        let mut bank = Self { grey: Vec::with_capacity(count * SIDE * SIDE), people: Vec::new() };
        for (grey, person) in rendered {
            bank.grey.extend(grey);
            bank.people.push(person);
        }
        Ok(bank)
    }

    /// Edges of picture `index` in a square.
    pub fn edges(&self, index: usize, crop: &Crop) -> Vec<f32> {
        let pixels = self.grey.get(index * SIDE * SIDE..(index + 1) * SIDE * SIDE).unwrap_or_default();
        let side = if pixels.is_empty() { 0 } else { SIDE };
        picture::edges([side; 2], |x, y| f32::from(pixels[y * SIDE + x]), crop)
    }

    /// What a file holds, `None` where there is none or it was made of something else.
    ///
    /// # Errors
    /// Where it is there and cannot be read.
    pub fn read(path: &Path, key: &PictureKey) -> anyhow::Result<Option<Self>> {
        if !path.exists() {
            return Ok(None);
        }
        let wrong = || format!("not pictures kept by a training run; delete it: {}", path.display());
        let bytes = std::fs::read(path).with_context(wrong)?;
        Self::parse(&bytes, key).with_context(wrong)
    }

    fn parse(bytes: &[u8], key: &PictureKey) -> anyhow::Result<Option<Self>> {
        let (_, metadata) = SafeTensors::read_metadata(bytes)?;
        let known =
            metadata.metadata().as_ref().and_then(|entries| entries.get(KEY)).context("no pictures")?;
        if serde_json::from_str::<PictureKey>(known)? != *key {
            return Ok(None);
        }
        let tensors = SafeTensors::deserialize(bytes)?;
        let people: Vec<LiftingSample> = serde_json::from_slice(tensors.tensor("people")?.data())?;
        let grey = tensors.tensor("grey")?.data().to_vec();
        ensure!(grey.len() == people.len() * SIDE * SIDE, "a picture for each person is expected");
        Ok(Some(Self { grey, people }))
    }

    /// Keeps the pictures in a file.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write(&self, path: &Path, key: &PictureKey) -> anyhow::Result<()> {
        let people = serde_json::to_vec(&self.people)?;
        let metadata = HashMap::from([(KEY.to_owned(), serde_json::to_string(key)?)]);
        let views = [
            ("people", TensorView::new(Dtype::U8, vec![people.len()], &people)?),
            ("grey", TensorView::new(Dtype::U8, vec![self.people.len(), SIDE, SIDE], &self.grey)?),
        ];
        Ok(write_atomic(path, &safetensors::serialize(views, Some(metadata))?)?)
    }
}
