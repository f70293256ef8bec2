//! The photo with what is known of the selected person: box, skeleton, keypoints that can be dragged and switched off.

use bevy_egui::egui::{
    self, Align2, Color32, CursorIcon, FontId, Key, PointerButton, Pos2, Rect, Sense, Shape, Stroke, Ui,
    WidgetInfo, WidgetType,
};
use glam::Vec2;

use super::{faded, texture};
use crate::app::action::Action;
use crate::app::session::{PhotoState, Session, UNSURE};
use crate::app::theme;
use crate::body::joint_sets::{COCO_EDGES, COCO_NAMES};
use crate::keypoints::Person;

/// What the panel remembers from frame to frame.
#[derive(Default)]
pub struct PhotoPanel {
    dragged: Option<usize>,
    /// The keypoint that a context menu is open for.
    menu: Option<usize>,
    /// Shows the person's box, and not the whole photo.
    close_up: bool,
}

/// Where the photo lies on the screen.
#[derive(Clone, Copy)]
struct Placed {
    /// Screen.
    rect: Rect,
    /// Part of the photo that is seen, pixels.
    seen: Rect,
}

impl Placed {
    fn to_screen(self, point: Vec2) -> Pos2 {
        let unit = (Pos2::new(point.x, point.y) - self.seen.min) / self.seen.size();
        self.rect.min + unit * self.rect.size()
    }

    fn to_photo(self, point: Pos2) -> Vec2 {
        let unit = (point - self.rect.min) / self.rect.size();
        let place = self.seen.min + unit * self.seen.size();
        Vec2::new(place.x, place.y)
    }
}

impl PhotoPanel {
    pub fn ui(&mut self, ui: &mut Ui, session: &mut Session, actions: &mut Vec<Action>) {
        let overlay = session.view.overlay;
        let overlay_image = session.overlay.clone();
        let keypoint = session.keypoint;
        let mut overlay_texture = session.overlay_texture.take();
        let Some(photo) = session.photo_mut() else { return };

        ui.horizontal(|ui| {
            ui.add(egui::Label::new(egui::RichText::new(&photo.name).strong()).truncate());
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                if ui
                    .add_enabled(photo.current_person().is_some(), egui::Button::selectable(overlay, "Body"))
                    .on_hover_text("Draw the body over the photo (B)")
                    .clicked()
                {
                    actions.push(Action::ToggleOverlay);
                }
                if ui
                    .add_enabled(
                        photo.current_person().is_some(),
                        egui::Button::selectable(self.close_up, "Close-up"),
                    )
                    .on_hover_text("Show the selected person only")
                    .clicked()
                {
                    self.close_up = !self.close_up;
                }
            });
        });

        let (Some(picture), Some(preview)) = (&photo.picture, &photo.preview) else {
            match &photo.state {
                PhotoState::Failed(error) => {
                    ui.colored_label(theme::ERROR, error);
                }
                _ => {
                    ui.weak("Reading…");
                }
            }
            return;
        };
        let whole = Rect::from_min_size(Pos2::ZERO, egui::vec2(picture.width as f32, picture.height as f32));
        let person = photo.people.get(photo.person);
        let seen = match person.filter(|_| self.close_up) {
            Some(person) => close_up(person, whole),
            None => whole,
        };
        let room = egui::vec2(ui.available_width(), (ui.available_height() - 32.0).max(180.0));
        let scale = (room.x / seen.width()).min(room.y / seen.height());
        let (outer, response) =
            ui.allocate_exact_size(egui::vec2(room.x, seen.height() * scale), Sense::click_and_drag());
        let placed = Placed { rect: Rect::from_center_size(outer.center(), seen.size() * scale), seen };
        response.widget_info(|| WidgetInfo::labeled(WidgetType::Image, true, "Photo with keypoints"));

        let painter = ui.painter_at(outer);
        let uv = Rect::from_min_max(
            Pos2::new(seen.min.x / whole.width(), seen.min.y / whole.height()),
            Pos2::new(seen.max.x / whole.width(), seen.max.y / whole.height()),
        );
        let shown = match overlay_image.filter(|_| overlay) {
            Some(image) => texture(&mut overlay_texture, &image, "overlay", ui).id(),
            None => texture(&mut photo.preview_texture, preview, &photo.name, ui).id(),
        };
        painter.image(shown, placed.rect, uv, Color32::WHITE);
        let keep_texture = overlay_texture;

        for (index, other) in photo.people.iter().enumerate() {
            if index != photo.person {
                other_person(ui, &painter, placed, index, other, actions, &response);
            }
        }
        if let Some(person) = person {
            draw_box(&painter, placed, person);
            draw_skeleton(&painter, placed, person, if overlay { 0.75 } else { 1.0 });
            let under = response.hover_pos().and_then(|at| nearest(placed, person, at));
            draw_keypoints(&painter, placed, person, keypoint, self.dragged.or(under));
            self.interact(ui, &response, placed, person, keypoint, actions);
        }
        let places = person.map(|person| {
            person.keypoints.iter().map(|k| placed.to_screen(k.position())).map(|at| [at.x, at.y]).collect()
        });
        session.hand = self.dragged.is_some();
        session.keypoint_places = places.unwrap_or_default();
        session.overlay_texture = keep_texture;
    }

    fn interact(
        &mut self,
        ui: &Ui,
        response: &egui::Response,
        placed: Placed,
        person: &Person,
        selected: Option<usize>,
        actions: &mut Vec<Action>,
    ) {
        let pointer = response.interact_pointer_pos();
        if response.drag_started_by(PointerButton::Primary) {
            let pressed = ui.input(|input| input.pointer.press_origin()).or(pointer);
            self.dragged = pressed.and_then(|at| nearest(placed, person, at));
            if self.dragged.is_some() {
                actions.push(Action::SelectKeypoint(self.dragged));
            }
        }
        if let (Some(keypoint), Some(at)) = (self.dragged, pointer) {
            if response.dragged_by(PointerButton::Primary) && response.drag_delta() != egui::Vec2::ZERO {
                actions.push(Action::MoveKeypoint(keypoint, placed.to_photo(at)));
            }
            ui.ctx().set_cursor_icon(CursorIcon::Grabbing);
        }
        if response.drag_stopped() {
            self.dragged = None;
        }
        if self.dragged.is_none()
            && let Some(over) = response.hover_pos().and_then(|at| nearest(placed, person, at))
        {
            ui.ctx().set_cursor_icon(CursorIcon::Grab);
            if response.secondary_clicked() {
                let on = person.keypoints.get(over).is_some_and(|k| k.score > 0.0);
                actions.push(Action::SwitchKeypoint(over, !on));
                self.menu = Some(over);
            }
        }
        if response.clicked() {
            let under = pointer.and_then(|at| nearest(placed, person, at));
            actions.push(Action::SelectKeypoint(under));
        }
        // The selected keypoint follows the arrow keys: one pixel, ten with Shift.
        if let Some(keypoint) = selected
            && let Some(at) = person.keypoints.get(keypoint)
            && !ui.ctx().text_edit_focused()
        {
            let step = ui.input(|input| {
                let far = if input.modifiers.shift { 10.0 } else { 1.0 };
                let pressed = |key| f32::from(input.key_pressed(key));
                far * Vec2::new(
                    pressed(Key::ArrowRight) - pressed(Key::ArrowLeft),
                    pressed(Key::ArrowDown) - pressed(Key::ArrowUp),
                )
            });
            if step != Vec2::ZERO {
                actions.push(Action::MoveKeypoint(keypoint, at.position() + step));
            }
        }
    }
}

/// The person's box, wider, within the photo.
fn close_up(person: &Person, whole: Rect) -> Rect {
    let [x0, y0, x1, y1] = person.bbox;
    let tight = Rect::from_min_max(Pos2::new(x0, y0), Pos2::new(x1, y1));
    let wide = tight.expand(0.15 * tight.size().max_elem()).intersect(whole);
    if wide.width() > 8.0 && wide.height() > 8.0 { wide } else { whole }
}

/// The keypoint under a point of the screen.
fn nearest(placed: Placed, person: &Person, at: Pos2) -> Option<usize> {
    let distance = |index: &usize| placed.to_screen(person.keypoints[*index].position()).distance(at);
    (0..person.keypoints.len())
        .filter(|index| distance(index) <= theme::KEYPOINT_REACH)
        .min_by(|a, b| distance(a).total_cmp(&distance(b)))
}

/// The colour of a keypoint's side of the body: COCO's odd numbers are left, even ones right, the nose neither.
pub fn side_colour(keypoint: usize) -> Color32 {
    match keypoint {
        0 => theme::MIDDLE,
        odd if odd % 2 == 1 => theme::LEFT_SIDE,
        _ => theme::RIGHT_SIDE,
    }
}

fn draw_box(painter: &egui::Painter, placed: Placed, person: &Person) {
    let [x0, y0, x1, y1] = person.bbox;
    let rect = Rect::from_two_pos(placed.to_screen(Vec2::new(x0, y0)), placed.to_screen(Vec2::new(x1, y1)));
    painter.rect_stroke(rect, 3.0, Stroke::new(1.0, faded(theme::STRONG, 0.55)), egui::StrokeKind::Middle);
}

fn other_person(
    ui: &Ui,
    painter: &egui::Painter,
    placed: Placed,
    index: usize,
    person: &Person,
    actions: &mut Vec<Action>,
    response: &egui::Response,
) {
    let [x0, y0, x1, y1] = person.bbox;
    let rect = Rect::from_two_pos(placed.to_screen(Vec2::new(x0, y0)), placed.to_screen(Vec2::new(x1, y1)));
    let colour = faded(theme::WEAK, 0.8);
    painter.rect_stroke(rect, 3.0, Stroke::new(1.0, colour), egui::StrokeKind::Middle);
    let label = painter.text(
        rect.left_top() + egui::vec2(4.0, 2.0),
        Align2::LEFT_TOP,
        format!("{}", index + 1),
        FontId::proportional(12.0),
        theme::TEXT,
    );
    let clicked = response.clicked()
        && ui.input(|input| input.pointer.interact_pos()).is_some_and(|at| label.expand(8.0).contains(at));
    if clicked {
        actions.push(Action::SelectPerson(index));
    }
}

fn draw_skeleton(painter: &egui::Painter, placed: Placed, person: &Person, strength: f32) {
    for (from, to) in COCO_EDGES {
        let (a, b) = (person.keypoints[from], person.keypoints[to]);
        let score = a.score.min(b.score);
        if score <= 0.0 {
            continue;
        }
        let (start, end) = (placed.to_screen(a.position()), placed.to_screen(b.position()));
        let colour = match (side_colour(from), side_colour(to)) {
            (one, other) if one == other => one,
            _ => theme::MIDDLE,
        };
        if score < UNSURE {
            let dash = Stroke::new(1.5, faded(colour, 0.6 * strength));
            painter.extend(Shape::dashed_line(&[start, end], dash, 4.0, 4.0));
        } else {
            painter.line_segment([start, end], Stroke::new(3.5, faded(theme::OUTLINE, 0.5 * strength)));
            painter.line_segment([start, end], Stroke::new(2.0, faded(colour, 0.9 * strength)));
        }
    }
}

fn draw_keypoints(
    painter: &egui::Painter,
    placed: Placed,
    person: &Person,
    selected: Option<usize>,
    held: Option<usize>,
) {
    for (index, keypoint) in person.keypoints.iter().enumerate() {
        let at = placed.to_screen(keypoint.position());
        let radius = if held == Some(index) { theme::KEYPOINT_RADIUS + 2.0 } else { theme::KEYPOINT_RADIUS };
        let colour = side_colour(index);
        if keypoint.score <= 0.0 {
            painter.circle(at, radius - 1.0, faded(theme::OUTLINE, 0.5), Stroke::new(1.2, theme::WEAK));
            let arm = egui::vec2(2.2, 2.2);
            let cross = Stroke::new(1.2, theme::WEAK);
            painter.line_segment([at - arm, at + arm], cross);
            painter.line_segment([at - egui::vec2(2.2, -2.2), at + egui::vec2(2.2, -2.2)], cross);
        } else if keypoint.score < UNSURE {
            painter.circle(at, radius, faded(theme::OUTLINE, 0.6), Stroke::new(1.6, colour));
        } else {
            painter.circle(at, radius, colour, Stroke::new(1.4, theme::OUTLINE));
        }
        if selected == Some(index) {
            painter.circle_stroke(at, radius + 4.0, Stroke::new(1.8, theme::STRONG));
        }
    }
    if let Some(index) = held.or(selected)
        && let Some(keypoint) = person.keypoints.get(index)
    {
        let name = COCO_NAMES.get(index).map_or(String::new(), |name| name.replace('_', " "));
        let at = placed.to_screen(keypoint.position()) + egui::vec2(12.0, -12.0);
        let galley = painter.layout_no_wrap(name, FontId::proportional(12.0), theme::STRONG);
        let at = Pos2::new(
            at.x.min(placed.rect.max.x - galley.size().x - 4.0),
            at.y.max(placed.rect.min.y + 12.0),
        );
        let rect =
            Rect::from_min_size(at - egui::vec2(0.0, 8.0), galley.size()).expand2(egui::vec2(4.0, 1.0));
        painter.rect_filled(rect, 3.0, faded(theme::DEEP, 0.85));
        painter.galley(rect.min + egui::vec2(4.0, 1.0), galley, theme::STRONG);
    }
}
