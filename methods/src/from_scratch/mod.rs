//! `from-scratch`: the shape that a recipe leaves, with random weights: the control of every recovery.

use prunebench_model::{Decoder, Initialisation};
use prunebench_train::KeepZeros;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::parse_strict;
use crate::{Basis, Card, Entry, Error, Family, Method, Need, Report, Result, Run};

static CARD: Card = Card {
    id: "from-scratch",
    title: "From scratch",
    summary: "draws all weights anew, to be trained",
    paper: "baseline",
    family: Family::Training,
    changes: "replaces every parameter by a random one; shape and zeros stay",
    example: "from-scratch",
    needs: &[Need::LaterTraining],
    version: 1,
    deviations: &[],
    readme: include_str!("README.md"),
};

pub(crate) const ENTRY: Entry = Entry {
    card: &CARD,
    parse: |table| Ok(Box::new(parse_strict::<FromScratch>(CARD.id, table)?)),
};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FromScratch {
    #[serde(default = "normal")]
    initialisation: Initialisation,
}

fn normal() -> Initialisation {
    Initialisation::Normal
}

impl Method for FromScratch {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn config(&self) -> Value {
        json!(self)
    }

    fn is_stochastic(&self) -> bool {
        true
    }

    fn apply(&self, run: &mut Run) -> Result<Report> {
        let (seed, model) = (run.seed(CARD.id)?, &run.model);
        let drawn = Decoder::initialise(
            model.graph.clone(),
            self.initialisation,
            seed,
            model.dtype(),
            &model.device(),
        )?;
        // Zeros that no method made, such as those of a quantised model, are weights like others.
        let (model, basis) = match run.masked {
            true => (masked(&drawn, model)?, Basis::Values),
            false => (drawn, Basis::Refilled),
        };
        run.model = model;
        Ok(Report::of(basis, None, json!({})))
    }
}

/// `drawn` with the zeros of `like`.
fn masked(drawn: &Decoder, like: &Decoder) -> Result<Decoder> {
    let failed = |source| Error::Train {
        method: CARD.id,
        source,
    };
    let zeros = KeepZeros::of(like.parameters()).map_err(failed)?;
    Ok(drawn.map_parameters(|name, tensor| match zeros.mask(name) {
        Some(mask) => Ok(tensor.mul(&mask.to_dtype(tensor.dtype())?)?),
        None => Ok(tensor.clone()),
    })?)
}

#[cfg(test)]
mod tests;
