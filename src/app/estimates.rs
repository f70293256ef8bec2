//! Keeps the estimate in step with the evidence: every change of person, keypoint or option asks the worker anew, and
//! answers go to the session. Spread and overlay follow on workers of their own.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bevy::prelude::*;
use bevy::render::renderer::RenderAdapterInfo;
use bevy_egui::egui;

use super::action::Action;
use super::photos::reduced;
use super::session::{Colouring, PhotoState, Session, Shown, Spread, Timeline};
use super::view3d::software;
use super::{Acting, Collecting, Waker, evidence};
use crate::body::BodyModel;
use crate::estimators::Estimate;
use crate::estimators::uncertainty::Uncertainty;
use crate::formats::picture::Picture;
use crate::progress::Slot;
use crate::raster::{MeshStyle, draw_body};
use crate::tasks::engine::load_engine;
use crate::tasks::{Latest, LiveEstimate, LiveEstimates, LiveRequest, Stage};

/// Longer side of the picture that the body is drawn over, pixels.
const OVERLAY: usize = 720;

/// How long a frame waits for a prediction: the usual one takes a third of it.
const PREDICTING: Duration = Duration::from_millis(60);

/// How long the refinement leaves the cores to a software adapter that draws what was predicted.
const DRAWING: Duration = Duration::from_millis(120);

pub struct EstimatesPlugin {
    pub weights: Option<PathBuf>,
}

impl Plugin for EstimatesPlugin {
    fn build(&self, app: &mut App) {
        let weights = self.weights.clone();
        app.add_systems(
            Startup,
            move |mut commands: Commands, waker: Res<Waker>, mut session: ResMut<Session>| {
                match Workers::start(weights.clone(), &waker) {
                    Ok(workers) => commands.insert_resource(workers),
                    Err(error) => {
                        session.error = Some(format!("no thread for estimates could be started: {error}"))
                    }
                }
            },
        )
        .add_systems(Update, (collect.in_set(Collecting), follow).chain())
        .add_systems(PostUpdate, ((act, evidence::act).in_set(Acting), request, collect_at_once).chain());
    }
}

struct SpreadRequest {
    model: Arc<BodyModel>,
    estimate: Arc<Estimate>,
}

struct OverlayRequest {
    model: Arc<BodyModel>,
    estimate: Arc<Estimate>,
    sample: Option<usize>,
    photo: u64,
    picture: Picture,
}

/// Threads that answer, and what was asked of them.
#[derive(Resource)]
pub struct Workers {
    live: LiveEstimates,
    spread: Latest<SpreadRequest>,
    spreads: Slot<(Arc<Estimate>, Spread)>,
    overlay: Latest<OverlayRequest>,
    overlays: Slot<(u64, egui::ColorImage)>,
    next_id: u64,
    /// When the newest requests were made.
    asked_at: VecDeque<(u64, Instant)>,
    /// Requests older than this belong to another person.
    first_of_person: u64,
    /// What the newest request was about.
    asked: Option<Asked>,
    spread_of: usize,
    overlay_of: Option<(usize, Option<usize>)>,
    /// Mean spread when the evidence last changed.
    spread_before: Option<f32>,
}

/// Everything that decides an estimate.
#[derive(Clone, PartialEq)]
struct Asked {
    photo: u64,
    person: usize,
    keypoints: Vec<[f32; 3]>,
    samples: usize,
    seed: u64,
    temperature: f32,
    refine: bool,
}

impl Workers {
    fn start(weights: Option<PathBuf>, waker: &Waker) -> std::io::Result<Self> {
        let live = LiveEstimates::start(move || load_engine(weights.as_deref()), waker.0.clone())?;
        let spreads: Slot<(Arc<Estimate>, Spread)> = Slot::default();
        let overlays: Slot<(u64, egui::ColorImage)> = Slot::default();
        let (done, wake) = (spreads.clone(), waker.0.clone());
        let spread = Latest::start(
            "spread",
            move |request: SpreadRequest, _| {
                let spread = spread_of(&request.model, &request.estimate);
                done.put((request.estimate, spread));
                wake();
            },
            |text| warn!("internal error while measuring the spread: {text}"),
        )?;
        let (done, wake) = (overlays.clone(), waker.0.clone());
        let overlay = Latest::start(
            "overlay",
            move |request: OverlayRequest, _| {
                done.put((request.photo, drawn_over(&request)));
                wake();
            },
            |text| warn!("internal error while drawing over the photo: {text}"),
        )?;
        Ok(Self {
            live,
            spread,
            spreads,
            overlay,
            overlays,
            next_id: 1,
            asked_at: VecDeque::new(),
            first_of_person: 0,
            asked: None,
            spread_of: 0,
            overlay_of: None,
            spread_before: None,
        })
    }
}

fn spread_of(model: &BodyModel, estimate: &Estimate) -> Spread {
    let Uncertainty { std_x, std_y, std_z, total, .. } = Uncertainty::from_estimate(model, estimate);
    let mean = total.iter().sum::<f32>() / total.len().max(1) as f32;
    Spread { x: std_x, y: std_y, z: std_z, total, mean, mean_before: None }
}

fn drawn_over(request: &OverlayRequest) -> egui::ColorImage {
    let image = reduced(&request.picture, OVERLAY);
    let [width, height] = image.size;
    let rgb = image.pixels.iter().flat_map(|p| [p.r(), p.g(), p.b()]).collect();
    let mut picture = Picture { width, height, rgb: Arc::new(rgb), path: None };
    let state = request
        .sample
        .and_then(|sample| request.estimate.samples.get(sample))
        .unwrap_or(&request.estimate.mode);
    let posed = request.model.pose(state, true);
    let style = if request.model.extras.is_some() { MeshStyle::dressed() } else { MeshStyle::default() };
    let style = MeshStyle { opacity: 0.9, occlusion_directions: 0, ..style };
    draw_body(&mut picture, &request.model, &posed.vertices, &request.estimate.camera, &style);
    let pixels = picture.rgb.chunks_exact(3).map(|p| egui::Color32::from_rgb(p[0], p[1], p[2])).collect();
    egui::ColorImage::new([width, height], pixels)
}

/// Takes what the workers finished.
pub fn collect(mut session: ResMut<Session>, workers: Option<ResMut<Workers>>) {
    let Some(workers) = workers else { return };
    if let Some(answer) = workers.live.answers.take() {
        accept(answer, &mut session, &workers);
    }
    if let Some((estimate, mut spread)) = workers.spreads.take() {
        let current = session.shown.as_ref().is_some_and(|shown| Arc::ptr_eq(&shown.estimate, &estimate));
        if current {
            spread.mean_before = workers.spread_before;
            session.spread = Some(Arc::new(spread));
        }
    }
    if let Some((photo, image)) = workers.overlays.take() {
        // While a keypoint is dragged the drawing is one estimate old: better than none.
        if session.selected == Some(photo) && session.shown.is_some() && session.view.overlay {
            session.overlay = Some(Arc::new(image));
            session.overlay_texture = None;
        }
    }
}

/// While a keypoint is held, waits for the prediction that this update asked for. Drawn with the next update it
/// would come a whole frame later, and frames of a software adapter are long.
pub fn collect_at_once(
    mut session: ResMut<Session>,
    workers: Option<ResMut<Workers>>,
    adapter: Res<RenderAdapterInfo>,
    mut waited_for: Local<u64>,
) {
    let Some(workers) = workers else { return };
    let newest = workers.next_id - 1;
    let asked_now = std::mem::replace(&mut *waited_for, newest) != newest;
    if !(asked_now && session.hand && software(&adapter)) {
        return;
    }
    let began = Instant::now();
    while began.elapsed() < PREDICTING {
        match workers.live.answers.take() {
            Some(answer) => {
                let id = answer.id;
                accept(answer, &mut session, &workers);
                if id >= newest {
                    return;
                }
            }
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// Shows an answer.
fn accept(answer: LiveEstimate, session: &mut Session, workers: &Workers) {
    if answer.id < workers.first_of_person {
        return;
    }
    let newest = answer.id >= workers.next_id - 1;
    if answer.last && newest {
        session.estimating = false;
    }
    let asked_at = workers.asked_at.iter().find(|(id, _)| *id == answer.id).map(|(_, at)| *at);
    match answer.result {
        Ok(estimate) => {
            session.estimate_error = None;
            let samples = estimate.samples.len();
            if session.view.sample.is_some_and(|sample| sample >= samples) {
                session.view.sample = None;
            }
            if let Some(refinement) = &estimate.refinement {
                session.timeline = Some(Timeline::new(Arc::new(refinement.clone())));
            } else if answer.last {
                session.timeline = None;
            } else if let Some(timeline) = session.timeline.as_mut() {
                // The old steps stay below until the new ones come; the stage shows the new evidence at once.
                timeline.on_stage = false;
                timeline.playing = false;
            }
            let latency = asked_at.map_or(answer.took, |at| at.elapsed());
            if answer.stage == Stage::Predicted {
                session.predicted_after = latency;
            }
            session.shown = Some(Shown {
                estimate,
                stage: answer.stage,
                took: answer.took,
                device: answer.device,
                latency,
            });
        }
        Err(error) => {
            session.estimating &= !newest;
            session.estimate_error = Some(error);
        }
    }
}

/// Asks for the spread and the drawing over the photo where what is shown changed.
fn follow(session: Res<Session>, workers: Option<ResMut<Workers>>) {
    let Some(mut workers) = workers else { return };
    let (Some(shown), Some(model)) = (&session.shown, &session.body) else {
        workers.spread_of = 0;
        workers.overlay_of = None;
        return;
    };
    let address = Arc::as_ptr(&shown.estimate) as usize;
    // While a keypoint is dragged the cores are needed for the estimates themselves.
    let wanted = !session.estimating || session.view.colouring == Colouring::Uncertainty;
    if wanted && workers.spread_of != address && shown.estimate.samples.len() > 1 {
        workers.spread_of = address;
        workers.spread.submit(SpreadRequest { model: model.clone(), estimate: shown.estimate.clone() });
    }
    let overlay_of = (address, session.view.sample);
    if session.view.overlay
        && workers.overlay_of != Some(overlay_of)
        && let Some((photo, picture)) =
            session.photo().and_then(|photo| Some((photo.id, photo.picture.clone()?)))
    {
        workers.overlay_of = Some(overlay_of);
        workers.overlay.submit(OverlayRequest {
            model: model.clone(),
            estimate: shown.estimate.clone(),
            sample: session.view.sample,
            photo,
            picture,
        });
    }
    if !session.view.overlay {
        workers.overlay_of = None;
    }
}

fn act(mut actions: MessageReader<Action>, workers: Option<ResMut<Workers>>) {
    let Some(mut workers) = workers else { return };
    for action in actions.read() {
        if let Action::UseWeights(path) = action {
            let path = path.clone();
            workers.live.use_engine(move || load_engine(Some(&path)));
            workers.asked = None;
        }
    }
}

/// Asks for an estimate where anything that decides it changed.
fn request(mut session: ResMut<Session>, workers: Option<ResMut<Workers>>, adapter: Res<RenderAdapterInfo>) {
    let Some(mut workers) = workers else { return };
    let Some(photo) = session.photo() else {
        workers.asked = None;
        return;
    };
    let (PhotoState::Ready, Some(picture), Some(person)) =
        (&photo.state, &photo.picture, photo.current_person())
    else {
        return;
    };
    let asked = Asked {
        photo: photo.id,
        person: photo.person,
        keypoints: person.keypoints.iter().map(|k| [k.x, k.y, k.score]).collect(),
        samples: session.options.samples,
        seed: session.options.seed,
        temperature: session.options.temperature,
        refine: session.refine,
    };
    if workers.asked.as_ref() == Some(&asked) {
        return;
    }
    let id = workers.next_id;
    workers.next_id += 1;
    let same_person =
        workers.asked.as_ref().is_some_and(|old| (old.photo, old.person) == (asked.photo, asked.person));
    let mut before = None;
    if !same_person {
        workers.first_of_person = id;
        workers.spread_before = None;
        before = Some(None);
    } else if workers.asked.as_ref().is_some_and(|old| old.keypoints != asked.keypoints)
        && let Some(spread) = session.spread.as_ref().filter(|_| !session.estimating)
    {
        workers.spread_before = Some(spread.mean);
        before = Some(session.shown.as_ref().map(|shown| shown.estimate.clone()));
    }
    workers.asked_at.push_back((id, Instant::now()));
    if workers.asked_at.len() > 64 {
        workers.asked_at.pop_front();
    }
    workers.live.request(LiveRequest {
        id,
        picture: picture.clone(),
        person: person.clone(),
        options: session.options.clone(),
        refine: session.refine,
        pause: if session.hand && software(&adapter) { DRAWING } else { Duration::ZERO },
    });
    workers.asked = Some(asked);
    if let Some(before) = before {
        session.before = before;
    }
    session.estimating = true;
}
