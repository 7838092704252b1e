//! What a measurement leaves behind: the cell that was asked for, the record that answers it, and
//! the folder that keeps records whole.
//!
//! This crate knows no tensor, model or method. Everything here is plain numbers and names, so a
//! record can be read, checked and compared without the code that produced it.

mod cell;
mod check;
mod cpu;
mod lock;
mod measurement;
mod migration;
mod published;
mod published_check;
mod reading;
mod record;
mod reservation;
mod samples;
mod shared_work;
pub mod statistics;
mod store;
mod store_error;
mod task;
mod task_items;
#[cfg(test)]
mod test_records;
mod throughput;

pub use cell::{
    Cell, CellKey, CellKeyError, Evaluation, FIRST_NUMERICS, Inputs, MODEL_INPUT, NUMERICS_INPUT, PerplexityRequest,
    TensorParallel, ThroughputRequest, TrainedParameters, TrainingRequest,
};
pub use check::{Finding, check_store};
pub use cpu::{Cpu, CpuModel};
pub use lock::{Owner, Running, host_name, running};
pub use measurement::{MeasurementError, PerplexityResult, PerplexityUnit, Rate, Samples, TrainingResult};
pub use published::{Paper, Published, PublishedError, PublishedTable, Remark, Rule, Trust};
pub use published_check::Discrepancy;
pub use reading::{find_record, read_records, read_samples, visit_records};
pub use record::{
    Accounting, Attempt, Budget, Compression, Memory, MethodReport, Metrics, Provenance, Record, RecordError, SCHEMA,
    SampleFile, Status,
};
pub use reservation::Reservation;
pub use shared_work::{SharedWork, SharedWorkCache};
pub use store::Store;
pub use store_error::StoreError;
pub use task::{
    Divergence, MetricName, ScoringCounts, SuiteMember, SuiteRequest, TaskGroup, TaskItem, TaskMetric, TaskRequest,
    TaskResult,
};
pub use task_items::{ChoiceLength, ScoredItem};
pub use throughput::{Ceiling, Ceilings, GpuMemoryOf, GpuReadings, GpuState, ThroughputResult};
