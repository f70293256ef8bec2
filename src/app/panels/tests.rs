//! Panels without a window: what they show, and what they ask for when they are used.

use std::sync::Arc;

use bevy_egui::egui::accesskit::Role;
use bevy_egui::egui::{self, Color32, ColorImage};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use glam::Vec2;

use super::inspector::Inspector;
use super::palette::Palette;
use super::photo::PhotoPanel;
use super::welcome::Welcome;
use super::{keypoints, status, timeline};
use crate::app::action::Action;
use crate::app::session::{
    Example, Photo, PhotoState, Scene, Session, Timeline, box_around, standing_person,
};
use crate::body::{BodyState, Trajectory};
use crate::formats::picture::Picture;
use crate::formats::registry::{self, FileState};
use crate::keypoints::{Network, hrnet};

struct Shown<P> {
    panel: P,
    session: Session,
    actions: Vec<Action>,
}

fn shown<P>(panel: P, session: Session) -> Shown<P> {
    Shown { panel, session, actions: Vec::new() }
}

fn image(side: usize) -> Arc<ColorImage> {
    Arc::new(ColorImage::filled([side, side], Color32::GRAY))
}

fn session_with_person() -> Session {
    let person = standing_person(400, 400);
    let photo = Photo {
        id: 1,
        name: "someone.png".to_owned(),
        path: None,
        state: PhotoState::Ready,
        picture: Some(Picture::filled(400, 400, [90; 3])),
        preview: Some(image(400)),
        thumbnail: Some(image(40)),
        preview_texture: None,
        thumbnail_texture: None,
        people: vec![person.clone()],
        found: vec![person],
        person: 0,
    };
    Session { photos: vec![photo], selected: Some(1), ..Session::default() }
}

#[test]
fn the_first_screen_says_what_to_do_and_opens_examples() {
    let mut session = Session::default();
    session.examples.push(Example {
        path: "examples/jump.png".into(),
        caption: "jump".to_owned(),
        thumbnail: image(32),
        texture: None,
    });
    session.notes.push("SMPL model not found: using the built-in body".to_owned());
    let mut harness = Harness::new_ui_state(
        |ui, s: &mut Shown<Welcome>| s.panel.ui(ui, &mut s.session, &mut s.actions),
        shown(Welcome::default(), session),
    );
    harness.get_by_label("Drop a photo of a person here");
    harness.get_by_label("SMPL model not found: using the built-in body");
    harness.get_by_label("example jump").click();
    harness.run();
    assert_eq!(harness.state().actions, [Action::Open("examples/jump.png".into())]);
    harness.get_by_label("Open photos…").click();
    harness.run();
    assert_eq!(harness.state().actions.last(), Some(&Action::AskForPhotos));
}

#[test]
fn the_inspector_asks_for_scenes_samples_and_seeds() {
    let mut harness = Harness::new_ui_state(
        |ui, s: &mut Shown<Inspector>| s.panel.ui(ui, &s.session, &mut s.actions),
        shown(Inspector::default(), Session::default()),
    );
    harness.get_by_label("One").click();
    harness.run();
    harness.get_by_label("Next").click();
    harness.run();
    harness.get_by_role_and_label(Role::CheckBox, "Refine").click();
    harness.run();
    assert_eq!(
        harness.state().actions,
        [Action::Show(Scene::One), Action::SetSeed(1), Action::SetRefine(false)]
    );
    harness.get_by_role_and_label(Role::Slider, "samples");
    harness.get_by_role_and_label(Role::Slider, "temperature");
}

#[test]
fn an_open_keypoint_list_leaves_the_samples_in_sight() {
    let height = 640.0;
    let mut harness = Harness::builder().with_size(egui::vec2(272.0, height)).build_ui_state(
        |ui, s: &mut Shown<Inspector>| s.panel.ui(ui, &s.session, &mut s.actions),
        shown(Inspector::default(), session_with_person()),
    );
    let bottom = |harness: &Harness<Shown<Inspector>>| {
        harness.get_by_label("Samples appear with an estimate").rect().bottom()
    };
    assert!(bottom(&harness) < height);
    harness.get_by_label("List").click();
    harness.run();
    harness.get_by_label("nose");
    assert!(bottom(&harness) < height, "{}", bottom(&harness));
}

#[test]
fn keypoints_are_switched_and_selected_from_the_list() {
    let mut harness = Harness::new_ui_state(
        |ui, s: &mut Shown<()>| keypoints::list(ui, &s.session, &mut s.actions),
        shown((), session_with_person()),
    );
    harness.get_by_label("use left wrist").click();
    harness.run();
    harness.get_by_label("nose").click();
    harness.run();
    harness.get_by_label("Reset").click();
    harness.run();
    assert_eq!(
        harness.state().actions,
        [Action::SwitchKeypoint(9, false), Action::SelectKeypoint(Some(0)), Action::ResetKeypoints]
    );
}

#[test]
fn hrnet_can_be_chosen_where_its_file_is_there() {
    let row = |state| registry::Row { title: hrnet::FILE, unlocks: "", get: "there", put: "here.pth", state };
    let shown = |state| {
        let mut session = session_with_person();
        session.models = vec![row(state)];
        shown((), session)
    };
    let list = |ui: &mut egui::Ui, s: &mut Shown<()>| keypoints::list(ui, &s.session, &mut s.actions);
    let mut harness = Harness::new_ui_state(list, shown(FileState::Missing));
    harness.get_by_label("HRNet").click();
    harness.run();
    assert_eq!(harness.state().actions, []);
    let found = FileState::Found { path: "here.pth".into(), bytes: 1 };
    let mut harness = Harness::new_ui_state(list, shown(found));
    harness.get_by_label("HRNet").click();
    harness.run();
    assert_eq!(harness.state().actions, [Action::UseKeypointNetwork(Network::Hrnet)]);
}

#[test]
fn a_keypoint_is_dragged_on_the_photo() {
    let mut harness = Harness::builder().with_size(egui::vec2(420.0, 620.0)).build_ui_state(
        |ui, s: &mut Shown<PhotoPanel>| s.panel.ui(ui, &mut s.session, &mut s.actions),
        shown(PhotoPanel::default(), session_with_person()),
    );
    harness.run();
    let places = harness.state().session.keypoint_places.clone();
    let wrist = egui::pos2(places[9][0], places[9][1]);
    let person = harness.state().session.photos[0].people[0].clone();
    harness.drag_at(wrist);
    harness.step();
    for _ in 0..4 {
        harness.hover_at(wrist + egui::vec2(30.0, -50.0));
        harness.step();
    }
    harness.drop_at(wrist + egui::vec2(30.0, -50.0));
    harness.run();
    let moved = harness.state().actions.iter().rev().find_map(|action| match action {
        Action::MoveKeypoint(9, place) => Some(*place),
        _ => None,
    });
    let scale = (places[5][0] - places[6][0]) / (person.keypoints[5].x - person.keypoints[6].x);
    let wanted = person.keypoints[9].position() + Vec2::new(30.0, -50.0) / scale;
    let moved = moved.expect("the left wrist was moved");
    assert!((moved - wanted).length() < 1.5, "{moved} instead of {wanted}");
}

#[test]
fn arrow_keys_move_the_selected_keypoint() {
    let mut session = session_with_person();
    session.keypoint = Some(9);
    let wrist = session.photos[0].people[0].keypoints[9].position();
    let mut harness = Harness::builder().with_size(egui::vec2(420.0, 620.0)).build_ui_state(
        |ui, s: &mut Shown<PhotoPanel>| s.panel.ui(ui, &mut s.session, &mut s.actions),
        shown(PhotoPanel::default(), session),
    );
    harness.key_press(egui::Key::ArrowUp);
    harness.run();
    assert_eq!(harness.state().actions, [Action::MoveKeypoint(9, wrist - Vec2::Y)]);
}

#[test]
fn the_timeline_steps_and_scrubs() {
    let trajectory = Trajectory {
        frames: vec![BodyState::rest(10); 11],
        values: (0..11).map(|step| 1.0 / (1.0 + step as f32)).collect(),
        value_name: "loss".to_owned(),
        frame_rate: None,
        source: "Refinement".to_owned(),
    };
    let timeline = Timeline::new(Arc::new(trajectory));
    assert_eq!(timeline.frame, 10);
    let mut harness = Harness::new_ui_state(
        |ui, s: &mut Shown<Timeline>| timeline::panel(ui, &s.panel, &mut s.actions),
        shown(timeline, Session::default()),
    );
    harness.get_by_label_contains("step 10 of 10");
    harness.get_by_label("▶").click();
    harness.run();
    harness.get_by_label("⏮").click();
    harness.run();
    assert_eq!(harness.state().actions, [Action::PlayOrPause, Action::GoToFrame(0)]);
}

#[test]
fn an_unsure_detection_is_put_into_words() {
    let mut person = standing_person(100, 200);
    assert_eq!(status::unsure_text(&person), None);
    person.keypoints.iter_mut().skip(5).for_each(|keypoint| keypoint.score = 0.1);
    assert!(status::unsure_text(&person).is_some_and(|text| text.contains("5 of 17")));
    person.score = 0.2;
    assert!(status::unsure_text(&person).is_some_and(|text| text.contains("Low confidence")));
}

#[test]
fn a_hand_placed_person_lies_inside_the_photo_and_in_its_box() {
    for (width, height) in [(100, 300), (300, 100), (640, 480)] {
        let person = standing_person(width, height);
        let [x0, y0, x1, y1] = box_around(&person);
        for keypoint in &person.keypoints {
            assert!(keypoint.x >= 0.0 && keypoint.x <= width as f32);
            assert!(keypoint.y >= 0.0 && keypoint.y <= height as f32);
            assert!(keypoint.x >= x0 && keypoint.x <= x1 && keypoint.y >= y0 && keypoint.y <= y1);
        }
    }
}

#[test]
fn the_palette_finds_commands_by_name() {
    let mut harness = Harness::new_ui_state(
        |ui, s: &mut Shown<Palette>| s.panel.ui(ui.ctx(), &s.session, &mut s.actions),
        shown(Palette::default(), Session::default()),
    );
    harness.key_press_modifiers(egui::Modifiers::COMMAND, egui::Key::K);
    harness.run();
    harness.event(egui::Event::Text("side by".to_owned()));
    harness.run();
    harness.key_press(egui::Key::Enter);
    harness.run();
    assert_eq!(harness.state().actions, [Action::Show(Scene::SideBySide)]);
}
