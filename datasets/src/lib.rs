//! Evaluation and calibration texts: which there are (`catalogue/*.toml`), where they come from, what their
//! perplexity protocols are, and how token windows are cut from them. Knows no model.

mod catalogue;
mod error;
mod hub;
mod rows;
mod text;
mod windows;

pub use catalogue::{Catalogue, DataSet, HubSource, Protocol, Scoring, Split};
pub use error::{Error, HubProblem, Result};
pub use hub::Hub;
pub use text::{Origin, Places, Text, text};
pub use windows::{Windows, calibration_windows, leading_windows, stream_windows};
