//! Verdicts on what papers say, from records alone.

mod contrast;
mod definition;
mod judging;
mod observation;
mod scorecard;

pub use contrast::Part;
pub use definition::{Claims, ClaimsError};
pub use observation::Observation;
pub use scorecard::{Effect, Scorecard, Scored, Totals, Verdict};

#[cfg(test)]
mod claims_tests;
