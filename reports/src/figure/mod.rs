//! Pictures: of points with their intervals or of lines, and what is what beside them; and maps of values. What is drawn is
//! described once, for files and for the page.

mod canvas;
mod draw;
mod heat_map;
mod look;
mod scale;

use serde::Serialize;

pub use self::heat_map::HeatMap;
pub(crate) use self::look::{Look, Shown};
pub(crate) use self::scale::{ScaleRules, Values};
use crate::quantity::Better;

/// What is drawn.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Figure {
    pub(crate) title: String,
    /// A line below the title, in quiet ink.
    pub(crate) remark: String,
    /// Lines below the legend.
    pub(crate) key: Vec<&'static str>,
    pub(crate) across: Axis,
    pub(crate) up: Axis,
    pub(crate) series: Vec<Dots>,
    /// Whether the points of a series are joined.
    pub(crate) joined: bool,
    /// Points joined by a dashed line, from left to right.
    pub(crate) front: Vec<(f64, f64)>,
}

/// What an axis is of.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Axis {
    pub(crate) title: String,
    /// Which way is better, where one is.
    pub(crate) better: Option<Better>,
    pub(crate) values: Values,
    /// What 0, 1, … stand for; empty of numbers.
    #[serde(skip)]
    pub(crate) names: Vec<String>,
}

/// Points that look alike.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Dots {
    pub(crate) name: String,
    pub(crate) look: Look,
    pub(crate) dots: Vec<Dot>,
}

/// A point.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Dot {
    pub(crate) at: (f64, f64),
    /// Ends of its whisker.
    pub(crate) interval: Option<[f64; 2]>,
    /// An outline, not filled.
    pub(crate) hollow: bool,
    /// With a ring around it.
    pub(crate) ringed: bool,
    /// Written beside it where there is room.
    pub(crate) label: Option<String>,
}
