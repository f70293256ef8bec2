//! Text of one line, drawn from the outlines of the window's own font.

use std::sync::OnceLock;

use ab_glyph::{Font, FontRef, GlyphId, PxScale, ScaleFont, point};

use super::Canvas;

/// Where a text's anchor lies on its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    Left,
    Center,
    Right,
}

fn font() -> Option<&'static FontRef<'static>> {
    static FONT: OnceLock<Option<FontRef<'static>>> = OnceLock::new();
    FONT.get_or_init(|| FontRef::try_from_slice(epaint_default_fonts::UBUNTU_LIGHT).ok()).as_ref()
}

/// Width of a line of text in pixels at this size (pixels from ascender to descender).
pub fn width(text: &str, size: f32) -> f32 {
    layout(text, size).1
}

/// The text, or as much of its beginning as fits, with an ellipsis.
pub fn fitted(text: &str, size: f32, room: f32) -> String {
    if width(text, size) <= room {
        return text.to_owned();
    }
    let letters: Vec<char> = text.chars().collect();
    (0..letters.len())
        .rev()
        .map(|count| letters[..count].iter().collect::<String>().trim_end().to_owned() + "…")
        .find(|short| width(short, size) <= room)
        .unwrap_or_default()
}

/// The text broken at blanks into lines that fit.
pub fn wrapped(text: &str, size: f32, room: f32) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width(&format!("{line} {word}"), size) <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(fitted(word, size, room)),
        }
    }
    lines
}

/// Glyphs with their left edges, and the width of all.
fn layout(text: &str, size: f32) -> (Vec<(GlyphId, f32)>, f32) {
    let Some(font) = font() else { return (Vec::new(), 0.0) };
    let scaled = font.as_scaled(PxScale::from(size));
    let mut x = 0.0;
    let mut last: Option<GlyphId> = None;
    let mut glyphs = Vec::new();
    for letter in text.chars().filter(|letter| !letter.is_control()) {
        let glyph = scaled.glyph_id(letter);
        if let Some(last) = last {
            x += scaled.kern(last, glyph);
        }
        glyphs.push((glyph, x));
        x += scaled.h_advance(glyph);
        last = Some(glyph);
    }
    (glyphs, x)
}

impl Canvas {
    /// Draws a line of text; `y` is the top of the line.
    pub fn text(&mut self, text: &str, x: f32, y: f32, size: f32, color: [u8; 3], align: Align) {
        let Some(font) = font() else { return };
        let (glyphs, total) = layout(text, size);
        let left = match align {
            Align::Left => x,
            Align::Center => x - total / 2.0,
            Align::Right => x - total,
        };
        let scale = PxScale::from(size);
        let baseline = y + font.as_scaled(scale).ascent();
        for (id, at) in glyphs {
            // Whole pixels vertically, so that every line of a size looks the same.
            let glyph = id.with_scale_and_position(scale, point(left + at, baseline.round()));
            let Some(outline) = font.outline_glyph(glyph) else { continue };
            let bounds = outline.px_bounds();
            outline.draw(|dx, dy, coverage| {
                // The font is a light one: a little more weight makes it readable on white.
                let share = coverage.clamp(0.0, 1.0).powf(0.75);
                self.blend(
                    bounds.min.x as i64 + i64::from(dx),
                    bounds.min.y as i64 + i64::from(dy),
                    color,
                    share,
                );
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_to_fit_and_short_text_is_kept() {
        assert!(font().is_some());
        assert_eq!(fitted("short", 20.0, 1000.0), "short");
        let cut = fitted("a very long name of a photograph.jpg", 20.0, 120.0);
        assert!(cut.ends_with('…') && width(&cut, 20.0) <= 120.0);
        let lines = wrapped("one two three four five six", 20.0, 90.0);
        assert!(lines.len() > 1 && lines.iter().all(|line| width(line, 20.0) <= 90.0));
    }

    #[test]
    fn text_stays_where_it_was_put() {
        let mut canvas = Canvas::new(100, 40, [255; 3]);
        canvas.text("Agj", 50.0, 8.0, 20.0, [0; 3], Align::Center);
        let picture = canvas.into_picture();
        let dark = |x: usize, y: usize| picture.pixel(x, y)[0] < 128;
        let inside = (30..70).flat_map(|x| (8..32).map(move |y| (x, y))).filter(|&(x, y)| dark(x, y)).count();
        let all = (0..100).flat_map(|x| (0..40).map(move |y| (x, y))).filter(|&(x, y)| dark(x, y)).count();
        assert!(all > 20 && inside == all);
    }
}
