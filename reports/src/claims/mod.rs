//! Verdicts on what papers say, from records alone.

mod contrast;
mod definition;
mod detail;
mod judging;
mod observation;
mod scorecard;

pub use contrast::Part;
pub use definition::{Claims, ClaimsError};
pub(crate) use observation::Observation;
pub use observation::Observations;
pub use scorecard::{Effect, Scorecard, Scored, Totals, Verdict};

#[cfg(test)]
mod claims_tests;
#[cfg(test)]
mod detail_tests;
