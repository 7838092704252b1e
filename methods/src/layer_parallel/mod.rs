//! `layer-parallel`: pairs of blocks whose attentions, and then whose FFNs, run on one input.

mod choice;
mod diagnosis;
mod norms;

use prunebench_model::graph::Step;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use self::choice::{Choice, Resolved};
use self::diagnosis::pair_errors;
use crate::config::parse_strict;
use crate::depth::sequential_blocks;
use crate::range::{Range, pairs, replace_steps};
use crate::{Basis, Card, Entry, Error, Family, Method, Need, Report, Result, Run};

static CARD: Card = Card {
    id: "layer-parallel",
    title: "Layer parallelism",
    summary: "runs blocks in pairs, FFNs on the joint sum",
    paper: "Calvo González et al., Leveraging the true depth of LLMs (arXiv 2502.02790)",
    family: Family::Arrangement,
    changes: "runs consecutive blocks in pairs",
    example: "layer-parallel(start=2, end=4, norm=own, mode=lp)",
    needs: &[],
    version: 1,
    deviations: &[
        "the end of the range is searched by the loss on calibration text, where the paper is remembered to use perplexity on RedPajama",
    ],
    readme: include_str!("README.md"),
};

pub(crate) const ENTRY: Entry = Entry {
    card: &CARD,
    parse: |table| {
        let config: Config = parse_strict(CARD.id, table)?;
        let choice = Choice::new(config.start, config.end, config.pairs, config.depth)?;
        if config.mode == Mode::Par && (config.norm != Norms::Own || config.fused) {
            return Err(config_error(
                "`mode=par` keeps each block's own chain: `norm` must be own, and there is no block to be `fused` to",
            ));
        }
        Ok(Box::new(LayerParallel { config, choice }))
    },
};

fn config_error(detail: impl Into<String>) -> Error {
    Error::Config {
        what: CARD.id.to_owned(),
        detail: detail.into(),
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pairs: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    depth: Option<usize>,
    #[serde(default)]
    norm: Norms,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    fused: bool,
    #[serde(default)]
    diagnose: bool,
}

/// Which norm an FFN of a pair reads through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Norms {
    #[default]
    Own,
    Avg,
    RankMix,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// u = x + Σ attention_b(x), y = u + Σ ffn_b(u).
    #[default]
    Lp,
    /// y = x + Σ (block_b(x) − x).
    Par,
}

impl Mode {
    fn step(self) -> fn(Vec<usize>) -> Step {
        match self {
            Self::Lp => Step::ParallelSublayers,
            Self::Par => Step::Parallel,
        }
    }
}

#[derive(Debug)]
struct LayerParallel {
    config: Config,
    choice: Choice,
}

impl LayerParallel {
    /// The model with the range's blocks in pairs.
    fn paired(&self, run: &mut Run, range: Range) -> Result<()> {
        let first = range.first_step(CARD.id, &run.model.graph)?;
        for pair in range.blocks().collect::<Vec<_>>().chunks(2) {
            norms::share(&mut run.model, pair, self.config.norm)?;
        }
        replace_steps(run, range, first, pairs(range, self.config.mode.step()));
        Ok(())
    }

    /// The end with the lowest loss on the calibration text, and the loss of each end that was tried.
    fn search(&self, run: &mut Run, pairs: usize) -> Result<(Range, Value)> {
        let dense = run.model.clone();
        let total = sequential_blocks(CARD.id, &dense.graph)?.len();
        let ends = choice::ends(pairs, total)?;
        let mut losses = Map::new();
        let mut best: Option<(f64, Range)> = None;
        for (tried, end) in ends.clone().enumerate() {
            let range = Range {
                start: end - 2 * pairs,
                end,
            };
            self.paired(run, range)?;
            let candidate = std::mem::replace(&mut run.model, dense.clone());
            let part = (self.config.mode, self.config.norm, range.start, range.end);
            let loss = run.shared(part, |run| run.loss(&candidate))?;
            losses.insert(end.to_string(), json!(loss));
            // Nothing is lower than a loss that is no number.
            if loss.is_finite() && best.is_none_or(|(lowest, _)| loss < lowest) {
                best = Some((loss, range));
            }
            run.progress(tried + 1, ends.len(), "end of the range");
        }
        let (_, range) = best.ok_or_else(|| Error::Model {
            method: CARD.id,
            detail: "no end of the range gives a finite loss on the calibration text".to_owned(),
        })?;
        Ok((range, json!(losses)))
    }
}

impl Method for LayerParallel {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn config(&self) -> Value {
        json!(self.config)
    }

    fn needs(&self) -> &'static [Need] {
        match self.choice.is_searched() || self.config.diagnose {
            true => &[Need::CalibrationText],
            false => &[],
        }
    }

    fn shared_work(&self) -> Option<String> {
        self.choice
            .is_searched()
            .then(|| "loss of each range in pairs".to_owned())
    }

    fn apply(&self, run: &mut Run) -> Result<Report> {
        let mut details = Map::new();
        if self.config.diagnose {
            let errors = pair_errors(run, self.config.norm, self.config.mode.step())?;
            details.insert("pair_errors".to_owned(), json!(errors));
        }
        let range = match self.choice.resolve(&run.model.graph)? {
            Resolved::Range(range) => range,
            Resolved::Search { pairs } => {
                let (range, losses) = self.search(run, pairs)?;
                details.insert("loss_by_end".to_owned(), losses);
                range
            }
        };
        self.paired(run, range)?;
        if self.config.fused {
            run.model.fuse_parallel_sublayers()?;
        }
        details.insert("start".to_owned(), json!(range.start));
        details.insert("end".to_owned(), json!(range.end));
        details.insert("effective_depth".to_owned(), json!(run.model.graph.steps.len()));
        Ok(Report::of(Basis::Nothing, None, Value::Object(details)))
    }
}

#[cfg(test)]
mod tests;
