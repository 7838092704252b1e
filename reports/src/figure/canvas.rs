//! What pictures are drawn on and written with.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

pub(super) const SMALL: i32 = 15;
pub(super) const TEXT: i32 = 16;
pub(super) const TITLE: i32 = 20;

pub(super) const INK: RGBColor = RGBColor(0x1b, 0x1f, 0x24);
pub(super) const QUIET: RGBColor = RGBColor(0x57, 0x60, 0x6a);
pub(super) const GRID: RGBColor = RGBColor(0xd5, 0xda, 0xe0);
/// Width of a letter of the smaller text, about.
pub(super) const LETTER: f64 = 6.6;

pub(super) type Root<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(super) type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// The picture that `draw` makes on white, as SVG.
///
/// # Errors
/// What the drawing library says.
pub(super) fn svg(size: (u32, u32), draw: impl FnOnce(&Root) -> Drawn) -> Result<String, String> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let drawn = root
            .fill(&WHITE)
            .and_then(|()| draw(&root))
            .and_then(|()| root.present());
        drawn.map_err(|error| error.to_string())?;
    }
    Ok(svg)
}

pub(super) fn write(root: &Root, text: &str, at: (i32, i32), size: i32, colour: RGBColor, horizontal: HPos) -> Drawn {
    let anchor = Pos::new(horizontal, VPos::Center);
    let style = ("sans-serif", size).into_font().color(&colour).pos(anchor);
    root.draw(&Text::new(text.to_owned(), at, style))
}

/// At most so many letters, and none that XML can't hold.
pub(super) fn cut(text: &str, most: usize) -> String {
    let shown = |letter: char| match letter {
        letter if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => '\u{fffd}',
        letter => letter,
    };
    if text.chars().count() <= most {
        return text.chars().map(shown).collect();
    }
    text.chars()
        .take(most.saturating_sub(1))
        .map(shown)
        .chain(['…'])
        .collect()
}
