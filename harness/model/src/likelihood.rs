//! Negative log-likelihood of token sequences.

use prunebench_tensor::{Tensor, no_grad};

use crate::{Decoder, ModelError, Result};

/// Logits alive at once: 64 MB of f32.
const LOGITS_AT_ONCE: usize = 16 << 20;

impl Decoder {
    /// Rows of logits to make at a time, so that memory does not grow with length times vocabulary.
    pub fn logit_rows_at_once(&self) -> usize {
        (LOGITS_AT_ONCE / self.graph.vocab_size).max(1)
    }

    /// Nats of every token after the first, given those before it, for a batch of sequences of one length: `[B][T − 1]`.
    pub fn negative_log_likelihood(&self, sequences: &[&[u32]]) -> Result<Vec<Vec<f32>>> {
        let ids = self.ids(sequences)?;
        let (batch, length) = (sequences.len(), ids.dim(1)?);
        if length < 2 {
            return Err(ModelError::Graph(
                "a sequence of one token predicts nothing".to_string(),
            ));
        }
        // The last token only is predicted, so a window may have one token more than the model has positions.
        let inputs = ids.narrow(1, 0, length - 1)?;
        let nll = no_grad(|| {
            let hidden = self.hidden(&inputs, None, &mut |_, _| Ok(()))?;
            let rows = batch * (length - 1);
            let hidden = hidden.reshape(&[rows, self.graph.hidden_size])?;
            self.target_nll(&hidden, &ids.narrow(1, 1, length - 1)?.reshape(&[rows])?)
        })?;
        Ok(nll.chunks(length - 1).map(<[f32]>::to_vec).collect())
    }

    /// Nats of each target `[N]` after its final hidden state `[N, hidden]`.
    pub fn target_nll(&self, hidden: &Tensor, targets: &Tensor) -> Result<Vec<f32>> {
        let (rows, chunk) = (hidden.dim(0)?, self.logit_rows_at_once());
        let mut nll = Vec::with_capacity(rows);
        for start in (0..rows).step_by(chunk) {
            let count = chunk.min(rows - start);
            let logits = self.logits(&hidden.narrow(0, start, count)?)?;
            let slice: Tensor = logits.cross_entropy(&targets.narrow(0, start, count)?)?;
            nll.extend(slice.to_dtype(prunebench_tensor::DType::F32)?.to_vec::<f32>()?);
        }
        Ok(nll)
    }
}
