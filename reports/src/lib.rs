//! From records to tables: the statistics of a comparison, and its renderings.
//!
//! This crate reads records and nothing else, and names no method, protocol or model of its own.

mod accuracy;
mod accuracy_tables;
pub mod claims;
mod columns;
mod comparable;
mod comparison;
mod definition;
mod dense;
mod depth_plot;
mod differences;
mod display;
mod export;
mod figure;
pub mod gate;
mod html;
mod losses;
mod notes;
mod overview;
mod paired;
mod paper;
mod plot;
mod quantity;
mod raw;
mod raw_tasks;
mod short_names;
mod statistics;
mod table;
mod task_notes;
mod utilisation;

pub use comparable::ComparisonError;
pub use comparison::Comparison;
pub use definition::{Definition, DefinitionError};
pub use differences::{CompareError, Difference, Differences, Differing, Field, NotCompared, part};
pub use export::{ExportError, ExportFormat, export};
pub use figure::HeatMap;
pub use html::{Page, PageError};
pub use overview::{
    Failure, FamilyOf, Labels, Overview, OverviewColumn, OverviewRow, Show, Sort, Value, View, ViewError,
};
pub use paper::{Mapping, MappingError, Measured, MeasuredCell, MeasuredRow, PaperRow, PaperTable, PublishedCell};
pub use plot::{Plot, PlotError};
pub use statistics::{Interval, McNemar};
pub use table::{Alignment, Column, Entry, Table};

#[cfg(test)]
mod one_interval_tests;
