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
    pub fn negative_log_likelihood(&self, sequences: &[&[u32]]) -> Result<Vec<Vec<f64>>> {
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
            let targets: Vec<u32> = sequences.iter().flat_map(|tokens| &tokens[1..]).copied().collect();
            self.target_nll(&hidden, &targets)
        })?;
        Ok(nll.chunks(length - 1).map(<[f64]>::to_vec).collect())
    }

    /// Nats of each of N targets after its final hidden state `[N, hidden]`.
    pub fn target_nll(&self, hidden: &Tensor, targets: &[u32]) -> Result<Vec<f64>> {
        let chunk = self.logit_rows_at_once();
        let mut nll = Vec::with_capacity(targets.len());
        for (index, targets) in targets.chunks(chunk).enumerate() {
            let logits = self.logits(&hidden.narrow(0, index * chunk, targets.len())?)?;
            let pairs: Vec<(usize, usize)> = targets.iter().map(|&target| target as usize).enumerate().collect();
            let (likelihoods, _) = logits.token_log_likelihoods(&pairs)?;
            nll.extend(likelihoods.to_vec::<f64>()?.into_iter().map(|likelihood| -likelihood));
        }
        Ok(nll)
    }
}
