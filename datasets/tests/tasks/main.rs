//! Tasks become the requests lm-eval makes of the same rows.

mod golden;
mod places;
mod rows;
mod shots;
