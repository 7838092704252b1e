//! The cases, one file per family of operations.

use crate::case::Case;

mod attention;
mod composed;
mod elementwise;
mod indexing;
mod products;
mod reductions;
mod rows;
mod shapes;

pub use attention::cases as attention;
pub use composed::cases as composed;
pub use elementwise::cases as elementwise;
pub use indexing::cases as indexing;
pub use products::cases as products;
pub use reductions::cases as reductions;
pub use rows::cases as rows;
pub use shapes::cases as shapes;

/// Every case of every family.
pub fn all() -> Vec<Case> {
    [
        attention(),
        composed(),
        elementwise(),
        indexing(),
        products(),
        reductions(),
        rows(),
        shapes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
