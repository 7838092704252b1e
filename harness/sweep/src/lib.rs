//! From an experiment file to records and tables: the grid is planned as cells, each cell runs in its own process, and
//! what it leaves is kept whole.

mod experiment;
mod gate;
mod machine;
mod message;
mod plan;
mod problem;
mod process;
mod recipe;
mod run;
mod tables;
pub mod worker;

pub use experiment::{Calibration, Expectation, Experiment, Limits, RecipeText};
pub use machine::engine_version;
pub use plan::{BASELINE, Plan, Planned, baseline};
pub use problem::{Problem, Problems};
pub use process::{Launcher, Watch};
pub use recipe::{Compressed, compress};
pub use run::{Error, Observer, Outcome};
pub use tables::{Tables, TablesError, ordered_records};
