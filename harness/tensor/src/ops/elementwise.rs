//! Arithmetic, comparisons and functions, element by element with numpy broadcasting.

use crate::dispatch::{binary, unary};
use crate::ops::broadcast_shape;
use crate::{Result, Tensor};

macro_rules! arithmetic {
    ($($(#[$doc:meta])* $name:ident, $candle:path, $torch:ident;)*) => {
        $($(#[$doc])*
        pub fn $name(&self, rhs: &Tensor) -> Result<Tensor> {
            const OP: &str = stringify!($name);
            self.check_same(OP, rhs)?;
            broadcast_shape(OP, &self.shape(), &rhs.shape())?;
            binary!(self, rhs, OP, |a, b| $candle(a, b), |a, b| a.$torch(b))
        })*
    };
}

macro_rules! comparisons {
    ($($(#[$doc:meta])* $name:ident, $candle:ident, $torch:ident;)*) => {
        $($(#[$doc])*
        pub fn $name(&self, rhs: &Tensor) -> Result<Tensor> {
            const OP: &str = stringify!($name);
            self.check_same(OP, rhs)?;
            broadcast_shape(OP, &self.shape(), &rhs.shape())?;
            let dtype = self.dtype();
            binary!(
                self,
                rhs,
                OP,
                |a, b| a.$candle(b).and_then(|mask| crate::candle::to_dtype(&mask, dtype)),
                |a, b| a.$torch(b).and_then(|mask| mask.f_to_kind(crate::torch::kind(dtype)))
            )
        })*
    };
}

macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident, |$c:ident| $candle:expr, |$t:ident| $torch:expr;)*) => {
        $($(#[$doc])*
        pub fn $name(&self) -> Result<Tensor> {
            const OP: &str = stringify!($name);
            self.check_float(OP)?;
            unary!(self, OP, |$c| $candle, |$t| $torch)
        })*
    };
}

impl Tensor {
    arithmetic! {
        /// Sum.
        add, candle_core::Tensor::broadcast_add, f_add;
        /// Difference.
        sub, candle_core::Tensor::broadcast_sub, f_sub;
        /// Product.
        mul, candle_core::Tensor::broadcast_mul, f_mul;
        /// The larger of two elements.
        maximum, crate::candle::on_gpu::maximum, f_maximum;
        /// The smaller of two elements.
        minimum, crate::candle::on_gpu::minimum, f_minimum;
    }

    /// Quotient of floats.
    pub fn div(&self, rhs: &Tensor) -> Result<Tensor> {
        self.check_float("div")?;
        self.check_same("div", rhs)?;
        broadcast_shape("div", &self.shape(), &rhs.shape())?;
        binary!(self, rhs, "div", |a, b| a.broadcast_div(b), |a, b| a.f_div(b))
    }

    comparisons! {
        /// 1 where equal, else 0, in the operands' dtype.
        eq, broadcast_eq, f_eq_tensor;
        /// 1 where less, else 0, in the operands' dtype.
        lt, broadcast_lt, f_lt_tensor;
        /// 1 where less or equal, else 0, in the operands' dtype.
        le, broadcast_le, f_le_tensor;
        /// 1 where greater, else 0, in the operands' dtype.
        gt, broadcast_gt, f_gt_tensor;
        /// 1 where greater or equal, else 0, in the operands' dtype.
        ge, broadcast_ge, f_ge_tensor;
    }

    functions! {
        /// −x.
        neg, |t| t.neg(), |t| t.f_neg();
        /// e^x.
        exp, |t| t.exp(), |t| t.f_exp();
        /// Natural logarithm.
        log, |t| t.log(), |t| t.f_log();
        /// Square root.
        sqrt, |t| t.sqrt(), |t| t.f_sqrt();
        /// x².
        square, |t| t.sqr(), |t| t.f_square();
        /// |x|.
        abs, |t| t.abs(), |t| t.f_abs();
        /// max(x, 0), NaN where x is; the slope at 0 is 0.
        relu, |t| crate::candle::kernels::relu(t), |t| t.f_relu();
        /// x · sigmoid(x).
        silu, |t| t.silu(), |t| t.f_silu();
        /// 1 / (1 + e^−x).
        sigmoid, |t| crate::candle::kernels::sigmoid(t), |t| t.f_sigmoid();
        /// Hyperbolic tangent.
        tanh, |t| t.tanh(), |t| t.f_tanh();
    }

    /// x + `value`.
    pub fn add_scalar(&self, value: f64) -> Result<Tensor> {
        self.check_float("add_scalar")?;
        unary!(self, "add_scalar", |t| t.affine(1.0, value), |t| t.f_add_scalar(value))
    }

    /// x · `value`.
    pub fn mul_scalar(&self, value: f64) -> Result<Tensor> {
        self.check_float("mul_scalar")?;
        unary!(self, "mul_scalar", |t| t.affine(value, 0.0), |t| t.f_mul_scalar(value))
    }

    /// x^`exponent`.
    pub fn powf(&self, exponent: f64) -> Result<Tensor> {
        self.check_float("powf")?;
        unary!(self, "powf", |t| t.powf(exponent), |t| t.f_pow_tensor_scalar(exponent))
    }

    /// x limited to [`min`, `max`].
    pub fn clamp(&self, min: f64, max: f64) -> Result<Tensor> {
        self.check_float("clamp")?;
        unary!(self, "clamp", |t| crate::candle::on_gpu::clamp(t, min, max), |t| t
            .f_clamp(min, max))
    }

    /// `on_true` where `self` is not 0, else `on_false`; the three broadcast together.
    pub fn where_cond(&self, on_true: &Tensor, on_false: &Tensor) -> Result<Tensor> {
        const OP: &str = "where_cond";
        on_true.check_same(OP, on_false)?;
        self.check_same_device(OP, on_true)?;
        let shape = broadcast_shape(OP, &on_true.shape(), &on_false.shape())?;
        let shape = broadcast_shape(OP, &self.shape(), &shape)?;
        let (mask, on_true, on_false) = (self.expand(&shape)?, on_true.expand(&shape)?, on_false.expand(&shape)?);
        match (&mask.repr, &on_true.repr, &on_false.repr) {
            #[cfg(feature = "candle")]
            (crate::tensor::Repr::Candle(mask), crate::tensor::Repr::Candle(a), crate::tensor::Repr::Candle(b)) => mask
                .ne(0.0)
                .and_then(|mask| mask.where_cond(a, b))
                .map(Tensor::from)
                .map_err(|e| crate::candle::error(OP, e)),
            #[cfg(feature = "torch")]
            (crate::tensor::Repr::Torch(mask), crate::tensor::Repr::Torch(a), crate::tensor::Repr::Torch(b)) => mask
                .f_ne(0.0)
                .and_then(|mask| a.f_where_self(&mask, b))
                .map(Tensor::from)
                .map_err(|e| crate::torch::error(OP, e)),
            #[allow(unreachable_patterns)]
            _ => unreachable!("the operands were checked to live on one engine"),
        }
    }
}
