//! Estimates that follow the user's hand: predicted at once, refined shortly after, newest request first.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::latest::Latest;
use super::task::Wake;
use crate::estimators::{Estimate, EstimateError, EstimateOptions, Estimator, Refiner};
use crate::formats::picture::Picture;
use crate::keypoints::Person;
use crate::progress::{Cancel, Slot};

/// What estimates are made with. Loaded on the worker, since weights take time.
#[derive(Clone)]
pub struct Engine {
    pub estimator: Arc<dyn Estimator>,
    pub refiner: Option<Arc<dyn Refiner>>,
    /// Where its networks run, for people.
    pub device: Arc<str>,
}

/// One person in one photo, as the user sees it now.
#[derive(Clone)]
pub struct LiveRequest {
    /// Comes back with every answer.
    pub id: u64,
    pub picture: Picture,
    pub person: Person,
    pub options: EstimateOptions,
    pub refine: bool,
    /// Time left to others between the prediction and its refinement, which takes all cores.
    pub pause: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// As the network gives it.
    Predicted,
    /// Made to agree with the keypoints.
    Refined,
}

/// One answer. A request gives a predicted and, where wanted, a refined one.
pub struct LiveEstimate {
    pub id: u64,
    pub stage: Stage,
    /// No further answer to this request will come.
    pub last: bool,
    pub result: Result<Arc<Estimate>, String>,
    /// Time the network or the refiner took.
    pub took: Duration,
    /// Where the network ran; empty where none was loaded.
    pub device: Arc<str>,
}

/// Loads what estimates are made with.
type LoadEngine = Box<dyn FnOnce() -> anyhow::Result<Engine> + Send>;

/// The worker. Answers arrive in `answers`, the newest only.
pub struct LiveEstimates {
    worker: Latest<LiveRequest>,
    next_engine: Slot<LoadEngine>,
    pub answers: Slot<LiveEstimate>,
}

impl LiveEstimates {
    /// `load` runs on the worker before the first estimate. `wake` is called after each answer.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn start(
        load: impl FnOnce() -> anyhow::Result<Engine> + Send + 'static,
        wake: Wake,
    ) -> std::io::Result<Self> {
        let answers = Slot::default();
        let next_engine: Slot<LoadEngine> = Slot::default();
        next_engine.put(Box::new(load));
        let (theirs, on_panic, engines) = (answers.clone(), answers.clone(), next_engine.clone());
        let wake_on_panic = wake.clone();
        let mut engine = Err("not loaded yet".to_owned());
        let worker = Latest::start(
            "estimates",
            move |request: LiveRequest, superseded| {
                if let Some(load) = engines.take() {
                    engine = load().map_err(|error| format!("{error:#}"));
                }
                answer(&request, &engine, superseded, |answer| {
                    theirs.put(answer);
                    wake();
                });
            },
            move |text| {
                on_panic.put(LiveEstimate {
                    id: u64::MAX,
                    stage: Stage::Predicted,
                    last: true,
                    result: Err(format!("internal error: {text}")),
                    took: Duration::ZERO,
                    device: Arc::default(),
                });
                wake_on_panic();
            },
        )?;
        Ok(Self { worker, next_engine, answers })
    }

    /// Asks for an estimate; a refinement under way stops.
    pub fn request(&self, request: LiveRequest) {
        self.worker.submit(request);
    }

    /// Other weights from the next request on.
    pub fn use_engine(&self, load: impl FnOnce() -> anyhow::Result<Engine> + Send + 'static) {
        self.next_engine.put(Box::new(load));
    }
}

/// The prediction runs to its end even where a newer request waits: it is short, and while a keypoint is
/// dragged a newer one always waits. The refinement is dropped at once.
fn answer(
    request: &LiveRequest,
    engine: &Result<Engine, String>,
    superseded: &Cancel,
    publish: impl Fn(LiveEstimate),
) {
    let device: Arc<str> = engine.as_ref().map(|engine| engine.device.clone()).unwrap_or_default();
    let tell = |stage, last, result, began: Instant| {
        let (took, device) = (began.elapsed(), device.clone());
        publish(LiveEstimate { id: request.id, stage, last, result, took, device });
    };
    let began = Instant::now();
    let engine = match engine {
        Ok(engine) => engine,
        Err(error) => return tell(Stage::Predicted, true, Err(error.clone()), began),
    };
    let predicted =
        engine.estimator.estimate(&request.picture, &request.person, &request.options, &Cancel::new());
    let predicted = match predicted {
        Ok(predicted) => Arc::new(predicted),
        Err(error) => return tell(Stage::Predicted, true, Err(error.to_string()), began),
    };
    let refiner = engine.refiner.as_ref().filter(|_| request.refine);
    tell(Stage::Predicted, refiner.is_none(), Ok(predicted.clone()), began);
    let Some(refiner) = refiner else { return };
    let began = Instant::now();
    while began.elapsed() < request.pause && !superseded.is_cancelled() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let began = Instant::now();
    match refiner.refine(&predicted, &request.person, superseded) {
        Ok(refined) => tell(Stage::Refined, true, Ok(Arc::new(refined)), began),
        Err(EstimateError::Cancelled) => {}
        Err(error) => tell(Stage::Refined, true, Err(error.to_string()), began),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::BodyState;
    use crate::geometry::camera::{Camera, Projection};
    use crate::keypoints::{COCO_KEYPOINTS, Keypoint, KeypointSource};
    use std::sync::Mutex;
    use std::sync::mpsc;

    struct Fake;

    impl Estimator for Fake {
        fn name(&self) -> String {
            "fake".to_owned()
        }

        fn estimate(
            &self,
            _: &Picture,
            _: &Person,
            options: &EstimateOptions,
            _: &Cancel,
        ) -> Result<Estimate, EstimateError> {
            if options.samples == 0 {
                return Err(EstimateError::TooFewKeypoints { visible: 1, needed: 4 });
            }
            Ok(Estimate {
                mode: BodyState::rest(10),
                camera: Camera {
                    projection: Projection::WeakPerspective { scale_px: 1.0, origin_px: [0.0; 2] },
                    size: [1.0; 2],
                },
                samples: vec![BodyState::rest(10); options.samples],
                log_prob: vec![0.0; options.samples],
                evidence: Vec::new(),
                seed: options.seed,
                source: self.name(),
                refinement: None,
                prior: None,
            })
        }
    }

    impl Refiner for Fake {
        fn refine(
            &self,
            estimate: &Estimate,
            _: &Person,
            cancel: &Cancel,
        ) -> Result<Estimate, EstimateError> {
            if estimate.seed == 99 {
                return Ok(Estimate { source: "refined".to_owned(), ..estimate.clone() });
            }
            while !cancel.is_cancelled() {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(EstimateError::Cancelled)
        }
    }

    fn request(id: u64, seed: u64, samples: usize) -> LiveRequest {
        LiveRequest {
            id,
            picture: Picture { width: 1, height: 1, rgb: Arc::new(vec![0; 3]), path: None },
            person: Person {
                bbox: [0.0, 0.0, 1.0, 1.0],
                keypoints: [Keypoint { x: 0.0, y: 0.0, score: 1.0 }; COCO_KEYPOINTS],
                score: 1.0,
                source: KeypointSource::Hand,
                mask: None,
            },
            options: EstimateOptions { samples, seed, temperature: 1.0 },
            refine: true,
            pause: Duration::ZERO,
        }
    }

    #[test]
    fn every_request_of_a_drag_is_predicted_or_skipped_and_the_last_one_refined() {
        let (woken, wakes) = mpsc::channel();
        let woken = Mutex::new(woken);
        let wake: Wake = Arc::new(move || {
            let _ = woken.lock().map(|woken| woken.send(()));
        });
        let engine =
            Engine { estimator: Arc::new(Fake), refiner: Some(Arc::new(Fake)), device: "CPU".into() };
        let live = LiveEstimates::start(move || Ok(engine), wake).expect("a thread");
        // A wake may find its answer taken already: the slot holds the newest one only.
        let answered = |id, stage| loop {
            wakes.recv_timeout(Duration::from_secs(10)).expect("an answer");
            match live.answers.take() {
                Some(answer) if (answer.id, answer.stage) == (id, stage) => return answer,
                _ => {}
            }
        };
        for id in 1..=20 {
            live.request(request(id, id, 2));
            assert!(!answered(id, Stage::Predicted).last);
        }
        live.request(request(21, 99, 2));
        let refined = answered(21, Stage::Refined);
        assert_eq!((refined.id, refined.last), (21, true));
        assert_eq!(refined.result.expect("an estimate").source, "refined");

        live.request(request(22, 0, 0));
        let failed = answered(22, Stage::Predicted);
        assert!(failed.last && failed.result.expect_err("too few keypoints").contains("by hand"));
    }
}
