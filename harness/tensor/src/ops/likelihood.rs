//! What logits say of tokens: losses, log-likelihoods and divergences.

use crate::dispatch::binary;
use crate::error::shape_error;
use crate::tensor::Repr;
use crate::{DType, DeviceKind, Result, Tensor, cpu};

impl Tensor {
    /// Negative log-likelihood in nats of `targets` (i64 `[N]`) under the softmax of logits `[N, V]`, as `[N]`, in f32 (f64 for
    /// f64 logits). The loss of a training step; measurements take [`Tensor::token_log_likelihoods`].
    pub fn cross_entropy(&self, targets: &Tensor) -> Result<Tensor> {
        const OP: &str = "cross_entropy";
        self.check_float(OP)?;
        targets.check_indices(OP)?;
        let x = self.shape();
        if x.len() != 2 || targets.shape() != x[..1] {
            return shape_error(
                OP,
                format!(
                    "logits [N,V] and targets [N] wanted, found {x:?} and {:?}",
                    targets.shape()
                ),
            );
        }
        targets.check_index_range(OP, x[1])?;
        binary!(
            self,
            targets,
            OP,
            |x, targets| crate::candle::kernels::cross_entropy(x, targets),
            |x, targets| crate::torch::kernels::cross_entropy(x, targets)
        )
    }

    /// Of logits `[R, V]`: the log-likelihood in nats of each (row, token) of `pairs`, and the first most likely token of each
    /// row, as i64 `[R]`. The sum over the vocabulary is taken in f64, and the likelihoods are f64, since the error of a sum in f32
    /// would be to one side in all rows. Not differentiable.
    pub fn token_log_likelihoods(&self, pairs: &[(usize, usize)]) -> Result<(Tensor, Tensor)> {
        const OP: &str = "token_log_likelihoods";
        let [rows, vocab] = self.rows_of_logits(OP)?;
        if let Some(pair) = pairs.iter().find(|&&(row, token)| row >= rows || token >= vocab) {
            return shape_error(
                OP,
                format!("(row, token) {pair:?} lies outside logits [{rows},{vocab}]"),
            );
        }
        let device = self.device();
        let wide = self.at_least_f32()?;
        let of_rows = wide.on_host(OP, |logits| cpu::row_likelihoods(logits, vocab.max(1)))?;
        let (sums, likeliest) = match of_rows {
            Some(of_rows) => {
                let (sums, likeliest): (Vec<f64>, Vec<i64>) = of_rows.into_iter().unzip();
                (
                    Tensor::from_slice(&sums, &[rows], &device)?,
                    Tensor::from_slice(&likeliest, &[rows], &device)?,
                )
            }
            None => (wide.log_sum_exp()?, wide.argmax(1)?),
        };
        let at = |places: Vec<i64>| Tensor::from_slice(&places, &[pairs.len()], &device);
        let sums = sums.index_select(0, &at(pairs.iter().map(|&(row, _)| row as i64).collect())?)?;
        let places = at(pairs.iter().map(|&(row, token)| (row * vocab + token) as i64).collect())?;
        let chosen = self.reshape(&[rows * vocab])?.index_select(0, &places)?;
        Ok((chosen.to_dtype(DType::F64)?.sub(&sums)?, likeliest))
    }

    /// Σ_v p(v) (ln p(v) − ln q(v)) in nats of each row, for logits `[R, V]` of p (`self`) and of q, as f64 `[R]`. Not
    /// differentiable.
    pub fn kl_divergence(&self, q: &Tensor) -> Result<Tensor> {
        const OP: &str = "kl_divergence";
        let [rows, vocab] = self.rows_of_logits(OP)?;
        self.check_same(OP, q)?;
        if q.shape() != self.shape() {
            return shape_error(
                OP,
                format!("equal shapes wanted, found {:?} and {:?}", self.shape(), q.shape()),
            );
        }
        let (p, q) = (self.at_least_f32()?, q.at_least_f32()?);
        let of_rows = p.on_host(OP, |p| q.on_host(OP, |q| cpu::row_divergences(p, q, vocab.max(1))))?;
        if let Some(of_rows) = of_rows.transpose()?.flatten() {
            return Tensor::from_slice(&of_rows, &[rows], &self.device());
        }
        let [p, q] = [p, q].map(|logits| logits.to_dtype(DType::F64)?.log_softmax());
        let (p, q) = (p?, q?);
        p.exp()?.mul(&p.sub(&q)?)?.sum(1, false)
    }

    fn rows_of_logits(&self, op: &'static str) -> Result<[usize; 2]> {
        self.check_float(op)?;
        match self.shape().as_slice() {
            &[rows, vocab] => Ok([rows, vocab]),
            shape => shape_error(op, format!("logits [R,V] wanted, found {shape:?}")),
        }
    }

    fn at_least_f32(&self) -> Result<Tensor> {
        match self.dtype() {
            DType::F64 => Ok(self.clone()),
            _ => self.to_dtype(DType::F32),
        }
    }

    /// ln Σ_v exp(logits[r, v]) of each row, as f64 `[R]`: the terms in the dtype of the logits, their sum in f64.
    fn log_sum_exp(&self) -> Result<Tensor> {
        let largest = self.max(1, true)?;
        let terms = self.sub(&largest)?.exp()?.to_dtype(DType::F64)?;
        largest
            .squeeze(1)?
            .to_dtype(DType::F64)?
            .add(&terms.sum(1, false)?.log()?)
    }

    /// What `work` makes of the elements in row-major order, if they are in f32 on the host and nothing is tracked.
    fn on_host<T>(&self, op: &'static str, work: impl FnOnce(&[f32]) -> T) -> Result<Option<T>> {
        if self.device().kind != DeviceKind::Cpu || self.dtype() != DType::F32 {
            return Ok(None);
        }
        match &self.repr {
            #[cfg(feature = "candle")]
            Repr::Candle(tensor) => {
                crate::candle::kernels::on_host(tensor, work).map_err(|e| crate::candle::error(op, e))
            }
            #[cfg(feature = "torch")]
            Repr::Torch(tensor) => crate::torch::kernels::on_host(tensor, work).map_err(|e| crate::torch::error(op, e)),
        }
    }
}
