//! What methods that train share: their settings as recipe keys, presets of them, and the training itself.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use prunebench_tensor::{DType, Device, Tensor};
use prunebench_train::{
    Callback, Checkpoints, Domain, Entry, Mixture, Settings, TrainError, Trainable, Trained, Trainer,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::config::{parse_strict, suggestion};
use crate::run::cpu_time;
use crate::{DomainCount, Error, Need, Result, Run};

/// Settings of published recoveries, by name; data beside the code.
const PRESETS: &str = include_str!("training_presets.toml");
/// Any of them says how long to train.
const LENGTHS: [&str; 3] = ["steps", "tokens", "epochs"];

/// Reads the settings of the training and the method's own keys from one table, over those of the `preset` that it names.
pub(crate) fn parse<T>(method: &'static str, mut table: toml::Table) -> Result<(T, Settings)>
where
    T: DeserializeOwned + Serialize + Default,
{
    let refuse = |detail: String| Error::Config {
        what: method.to_owned(),
        detail,
    };
    if let Some(name) = table.remove("preset") {
        let presets: BTreeMap<String, toml::Table> =
            toml::from_str(PRESETS).map_err(|error| refuse(format!("presets: {error}")))?;
        let known: Vec<&str> = presets.keys().map(String::as_str).collect();
        let name = name.as_str().unwrap_or_default();
        let preset = presets.get(name).ok_or_else(|| {
            refuse(format!(
                "key `preset`: unknown value `{name}`; {}",
                suggestion(name, "values", &known)
            ))
        })?;
        let own_length = LENGTHS.iter().any(|key| table.contains_key(*key));
        for (key, value) in preset {
            let overruled = own_length && LENGTHS.contains(&key.as_str());
            if !overruled && !table.contains_key(key) {
                table.insert(key.clone(), value.clone());
            }
        }
    }
    let (own, training) = (keys::<T>(), keys::<Settings>());
    let (mut own_table, mut training_table) = (toml::Table::new(), toml::Table::new());
    for (key, value) in table {
        if own.contains(&key) {
            own_table.insert(key, value);
        } else if training.contains(&key) {
            training_table.insert(key, value);
        } else {
            let all: Vec<&str> = own
                .iter()
                .chain(&training)
                .map(String::as_str)
                .chain(["preset"])
                .collect();
            return Err(refuse(format!(
                "unknown key `{key}`; {}",
                suggestion(&key, "keys", &all)
            )));
        }
    }
    let settings: Settings = parse_strict(method, training_table)?;
    settings.validate().map_err(|source| Error::Train { method, source })?;
    Ok((parse_strict(method, own_table)?, settings))
}

/// What a training with these settings needs from the run.
pub(crate) fn needs(settings: &Settings) -> &'static [Need] {
    match settings.keep_best {
        true => &[Need::RecoveryData, Need::ValidationData],
        false => &[Need::RecoveryData],
    }
}

/// The keys of a configuration all of whose keys have defaults.
fn keys<T: Serialize + Default>() -> Vec<String> {
    match json!(T::default()) {
        Value::Object(map) => map.into_iter().map(|(key, _)| key).collect(),
        _ => Vec::new(),
    }
}

/// One object of the method's own keys and the settings.
pub(crate) fn config(own: &impl Serialize, settings: &Settings) -> Value {
    let mut all = json!(own);
    if let (Some(all), Value::Object(settings)) = (all.as_object_mut(), json!(settings)) {
        all.extend(settings);
    }
    all
}

/// Trains `run.model` on the run's recovery data, goes on from a checkpoint if the run keeps any, and gives what the record tells of
/// it. A method may train in several phases, each with a fresh optimiser.
pub(crate) fn train<'a>(
    method: &'static str,
    run: &mut Run,
    trainable: Trainable,
    settings: &Settings,
    callbacks: impl IntoIterator<Item = &'a mut dyn Callback>,
) -> Result<(Trained, Value)> {
    let failed = |source| Error::Train { method, source };
    let recovery = run.recovery.clone();
    let seed = run.seed(method)?;
    let read = |(domain, _): &(Domain, f64)| (domain.name.clone(), json!(DomainCount::from(domain)));
    let read: Map<String, Value> = recovery.domains.iter().map(read).collect();
    let (domains, shares): (Vec<_>, Vec<_>) = recovery.domains.into_iter().unzip();
    let mixture = Mixture::new(domains, &shares, settings.length, seed).map_err(failed)?;
    let model = run.model.clone();
    let validation = recovery.validation;
    let keeping = run.next_phase(method);
    let machine = keeping.as_ref().map_or("", |keeping| &keeping.machine);
    let mut cost = Cost::new(machine, model.device());
    let mut trainer = Trainer::new(&model, trainable, settings.clone(), mixture, validation, seed).map_err(failed)?;
    let steps = trainer.steps();
    for callback in callbacks {
        trainer.call(callback).map_err(failed)?;
    }
    if let Some(keeping) = keeping {
        trainer.call(&mut cost).map_err(failed)?;
        trainer.checkpoint_to(Checkpoints::timed(keeping.folder.clone(), keeping.every));
        match trainer.resume() {
            Ok(true) => run.progress(trainer.step() as usize, steps as usize, &format!("{method}: goes on")),
            Ok(false) => {}
            // A cell is measured whatever an earlier version of it left.
            Err(error @ (TrainError::OtherRun { .. } | TrainError::File { .. })) => {
                run.progress(0, steps as usize, &format!("{method}: starts afresh, for {error}"));
            }
            Err(error) => return Err(failed(error)),
        }
    }
    trainer
        .train(&mut |entry| {
            let what = format!(
                "{method}: loss {:.3}, {:.0} tokens/s",
                entry.loss, entry.tokens_per_second
            );
            run.progress(entry.step as usize, steps as usize, &what);
        })
        .map_err(failed)?;
    let trained = trainer.finish().map_err(failed)?;
    run.count_training(trained.tokens, cost.before);
    let validations: Vec<Value> = trained.entries.iter().filter_map(validation_of).collect();
    let details = json!({
        "steps": trained.steps,
        "training_tokens": trained.tokens,
        "trained_parameters": trained.trained_parameters,
        "first_loss": trained.entries.first().map(|entry| entry.loss),
        "last_loss": trained.entries.last().map(|entry| entry.loss),
        "validation": validations,
        "best_step": trained.best.as_ref().map(|best| best.step),
        "training_data": read,
    });
    Ok((trained, details))
}

/// The losses of a validation as the record has them, if there was one.
fn validation_of(entry: &Entry) -> Option<Value> {
    let losses: BTreeMap<_, _> = entry.validation.iter().cloned().collect();
    (!losses.is_empty()).then(|| json!({ "step": entry.step, "loss": losses }))
}

/// Keeps in checkpoints what a training cost, for a process that goes on with it.
struct Cost {
    machine: String,
    device: Device,
    started: (Instant, Duration),
    /// Seconds on the clock and of CPU that went into the checkpoint that was gone on from.
    before: [f64; 2],
}

impl Cost {
    fn new(machine: &str, device: Device) -> Self {
        Self {
            machine: machine.to_owned(),
            device,
            started: (Instant::now(), cpu_time()),
            before: [0.0; 2],
        }
    }
}

impl Callback for Cost {
    /// Another processor may round otherwise.
    fn configuration(&self) -> Option<(&'static str, Value)> {
        Some(("machine", json!(self.machine)))
    }

    fn state(&self) -> prunebench_train::Result<Vec<(String, Tensor)>> {
        let (wall, cpu) = self.started;
        let so_far = [
            self.before[0] + wall.elapsed().as_secs_f64(),
            self.before[1] + cpu_time().saturating_sub(cpu).as_secs_f64(),
        ];
        Ok(vec![(
            "seconds".to_owned(),
            Tensor::from_slice(&so_far, &[2], &self.device)?,
        )])
    }

    fn restore(&mut self, state: BTreeMap<String, Tensor>) -> prunebench_train::Result<()> {
        if let Some(seconds) = state.get("seconds")
            && let [wall, cpu] = seconds.to_dtype(DType::F64)?.to_f64_vec()?[..]
        {
            self.before = [wall, cpu];
        }
        Ok(())
    }
}
