//! How points are told apart.

use plotters::prelude::*;
use serde::Serialize;

use super::canvas::{Drawn, INK, Root};

const REST: RGBColor = RGBColor(0x73, 0x7b, 0x85);
/// Colours that are told apart by most eyes, on white.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xc4, 0x4e, 0x00),
    RGBColor(0x00, 0x80, 0x5e),
    RGBColor(0xa8, 0x45, 0x7f),
    RGBColor(0x8a, 0x64, 0x00),
    RGBColor(0x6a, 0x5a, 0xcd),
];
/// Corners of a point's shapes, none of the disc.
const SHAPES: [&[(i32, i32)]; 6] = [
    &[],
    &[(-4, -4), (4, -4), (4, 4), (-4, 4)],
    &[(0, -6), (6, 5), (-6, 5)],
    &[(0, 6), (6, -5), (-6, -5)],
    &[(0, -6), (6, 0), (0, 6), (-6, 0)],
    &[
        (-2, -6),
        (2, -6),
        (2, -2),
        (6, -2),
        (6, 2),
        (2, 2),
        (2, 6),
        (-2, 6),
        (-2, 2),
        (-6, 2),
        (-6, -2),
        (-2, -2),
    ],
];

/// How points look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Look {
    /// What others are compared with.
    Reference,
    /// One of [`Look::COUNT`], told apart by colour and shape.
    Numbered(usize),
    /// What nobody could tell apart any more.
    Rest,
}

/// A look for those who draw elsewhere, in colours of their own.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Shown {
    /// A variable of a style sheet.
    colour: String,
    /// A path of SVG around 0, 0.
    shape: String,
}

impl Look {
    pub(crate) const COUNT: usize = 18;

    /// The look of this rank.
    pub(crate) fn ranked(rank: usize) -> Self {
        if rank < Self::COUNT {
            Self::Numbered(rank)
        } else {
            Self::Rest
        }
    }

    pub(super) fn colour(self) -> RGBColor {
        match self {
            Self::Reference => INK,
            Self::Numbered(rank) => COLOURS[rank % COLOURS.len()],
            Self::Rest => REST,
        }
    }

    /// Each colour comes again with another shape.
    fn corners(self) -> &'static [(i32, i32)] {
        match self {
            Self::Reference => SHAPES[4],
            Self::Numbered(rank) => SHAPES[(rank + 2 * (rank / COLOURS.len())) % SHAPES.len()],
            Self::Rest => SHAPES[0],
        }
    }

    pub(crate) fn shown(self) -> Shown {
        let colour = match self {
            Self::Reference => "ink".to_owned(),
            Self::Numbered(rank) => format!("c{}", rank % COLOURS.len()),
            Self::Rest => "rest".to_owned(),
        };
        let corners: Vec<String> = self.corners().iter().map(|(x, y)| format!("{x},{y}")).collect();
        Shown {
            colour: format!("var(--{colour})"),
            shape: match corners.is_empty() {
                true => "M-5,0a5,5 0 1,0 10,0a5,5 0 1,0 -10,0".to_owned(),
                false => format!("M{}z", corners.join("L")),
            },
        }
    }

    /// A mark, hollow or filled.
    pub(super) fn draw(self, root: &Root, (x, y): (i32, i32), hollow: bool) -> Drawn {
        let colour = self.colour();
        let inside = if hollow { WHITE } else { colour };
        match self.corners() {
            [] => {
                root.draw(&Circle::new((x, y), 5, inside.filled()))?;
                root.draw(&Circle::new((x, y), 5, colour.stroke_width(1)))
            }
            corners => {
                let mut outline: Vec<(i32, i32)> = corners.iter().map(|(right, down)| (x + right, y + down)).collect();
                root.draw(&Polygon::new(outline.clone(), inside.filled()))?;
                outline.extend(outline.first().copied());
                root.draw(&PathElement::new(outline, colour.stroke_width(1)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_the_colours_of_the_files_on_white() {
        let style = include_str!("../html/page.css");
        let (light, _) = style.split_once('}').unwrap();
        for look in (0..COLOURS.len())
            .map(Look::Numbered)
            .chain([Look::Reference, Look::Rest])
        {
            let RGBColor(red, green, blue) = look.colour();
            let variable = look.shown().colour.replace("var(", "").replace(')', "");
            let wanted = format!("{variable}: #{red:02x}{green:02x}{blue:02x};");
            assert!(light.contains(&wanted), "{wanted} in {light}");
        }
    }

    #[test]
    fn no_two_looks_are_the_same() {
        let looks: std::collections::HashSet<_> = (0..Look::COUNT)
            .map(|rank| (Look::ranked(rank).colour().rgb(), Look::ranked(rank).corners()))
            .collect();
        assert_eq!((looks.len(), Look::ranked(18)), (18, Look::Rest));
    }
}
