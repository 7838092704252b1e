//! What a callback learns beside the model's parameters, and which of these it makes.

use std::collections::{BTreeMap, BTreeSet};

use prunebench_model::Decoder;
use prunebench_tensor::{DType, Tensor};
use serde_json::{Value, json};

use crate::callback::{Callback, Leaf, Leaves, Made, Rate};
use crate::gradient::Gradients;
use crate::{Result, TrainError};

/// The leaves of a callback, and the parameters of the model that it makes of them.
pub(crate) struct Learnt {
    leaves: Leaves,
    /// The leaves' storage, outside the graph.
    values: BTreeMap<String, Tensor>,
    rates: BTreeMap<String, Rate>,
    makes: Vec<String>,
}

impl Learnt {
    /// What `callback` learns, beside what the callbacks `before` it do.
    ///
    /// # Errors
    /// [`TrainError::Callback`] for a leaf with the name of a parameter or of another leaf, a group without a rate, a rate without a
    /// group or that is no number, and what it makes that is no parameter or is made twice.
    pub(crate) fn of(callback: &dyn Callback, decoder: &Decoder, before: &[Self]) -> Result<Self> {
        let refuse = |detail: String| Err(TrainError::Callback(detail));
        let parameters: BTreeSet<String> = decoder.parameters().into_iter().map(|(name, _)| name).collect();
        let rates = rates(&callback.rates())?;
        let mut learnt = Self {
            leaves: Leaves::new(),
            values: BTreeMap::new(),
            rates: BTreeMap::new(),
            makes: callback.makes(),
        };
        let mut groups = BTreeSet::new();
        for Leaf { name, value, group } in callback.leaves()? {
            if parameters.contains(&name) {
                return refuse(format!(
                    "leaf `{name}` has the name of a parameter of the model; give it one of its own"
                ));
            }
            if learnt.leaves.contains_key(&name) || before.iter().any(|other| other.leaves.contains_key(&name)) {
                return refuse(format!("two leaves are named `{name}`; give each a name of its own"));
            }
            let Some(rate) = rates.get(group) else {
                let known: Vec<&str> = rates.keys().copied().collect();
                return refuse(format!(
                    "leaf `{name}` is of group `{group}`, which has no rate; there are rates for {}",
                    listed(&known)
                ));
            };
            groups.insert(group);
            let leaf = value.to_dtype(DType::F32)?.param()?;
            learnt.values.insert(name.clone(), leaf.detach()?);
            learnt.rates.insert(name.clone(), *rate);
            learnt.leaves.insert(name, leaf);
        }
        if let Some(group) = rates.keys().find(|group| !groups.contains(*group)) {
            let known: Vec<&str> = groups.iter().copied().collect();
            return refuse(format!(
                "a rate for group `{group}`, and no leaf is of it; groups are {}",
                listed(&known)
            ));
        }
        for (index, name) in learnt.makes.iter().enumerate() {
            if !parameters.contains(name) {
                return refuse(format!(
                    "`{name}` is to be made, and the model has no such parameter; names are like `{}`",
                    parameters.first().map_or("", String::as_str)
                ));
            }
            if learnt.makes[..index].contains(name) || before.iter().any(|other| other.makes.contains(name)) {
                return refuse(format!("`{name}` is made twice"));
            }
        }
        Ok(learnt)
    }

    /// On the autograd graph.
    pub(crate) fn leaves(&self) -> &Leaves {
        &self.leaves
    }

    /// Outside it, sharing their storage.
    pub(crate) fn values(&self) -> &BTreeMap<String, Tensor> {
        &self.values
    }

    /// Names of the parameters that the callback makes.
    pub(crate) fn makes(&self) -> &[String] {
        &self.makes
    }

    /// How a leaf learns, if it is one of these.
    pub(crate) fn rate(&self, leaf: &str) -> Option<&Rate> {
        self.rates.get(leaf)
    }

    /// Whether the callback learns and makes nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.leaves.is_empty() && self.makes.is_empty()
    }

    /// What a run that goes on must have in common with the one that stopped, if there is anything.
    pub(crate) fn identity(&self) -> Option<Value> {
        let leaf = |(name, rate): (&String, &Rate)| {
            let about = json!({
                "shape": self.leaves[name].shape(),
                "group": rate.group,
                "learning_rate": rate.learning_rate,
                "weight_decay": rate.weight_decay,
            });
            (name.clone(), about)
        };
        let leaves: BTreeMap<String, Value> = self.rates.iter().map(leaf).collect();
        (!self.is_empty()).then(|| json!({ "leaves": leaves, "makes": self.makes }))
    }

    /// Checks that the callback made what it said, and in which shapes.
    ///
    /// # Errors
    /// [`TrainError::Callback`] if it did not.
    pub(crate) fn check(&self, made: &Made, parameters: &Leaves) -> Result<()> {
        let mut left: BTreeSet<&String> = self.makes.iter().collect();
        for (name, value) in made {
            if !left.remove(name) {
                return Err(TrainError::Callback(format!(
                    "a value for `{name}`, and what is to be made is {}, each once",
                    listed(&self.makes)
                )));
            }
            let wanted = parameters[name].shape();
            if value.shape() != wanted {
                return Err(TrainError::Callback(format!(
                    "`{name}` is made in the shape {:?}, and the model has it in {wanted:?}",
                    value.shape()
                )));
            }
        }
        match left.first() {
            Some(name) => Err(TrainError::Callback(format!(
                "`{name}` is to be made, and no value came"
            ))),
            None => Ok(()),
        }
    }

    /// Pulls the gradients of what was made for a pass back to the leaves.
    pub(crate) fn pull(&self, made: &Made, gradients: &mut Gradients) -> Result<()> {
        let mut inner: Option<Tensor> = None;
        for (name, value) in made {
            let Some(gradient) = gradients.take(name) else {
                continue;
            };
            let part = value.mul(&gradient.to_dtype(value.dtype())?.detach()?)?.sum_all()?;
            inner = Some(match inner {
                Some(inner) => inner.add(&part)?,
                None => part,
            });
        }
        match inner {
            Some(inner) => self.add_gradients(&inner, gradients),
            None => Ok(()),
        }
    }

    /// Adds the gradients of a scalar on the leaves' graph.
    pub(crate) fn add_gradients(&self, scalar: &Tensor, gradients: &mut Gradients) -> Result<()> {
        let leaves: Vec<&Tensor> = self.leaves.values().collect();
        for (name, gradient) in self.leaves.keys().zip(Tensor::backward(scalar, &leaves)?) {
            gradients.add(name, gradient)?;
        }
        Ok(())
    }
}

/// The rates by their groups.
fn rates(all: &[Rate]) -> Result<BTreeMap<&'static str, Rate>> {
    let mut rates = BTreeMap::new();
    for rate in all {
        if !rate.learning_rate.is_finite() || !(0.0..).contains(&rate.weight_decay) {
            return Err(TrainError::Callback(format!(
                "group `{}`: a learning rate of {} with a weight decay of {}; a finite rate and a decay of 0 or more are wanted",
                rate.group, rate.learning_rate, rate.weight_decay
            )));
        }
        if rates.insert(rate.group, *rate).is_some() {
            return Err(TrainError::Callback(format!("two rates for group `{}`", rate.group)));
        }
    }
    Ok(rates)
}

fn listed(names: &[impl AsRef<str>]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{}`", name.as_ref())).collect();
    match quoted.as_slice() {
        [] => "none".to_owned(),
        quoted => quoted.join(", "),
    }
}
