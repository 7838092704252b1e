//! Building blocks of a decoder.

use crate::dispatch::{binary, unary};
use crate::error::shape_error;
use crate::tensor::Repr;
use crate::{Result, Tensor};

impl Tensor {
    /// x weightᵀ + bias for x `[..., in]`, weight `[out, in]` and bias `[out]`.
    pub fn linear(&self, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        const OP: &str = "linear";
        self.check_float(OP)?;
        self.check_same(OP, weight)?;
        let (x, w) = (self.shape(), weight.shape());
        if w.len() != 2 || x.last() != Some(&w[1]) {
            return shape_error(
                OP,
                format!("x [..., in] and weight [out, in] wanted, found {x:?} and {w:?}"),
            );
        }
        if let Some(bias) = bias {
            self.check_same(OP, bias)?;
            if bias.shape() != w[..1] {
                return shape_error(
                    OP,
                    format!("a bias of shape [{}] wanted, found {:?}", w[0], bias.shape()),
                );
            }
        }
        match (&self.repr, &weight.repr) {
            #[cfg(feature = "torch")]
            (Repr::Torch(x), Repr::Torch(weight)) => {
                let bias = bias.and_then(|bias| crate::torch::all(&[bias]).pop());
                crate::torch::kernels::linear(x, weight, bias)
                    .map(Tensor::from)
                    .map_err(|e| crate::torch::error(OP, e))
            }
            #[cfg(feature = "candle")]
            (Repr::Candle(x), Repr::Candle(weight)) => {
                let y: Tensor = crate::candle::kernels::linear(x, weight)
                    .map(Tensor::from)
                    .map_err(|e| crate::candle::error(OP, e))?;
                bias.map_or(Ok(y.clone()), |bias| y.add(bias))
            }
            #[allow(unreachable_patterns)]
            _ => unreachable!("the operands were checked to live on one engine"),
        }
    }

    /// Matrix product of `[..., m, k]` and `[..., k, n]`: equal leading dimensions, or a 2-d right side shared by all.
    pub fn matmul(&self, rhs: &Tensor) -> Result<Tensor> {
        const OP: &str = "matmul";
        self.check_float(OP)?;
        self.check_same(OP, rhs)?;
        let (a, b) = (self.shape(), rhs.shape());
        let fits = a.len() >= 2
            && b.len() >= 2
            && a[a.len() - 1] == b[b.len() - 2]
            && (b.len() == 2 || a[..a.len() - 2] == b[..b.len() - 2]);
        if !fits {
            return shape_error(OP, format!("{a:?} and {b:?} don't multiply"));
        }
        binary!(self, rhs, OP, |x, y| crate::candle::kernels::matmul(x, y), |x, y| x
            .f_matmul(y))
    }

    /// Softmax over the last dimension.
    pub fn softmax(&self) -> Result<Tensor> {
        self.check_float("softmax")?;
        self.last_dim("softmax")?;
        unary!(self, "softmax", |t| crate::candle::kernels::softmax(t), |t| t
            .f_softmax(-1, None::<tch::Kind>))
    }

    /// Logarithm of the softmax over the last dimension.
    pub fn log_softmax(&self) -> Result<Tensor> {
        self.check_float("log_softmax")?;
        self.last_dim("log_softmax")?;
        unary!(self, "log_softmax", |t| crate::candle::kernels::log_softmax(t), |t| t
            .f_log_softmax(-1, None::<tch::Kind>))
    }

    /// x / sqrt(mean(x²) + `eps`) · `weight` over the last dimension; the mean is taken in f32 or wider.
    pub fn rms_norm(&self, weight: &Tensor, eps: f64) -> Result<Tensor> {
        const OP: &str = "rms_norm";
        self.check_float(OP)?;
        self.check_same(OP, weight)?;
        let width = self.last_dim(OP)?;
        if weight.shape() != [width] {
            return shape_error(
                OP,
                format!("a weight of shape [{width}] wanted, found {:?}", weight.shape()),
            );
        }
        binary!(
            self,
            weight,
            OP,
            |t, weight| crate::candle::kernels::rms_norm(t, weight, eps),
            |t, weight| t.f_rms_norm([width as i64], Some(weight), eps)
        )
    }

    /// (x − mean) / sqrt(variance + `eps`) over the last dimension, without gain or offset.
    pub fn layer_norm(&self, eps: f64) -> Result<Tensor> {
        const OP: &str = "layer_norm";
        self.check_float(OP)?;
        let width = self.last_dim(OP)?;
        let _ = width;
        unary!(self, OP, |t| crate::candle::kernels::layer_norm(t, eps), |t| t
            .f_layer_norm(
                [width as i64],
                None::<&tch::Tensor>,
                None::<&tch::Tensor>,
                eps,
                false
            ))
    }

    /// silu(self) · `up`, the gated activation; equal shapes.
    pub fn swiglu(&self, up: &Tensor) -> Result<Tensor> {
        const OP: &str = "swiglu";
        self.check_float(OP)?;
        self.check_same(OP, up)?;
        if self.shape() != up.shape() {
            return shape_error(
                OP,
                format!("equal shapes wanted, found {:?} and {:?}", self.shape(), up.shape()),
            );
        }
        binary!(
            self,
            up,
            OP,
            |gate, up| crate::candle::kernels::swiglu(gate, up),
            |gate, up| gate.f_silu().and_then(|gate| gate.f_mul(up))
        )
    }

    /// Rotary position embedding of x `[B, H, T, D]` with cos and sin `[T, D/2]`, in the half-rotation convention of Hugging
    /// Face: `[x1, x2] → [x1 cos − x2 sin, x2 cos + x1 sin]`.
    pub fn rope(&self, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
        const OP: &str = "rope";
        self.check_float(OP)?;
        self.check_same(OP, cos)?;
        self.check_same(OP, sin)?;
        let x = self.shape();
        if x.len() != 4 || !x[3].is_multiple_of(2) || cos.shape() != [x[2], x[3] / 2] || sin.shape() != cos.shape() {
            return shape_error(
                OP,
                format!(
                    "x [B,H,T,D] with even D, cos and sin [T,D/2] wanted, found {x:?}, {:?}, {:?}",
                    cos.shape(),
                    sin.shape()
                ),
            );
        }
        match (&self.repr, &cos.repr, &sin.repr) {
            #[cfg(feature = "candle")]
            (Repr::Candle(x), Repr::Candle(cos), Repr::Candle(sin)) => crate::candle::kernels::rope(x, cos, sin)
                .map(Tensor::from)
                .map_err(|e| crate::candle::error(OP, e)),
            #[cfg(feature = "torch")]
            (Repr::Torch(x), Repr::Torch(cos), Repr::Torch(sin)) => crate::torch::kernels::rope(x, cos, sin)
                .map(Tensor::from)
                .map_err(|e| crate::torch::error(OP, e)),
            #[allow(unreachable_patterns)]
            _ => unreachable!("the operands were checked to live on one engine"),
        }
    }
}
