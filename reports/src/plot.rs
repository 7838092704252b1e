//! Pictures as files.

use std::sync::{Arc, LazyLock};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::fontdb::{Database, Source};
use resvg::usvg::{Options, Tree};

/// Dots of a PNG for each unit of its SVG.
const DENSITY: f32 = 2.0;

/// The font of what is drawn in dots, which is the same everywhere.
static FONTS: LazyLock<Arc<Database>> = LazyLock::new(|| {
    let mut fonts = Database::new();
    fonts.load_font_source(Source::Binary(Arc::new(dejavu::sans::regular())));
    fonts.set_sans_serif_family("DejaVu Sans");
    Arc::new(fonts)
});

/// A picture with the name that its files have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plot {
    /// Without an ending: of small letters, digits and `-`, so that it is one file's name on every system.
    pub name: String,
    /// The picture.
    pub svg: String,
}

/// A picture that can't be made.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// Nothing is there to be drawn.
    #[error(
        "there is nothing to plot: a plot wants records of one model and evaluation that differ in size or speed, or a method \
         that reports scores or losses"
    )]
    Nothing,
    /// A picture would have nothing in it.
    #[error("the plot {name} would be empty: none of its numbers was measured")]
    Empty {
        /// Its name.
        name: String,
    },
    /// Nothing is there to be drawn by effective depth.
    #[error("there is no perplexity to draw; measure one")]
    NoPerplexity,
    /// A family that could be a single recipe only.
    #[error("`{family}` has no `*` in place of what varies")]
    NoFamily {
        /// What was asked for.
        family: String,
    },
    /// A family without a record.
    #[error("no successful record is `{family}`; recipes are spelt as in the table, with a single `*`")]
    NoRecord {
        /// What was asked for.
        family: String,
    },
    /// It can't be drawn.
    #[error("the plot {name} can't be drawn ({problem})")]
    Drawing {
        /// Its name.
        name: String,
        /// What the drawing library says.
        problem: String,
    },
}

impl Plot {
    /// The picture as PNG.
    ///
    /// # Errors
    /// What the drawing library says.
    pub fn to_png(&self) -> Result<Vec<u8>, PlotError> {
        let wrong = |problem: String| PlotError::Drawing {
            name: self.name.clone(),
            problem,
        };
        let options = Options {
            fontdb: Arc::clone(&FONTS),
            ..Options::default()
        };
        let tree = Tree::from_str(&self.svg, &options).map_err(|error| wrong(error.to_string()))?;
        let [width, height] = [tree.size().width(), tree.size().height()].map(|side| (side * DENSITY).ceil() as u32);
        let mut dots = Pixmap::new(width, height).ok_or_else(|| wrong(format!("{width} by {height} dots")))?;
        resvg::render(&tree, Transform::from_scale(DENSITY, DENSITY), &mut dots.as_mut());
        dots.encode_png().map_err(|error| wrong(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dark_dots(text: &str) -> usize {
        let svg = format!(
            "<svg width=\"200\" height=\"40\" xmlns=\"http://www.w3.org/2000/svg\"><rect width=\"200\" height=\"40\" \
             fill=\"#FFFFFF\"/><text x=\"10\" y=\"30\" font-family=\"sans-serif\" font-size=\"20\">{text}</text></svg>"
        );
        let plot = Plot {
            name: "a".to_owned(),
            svg,
        };
        let png = plot.to_png().unwrap();
        assert_eq!(png[..8], *b"\x89PNG\r\n\x1a\n");
        let dots = Pixmap::decode_png(&png).unwrap();
        assert_eq!((dots.width(), dots.height()), (400, 80));
        dots.pixels().iter().filter(|dot| dot.red() < 64).count()
    }

    #[test]
    fn a_png_has_its_text_without_any_font_of_the_system() {
        assert_eq!(dark_dots(""), 0);
        assert!(dark_dots("−0.5 … ← better") > 300);
    }

    #[test]
    fn what_is_no_svg_is_an_error_with_the_plot_s_name() {
        let plot = Plot {
            name: "a-by-b".to_owned(),
            svg: "<svg".to_owned(),
        };
        assert!(plot.to_png().unwrap_err().to_string().contains("a-by-b"));
    }
}
