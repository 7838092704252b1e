//! `snapshot`: another state of the model's training taken as the model.

use prunebench_model::{Decoder, ModelError};
use prunebench_train::Weighting;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::parse_strict;
use crate::{Basis, Card, Entry, Error, Family, Method, Need, Report, Result, Run};

static CARD: Card = Card {
    id: "snapshot",
    title: "Training snapshot",
    summary: "takes the best or the averaged weights",
    paper: "baseline",
    family: Family::Training,
    changes: "takes other weights of the same training run",
    example: "snapshot(of=average)",
    needs: &[Need::TrainingRun],
    version: 1,
    deviations: &[],
    readme: include_str!("README.md"),
};

pub(crate) const ENTRY: Entry = Entry {
    card: &CARD,
    parse: |table| Ok(Box::new(parse_strict::<Snapshot>(CARD.id, table)?)),
};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Snapshot {
    of: State,
    #[serde(default = "linear")]
    weighting: Weighting,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Best,
    Average,
}

fn linear() -> Weighting {
    Weighting::Linear
}

impl Method for Snapshot {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn config(&self) -> Value {
        json!(self)
    }

    fn apply(&self, run: &mut Run) -> Result<Report> {
        let training = run.training_run(CARD.id)?;
        let device = run.model.device();
        let values = match self.of {
            State::Best => training.best(&device),
            State::Average => training.average(self.weighting, &device),
        };
        let values = values.map_err(|source| Error::Train {
            method: CARD.id,
            source,
        })?;
        let dtype = run.model.dtype();
        run.model = Decoder::from_parameters(run.dense.graph.clone(), |name, shape| {
            let value = values.get(name).filter(|value| value.shape() == shape).ok_or_else(|| {
                ModelError::Graph(format!(
                    "the training run has no `{name}` of shape {shape:?}; it is of another model"
                ))
            })?;
            Ok(value.to_dtype(dtype)?)
        })?;
        Ok(Report::of(Basis::Refilled, None, json!({})))
    }
}
