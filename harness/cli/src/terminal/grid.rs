//! Columns that stand below each other.

use console::{Style, measure_text_width};

use super::words::{longest, shortened, wrapped};

/// Spaces between columns.
const GAP: usize = 2;

/// A column of words gets no narrower than this while there is another way.
const WORDS: usize = 16;

/// Rows under a header, drawn as wide as they must be and no wider than they may.
#[derive(Debug, Default)]
pub struct Grid {
    /// The side that each column leans to.
    pub sides: Vec<Side>,
    /// Above each column; no header if all are empty.
    pub header: Vec<String>,
    /// From the top.
    pub lines: Vec<Line>,
}

/// The side that a column leans to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Words, which may be broken into several lines.
    Left,
    /// Numbers, which may not.
    Right,
}

/// A row.
#[derive(Debug)]
pub enum Line {
    /// A cell for each column.
    Cells(Vec<String>, Look),
    /// Words across all columns.
    Across(String, Look),
}

/// How a row stands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Not at all.
    Plain,
    /// Above others.
    Heading,
    /// Behind others.
    Faint,
    /// Something went wrong.
    Bad,
}

impl Look {
    fn of(self, text: String) -> String {
        let style = match self {
            Self::Plain => return text,
            Self::Heading => Style::new().bold(),
            Self::Faint => Style::new().dim(),
            Self::Bad => Style::new().red(),
        };
        // Trailing spaces would be coloured too.
        style.apply_to(text).to_string()
    }
}

impl Grid {
    /// The width that it takes if nothing is broken.
    pub fn natural_width(&self) -> usize {
        total(&self.natural())
    }

    /// The width of one of its columns, if nothing is broken.
    pub fn column_width(&self, column: usize) -> usize {
        self.natural()[column]
    }

    /// The width below which words or numbers would be cut.
    pub fn least_width(&self) -> usize {
        total(&self.least())
    }

    /// The rows as text, no line wider than `width`.
    pub fn draw(&self, width: usize) -> String {
        let widths = self.fitted(width);
        let mut text = String::new();
        if self.header.iter().any(|header| !header.is_empty()) {
            let lines = self.row(&self.header, &widths, true);
            for line in lines {
                text += &Look::Heading.of(line);
                text.push('\n');
            }
        }
        for line in &self.lines {
            let (lines, look) = match line {
                Line::Across(words, look) => (wrapped(words, width), *look),
                Line::Cells(cells, look) => (self.row(cells, &widths, false), *look),
            };
            for line in lines {
                text += &look.of(line);
                text.push('\n');
            }
        }
        text
    }

    /// A row in as many lines as its longest cell takes. Headers stand on the last of them.
    fn row(&self, cells: &[String], widths: &[usize], header: bool) -> Vec<String> {
        let broken = cells.iter().zip(widths).zip(&self.sides).map(|((cell, &width), side)| {
            // Of a column without room for both, a letter is left.
            let indent = (cell.len() - cell.trim_start().len()).min(width.saturating_sub(1));
            let further = if header {
                0
            } else {
                width.saturating_sub(indent + 1).min(2)
            };
            match side {
                _ if measure_text_width(cell) <= width => vec![cell.clone()],
                Side::Right if !header => vec![shortened(cell, width)],
                _ => {
                    let lines = wrapped(cell.trim_start(), width.saturating_sub(indent + further)).into_iter();
                    let lines = (0..).zip(lines);
                    lines
                        .map(|(place, line)| {
                            let indent = indent + if place == 0 { 0 } else { further };
                            format!("{:indent$}{line}", "")
                        })
                        .collect()
                }
            }
        });
        let broken: Vec<Vec<String>> = broken.collect();
        let height = broken.iter().map(Vec::len).max().unwrap_or(0);
        let line = |place: usize| {
            let mut text = String::new();
            for ((lines, &width), side) in broken.iter().zip(widths).zip(&self.sides) {
                let skipped = if header { height - lines.len() } else { 0 };
                let cell = place.checked_sub(skipped).and_then(|place| lines.get(place));
                let cell = cell.map_or("", String::as_str);
                let space = width.saturating_sub(measure_text_width(cell));
                match side {
                    Side::Left => text += &format!("{cell}{:space$}", ""),
                    Side::Right => text += &format!("{:space$}{cell}", ""),
                }
                text += &" ".repeat(GAP);
            }
            text.trim_end().to_owned()
        };
        (0..height).map(line).collect()
    }

    fn cells(&self, column: usize) -> impl Iterator<Item = &str> {
        self.lines.iter().filter_map(move |line| match line {
            Line::Cells(cells, _) => Some(cells[column].as_str()),
            Line::Across(..) => None,
        })
    }

    fn natural(&self) -> Vec<usize> {
        let column = |(column, side): (usize, &Side)| {
            let header = self.header.get(column).map_or("", String::as_str);
            let header = match side {
                Side::Left => measure_text_width(header),
                // A header that is wider than its numbers takes several lines.
                Side::Right => longest(header),
            };
            let cells = self.cells(column).map(measure_text_width);
            cells.max().unwrap_or(0).max(header)
        };
        self.sides.iter().enumerate().map(column).collect()
    }

    fn least(&self) -> Vec<usize> {
        let natural = self.natural();
        let column = |(column, side): (usize, &Side)| {
            let header = self.header.get(column).map_or(0, |header| longest(header));
            let cells = self.cells(column);
            let cells = match side {
                Side::Right => cells.map(measure_text_width).max(),
                Side::Left => cells
                    .map(|cell| longest(cell.trim_start()) + cell.len() - cell.trim_start().len() + 2)
                    .max(),
            };
            header.max(cells.unwrap_or(0)).min(natural[column])
        };
        self.sides.iter().enumerate().map(column).collect()
    }

    /// Widths that fit: words give way before headers, the widest column first.
    fn fitted(&self, width: usize) -> Vec<usize> {
        let mut widths = self.natural();
        let least = self.least();
        for floor in [WORDS, 0] {
            while total(&widths) > width {
                let room = |&column: &usize| widths[column] > least[column].max(floor);
                let Some(widest) = (0..widths.len()).filter(room).max_by_key(|&column| widths[column]) else {
                    break;
                };
                widths[widest] -= 1;
            }
        }
        // Nothing is left to break; what must be cut is cut where it is longest.
        while total(&widths) > width {
            let Some(widest) = (0..widths.len())
                .max_by_key(|&column| widths[column])
                .filter(|&c| widths[c] > 1)
            else {
                break;
            };
            widths[widest] -= 1;
        }
        widths
    }
}

fn total(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        let row = |name: &str, value: &str, words: &str| {
            Line::Cells([name, value, words].map(str::to_owned).to_vec(), Look::Plain)
        };
        Grid {
            sides: vec![Side::Left, Side::Right, Side::Left],
            header: ["name", "mean value", "why"].map(str::to_owned).to_vec(),
            lines: vec![
                row("one", "1.25", "a few words that say why"),
                Line::Across("the others".into(), Look::Plain),
                row("  and another", "12,000", "none"),
            ],
        }
    }

    #[test]
    fn a_grid_is_no_wider_than_it_must_be_and_breaks_words_to_be_no_wider_than_it_may() {
        console::set_colors_enabled(false);
        assert_eq!(
            grid().draw(80),
            "                 mean\n\
             name            value  why\n\
             one              1.25  a few words that say why\n\
             the others\n\
             \u{20} and another  12,000  none\n"
        );
        for width in [12, 20, 30, 40] {
            let drawn = grid().draw(width);
            assert!(
                drawn.lines().all(|line| measure_text_width(line) <= width),
                "{width}\n{drawn}"
            );
        }
        let narrow = grid().draw(36);
        for word in ["another", "12,000", "words", "value"] {
            assert!(narrow.contains(word), "{narrow}");
        }
    }
}
