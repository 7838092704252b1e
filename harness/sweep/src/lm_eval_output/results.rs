//! The results file: every task's numbers, and how they were made.

use prunebench_datasets::{Form, Task};
use prunebench_results::{MODEL_INPUT, MetricName, Record, TaskMetric, TaskResult};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::hash;
use super::part::{Part, lm_eval_name};

/// The version of lm-eval whose files these are.
const FORMAT: &str = "0.4.13";

/// What is collected over tasks, each by lm-eval's names.
#[derive(Default)]
pub(super) struct Results {
    results: Map<String, Value>,
    groups: Map<String, Value>,
    group_subtasks: Map<String, Value>,
    configs: Map<String, Value>,
    versions: Map<String, Value>,
    shots: Map<String, Value>,
    higher_is_better: Map<String, Value>,
    samples: Map<String, Value>,
    task_hashes: Map<String, Value>,
}

impl Results {
    /// Adds a part with its samples.
    pub(super) fn add(&mut self, task: &Task, shots: usize, result: &TaskResult, part: &Part, samples: &[Value]) {
        let name = &part.name;
        let count = part.items.len();
        self.results
            .insert(name.clone(), metrics(name, count, own(result, part.metrics)));
        self.configs.insert(name.clone(), config(task, name, shots, result));
        self.versions.insert(name.clone(), version(task));
        self.shots.insert(name.clone(), json!(shots));
        self.higher_is_better.insert(name.clone(), higher_is_better(result));
        let counts = json!({ "original": part.available, "effective": count });
        self.samples.insert(name.clone(), counts);
        let hashes = ["doc_hash", "prompt_hash", "target_hash"];
        let of_sample = |sample: &Value| {
            hashes
                .map(|key| sample[key].as_str().unwrap_or_default().to_owned())
                .concat()
        };
        let hashes: String = samples.iter().map(of_sample).collect();
        self.task_hashes.insert(name.clone(), json!(hash(&hashes)));
    }

    /// Adds the whole of a task whose groups were added.
    pub(super) fn add_group(&mut self, task: &Task, shots: usize, result: &TaskResult) {
        let name = lm_eval_name(task);
        let own = result.own();
        let mut group = metrics(name, result.items.len(), own);
        let counts = own.iter().map(|metric| (key(metric.name), json!(result.items.len())));
        group["sample_count"] = counts.collect::<Map<String, Value>>().into();
        self.results.insert(name.to_owned(), group.clone());
        self.groups.insert(name.to_owned(), group);
        let members = result.groups.iter().map(|group| format!("{name}_{}", group.group));
        self.group_subtasks.insert(name.to_owned(), members.collect());
        self.versions.insert(name.to_owned(), version(task));
        self.shots.insert(name.to_owned(), json!(shots));
        self.higher_is_better.insert(name.to_owned(), higher_is_better(result));
    }

    /// The content of the file.
    pub(super) fn finish(self, record: &Record, name: &str, folder: &str) -> Value {
        let (cell, provenance) = (&record.cell, &record.provenance);
        let parameters = record
            .metrics
            .as_ref()
            .map(|metrics| metrics.accounting.stored_parameters);
        let [started, finished] = [&provenance.started_at, &provenance.finished_at].map(|time| {
            let time = OffsetDateTime::parse(time, &Rfc3339);
            time.map_or(0.0, |time| time.unix_timestamp() as f64)
        });
        let limits = cell.evaluation.tasks.iter().map(|request| request.limit);
        let seed = cell.evaluation.tasks.first().map(|request| request.shots_seed);
        let mut value = json!({ "results": self.results });
        if !self.groups.is_empty() {
            value["groups"] = self.groups.into();
        }
        let rest = json!({
            "group_subtasks": self.group_subtasks,
            "configs": self.configs,
            "versions": self.versions,
            "n-shot": self.shots,
            "higher_is_better": self.higher_is_better,
            "n-samples": self.samples,
            "config": {
                "model": "prunebench",
                "model_args": {
                    "pretrained": cell.model,
                    "recipe": cell.recipe,
                    "engine": cell.engine,
                    "dtype": cell.dtype,
                    "seed": cell.seed,
                },
                "model_num_parameters": parameters,
                "model_dtype": cell.dtype,
                "model_revision": Value::Null,
                "model_sha": record.inputs.get(MODEL_INPUT),
                "batch_size": Value::Null,
                "batch_sizes": [],
                "device": cell.device,
                "use_cache": Value::Null,
                "limit": limits.max().flatten(),
                "bootstrap_iters": 0,
                "gen_kwargs": Value::Null,
                "fewshot_seed": seed,
            },
            "git_hash": provenance.git_revision,
            "date": started,
            "pretty_env_info": format!("{}; {}; {}", provenance.engine_version, provenance.cpu, provenance.os),
            "transformers_version": "N/A",
            "lm_eval_version": format!("N/A (prunebench {}, in the form of lm-eval {FORMAT})", provenance.prunebench_version),
            "upper_git_hash": Value::Null,
            "task_hashes": self.task_hashes,
            "model_source": "prunebench",
            "model_name": name,
            "model_name_sanitized": folder,
            "system_instruction": Value::Null,
            "system_instruction_sha": Value::Null,
            "fewshot_as_multiturn": false,
            "chat_template": Value::Null,
            "chat_template_sha": Value::Null,
            "total_evaluation_time_seconds": format!("{:?}", finished - started),
        });
        if let (Value::Object(value), Value::Object(rest)) = (&mut value, rest) {
            value.extend(rest);
        }
        value
    }
}

/// The task's own metrics among those of a group, which come in the same order.
fn own<'a>(result: &TaskResult, metrics: &'a [TaskMetric]) -> &'a [TaskMetric] {
    &metrics[..result.own().len().min(metrics.len())]
}

fn metrics(name: &str, count: usize, metrics: &[TaskMetric]) -> Value {
    let mut value = json!({ "name": name, "alias": name, "sample_len": count });
    for metric in metrics {
        value[key(metric.name)] = json!(metric.value);
        value[format!("{}_stderr,none", metric.name)] =
            metric.stderr.map_or_else(|| json!("N/A"), |stderr| json!(stderr));
    }
    value
}

fn key(name: MetricName) -> String {
    format!("{name},none")
}

fn higher_is_better(result: &TaskResult) -> Value {
    let own = result.own().iter();
    let higher = own.map(|metric| (metric.name.to_string(), json!(metric.name != MetricName::Perplexity)));
    higher.collect::<Map<String, Value>>().into()
}

fn config(task: &Task, name: &str, shots: usize, result: &TaskResult) -> Value {
    // Templates and expressions of our catalogue, which render what lm-eval's do.
    let (output_type, context, target, choices) = match &task.prompt.form {
        Form::Choices { context, choices, gold } => ("multiple_choice", context, gold, Some(choices)),
        Form::Contexts {
            contexts, continuation, ..
        } => ("multiple_choice", contexts, continuation, Some(contexts)),
        Form::Continuation { context, continuation } => ("loglikelihood", context, continuation, None),
    };
    let metric = |metric: &TaskMetric| {
        let perplexity = metric.name == MetricName::Perplexity;
        json!({
            "metric": metric.name,
            "aggregation": if perplexity { "perplexity" } else { "mean" },
            "higher_is_better": !perplexity,
        })
    };
    json!({
        "task": name,
        "dataset_path": task.hub().map(|hub| &hub.repository),
        "dataset_kwargs": task.hub().map(|hub| json!({ "revision": hub.revision() })),
        "test_split": task.prompt.split,
        "fewshot_split": result.request.shots_split.as_ref().unwrap_or(&task.few_shot.split),
        "doc_to_text": context.text(),
        "doc_to_target": target.text(),
        "doc_to_choice": choices.map(|choices| choices.text()),
        "unsafe_code": false,
        "description": task.prompt.description.as_ref().map_or("", |description| description.text()),
        "target_delimiter": task.prompt.delimiter,
        "fewshot_delimiter": task.few_shot.separator,
        "num_fewshot": shots,
        "metric_list": result.own().iter().map(metric).collect::<Vec<_>>(),
        "output_type": output_type,
        "repeats": 1,
        "should_decontaminate": false,
        "metadata": { "version": version(task), "prunebench": task.id() },
    })
}

/// The task's version, a number if it is one; lm-eval's where it equals one of its tasks.
fn version(task: &Task) -> Value {
    let Some(lm_eval) = &task.lm_eval else {
        return json!(task.version);
    };
    let version = &lm_eval.task_version;
    version
        .parse::<f64>()
        .map_or_else(|_| json!(version), |version| json!(version))
}
