//! Typed errors of tensor operations.

use crate::Device;

/// What went wrong in a tensor operation.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Shapes, dimensions or ranges that do not fit the operation.
    #[error("{op}: {detail}")]
    Shape {
        /// Operation.
        op: &'static str,
        /// What was found and what was wanted.
        detail: String,
    },
    /// Element types that do not fit the operation.
    #[error("{op}: {detail}")]
    DType {
        /// Operation.
        op: &'static str,
        /// What was found and what was wanted.
        detail: String,
    },
    /// Tensors of different engines or devices in one operation.
    #[error("{op}: one operand is on {lhs}, the other on {rhs}; move one explicitly (engines never mix)")]
    EngineMismatch {
        /// Operation.
        op: &'static str,
        /// Device of the first operand.
        lhs: Device,
        /// Device of the second operand.
        rhs: Device,
    },
    /// The engine lacks the capability, or is not compiled in.
    #[error("{op}: {detail}")]
    Unsupported {
        /// Operation.
        op: &'static str,
        /// What is missing and where to get it.
        detail: String,
    },
    /// The engine itself failed.
    #[error("{op}: {detail}")]
    Engine {
        /// Operation.
        op: &'static str,
        /// The engine's own message.
        detail: String,
    },
}

/// Result of a tensor operation.
pub type Result<T> = std::result::Result<T, Error>;

pub(crate) fn shape_error<T>(op: &'static str, detail: impl Into<String>) -> Result<T> {
    Err(Error::Shape {
        op,
        detail: detail.into(),
    })
}
