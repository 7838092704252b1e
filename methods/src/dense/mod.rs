//! `dense`: the model as it is, the row that every other row is compared with.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::parse_strict;
use crate::{Basis, Card, Entry, Family, Method, Report, Result, Run};

static CARD: Card = Card {
    id: "dense",
    title: "Dense",
    summary: "leaves the model as it is",
    paper: "baseline",
    family: Family::Baseline,
    changes: "nothing",
    example: "dense",
    needs: &[],
    version: 1,
    deviations: &[],
    readme: include_str!("README.md"),
};

pub(crate) const ENTRY: Entry = Entry {
    card: &CARD,
    parse: |table| Ok(Box::new(parse_strict::<Dense>(CARD.id, table)?)),
};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Dense {}

impl Method for Dense {
    fn card(&self) -> &'static Card {
        &CARD
    }

    fn config(&self) -> Value {
        json!(self)
    }

    fn apply(&self, _run: &mut Run) -> Result<Report> {
        Ok(Report::of(Basis::Nothing, None, json!({})))
    }
}

#[cfg(test)]
mod tests {
    use prunebench_tensor::Device;

    use crate::fixture::{apply, model};

    #[test]
    fn dense_leaves_every_parameter_as_it_is() {
        let before = model(&Device::available()[0]);
        let outcome = apply("dense", &before, 0).unwrap();
        for ((name, a), (_, b)) in before.parameters().into_iter().zip(outcome.model.parameters()) {
            assert_eq!(a.to_f64_vec().unwrap(), b.to_f64_vec().unwrap(), "{name}");
        }
        assert_eq!(
            (outcome.report.nominal_ratio, outcome.report.achieved_ratio),
            (None, 0.0)
        );
    }
}
