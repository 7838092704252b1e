//! What a measurement leaves behind: the cell that was asked for, the record that answers it, and
//! the folder that keeps records whole.
//!
//! This crate knows no tensor, model or method. Everything here is plain numbers and names, so a
//! record can be read, checked and compared without the code that produced it.

mod cell;
mod measurement;
mod record;
pub mod statistics;
mod store;
mod task;
mod task_items;

pub use cell::{
    Cell, CellKey, CellKeyError, Evaluation, Inputs, MODEL_INPUT, PerplexityRequest, TensorParallel, ThroughputRequest,
    TrainedParameters, TrainingRequest,
};
pub use measurement::{
    MeasurementError, PerplexityResult, PerplexityUnit, Rate, Samples, ThroughputResult, TrainingResult,
};
pub use record::{
    Accounting, Budget, Compression, Memory, MethodReport, Metrics, Provenance, Record, RecordError, SCHEMA, Status,
};
pub use store::{Store, StoreError, read_records, visit_records};
pub use task::{
    Divergence, MetricName, ScoringCounts, SuiteMember, SuiteRequest, TaskGroup, TaskItem, TaskMetric, TaskRequest,
    TaskResult,
};
pub use task_items::{ChoiceLength, ScoredItem};
