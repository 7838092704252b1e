//! Verdicts on what papers say, from records, and from tests of the code for what no record can say.

mod contrast;
mod definition;
mod detail;
mod evidence;
mod judging;
mod observation;
mod scorecard;

pub use contrast::Part;
pub use definition::{Claims, ClaimsError};
pub use evidence::Evidence;
pub(crate) use observation::Observation;
pub use observation::Observations;
pub use scorecard::{Effect, Scorecard, Scored, Totals, Verdict};

#[cfg(test)]
mod claims_tests;
#[cfg(test)]
mod detail_tests;
