//! A value for every pair of a row and a column, as a picture.

use std::collections::BTreeMap;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Pixels of a cell's side, around all cells, and for the title.
const CELL: i32 = 34;
const MARGIN: i32 = 64;
const TITLE: i32 = 40;
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
    /// The picture as SVG, each cell with its value. Cells without a value stay empty, and those without a finite one are crossed.
    ///
    /// # Errors
    /// No cells, or what the drawing library says.
    pub fn to_svg(&self) -> Result<String, String> {
        let range = |of: fn(&(usize, usize)) -> usize| {
            let all = self.cells.keys().map(of);
            Some(all.clone().min()? as i32..=all.max()? as i32)
        };
        let (Some(rows), Some(columns)) = (range(|key| key.0), range(|key| key.1)) else {
            return Err("there is nothing to draw".to_owned());
        };
        let (height, width) = (
            rows.clone().count() as i32 * CELL,
            columns.clone().count() as i32 * CELL,
        );
        let size = (width + 2 * MARGIN + SCALE, height + 2 * MARGIN + TITLE);
        let mut svg = String::new();
        {
            let root = SVGBackend::with_string(&mut svg, (size.0.max(480) as u32, size.1 as u32)).into_drawing_area();
            self.draw(&root, (rows, columns)).map_err(|error| error.to_string())?;
            root.present().map_err(|error| error.to_string())?;
        }
        Ok(svg)
    }

    fn draw(
        &self,
        root: &DrawingArea<SVGBackend, plotters::coord::Shift>,
        (rows, columns): (std::ops::RangeInclusive<i32>, std::ops::RangeInclusive<i32>),
    ) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
        root.fill(&WHITE)?;
        let text = |size: i32, colour: RGBColor, horizontal: HPos| {
            let anchor = Pos::new(horizontal, VPos::Center);
            ("sans-serif", size).into_font().color(&colour).pos(anchor)
        };
        let write = |words: String, at: (i32, i32), style: TextStyle| root.draw(&Text::new(words, at, style));
        let (left, top) = (MARGIN, MARGIN + TITLE);
        let (down, across) = (
            rows.clone().count() as i32 * CELL,
            columns.clone().count() as i32 * CELL,
        );
        write(self.title.clone(), (left, TITLE / 2), text(16, BLACK, HPos::Left))?;
        write(
            self.columns.clone(),
            (left + across / 2, top - 38),
            text(13, BLACK, HPos::Center),
        )?;
        write(self.rows.clone(), (left - 50, top - 16), text(13, BLACK, HPos::Left))?;
        for (index, column) in columns.clone().enumerate() {
            let x = left + index as i32 * CELL + CELL / 2;
            write(column.to_string(), (x, top - 14), text(11, BLACK, HPos::Center))?;
        }
        for (index, row) in rows.clone().enumerate() {
            let y = top + index as i32 * CELL + CELL / 2;
            write(row.to_string(), (left - 8, y), text(11, BLACK, HPos::Right))?;
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
            let x = left + (column as i32 - columns.start()) * CELL;
            let y = top + (row as i32 - rows.start()) * CELL;
            let corners = [(x, y), (x + CELL - 1, y + CELL - 1)];
            if !value.is_finite() {
                root.draw(&Rectangle::new(corners, BLACK.stroke_width(1)))?;
                root.draw(&PathElement::new(corners.to_vec(), BLACK))?;
                continue;
            }
            let share = share(value);
            root.draw(&Rectangle::new(corners, colour(share).filled()))?;
            let ink = if share > 0.55 { WHITE } else { BLACK };
            write(short(value), (x + CELL / 2, y + CELL / 2), text(10, ink, HPos::Center))?;
        }
        let x = left + across + 30;
        for step in 0..down {
            let share = 1.0 - f64::from(step) / f64::from(down.max(2) - 1);
            let line = [(x, top + step), (x + 16, top + step + 1)];
            root.draw(&Rectangle::new(line, colour(share).filled()))?;
        }
        write(
            short(self.most) + " and more",
            (x + 22, top + 4),
            text(11, BLACK, HPos::Left),
        )?;
        write(short(lowest), (x + 22, top + down - 4), text(11, BLACK, HPos::Left))?;
        write(self.values.clone(), (x, top - 14), text(11, BLACK, HPos::Left))
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
        let svg = map(&[(1, 2, 1.0), (1, 3, 200.0), (2, 3, f64::NAN)]).to_svg().unwrap();
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
    fn nothing_to_draw_is_an_error() {
        assert!(map(&[]).to_svg().is_err());
    }

    #[test]
    fn colours_run_from_the_first_to_the_last() {
        assert_eq!((colour(0.0), colour(1.0)), (COLOURS[0], COLOURS[4]));
        assert_eq!(colour(0.25), COLOURS[1]);
    }
}
