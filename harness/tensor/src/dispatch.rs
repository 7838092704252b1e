//! The one place where an operation meets an engine.

/// Runs the expression of the engine that holds the tensor, and turns the engine's error into ours.
macro_rules! unary {
    ($x:expr, $op:expr, |$c:ident| $candle:expr, |$t:ident| $torch:expr) => {
        match &$x.repr {
            #[cfg(feature = "candle")]
            $crate::tensor::Repr::Candle($c) => $candle
                .map($crate::tensor::Tensor::from)
                .map_err(|e| $crate::candle::error($op, e)),
            #[cfg(feature = "torch")]
            $crate::tensor::Repr::Torch($t) => $torch
                .map($crate::tensor::Tensor::from)
                .map_err(|e| $crate::torch::error($op, e)),
        }
    };
}

/// [`unary`] for two tensors, after checking that one engine and device holds both.
macro_rules! binary {
    ($x:expr, $y:expr, $op:expr, |$c:ident, $d:ident| $candle:expr, |$t:ident, $u:ident| $torch:expr) => {{
        let (lhs, rhs) = ($x.device(), $y.device());
        match (&$x.repr, &$y.repr) {
            #[cfg(feature = "candle")]
            ($crate::tensor::Repr::Candle($c), $crate::tensor::Repr::Candle($d)) if lhs == rhs => $candle
                .map($crate::tensor::Tensor::from)
                .map_err(|e| $crate::candle::error($op, e)),
            #[cfg(feature = "torch")]
            ($crate::tensor::Repr::Torch($t), $crate::tensor::Repr::Torch($u)) if lhs == rhs => $torch
                .map($crate::tensor::Tensor::from)
                .map_err(|e| $crate::torch::error($op, e)),
            _ => Err($crate::Error::EngineMismatch { op: $op, lhs, rhs }),
        }
    }};
}

pub(crate) use {binary, unary};
