//! From an experiment file to records and tables: the grid is planned as cells, each cell runs in its own process, and
//! what it leaves is kept whole.

mod axes;
mod batch;
mod cpu;
mod data;
mod dense_check;
mod document;
mod evaluation;
mod experiment;
mod forecast;
mod gpu;
mod grid;
mod host;
mod impossible;
mod listed;
mod lm_eval_output;
mod machine;
mod message;
mod plan;
mod precision;
mod pretrain;
mod problem;
mod process;
mod recipe;
mod recovery;
mod round;
mod run;
mod schema;
mod shipped;
mod standing;
mod tables;
mod unchanged;
mod versions;
pub mod worker;

pub use batch::{
    Active, Array, Batch, Ending, JobArray, Queued, Scheduler, SchedulerError, Shape, Slurm, Stage, Submitted, TaskId,
    task_plan,
};
pub use evaluation::EvaluationText;
pub use experiment::{AxisValue, Calibration, Expectation, Experiment, Limits, RecipeText, Seeded};
pub use forecast::{Estimate, Forecast, Likeness, Outlook, Remaining};
pub use host::{Host, HostError};
pub use listed::{listed_records, ordered_records, records_folder, visit_listed};
pub use lm_eval_output::{LmEvalError, LmEvalOutput};
pub use machine::{QUIET_WAITS, engine_version};
pub use plan::{BASELINE, Plan, Planned, baseline};
pub use pretrain::{Place, PretrainError, Pretraining, pretrain};
pub use problem::{Line, Problem, Problems, Source};
pub use process::Launcher;
pub use prunebench_eval::Gpu;
pub use recipe::{Compressed, Supplies, compress};
pub use recovery::Recovery;
pub use run::{Error, Executor, Local, Observer, Outcome};
pub use schema::experiment_schema;
pub use shipped::{Shipped, shipped};
pub use standing::{Standing, Unsuccessful};
pub use tables::{Tables, TablesError, comparable_parts, overviews, write_depth_plot};
pub use versions::Earlier;
