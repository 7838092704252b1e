//! `finetune`: the model's own weights trained on.

use prunebench_train::{Callback, KeepZeros, Settings, Trainable};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::training::{config, needs, parse, train};
use crate::{Basis, Card, Entry, Error, Family, Method, Need, Report, Result, Run};

static CARD: Card = Card {
    id: "finetune",
    title: "Fine-tuning",
    summary: "trains the stored parameters",
    paper: "baseline",
    family: Family::Training,
    changes: "trains the stored parameters; zeros stay",
    example: "finetune(steps=50, learning_rate=1e-4)",
    needs: &[Need::RecoveryData],
    version: 1,
    deviations: &[],
    readme: include_str!("README.md"),
};

pub(crate) const ENTRY: Entry = Entry {
    card: &CARD,
    parse: |table| {
        let (own, settings) = parse(CARD.id, table)?;
        Ok(Box::new(Finetune { own, settings }))
    },
};

#[derive(Debug)]
struct Finetune {
    own: Own,
    settings: Settings,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Own {
    /// Parts of the names of the parameters to train; all if empty.
    parameters: Vec<String>,
    /// Zeros that are found stay zero.
    keep_zeros: bool,
}

impl Default for Own {
    fn default() -> Self {
        Self {
            parameters: Vec::new(),
            keep_zeros: true,
        }
    }
}

impl Method for Finetune {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn config(&self) -> Value {
        config(&self.own, &self.settings)
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
        let trainable = match self.own.parameters.as_slice() {
            [] => Trainable::All,
            parts => Trainable::Named(parts.to_vec()),
        };
        // Zeros that no method made, such as those of a quantised model, are weights like others.
        let held = self.own.keep_zeros && run.masked;
        let (mut masks, basis) = match held {
            true => (
                Some(KeepZeros::of(run.model.parameters()).map_err(failed)?),
                Basis::Values,
            ),
            false => (None, Basis::Refilled),
        };
        let masks = masks.iter_mut().map(|masks| masks as &mut dyn Callback);
        let (trained, details) = train(CARD.id, run, trainable, &self.settings, masks)?;
        run.model = trained.decoder;
        Ok(Report::of(basis, None, details))
    }
}
