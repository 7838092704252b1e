//! `lora`: low-rank adapters trained on and merged into the weights.

use prunebench_train::{Lora as Adapters, Settings, Trainable};
use serde_json::Value;

use crate::training::{config, needs, parse, train};
use crate::{Basis, Card, Entry, Error, Family, Method, Need, Report, Result, Run};

static CARD: Card = Card {
    id: "lora",
    title: "LoRA",
    summary: "trains low-rank adapters and merges them",
    paper: "Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022 (arXiv 2106.09685)",
    family: Family::Training,
    changes: "trains low-rank adapters and merges them into the blocks' linears; zeros stay",
    example: "lora(steps=50, learning_rate=1e-4)",
    needs: &[Need::RecoveryData],
    version: 1,
    deviations: &["after a method that zeroed weights, adapters are masked by the zeros, so that merging fills none"],
    readme: include_str!("README.md"),
};

pub(crate) const ENTRY: Entry = Entry {
    card: &CARD,
    parse: |table| {
        let (adapters, settings) = parse(CARD.id, table)?;
        Ok(Box::new(Lora { adapters, settings }))
    },
};

#[derive(Debug)]
struct Lora {
    adapters: Adapters,
    settings: Settings,
}

impl Method for Lora {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn config(&self) -> Value {
        config(&self.adapters, &self.settings)
    }

    fn needs(&self) -> &'static [Need] {
        needs(&self.settings)
    }

    fn is_stochastic(&self) -> bool {
        true
    }

    fn apply(&self, run: &mut Run) -> Result<Report> {
        let failed = |source| Error::Train {
            method: CARD.id,
            source,
        };
        let seed = run.seed(CARD.id)?;
        self.adapters.attach(&mut run.model, seed, run.masked).map_err(failed)?;
        let (trained, details) = train(CARD.id, run, Trainable::Adapters, &self.settings, None)?;
        run.model = trained.decoder;
        run.model.merge_deltas()?;
        let basis = match run.masked {
            true => Basis::Values,
            false => Basis::Refilled,
        };
        Ok(Report::of(basis, None, details))
    }
}

#[cfg(test)]
mod tests;
