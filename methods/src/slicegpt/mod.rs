//! `slicegpt`: the residual stream turned into its principal directions and cut to the first of them.

use prunebench_model::graph::{Graph, NormKind, Shortcut};
use prunebench_model::{Block, Decoder, LinearName, Norm};
use prunebench_tensor::{DType, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::parse_strict;
use crate::depth::sequential_blocks;
use crate::{Basis, Card, Entry, Error, Family, Method, Need, Ratio, Report, Result, Run};

static CARD: Card = Card {
    id: "slicegpt",
    title: "SliceGPT",
    summary: "narrows the stream to principal components",
    paper: "Ashkboos et al., SliceGPT: Compress Large Language Models by Deleting Rows and Columns (arXiv 2401.15024)",
    family: Family::Width,
    changes: "narrows the residual stream",
    example: "slicegpt(ratio=0.2)",
    needs: &[Need::CalibrationText],
    version: 1,
    deviations: &[
        "calibration text is what the run gives; the authors' is 128 windows of 2048 tokens of WikiText-2 or Alpaca",
        "embeddings are not centred, which is not exact under RMSNorm; LayerNorm is refused",
        "no damping and no random last rotation: neither changes the function",
        "no recovery fine-tuning",
    ],
    readme: include_str!("README.md"),
};

pub(crate) const ENTRY: Entry = Entry {
    card: &CARD,
    parse: |table| {
        let config: Config = parse_strict(CARD.id, table)?;
        Ok(Box::new(SliceGpt { config }))
    },
};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    ratio: Ratio,
}

#[derive(Debug)]
struct SliceGpt {
    config: Config,
}

/// Widths are multiples of it, as matrix products want them.
const MULTIPLE: usize = 8;

impl Method for SliceGpt {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn config(&self) -> Value {
        json!(self.config)
    }

    fn apply(&self, run: &mut Run) -> Result<Report> {
        let (from, ratio) = (run.model.graph.hidden_size, self.config.ratio);
        let to = width(from, ratio)?;
        let before = run.model.accounting()?.stored_parameters;
        slice(run, to)?;
        let after = run.model.accounting()?.stored_parameters;
        let details = json!({
            "width": to,
            "stored_parameters_before": before,
            "stored_parameters_after": after,
            "parameter_reduction": 1.0 - after as f64 / before as f64,
        });
        Ok(Report {
            rounding: MULTIPLE as f64 / from as f64,
            ..Report::of(Basis::Width, Some(ratio.value()), details)
        })
    }
}

/// floor((1 − ratio) · hidden), down to a multiple of 8.
fn width(hidden: usize, ratio: Ratio) -> Result<usize> {
    let kept = ((1.0 - ratio.value()) * hidden as f64 + 1e-9) as usize;
    match kept - kept % MULTIPLE {
        0 => Err(Error::Config {
            what: CARD.id.to_string(),
            detail: format!(
                "key `ratio`: {} of a stream of {hidden} leaves {kept} directions, fewer than the {MULTIPLE} that widths are \
                 multiples of; a lower ratio is wanted",
                ratio.value()
            ),
        }),
        width => Ok(width),
    }
}

/// A block's attention or FFN.
struct Sublayer {
    step: usize,
    block: usize,
    inputs: &'static [LinearName],
    output: LinearName,
}

const ATTENTION: (&[LinearName], LinearName) = (&[LinearName::Q, LinearName::K, LinearName::V], LinearName::O);
const FFN: (&[LinearName], LinearName) = (&[LinearName::Gate, LinearName::Up], LinearName::Down);

/// Every sublayer in the order of execution.
fn sublayers(model: &Decoder) -> Result<Vec<Sublayer>> {
    let order = sequential_blocks(CARD.id, &model.graph)?;
    let of_block = |(step, &block): (usize, &usize)| {
        let present = move |&(_, output): &(_, LinearName)| model.blocks[block].linear(output).is_some();
        [ATTENTION, FFN]
            .into_iter()
            .filter(present)
            .map(move |(inputs, output)| Sublayer {
                step,
                block,
                inputs,
                output,
            })
    };
    Ok(order.iter().enumerate().flat_map(of_block).collect())
}

/// Slices the run's model to `width` directions: each sublayer reads the stream in its own principal directions, which its
/// shortcut leads to. The last sublayer writes the whole stream, so final norm and head stay.
fn slice(run: &mut Run, width: usize) -> Result<()> {
    let graph = &run.model.graph;
    if graph.stream_gates
        || graph
            .blocks
            .iter()
            .any(|shape| shape.borrows.is_some() || shape.normalises())
    {
        return Err(Error::Model {
            method: CARD.id,
            detail: "the stream is gated, or a block borrows its linears or normalises its output, and none of these can turn to \
                     another basis; put slicegpt before the method that did so"
                .to_owned(),
        });
    }
    if run.model.graph.norm != NormKind::Rms {
        return Err(Error::Model {
            method: CARD.id,
            detail: "the model has LayerNorms, through which a rotation does not pass; a model with RMSNorms is wanted"
                .to_string(),
        });
    }
    let sublayers = sublayers(&run.model)?;
    let graph = sliced_graph(&run.model.graph, &sublayers, width);
    let mut streams = run.streams()?;
    let mut basis = principal_directions(&streams, width)?;
    run.model.head.get_or_insert_with(|| run.model.embedding.clone());
    run.model.embedding = times(&run.model.embedding, &basis)?;
    run.model.positions = run.model.positions.as_ref().map(|p| times(p, &basis)).transpose()?;
    for (index, sublayer) in sublayers.iter().enumerate() {
        slice_input(&mut run.model.blocks[sublayer.block], sublayer, &basis)?;
        if index + 1 < sublayers.len() {
            let sliced = |stream: &Tensor| Ok(times(&stream.squeeze(0)?, &basis)?.unsqueeze(0)?);
            let sliced = streams.iter().map(sliced).collect::<Result<Vec<_>>>()?;
            streams = run_alone(run, sublayer, &sliced)?;
            basis = principal_directions(&streams, width)?;
            slice_output(&mut run.model.blocks[sublayer.block], sublayer.output, &basis)?;
        }
        run.progress(index + 1, sublayers.len(), "sublayers sliced");
    }
    run.model.graph = graph;
    // A mask does not survive a rotation.
    run.masked = false;
    Ok(run.model.graph.validate()?)
}

/// The graph with every sublayer at `width` but the last one's output, and an output head of its own.
fn sliced_graph(graph: &Graph, sublayers: &[Sublayer], width: usize) -> Graph {
    let mut sliced = graph.clone();
    sliced.tie_word_embeddings = false;
    for (index, sublayer) in sublayers.iter().enumerate() {
        let last = index + 1 == sublayers.len();
        let to = if last { graph.hidden_size } else { width };
        let shortcut = Some(Shortcut { from: width, to });
        let shape = &mut sliced.blocks[sublayer.block];
        match (sublayer.output, &mut shape.attention, &mut shape.ffn) {
            (LinearName::O, Some(attention), _) => attention.shortcut = shortcut,
            (_, _, Some(ffn)) => ffn.shortcut = shortcut,
            _ => {}
        }
    }
    sliced
}

/// Makes a sublayer read the stream in `basis` `[hidden, width]`, with the gain of its norm moved into its linears, and lead it
/// back to all directions.
fn slice_input(block: &mut Block, sublayer: &Sublayer, basis: &Tensor) -> Result<()> {
    let (hidden, width) = (basis.dim(0)?, basis.dim(1)?);
    let Some((norm, shortcut)) = norm_and_shortcut(block, sublayer.output) else {
        return Ok(());
    };
    let (dtype, device) = (norm.gain.dtype(), norm.gain.device());
    let folded = norm.gain.to_dtype(DType::F64)?.reshape(&[hidden, 1])?.mul(basis)?;
    // Squares are still averaged over the whole width.
    norm.gain = Tensor::full(&[width], (hidden as f64 / width as f64).sqrt(), dtype, &device)?;
    *shortcut = Some(basis.to_dtype(dtype)?);
    for &name in sublayer.inputs {
        if let Some(linear) = block.linear_mut(name) {
            linear.weight = times(&linear.weight, &folded)?;
        }
    }
    Ok(())
}

/// Makes a sublayer that writes all directions write those of `basis` `[hidden, width]`.
fn slice_output(block: &mut Block, output: LinearName, basis: &Tensor) -> Result<()> {
    let turn = |x: &Tensor| -> Result<Tensor> {
        let turned = basis.transpose(0, 1)?.matmul(&x.to_dtype(DType::F64)?)?;
        Ok(turned.to_dtype(x.dtype())?)
    };
    if let Some((_, Some(shortcut))) = norm_and_shortcut(block, output) {
        *shortcut = turn(shortcut)?;
    }
    if let Some(linear) = block.linear_mut(output) {
        linear.weight = turn(&linear.weight)?;
        if let Some(bias) = &linear.bias {
            linear.bias = Some(turn(&bias.unsqueeze(1)?)?.squeeze(1)?);
        }
    }
    Ok(())
}

fn norm_and_shortcut(block: &mut Block, output: LinearName) -> Option<(&mut Norm, &mut Option<Tensor>)> {
    match output {
        LinearName::O => block.attention.as_mut().map(|a| (&mut a.norm, &mut a.shortcut)),
        _ => block.ffn.as_mut().map(|f| (&mut f.norm, &mut f.shortcut)),
    }
}

/// Runs one sublayer over each residual stream.
fn run_alone(run: &mut Run, sublayer: &Sublayer, streams: &[Tensor]) -> Result<Vec<Tensor>> {
    let whole = run.model.blocks[sublayer.block].clone();
    match sublayer.output {
        LinearName::O => run.model.blocks[sublayer.block].ffn = None,
        _ => run.model.blocks[sublayer.block].attention = None,
    }
    let after = run.step(sublayer.step, streams, &mut |_, _| Ok(()))?;
    run.model.blocks[sublayer.block] = whole;
    Ok(after)
}

/// The `width` eigenvectors of Σ xᵀx of largest eigenvalue over all tokens, `[hidden, width]` in f64.
fn principal_directions(streams: &[Tensor], width: usize) -> Result<Tensor> {
    let mut sum: Option<Tensor> = None;
    for stream in streams {
        let x = stream.squeeze(0)?.to_dtype(DType::F64)?;
        let squares = x.transpose(0, 1)?.matmul(&x)?;
        sum = Some(sum.map_or(Ok(squares.clone()), |sum| sum.add(&squares))?);
    }
    let squares = sum.ok_or(Error::Unmet {
        method: CARD.id,
        need: "calibration text",
        cure: "the run has no windows of it; name a calibration text and how many windows to take",
    })?;
    if !squares.sum_all()?.to_f64()?.is_finite() {
        return Err(Error::Model {
            method: CARD.id,
            detail: "the residual stream is not finite on the calibration text; load the model as f32".to_string(),
        });
    }
    // Ascending: the last columns are the largest.
    let (_, vectors) = squares.eigh()?;
    Ok(vectors.narrow(1, vectors.dim(1)? - width, width)?.contiguous()?)
}

/// `a` `b` in f64, in the dtype of `a`.
fn times(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    Ok(a.to_dtype(DType::F64)?.matmul(b)?.to_dtype(a.dtype())?)
}

#[cfg(test)]
mod tests;
