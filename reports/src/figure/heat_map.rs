//! A value for every pair of a row and a column, as a picture.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::canvas::{Drawn, INK, Root, SMALL, TEXT, cut, svg, write};
use crate::plot::{Plot, PlotError};

/// Pixels of a cell's side, around all cells, and for the title.
const CELL: i32 = 34;
const MARGIN: i32 = 64;
const TITLE: i32 = 40;
/// Size of a number in a cell and at an axis.
const NUMBER: i32 = 11;
/// Most rows, and most columns.
const MOST: usize = 500;
/// Width of the scale on the right, and its colours from the lowest to the highest value: light to dark, so that a print in grey
/// can be read too.
const SCALE: i32 = 110;
const COLOURS: [RGBColor; 5] = [
    RGBColor(255, 255, 217),
    RGBColor(161, 218, 180),
    RGBColor(65, 182, 196),
    RGBColor(44, 127, 184),
    RGBColor(37, 52, 148),
];

/// Values by row and column. Values are ratios: the colours follow their logarithm.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HeatMap {
    /// Above the picture.
    pub title: String,
    /// What the rows are.
    pub rows: String,
    /// What the columns are.
    pub columns: String,
    /// What the colours are.
    pub values: String,
    /// Row, column and value.
    pub cells: BTreeMap<(usize, usize), f64>,
    /// The value from which on all are drawn alike.
    pub most: f64,
}

impl HeatMap {
    /// The picture, each cell with its value. Cells without a value stay empty, and those without a finite one are crossed.
    ///
    /// # Errors
    /// No cells, more than a picture has room for, or what the drawing library says.
    pub fn plot(&self, name: String) -> Result<Plot, PlotError> {
        let range = |of: fn(&(usize, usize)) -> usize| {
            let all = self.cells.keys().map(of);
            Some(all.clone().min()?..=all.max()?)
        };
        let (Some(rows), Some(columns)) = (range(|key| key.0), range(|key| key.1)) else {
            return Err(PlotError::Empty { name });
        };
        let [down, across] = [&rows, &columns].map(|range| range.end() - range.start());
        if down.max(across) >= MOST {
            let problem = format!("it has {down} rows by {across} columns, of at most {MOST}");
            return Err(PlotError::Drawing { name, problem });
        }
        let [down, across] = [down, across].map(|cells| (cells as i32 + 1) * CELL);
        let size = ((across + 2 * MARGIN + SCALE).max(480), down + 2 * MARGIN + TITLE);
        let picture = svg((size.0 as u32, size.1 as u32), |root| {
            self.draw(root, (rows, columns), (down, across))
        });
        match picture {
            Ok(svg) => Ok(Plot { name, svg }),
            Err(problem) => Err(PlotError::Drawing { name, problem }),
        }
    }

    fn draw(
        &self,
        root: &Root,
        (rows, columns): (RangeInclusive<usize>, RangeInclusive<usize>),
        (down, across): (i32, i32),
    ) -> Drawn {
        let (left, top) = (MARGIN, MARGIN + TITLE);
        let words = |text: &str, at, size, horizontal| write(root, &cut(text, 200), at, size, INK, horizontal);
        words(&self.title, (left, TITLE / 2), TEXT, HPos::Left)?;
        words(&self.columns, (left + across / 2, top - 38), SMALL, HPos::Center)?;
        words(&self.rows, (left - 50, top - 16), SMALL, HPos::Left)?;
        for (column, place) in columns.clone().zip(0..) {
            let x = left + place * CELL + CELL / 2;
            words(&column.to_string(), (x, top - 14), NUMBER, HPos::Center)?;
        }
        for (row, place) in rows.clone().zip(0..) {
            let y = top + place * CELL + CELL / 2;
            words(&row.to_string(), (left - 8, y), NUMBER, HPos::Right)?;
        }
        let lowest = self
            .cells
            .values()
            .copied()
            .filter(|v| v.is_finite())
            .fold(self.most, f64::min);
        let share = |value: f64| match self.most > lowest {
            true => ((value / lowest).ln() / (self.most / lowest).ln()).clamp(0.0, 1.0),
            false => 0.0,
        };
        for (&(row, column), &value) in &self.cells {
            let x = left + (column - columns.start()) as i32 * CELL;
            let y = top + (row - rows.start()) as i32 * CELL;
            let corners = [(x, y), (x + CELL - 1, y + CELL - 1)];
            if !value.is_finite() {
                root.draw(&Rectangle::new(corners, INK.stroke_width(1)))?;
                root.draw(&PathElement::new(corners.to_vec(), INK))?;
                continue;
            }
            let share = share(value);
            root.draw(&Rectangle::new(corners, colour(share).filled()))?;
            let ink = if share > 0.55 { WHITE } else { INK };
            let middle = (x + CELL / 2, y + CELL / 2);
            write(root, &short(value), middle, NUMBER, ink, HPos::Center)?;
        }
        let x = left + across + 30;
        for step in 0..down {
            let share = 1.0 - f64::from(step) / f64::from(down.max(2) - 1);
            let line = [(x, top + step), (x + 16, top + step + 1)];
            root.draw(&Rectangle::new(line, colour(share).filled()))?;
        }
        let most = short(self.most) + " and more";
        words(&most, (x + 22, top + 4), NUMBER, HPos::Left)?;
        words(&short(lowest), (x + 22, top + down - 4), NUMBER, HPos::Left)?;
        words(&self.values, (x, top - 14), NUMBER, HPos::Left)
    }
}

/// The colour of a share of the scale.
fn colour(share: f64) -> RGBColor {
    let place = share * (COLOURS.len() - 1) as f64;
    let low = (place as usize).min(COLOURS.len() - 2);
    let (from, to, part) = (COLOURS[low], COLOURS[low + 1], place - low as f64);
    let mixed = |a: u8, b: u8| (f64::from(a) + (f64::from(b) - f64::from(a)) * part).round() as u8;
    RGBColor(mixed(from.0, to.0), mixed(from.1, to.1), mixed(from.2, to.2))
}

/// Three digits, as far as a cell has room.
fn short(value: f64) -> String {
    match value {
        v if v < 10.0 => format!("{v:.2}"),
        v if v < 100.0 => format!("{v:.1}"),
        v if v < 1e4 => format!("{v:.0}"),
        v => format!("{v:.0e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(cells: &[(usize, usize, f64)]) -> HeatMap {
        HeatMap {
            title: "a < b".to_owned(),
            most: 10.0,
            cells: cells
                .iter()
                .map(|&(row, column, value)| ((row, column), value))
                .collect(),
            ..HeatMap::default()
        }
    }

    #[test]
    fn each_value_is_written_in_its_colour_and_what_is_no_number_is_crossed() {
        let svg = map(&[(1, 2, 1.0), (1, 3, 200.0), (2, 3, f64::NAN)])
            .plot("map".to_owned())
            .unwrap()
            .svg;
        for part in ["1.00", "200", "a &lt; b", "#FFFFD9", "#253494", "<line"] {
            assert!(
                svg.contains(part) || svg.contains(&part.replace("<line", "<polyline")),
                "{part}: {svg}"
            );
        }
        assert!(!svg.contains("NaN"), "{svg}");
        assert!(svg.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn nothing_to_draw_and_a_row_far_away_are_errors() {
        let nothing = map(&[]).plot("map".to_owned()).unwrap_err();
        assert!(matches!(nothing, PlotError::Empty { .. }), "{nothing}");
        // Nothing is made room for because a key names it.
        let far = map(&[(0, 0, 1.0), (usize::MAX, 0, 1.0)]).plot("map".to_owned());
        assert!(matches!(far, Err(PlotError::Drawing { .. })), "{far:?}");
    }

    #[test]
    fn colours_run_from_the_first_to_the_last() {
        assert_eq!((colour(0.0), colour(1.0)), (COLOURS[0], COLOURS[4]));
        assert_eq!(colour(0.25), COLOURS[1]);
    }
}
