//! Opening photos: by drop, dialog, path or example. Reading and finding people happen on a worker.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use bevy::prelude::*;
use bevy::window::FileDragAndDrop;
use bevy_egui::egui;

use super::action::Action;
use super::session::{Example, Photo, PhotoState, Session, box_around, standing_person};
use super::{Acting, Collecting, Waker};
use crate::formats::picture::{Picture, has_picture_ending, pictures_in};
use crate::formats::registry;
use crate::keypoints::{DetectOptions, Finder, Network, Person};
use crate::progress::Cancel;
use crate::tasks::Wake;
use crate::tasks::engine::load_finder;
use crate::tensors::device::DeviceChoice;

/// Longer side of the copies for the screen, pixels.
const PREVIEW: usize = 1200;
const THUMBNAIL: usize = 160;
/// Examples shown on the first screen.
const EXAMPLES: usize = 3;

pub struct PhotosPlugin {
    pub open: Vec<PathBuf>,
}

impl Plugin for PhotosPlugin {
    fn build(&self, app: &mut App) {
        let open = self.open.clone();
        app.add_systems(Startup, move |mut commands: Commands, waker: Res<Waker>| {
            let reader = PhotoReader::start(waker.0.clone());
            reader.ask(Job::Examples);
            commands.insert_resource(reader);
        })
        .add_systems(PostStartup, move |mut actions: MessageWriter<Action>| {
            actions.write_batch(open.iter().cloned().map(Action::Open));
        })
        .add_systems(Update, (drops, collect.in_set(Collecting)))
        .add_systems(PostUpdate, act.in_set(Acting));
    }
}

enum Job {
    Photo(u64, PathBuf, Network),
    /// People once more, by another network.
    Again(u64, Picture, Network),
    Examples,
}

enum News {
    Read {
        id: u64,
        picture: Picture,
        preview: Arc<egui::ColorImage>,
        thumbnail: Arc<egui::ColorImage>,
    },
    People {
        id: u64,
        people: Vec<Person>,
    },
    Failed {
        id: u64,
        error: String,
    },
    NetworkFailed {
        network: Network,
        error: String,
    },
    Example(PathBuf, Arc<egui::ColorImage>),
    /// Chosen in the system's dialog.
    Chosen(PathBuf),
}

/// The worker's two ends.
#[derive(Resource)]
struct PhotoReader {
    jobs: Sender<Job>,
    news: Mutex<Receiver<News>>,
    from_dialogs: Sender<News>,
    wake: Wake,
    next_id: u64,
}

impl PhotoReader {
    fn start(wake: Wake) -> Self {
        let (jobs, to_do) = channel();
        let (done, news) = channel();
        let (from_dialogs, theirs) = (done.clone(), wake.clone());
        let spawned = std::thread::Builder::new().name("photos".to_owned()).spawn(move || {
            let mut finder = None;
            for job in to_do {
                let mut tell = |news| {
                    // The window is gone where nobody listens.
                    let _ = done.send(news);
                    theirs();
                };
                match job {
                    Job::Photo(id, path, network) => read(id, &path, network, &mut finder, &mut tell),
                    Job::Again(id, picture, network) => {
                        tell(look_again(id, &picture, network, &mut finder));
                    }
                    Job::Examples => examples(&mut tell),
                }
            }
        });
        if let Err(error) = spawned {
            warn!("no thread for reading photos: {error}");
        }
        Self { jobs, news: Mutex::new(news), from_dialogs, wake, next_id: 1 }
    }

    fn ask(&self, job: Job) {
        if self.jobs.send(job).is_err() {
            warn!("the thread that reads photos has ended");
        }
    }

    /// The system's dialog, which may block for as long as it likes on a thread of its own.
    fn show_dialog(&self) {
        let (chosen, wake) = (self.from_dialogs.clone(), self.wake.clone());
        let spawned = std::thread::Builder::new().name("dialog".to_owned()).spawn(move || {
            let files = rfd::FileDialog::new()
                .set_title("Open photos")
                .add_filter("Photos", &["jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff"])
                .pick_files();
            for path in files.into_iter().flatten() {
                let _ = chosen.send(News::Chosen(path));
            }
            wake();
        });
        if let Err(error) = spawned {
            warn!("no thread for the dialog: {error}");
        }
    }
}

/// The networks in use; another choice replaces them.
type Loaded = Option<(Network, Finder)>;

fn people_of(picture: &Picture, network: Network, loaded: &mut Loaded) -> Result<Vec<Person>, String> {
    let finder = match loaded {
        Some((of, finder)) if *of == network => finder,
        _ => {
            let finder = load_finder(network, DeviceChoice::Auto).map_err(|error| format!("{error:#}"))?;
            &mut loaded.insert((network, finder)).1
        }
    };
    finder.find_people(picture, &DetectOptions::default(), &Cancel::new()).map_err(|error| error.to_string())
}

/// A panic fails this photo only.
fn caught<T>(steps: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(steps))
        .unwrap_or_else(|_| Err("internal error while reading this photo".to_owned()))
}

/// Reads a photo and looks for people, telling each as soon as it is known.
fn read(id: u64, path: &Path, network: Network, loaded: &mut Loaded, tell: &mut impl FnMut(News)) {
    let read = caught(|| {
        let picture = Picture::read(path).map_err(|error| match registry::content_of(path) {
            Ok(Some(content)) => format!(
                "no photo: this is {} (Ctrl+K, Models and data): {}",
                content.description(),
                path.display()
            ),
            _ => error.to_string(),
        })?;
        Ok((Arc::new(reduced(&picture, PREVIEW)), Arc::new(reduced(&picture, THUMBNAIL)), picture))
    });
    let (preview, thumbnail, picture) = match read {
        Ok(read) => read,
        Err(error) => return tell(News::Failed { id, error }),
    };
    tell(News::Read { id, picture: picture.clone(), preview, thumbnail });
    tell(match caught(|| people_of(&picture, network, loaded)) {
        Ok(people) => News::People { id, people },
        Err(error) => News::Failed { id, error },
    });
}

/// Looks for the people of a photo that is already open; where that fails, they stay as they are.
fn look_again(id: u64, picture: &Picture, network: Network, loaded: &mut Loaded) -> News {
    match caught(|| people_of(picture, network, loaded)) {
        Ok(people) => News::People { id, people },
        Err(error) => News::NetworkFailed { network, error },
    }
}

/// Thumbnails of the example photos beside the program.
fn examples(tell: &mut impl FnMut(News)) {
    let Some(folder) = examples_folder() else { return };
    let Ok(entries) = std::fs::read_dir(&folder) else { return };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| has_picture_ending(path));
    paths.sort();
    for path in paths.into_iter().take(EXAMPLES) {
        if let Ok(picture) = Picture::read(&path) {
            tell(News::Example(path, Arc::new(reduced(&picture, THUMBNAIL * 2))));
        }
    }
}

/// `assets/photos` beside the program, in the folder it is run from, or in the source tree.
fn examples_folder() -> Option<PathBuf> {
    let beside = std::env::current_exe().ok();
    let beside = beside.iter().flat_map(|program| program.ancestors().skip(1).take(4)).map(Path::to_owned);
    let mut places = beside.chain([PathBuf::from("."), PathBuf::from(env!("CARGO_MANIFEST_DIR"))]);
    places.find_map(|place| Some(place.join("assets/photos")).filter(|folder| folder.is_dir()))
}

/// A copy whose longer side is at most `side` pixels, every pixel the mean of those it covers.
pub fn reduced(picture: &Picture, side: usize) -> egui::ColorImage {
    let step = picture.width.max(picture.height).div_ceil(side).max(1);
    let (width, height) = (picture.width.div_ceil(step), picture.height.div_ceil(step));
    let mut pixels = Vec::with_capacity(width * height);
    for row in 0..height {
        for column in 0..width {
            let (mut sum, mut count) = ([0u32; 3], 0u32);
            for y in (row * step)..((row + 1) * step).min(picture.height) {
                for x in (column * step)..((column + 1) * step).min(picture.width) {
                    let at = (y * picture.width + x) * 3;
                    if let Some(rgb) = picture.rgb.get(at..at + 3) {
                        sum.iter_mut().zip(rgb).for_each(|(sum, value)| *sum += u32::from(*value));
                        count += 1;
                    }
                }
            }
            let [r, g, b] = sum.map(|sum| (sum / count.max(1)) as u8);
            pixels.push(egui::Color32::from_rgb(r, g, b));
        }
    }
    egui::ColorImage::new([width, height], pixels)
}

fn drops(mut dropped: MessageReader<FileDragAndDrop>, mut actions: MessageWriter<Action>) {
    for event in dropped.read() {
        if let FileDragAndDrop::DroppedFile { path_buf, .. } = event {
            actions.write(Action::Open(path_buf.clone()));
        }
    }
}

fn collect(reader: Res<PhotoReader>, mut session: ResMut<Session>, mut actions: MessageWriter<Action>) {
    let Ok(news) = reader.news.lock() else { return };
    for news in news.try_iter() {
        match news {
            News::Read { id, picture, preview, thumbnail } => {
                if let Some(photo) = session.photos.iter_mut().find(|photo| photo.id == id) {
                    photo.picture = Some(picture);
                    photo.preview = Some(preview);
                    photo.thumbnail = Some(thumbnail);
                    photo.state = PhotoState::Looking;
                }
            }
            News::People { id, people } => {
                if let Some(photo) = session.photos.iter_mut().find(|photo| photo.id == id) {
                    photo.person = if photo.person < people.len() { photo.person } else { 0 };
                    photo.found = people.clone();
                    photo.people = people;
                    photo.state = PhotoState::Ready;
                }
            }
            News::Failed { id, error } => {
                if let Some(photo) = session.photos.iter_mut().find(|photo| photo.id == id) {
                    photo.state = PhotoState::Failed(error);
                }
            }
            News::NetworkFailed { network, error } => {
                if session.network == network {
                    session.network = Network::default();
                }
                session.error = Some(error);
            }
            News::Example(path, thumbnail) => {
                let name = path.file_stem().map(|name| name.to_string_lossy().replace(['_', '-'], " "));
                session.examples.push(Example {
                    path,
                    caption: name.unwrap_or_default(),
                    thumbnail,
                    texture: None,
                });
            }
            News::Chosen(path) => {
                actions.write(Action::Open(path));
            }
        }
    }
}

fn act(
    mut actions: MessageReader<Action>,
    mut session: ResMut<Session>,
    reader: Option<ResMut<PhotoReader>>,
) {
    let Some(mut reader) = reader else { return };
    for action in actions.read() {
        match action {
            Action::AskForPhotos => reader.show_dialog(),
            Action::Open(path) => open(path, &mut session, &mut reader),
            Action::SelectPhoto(id) if session.selected != Some(*id) => {
                session.selected = Some(*id);
                session.clear_estimate();
            }
            Action::ClosePhoto(id) => {
                session.photos.retain(|photo| photo.id != *id);
                if session.selected == Some(*id) {
                    session.selected = session.photos.last().map(|photo| photo.id);
                    session.clear_estimate();
                }
            }
            Action::SelectPerson(person) => {
                let changed = session.photo_mut().is_some_and(|photo| {
                    let changed = photo.person != *person && *person < photo.people.len();
                    if changed {
                        photo.person = *person;
                    }
                    changed
                });
                if changed {
                    session.clear_estimate();
                }
            }
            Action::UseKeypointNetwork(network) => {
                session.error = None;
                session.network = *network;
                // The photo that is looked at comes first.
                let mut again: Vec<&Photo> = session.photos.iter().collect();
                again.sort_by_key(|photo| Some(photo.id) != session.selected);
                for photo in again {
                    if let (PhotoState::Ready, Some(picture)) = (&photo.state, &photo.picture) {
                        reader.ask(Job::Again(photo.id, picture.clone(), *network));
                    }
                }
            }
            Action::AddPerson => {
                if let Some(photo) = session.photo_mut()
                    && let Some(picture) = &photo.picture
                {
                    let person = standing_person(picture.width, picture.height);
                    photo.found.push(person.clone());
                    photo.people.push(person);
                    photo.person = photo.people.len() - 1;
                    photo.state = PhotoState::Ready;
                    session.clear_estimate();
                }
            }
            _ => {}
        }
    }
}

/// A folder opens every picture in it that is one by its name.
fn open(path: &Path, session: &mut Session, reader: &mut PhotoReader) {
    if path.is_dir() {
        for file in pictures_in(path).unwrap_or_default().iter().take(200) {
            open(file, session, reader);
        }
        return;
    }
    let id = reader.next_id;
    reader.next_id += 1;
    let name =
        path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned());
    session.photos.push(Photo {
        id,
        name,
        path: Some(path.to_owned()),
        state: PhotoState::Reading,
        picture: None,
        preview: None,
        thumbnail: None,
        preview_texture: None,
        thumbnail_texture: None,
        people: Vec::new(),
        found: Vec::new(),
        person: 0,
    });
    session.selected = Some(id);
    session.clear_estimate();
    reader.ask(Job::Photo(id, path.to_owned(), session.network));
}

/// After keypoints moved: the box follows them, and they are the user's now.
pub fn moved_by_hand(person: &mut Person) {
    person.source = crate::keypoints::KeypointSource::Hand;
    person.bbox = box_around(person);
}
