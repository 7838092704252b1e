//! From records to tables: the statistics of a comparison, and its renderings.
//!
//! This crate reads records and nothing else, and names no method, protocol or model of its own.

mod accuracy;
mod accuracy_tables;
pub mod claims;
mod columns;
mod compare;
mod comparison;
mod depth_plot;
mod display;
mod export;
pub mod gate;
mod heat_map;
mod html;
mod notes;
mod paper;
mod paper_mapping;
mod paper_measure;
mod paper_text;
mod raw;
mod raw_tasks;
pub mod statistics;
mod table;
mod task_notes;
mod utilisation;

pub use compare::{CompareError, Difference, Differences, Differing, Field, NotCompared, part};
pub use comparison::{Comparison, ComparisonError};
pub use depth_plot::DepthPlot;
pub use export::{ExportError, ExportFormat, export};
pub use heat_map::HeatMap;
pub use html::{Page, PageError};
pub use paper::{MeasuredCell, MeasuredRow, PaperRow, PaperTable, PublishedCell};
pub use paper_mapping::{Mapping, MappingError};
pub use paper_measure::Measured;
pub use table::{Alignment, Column, Entry, Table};
