//! The jobs of a window: each on a thread of its own, a bounded number at once, and what is known of each.
//! One file because the lock, the workers that take it and the tests that race them are read together.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::task::{Outcome, Task, Wake, lower_thread_priority, run_here};
use crate::progress::{Cancel, Event, Reporter};

/// Points kept of a curve; a longer one loses every other point, so its shape stays.
const CURVE_POINTS: usize = 2000;
/// Warnings kept in full; further ones are counted.
const WARNINGS_KEPT: usize = 100;
/// Length of the window over which the rate is measured.
const RATE_SPAN: Duration = Duration::from_secs(20);

#[derive(Clone, Debug, PartialEq)]
pub enum TaskStatus {
    /// Others run first.
    Waiting,
    Running,
    Finished(Outcome),
    Failed(String),
    Cancelled,
}

/// One named curve of a job: (step, value), thinned out where it is long.
#[derive(Clone, Debug, Default)]
pub struct Curve {
    pub points: Vec<(u64, f64)>,
    keep_every: u64,
    seen: u64,
}

impl Curve {
    fn push(&mut self, step: u64, value: f64) {
        let keep_every = self.keep_every.max(1);
        if self.seen.is_multiple_of(keep_every) {
            self.points.push((step, value));
        }
        self.seen += 1;
        if self.points.len() > CURVE_POINTS {
            let mut index = 0;
            self.points.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.keep_every = keep_every * 2;
        }
    }
}

/// What is known of a job at one moment.
#[derive(Clone, Debug)]
pub struct TaskSnapshot {
    pub id: u64,
    pub title: String,
    pub status: TaskStatus,
    pub done: u64,
    /// 0 where unknown.
    pub total: u64,
    pub unit: String,
    /// Units a second over the last 20 s.
    pub rate: Option<f64>,
    pub time_left: Option<Duration>,
    /// Since it began to run, and until it ended.
    pub elapsed: Duration,
    pub curves: BTreeMap<String, Curve>,
    pub warnings: Vec<String>,
    /// Warnings beyond those kept.
    pub more_warnings: usize,
}

struct Record {
    title: String,
    status: TaskStatus,
    done: u64,
    total: u64,
    unit: String,
    recent: VecDeque<(Instant, u64)>,
    began: Option<Instant>,
    ended: Option<Instant>,
    curves: BTreeMap<String, Curve>,
    warnings: Vec<String>,
    more_warnings: usize,
}

impl Record {
    fn apply(&mut self, event: Event, now: Instant) {
        match event {
            Event::Started { .. } => {
                self.status = TaskStatus::Running;
                self.began = Some(now);
            }
            Event::Progress { done, total, unit } => {
                if unit != self.unit || done < self.done {
                    self.recent.clear();
                }
                (self.done, self.total, self.unit) = (done, total, unit);
                self.recent.push_back((now, done));
                while self.recent.len() > 2
                    && self.recent.get(1).is_some_and(|(at, _)| now.duration_since(*at) > RATE_SPAN)
                {
                    self.recent.pop_front();
                }
                if self.recent.len() > 512 {
                    let mut index = 0;
                    self.recent.retain(|_| {
                        index += 1;
                        index % 2 == 1 || index > 500
                    });
                }
            }
            Event::Metric { name, step, value } => self.curves.entry(name).or_default().push(step, value),
            Event::Warning { message } => {
                if self.warnings.len() < WARNINGS_KEPT {
                    self.warnings.push(message);
                } else {
                    self.more_warnings += 1;
                }
            }
            // The status at the end is set from the run's result.
            Event::Finished { .. } | Event::Failed { .. } => self.ended = Some(now),
        }
    }

    fn rate(&self) -> Option<f64> {
        let ((first, from), (last, to)) = (*self.recent.front()?, *self.recent.back()?);
        let seconds = last.duration_since(first).as_secs_f64();
        (seconds > 0.05 && to > from).then(|| (to - from) as f64 / seconds)
    }
}

struct Shared {
    id: u64,
    record: Mutex<Record>,
    cancel: Cancel,
}

/// A job that was started. Cheap to clone; dropping it does not stop the job.
#[derive(Clone)]
pub struct TaskHandle(Arc<Shared>);

impl TaskHandle {
    pub fn id(&self) -> u64 {
        self.0.id
    }

    pub fn cancel(&self) {
        self.0.cancel.cancel();
    }

    pub fn is_over(&self) -> bool {
        !matches!(self.record().status, TaskStatus::Waiting | TaskStatus::Running)
    }

    pub fn snapshot(&self) -> TaskSnapshot {
        let record = self.record();
        let rate = record.rate();
        let left = record.total.saturating_sub(record.done);
        TaskSnapshot {
            id: self.0.id,
            title: record.title.clone(),
            status: record.status.clone(),
            done: record.done,
            total: record.total,
            unit: record.unit.clone(),
            rate,
            time_left: rate
                .filter(|_| record.total > 0)
                .map(|rate| Duration::from_secs_f64((left as f64 / rate).min(1e7))),
            elapsed: record.began.map_or(Duration::ZERO, |began| {
                record.ended.unwrap_or_else(Instant::now).duration_since(began)
            }),
            curves: record.curves.clone(),
            warnings: record.warnings.clone(),
            more_warnings: record.more_warnings,
        }
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.0.record.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Starts jobs and remembers them until they are removed.
pub struct TaskQueue {
    handles: Vec<TaskHandle>,
    next_id: u64,
    wake: Wake,
    gate: Arc<Gate>,
}

/// Lets a bounded number of jobs run at once.
struct Gate {
    free: Mutex<usize>,
    changed: Condvar,
}

impl TaskQueue {
    /// `at_once` jobs run, the others wait. `wake` is called from the jobs' threads, at most some 15 times a second a job.
    pub fn new(at_once: usize, wake: Wake) -> Self {
        let gate = Arc::new(Gate { free: Mutex::new(at_once.max(1)), changed: Condvar::new() });
        Self { handles: Vec::new(), next_id: 1, wake, gate }
    }

    /// Starts `task` on a thread of its own and remembers it.
    pub fn start(&mut self, task: Box<dyn Task>) -> TaskHandle {
        let id = self.next_id;
        self.next_id += 1;
        let handle = TaskHandle(Arc::new(Shared {
            id,
            record: Mutex::new(Record {
                title: task.title(),
                status: TaskStatus::Waiting,
                done: 0,
                total: 0,
                unit: String::new(),
                recent: VecDeque::new(),
                began: None,
                ended: None,
                curves: BTreeMap::new(),
                warnings: Vec::new(),
                more_warnings: 0,
            }),
            cancel: Cancel::new(),
        }));
        self.handles.push(handle.clone());
        let (watched, wake, gate) = (handle.clone(), self.wake.clone(), self.gate.clone());
        let spawned = std::thread::Builder::new()
            .name(format!("task {id}"))
            .spawn(move || run_on_this_thread(task, &watched, &wake, &gate));
        if let Err(error) = spawned {
            handle.record().status = TaskStatus::Failed(format!("no thread could be started: {error}"));
        }
        handle
    }

    /// Newest first.
    pub fn handles(&self) -> impl Iterator<Item = &TaskHandle> {
        self.handles.iter().rev()
    }

    pub fn get(&self, id: u64) -> Option<&TaskHandle> {
        self.handles.iter().find(|handle| handle.id() == id)
    }

    pub fn running(&self) -> usize {
        self.handles.iter().filter(|handle| !handle.is_over()).count()
    }

    /// Forgets jobs that are over.
    pub fn clear_finished(&mut self) {
        self.handles.retain(|handle| !handle.is_over());
    }

    /// Raises every job's flag and waits until they ended or `patience` is over.
    pub fn stop_all(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        self.handles.iter().for_each(TaskHandle::cancel);
        self.gate.changed.notify_all();
        while self.running() > 0 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Gate {
    /// Waits for a place; `false` where `cancel` was raised meanwhile.
    fn enter(&self, cancel: &Cancel) -> bool {
        let mut free = self.free.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        while *free == 0 && !cancel.is_cancelled() {
            free = self
                .changed
                .wait_timeout(free, Duration::from_millis(200))
                .unwrap_or_else(|poisoned| poisoned.into_inner())
                .0;
        }
        if cancel.is_cancelled() {
            return false;
        }
        *free -= 1;
        true
    }

    fn leave(&self) {
        *self.free.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) += 1;
        self.changed.notify_one();
    }
}

fn run_on_this_thread(mut task: Box<dyn Task>, handle: &TaskHandle, wake: &Wake, gate: &Gate) {
    if !gate.enter(&handle.0.cancel) {
        handle.record().status = TaskStatus::Cancelled;
        wake();
        return;
    }
    let (watched, wake_often) = (handle.clone(), throttled(wake.clone()));
    let reporter = Reporter::new(move |event| {
        watched.record().apply(event, Instant::now());
        wake_often();
    });
    let cancel = &handle.0.cancel;
    let result = if task.is_background() {
        // A pool of its own: what it computes in parallel neither queues in front of live estimates nor outranks them.
        let pool = rayon::ThreadPoolBuilder::new()
            .thread_name(|index| format!("background {index}"))
            .start_handler(|_| lower_thread_priority())
            .build();
        match pool {
            Ok(pool) => pool.install(|| run_here(task.as_mut(), &reporter, cancel)),
            Err(_) => run_here(task.as_mut(), &reporter, cancel),
        }
    } else {
        run_here(task.as_mut(), &reporter, cancel)
    };
    handle.record().status = match result {
        Ok(outcome) => TaskStatus::Finished(outcome),
        Err(_) if cancel.is_cancelled() => TaskStatus::Cancelled,
        Err(error) => TaskStatus::Failed(format!("{error:#}")),
    };
    gate.leave();
    wake();
}

/// At most one call every 66 ms; the job's end calls `wake` itself.
fn throttled(wake: Wake) -> impl Fn() + Send + Sync {
    let last = Mutex::new(None::<Instant>);
    move || {
        let now = Instant::now();
        let mut last = last.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if last.is_none_or(|at| now.duration_since(at) > Duration::from_millis(66)) {
            *last = Some(now);
            drop(last);
            wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Job<F>(F);

    impl<F: FnMut(&Reporter, &Cancel) -> anyhow::Result<Outcome> + Send> Task for Job<F> {
        fn title(&self) -> String {
            "job".to_owned()
        }

        fn run(&mut self, reporter: &Reporter, cancel: &Cancel) -> anyhow::Result<Outcome> {
            (self.0)(reporter, cancel)
        }
    }

    fn wait(handle: &TaskHandle) -> TaskSnapshot {
        for _ in 0..2000 {
            if handle.is_over() {
                return handle.snapshot();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("still {:?}", handle.snapshot().status);
    }

    #[test]
    fn events_of_a_job_end_up_in_its_snapshot() {
        let mut queue = TaskQueue::new(1, Arc::new(|| {}));
        let handle = queue.start(Box::new(Job(|reporter: &Reporter, _: &Cancel| {
            for step in 0..=10 {
                reporter.progress(step, 20, "steps");
                reporter.metric("loss", step, 1.0 / (step + 1) as f64);
                std::thread::sleep(Duration::from_millis(10));
            }
            reporter.warn("one photo is blurred");
            Ok(Outcome::new("done"))
        })));
        let snapshot = wait(&handle);
        assert_eq!(snapshot.status, TaskStatus::Finished(Outcome::new("done")));
        assert_eq!((snapshot.done, snapshot.total, snapshot.unit.as_str()), (10, 20, "steps"));
        assert_eq!(snapshot.curves["loss"].points.len(), 11);
        assert_eq!(snapshot.warnings, ["one photo is blurred"]);
        let rate = snapshot.rate.expect("progress was made");
        assert!(rate > 1.0 && rate < 100.0, "{rate}");
        assert!(snapshot.time_left.is_some());
    }

    #[test]
    fn a_panic_fails_the_job_and_frees_its_place() {
        let mut queue = TaskQueue::new(1, Arc::new(|| {}));
        let broken = queue.start(Box::new(Job(|_: &Reporter, _: &Cancel| panic!("on purpose"))));
        let next = queue.start(Box::new(Job(|_: &Reporter, _: &Cancel| Ok(Outcome::default()))));
        assert!(matches!(wait(&broken).status, TaskStatus::Failed(text) if text.contains("on purpose")));
        assert!(matches!(wait(&next).status, TaskStatus::Finished(_)));
        queue.clear_finished();
        assert_eq!(queue.handles().count(), 0);
    }

    #[test]
    fn waiting_and_running_jobs_can_be_cancelled() {
        let mut queue = TaskQueue::new(1, Arc::new(|| {}));
        let until_cancelled = |_: &Reporter, cancel: &Cancel| {
            while !cancel.is_cancelled() {
                std::thread::sleep(Duration::from_millis(1));
            }
            anyhow::bail!("stopped")
        };
        let running = queue.start(Box::new(Job(until_cancelled)));
        let waiting = queue.start(Box::new(Job(until_cancelled)));
        queue.stop_all(Duration::from_secs(10));
        assert_eq!(wait(&running).status, TaskStatus::Cancelled);
        assert_eq!(wait(&waiting).status, TaskStatus::Cancelled);
    }

    #[test]
    fn long_curves_are_thinned_and_keep_their_ends() {
        let mut curve = Curve::default();
        (0..100_000).for_each(|step| curve.push(step, step as f64));
        assert!(curve.points.len() <= CURVE_POINTS + 1);
        assert_eq!(curve.points[0].0, 0);
        assert!(curve.points.last().is_some_and(|(step, _)| *step > 99_000 - 200));
        assert!(curve.points.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
