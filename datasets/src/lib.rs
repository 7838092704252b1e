//! What models are evaluated and calibrated on: texts with their perplexity protocols, tasks and suites (all of them data in
//! `catalogue/`), where their files come from, and how they become token windows or requests. Knows no model.

mod catalogue;
mod error;
mod fetch;
mod hub;
mod rows;
mod task;
mod template;
mod text;
mod windows;

pub use catalogue::{
    Catalogue, DataSet, DocumentSplit, FewShot, Form, HubSource, LmEval, Member, Metric, Order, Prompt, Protocol,
    RowFile, Scoring, Split, Suite, Task,
};
pub use error::{Error, HubProblem, Result, TemplateProblem};
pub use fetch::{Origin, Places};
pub use hub::Hub;
pub use task::{Document, Documents, Request, SHOTS_SEED, Shots};
pub use template::Template;
pub use text::{Text, TextDocument, TextDocuments, text, text_documents};
pub use windows::{RollingWindow, Windows, calibration_windows, leading_windows, rolling_windows, stream_windows};
