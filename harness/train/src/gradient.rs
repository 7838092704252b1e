//! Loss and gradients of one batch, step by step backwards through the graph, so that a few steps' activations are alive at a
//! time if need be and the logits never all are.

use std::collections::BTreeMap;

use prunebench_model::{Decoder, ModelError, Rows};
use prunebench_tensor::{DType, Tensor, no_grad};

use crate::callback::Leaves;
use crate::data::{Batch, Example};
use crate::{Result, TrainError};

/// Summed loss of some predictions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Loss {
    /// Nats.
    pub sum: f64,
    /// Predictions.
    pub predictions: u64,
}

impl Loss {
    /// Nats per prediction.
    pub fn mean(&self) -> f64 {
        self.sum / self.predictions as f64
    }
}

/// Gradients by parameter name, summed over what was added.
#[derive(Default)]
pub(crate) struct Gradients(BTreeMap<String, Sum>);

struct Sum {
    gradient: Tensor,
    /// Made by an addition here, and so shared with nobody.
    own: bool,
}

impl Gradients {
    pub(crate) fn add(&mut self, name: &str, gradient: Tensor) -> Result<()> {
        let gradient = match gradient.dtype() {
            DType::BF16 | DType::F16 => gradient.to_dtype(DType::F32)?,
            _ => gradient,
        };
        match self.0.get_mut(name) {
            None => {
                let sum = Sum { gradient, own: false };
                self.0.insert(name.to_owned(), sum);
            }
            Some(sum) if sum.own => sum.gradient.add_in_place(&gradient, 1.0)?,
            Some(sum) => {
                sum.gradient = no_grad(|| sum.gradient.add(&gradient)?.contiguous())?;
                sum.own = true;
            }
        }
        Ok(())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Tensor> {
        self.0.get(name).map(|sum| &sum.gradient)
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<Tensor> {
        self.0.remove(name).map(|sum| sum.gradient)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Tensor> {
        self.0.values().map(|sum| &sum.gradient)
    }

    pub(crate) fn into_map(self) -> BTreeMap<String, Tensor> {
        self.0.into_iter().map(|(name, sum)| (name, sum.gradient)).collect()
    }
}

/// A decoder whose trainable parameters are leaves of the autograd graph.
pub(crate) struct Tracked<'a> {
    pub(crate) decoder: &'a Decoder,
    pub(crate) leaves: &'a Leaves,
    /// Make activations anew in the backward pass.
    pub(crate) recompute: bool,
}

impl Tracked<'_> {
    /// The batch's loss and that of each target, in nats; adds the gradients of `weight` · Σ loss to `into`.
    pub(crate) fn backward(&self, batch: &Batch, weight: f64, into: &mut Gradients) -> Result<(Loss, Vec<f64>)> {
        let rows: Vec<&[u32]> = batch.rows.iter().map(Vec::as_slice).collect();
        let ids = self.decoder.ids(&rows)?;
        let place = match &batch.parts {
            Some(parts) => Rows::apart(parts),
            None => Rows::whole(ids.dim(1)?),
        };
        let steps = self.decoder.graph.steps.len();
        let embedded = self.decoder.embed(&ids, &place)?;
        // Inputs of the steps, each a leaf, and what the steps made of them.
        let mut inputs = vec![embedded.param()?];
        let mut outputs = Vec::with_capacity(steps);
        for step in 0..steps {
            let run = || self.step(step, &inputs[step], &place);
            if self.recompute {
                inputs.push(no_grad(run)?.param()?);
            } else {
                let output = run()?;
                inputs.push(output.param()?);
                outputs.push(output);
            }
        }
        let (loss, of_targets, mut gradient) = self.readout(&inputs[steps], batch, weight, into)?;
        for step in (0..steps).rev() {
            inputs.truncate(step + 1);
            let output = match outputs.pop() {
                Some(output) => output,
                None => self.step(step, &inputs[step], &place)?,
            };
            let prefixes = self.decoder.graph.read_by_step(step);
            let leaves = self
                .leaves
                .iter()
                .filter(|(name, _)| prefixes.iter().any(|prefix| name.starts_with(prefix)));
            gradient = pull(&output, &gradient, Some(&inputs[step]), leaves, into)?
                .ok_or_else(|| TrainError::Data("a step without an input".to_owned()))?;
        }
        let below = |name: &str| name.starts_with("model.embed_");
        let leaves: Vec<_> = self.leaves.iter().filter(|(name, _)| below(name)).collect();
        if !leaves.is_empty() {
            pull(&embedded, &gradient, None, leaves, into)?;
        }
        Ok((loss, of_targets))
    }

    fn step(&self, step: usize, x: &Tensor, place: &Rows) -> prunebench_model::Result<Tensor> {
        self.decoder.run_step(step, x, place, &mut |_, _| Ok(()))
    }

    /// The loss after the last step, that of each target, and the gradient of the stream `[B, T, hidden]` there.
    fn readout(
        &self,
        stream: &Tensor,
        batch: &Batch,
        weight: f64,
        into: &mut Gradients,
    ) -> Result<(Loss, Vec<f64>, Tensor)> {
        let hidden = self.decoder.graph.hidden_size;
        let shape = stream.shape();
        let flat = stream.reshape(&[shape[0] * shape[1], hidden])?;
        let device = stream.device();
        let places: Vec<i64> = batch.targets.iter().map(|&(place, _)| place as i64).collect();
        let targets: Vec<i64> = batch.targets.iter().map(|&(_, target)| i64::from(target)).collect();
        if let Some(target) = targets
            .iter()
            .find(|&&target| target as usize >= self.decoder.graph.vocab_size)
        {
            return Err(ModelError::Graph(format!(
                "token id {target} is outside the vocabulary of {}; the tokenizer belongs to another model",
                self.decoder.graph.vocab_size
            ))
            .into());
        }
        let every =
            places.len() == shape[0] * shape[1] && places.iter().enumerate().all(|(i, &place)| place == i as i64);
        let learnt = match every {
            true => flat.clone(),
            false => flat.index_select(0, &Tensor::from_slice(&places, &[places.len()], &device)?)?,
        };
        let learnt_stream = learnt.detach()?;
        let leaves: Vec<_> = self
            .leaves
            .iter()
            .filter(|(name, _)| !name.starts_with("model.layers.") && *name != "model.embed_positions.weight")
            .filter(|(name, _)| self.decoder.graph.tie_word_embeddings || !name.starts_with("model.embed_"))
            .collect();
        let chunk = self.decoder.logit_rows_at_once();
        let mut loss = Loss::default();
        let mut of_targets = Vec::with_capacity(targets.len());
        let mut gradients = Vec::new();
        for start in (0..targets.len()).step_by(chunk) {
            let count = chunk.min(targets.len() - start);
            let part = learnt_stream.narrow(0, start, count)?.param()?;
            let wanted = Tensor::from_slice(&targets[start..start + count], &[count], &device)?;
            let logits = self.decoder.logits(&self.decoder.final_normed(&part)?)?;
            let each = logits.cross_entropy(&wanted)?;
            of_targets.extend(each.to_f64_vec()?);
            let sum = each.sum_all()?;
            loss.sum += sum.to_f64()?;
            loss.predictions += count as u64;
            let scaled = sum.mul_scalar(weight)?;
            let mut wrt = vec![&part];
            wrt.extend(leaves.iter().map(|(_, leaf)| *leaf));
            let mut found = Tensor::backward(&scaled, &wrt)?.into_iter();
            gradients.extend(found.next());
            for ((name, _), gradient) in leaves.iter().zip(found) {
                into.add(name, gradient)?;
            }
        }
        let gradient = match gradients.len() {
            0 => return Ok((loss, of_targets, Tensor::zeros(&shape, stream.dtype(), &device)?)),
            1 => gradients.swap_remove(0),
            _ => Tensor::cat(&gradients.iter().collect::<Vec<_>>(), 0)?,
        };
        if every {
            return Ok((loss, of_targets, gradient.reshape(&shape)?));
        }
        // Back to the places that were chosen.
        let pulled = Tensor::backward(&learnt.mul(&gradient)?.sum_all()?, &[stream])?;
        pulled
            .into_iter()
            .next()
            .map(|gradient| (loss, of_targets, gradient))
            .ok_or_else(|| TrainError::Data("no gradient of the stream".to_owned()))
    }
}

/// Pulls the gradient of `output` back to `input`, and adds those of the leaves to `into`.
fn pull<'a>(
    output: &Tensor,
    gradient: &Tensor,
    input: Option<&Tensor>,
    leaves: impl IntoIterator<Item = (&'a String, &'a Tensor)>,
    into: &mut Gradients,
) -> Result<Option<Tensor>> {
    let leaves: Vec<_> = leaves.into_iter().collect();
    let mut wrt: Vec<&Tensor> = input.into_iter().collect();
    wrt.extend(leaves.iter().map(|(_, leaf)| *leaf));
    let inner = output.mul(&gradient.detach()?)?.sum_all()?;
    let mut found = Tensor::backward(&inner, &wrt)?.into_iter();
    let pulled = input.and_then(|_| found.next());
    for ((name, _), gradient) in leaves.into_iter().zip(found) {
        into.add(name, gradient)?;
    }
    Ok(pulled)
}

/// Mean next-token loss in nats of a batch of sequences of one length, and its gradient with respect to every parameter, by the
/// names of [`Decoder::parameters`]. A tied head and embedding share one gradient, as do a block and those that borrow its linears.
pub fn loss_and_gradients(decoder: &Decoder, sequences: &[&[u32]]) -> Result<(f64, BTreeMap<String, Tensor>)> {
    let mut leaves = Leaves::new();
    let tracked = decoder.map_parameters(|name, tensor| {
        let leaf = tensor.param()?;
        leaves.insert(name.to_owned(), leaf.clone());
        Ok(leaf)
    })?;
    let examples: Vec<_> = sequences
        .iter()
        .map(|tokens| Example::new("", 0, tokens.to_vec(), 0))
        .collect();
    let batch = Batch::new(&examples, false);
    if batch.targets.is_empty() {
        return Err(ModelError::Graph("a sequence of one token predicts nothing".to_string()).into());
    }
    let weight = 1.0 / batch.targets.len() as f64;
    let mut gradients = Gradients::default();
    let tracked = Tracked {
        decoder: &tracked,
        leaves: &leaves,
        recompute: false,
    };
    let (loss, _) = tracked.backward(&batch, weight, &mut gradients)?;
    Ok((loss.mean(), gradients.into_map()))
}

/// Loss of a batch, without gradients.
pub(crate) fn loss(decoder: &Decoder, batch: &Batch) -> Result<Loss> {
    let rows: Vec<&[u32]> = batch.rows.iter().map(Vec::as_slice).collect();
    no_grad(|| {
        let ids = decoder.ids(&rows)?;
        let place = match &batch.parts {
            Some(parts) => Rows::apart(parts),
            None => Rows::whole(ids.dim(1)?),
        };
        let mut x = decoder.embed(&ids, &place)?;
        for step in 0..decoder.graph.steps.len() {
            x = decoder.run_step(step, &x, &place, &mut |_, _| Ok(()))?;
        }
        let shape = x.shape();
        let flat = x.reshape(&[shape[0] * shape[1], shape[2]])?;
        let mut loss = Loss::default();
        for targets in batch.targets.chunks(decoder.logit_rows_at_once()) {
            let places: Vec<i64> = targets.iter().map(|&(place, _)| place as i64).collect();
            let wanted: Vec<i64> = targets.iter().map(|&(_, target)| i64::from(target)).collect();
            let rows = flat.index_select(0, &Tensor::from_slice(&places, &[places.len()], &x.device())?)?;
            let logits = decoder.logits(&decoder.final_normed(&rows)?)?;
            let nll = logits.cross_entropy(&Tensor::from_slice(&wanted, &[wanted.len()], &x.device())?)?;
            loss.sum += nll.to_dtype(DType::F64)?.sum_all()?.to_f64()?;
            loss.predictions += wanted.len() as u64;
        }
        Ok(loss)
    })
}
