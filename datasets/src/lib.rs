//! What models are evaluated, calibrated and trained on: texts with their perplexity protocols, tasks, suites and
//! instructions (all of them data in `catalogue/`), the synthetic [`world`], where files come from, and how they become token
//! windows or requests. Knows no model.

mod catalogue;
mod error;
mod fetch;
mod instructions;
mod rows;
mod task;
mod template;
mod text;
mod windows;
pub mod world;

pub use catalogue::{
    Catalogue, DataSet, DocumentSplit, FewShot, Form, HubSource, InstructionSet, LmEval, Member, Metric, Order, Prompt,
    Protocol, RowFile, RowSource, Scoring, Split, Suite, Task, TextRange, TextRows, WebFile, WorldRows, WorldText,
};
pub use error::{Error, Result, TemplateProblem};
pub use fetch::{Origin, Places};
pub use instructions::{Instruction, Instructions, instructions};
pub use prunebench_hub::{Hub, Problem};
pub use task::{Document, Documents, Request, SHOTS_SEED, Shots};
pub use template::Template;
pub use text::{Text, TextDocument, TextDocuments, text, text_documents};
pub use windows::{RollingWindow, Windows, calibration_windows, leading_windows, rolling_windows, stream_windows};
