//! What every method is: a card, a typed configuration, and an edit of a model.

use std::fmt;

use serde_json::Value;

use crate::{Error, Result, Run};

/// A compression method with its configuration.
pub trait Method: fmt::Debug + Send + Sync {
    /// What the method is, whatever its configuration.
    fn card(&self) -> &'static Card;

    /// The whole configuration, defaults included.
    fn config(&self) -> Value;

    /// The methods that tables show this configuration among.
    fn family(&self) -> Family {
        self.card().family
    }

    /// What this configuration needs from the run.
    fn needs(&self) -> &'static [Need] {
        self.card().needs
    }

    /// Whether another seed gives another model from the same calibration text. Only then may [`Method::apply`] ask for
    /// [`Run::seed`].
    fn is_stochastic(&self) -> bool {
        false
    }

    /// What of its work other configurations can take over, such as the scores of a method whose ratio only says how many of them
    /// count: a name. Whatever of the configuration decides it is in the name, or in the parts that [`Run::shared`] makes.
    fn shared_work(&self) -> Option<String> {
        None
    }

    /// Edits `run.model`, and says of what it was to remove how much. The recipe counts what is gone, and checks that it is.
    fn apply(&self, run: &mut Run) -> Result<Report>;
}

/// Characters that a card's summary may have, so that a line of a list holds it beside the method's name and needs.
pub const SUMMARY: usize = 44;

/// What a method is, for people and for the checks that the recipe makes.
#[derive(Debug)]
pub struct Card {
    /// Name in recipes.
    pub id: &'static str,
    /// Name in prose.
    pub title: &'static str,
    /// What it does, in up to [`SUMMARY`] characters: a predicate, such as "removes blocks by lot".
    pub summary: &'static str,
    /// Where it was published, or `baseline`.
    pub paper: &'static str,
    /// The methods that tables show it among.
    pub family: Family,
    /// What it edits.
    pub changes: &'static str,
    /// A recipe that uses it.
    pub example: &'static str,
    /// What it needs from the run.
    pub needs: &'static [Need],
    /// Raised whenever the numbers of a configuration change.
    pub version: u32,
    /// Where it departs from the paper or the authors' code.
    pub deviations: &'static [&'static str],
    /// The README beside the code.
    pub readme: &'static str,
}

/// What methods have in common that change a model alike, in the order in which they are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// The model as it is.
    Baseline,
    /// Zeros among the weights.
    Masks,
    /// Fewer blocks.
    Depth,
    /// Smaller matrices.
    Width,
    /// The same blocks, run side by side or in another order.
    Arrangement,
    /// Other values of the same weights.
    Training,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Baseline => "baseline",
            Self::Masks => "masks",
            Self::Depth => "depth",
            Self::Width => "width",
            Self::Arrangement => "arrangement",
            Self::Training => "training",
        })
    }
}

/// Something that only some runs have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Windows of calibration text.
    CalibrationText,
    /// Data to train on.
    RecoveryData,
    /// Data to validate on.
    ValidationData,
    /// What the training of the model left beside it: averages over its steps, its best weights.
    TrainingRun,
    /// A method that trains after it in the recipe.
    LaterTraining,
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CalibrationText => "calibration",
            Self::RecoveryData => "training data",
            Self::ValidationData => "validation data",
            Self::TrainingRun => "a training run",
            Self::LaterTraining => "later training",
        })
    }
}

impl Need {
    /// Checks that the run has it.
    pub(crate) fn check(self, method: &'static str, run: &Run) -> Result<()> {
        let (met, need, cure) = match self {
            Self::CalibrationText => (
                !run.calibration.is_empty(),
                "calibration text",
                "the run has no windows of it; name a calibration text and how many windows to take",
            ),
            Self::RecoveryData => (
                !run.recovery.domains.is_empty(),
                "data to train on",
                "the run has none; add [recovery] to the experiment or --recovery to the command, with a text or an instruction set",
            ),
            Self::ValidationData => (
                !run.recovery.validation.is_empty(),
                "data to validate on, by which `keep_best` chooses",
                "the run has none; add `validation = 100` under [recovery] or --recovery-validation 100, or leave `keep_best` out",
            ),
            Self::TrainingRun => return run.training_run(method).map(|_| ()),
            // The recipe sees to it.
            Self::LaterTraining => return Ok(()),
        };
        match met {
            true => Ok(()),
            false => Err(Error::Unmet { method, need, cure }),
        }
    }
}

/// What a method did, as it tells; what it achieved is counted.
#[derive(Debug)]
pub struct Report {
    /// What the ratios are shares of.
    pub basis: Basis,
    /// The share asked for, if the configuration asks for one.
    pub nominal_ratio: Option<f64>,
    /// The share by which rounding may miss that, where it is more than the least that can be removed: a block, a direction of
    /// the stream, a weight of a row.
    pub rounding: f64,
    /// What else there is to tell, a JSON object: scores, choices. Of a method that removes blocks `removed_blocks`, their
    /// indices when it started, which must be as many as are gone.
    pub details: Value,
}

impl Report {
    /// A report of a method that rounds no more than it must.
    pub fn of(basis: Basis, nominal_ratio: Option<f64>, details: Value) -> Self {
        Self {
            basis,
            nominal_ratio,
            rounding: 0.0,
            details,
        }
    }
}

/// What the ratios of a method are shares of. What it leaves as it is follows from that, and is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Nothing: no weight and no zero comes or goes, but blocks may become part of others.
    Nothing,
    /// Nothing: values change, but what was zero still is.
    Values,
    /// Nothing: values change, those of zeros among them.
    Refilled,
    /// Stored blocks; those left may have become what several were.
    Blocks,
    /// Directions of the residual stream, wherever a block reads it.
    Width,
    /// Weights of the blocks' linears, set to zero. Each matrix by itself has the share asked for.
    EachMatrix,
    /// Weights of the blocks' linears, set to zero, of all matrices together.
    Weights,
    /// Stored parameters, embeddings and norms included, set to zero.
    Parameters,
}

impl Basis {
    /// Its name in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing | Self::Values | Self::Refilled => "nothing",
            Self::Blocks => "blocks",
            Self::Width => "hidden width",
            Self::EachMatrix | Self::Weights => "prunable weights",
            Self::Parameters => "stored parameters",
        }
    }

    /// Whether its share is one of zeros.
    pub(crate) fn is_of_zeros(self) -> bool {
        matches!(self, Self::EachMatrix | Self::Weights | Self::Parameters)
    }
}
