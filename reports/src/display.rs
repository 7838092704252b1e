//! The comparison as people read it: one row per recipe and engine, over all seeds.

use prunebench_results::{Record, Samples, Status, ThroughputResult, statistics};

use crate::{
    comparison::{Comparison, Group, method, place},
    notes,
    table::{Alignment, Column, Entry, Table},
    utilisation,
};

impl Comparison<'_> {
    /// One row per recipe, engine, device and dtype. A row whose cells all failed has their status
    /// and no number; one of which some failed has the numbers of the rest and says so.
    pub fn table(&self) -> Table {
        let columns = self.columns();
        let rows = self.groups.iter().map(|group| {
            columns
                .iter()
                .map(|(_, entry)| entry(group).unwrap_or(Entry::Missing))
                .collect()
        });
        Table {
            caption: notes::caption(self),
            rows: rows.collect(),
            notes: notes::notes(self),
            columns: columns.into_iter().map(|(column, _)| column).collect(),
        }
    }

    /// Each column with what it shows of a group.
    fn columns(&self) -> Vec<ColumnOf<'_>> {
        let evaluation = &self.first().cell.evaluation;
        let mut columns = vec![
            text("method", |group| method(group.first())),
            text("engine", |group| place(group.first())),
            number("seeds", "", |group| Some(Entry::Count(group.metrics().count() as u64))),
            number("nominal ratio", "", |group| {
                group.metrics().next()?.compression.nominal_ratio.map(Entry::Share)
            }),
            number("achieved ratio", "", |group| {
                group
                    .mean(|metrics| metrics.compression.achieved_ratio)
                    .map(Entry::Share)
            }),
            number("mask sparsity", "", |group| {
                group
                    .mean(|metrics| metrics.compression.mask_sparsity)
                    .map(Entry::Share)
            }),
            number("stored parameters", "", |group| {
                let mean = group.mean(|metrics| metrics.accounting.stored_parameters as f64)?;
                Some(Entry::Count(mean.round() as u64))
            }),
        ];
        let depths = |group: &Group| group.mean(|metrics| metrics.accounting.effective_depth as f64);
        let mut all_depths = self.groups.iter().filter_map(depths);
        let first_depth = all_depths.next();
        if all_depths.any(|depth| Some(depth) != first_depth) {
            columns.push(number("effective depth", "", move |group| {
                Some(Entry::Count(depths(group)?.round() as u64))
            }));
        }
        let several_seeds = self.groups.iter().any(|group| group.metrics().count() > 1);
        for (index, request) in evaluation.perplexity.iter().enumerate() {
            let protocol = &request.protocol;
            columns.push(number(&format!("perplexity {protocol}"), "± stderr", move |group| {
                let estimate = self.perplexity(&group.records, index)?;
                Some(Entry::Number {
                    value: estimate.value,
                    spread: estimate.stderr,
                })
            }));
            if several_seeds {
                columns.push(number("seed sd", "", move |group| {
                    let value = self.perplexity(&group.records, index)?.seed_sd?;
                    Some(Entry::Number { value, spread: None })
                }));
            }
            let header = format!("ratio to {}", self.baseline.join(" + "));
            columns.push(number(&header, "95 % interval", move |group| {
                let ratio = self.ratio(&group.records, index)?;
                Some(Entry::Ratio {
                    value: ratio.value,
                    interval: ratio.interval,
                })
            }));
        }
        if evaluation.throughput.is_some() {
            let rate = |(value, mad)| Entry::Number {
                value,
                spread: Some(mad),
            };
            let phases: [Phase; 2] = [
                ("prefill", |result| &result.prefill),
                ("decode", |result| &result.decode),
            ];
            for (phase, samples) in phases {
                columns.push(number(phase, "tokens/s ± MAD", move |group| {
                    group.rate(samples).map(rate)
                }));
                if self.is_in_rounds() {
                    let header = format!("{phase}, ratio to {}", self.baseline.join(" + "));
                    columns.push(number(&header, "95 % interval", move |group| {
                        let ratio = self.speed_ratio(&group.records, samples)?;
                        Some(Entry::Ratio {
                            value: ratio.value,
                            interval: ratio.interval,
                        })
                    }));
                }
            }
        }
        if evaluation.throughput.is_some_and(|request| request.ceilings) {
            let milliseconds = |seconds: f64| seconds * 1e3;
            let of = |group: &Group, value: fn(&Record) -> Option<f64>| {
                let values: Vec<f64> = group.records.iter().filter_map(|record| value(record)).collect();
                statistics::median(&values)
            };
            columns.push(number("first token", "ms", move |group| {
                let value = of(group, utilisation::time_to_first_token).map(milliseconds)?;
                Some(Entry::Number { value, spread: None })
            }));
            columns.push(number("time per token", "ms", move |group| {
                let value = of(group, utilisation::time_per_token).map(milliseconds)?;
                Some(Entry::Number { value, spread: None })
            }));
            columns.push(number("decode of copy bandwidth", "", move |group| {
                of(group, utilisation::bandwidth).map(Entry::Share)
            }));
            columns.push(number("prefill of matmul FLOP/s", "", move |group| {
                of(group, utilisation::flops).map(Entry::Share)
            }));
        }
        if self.first().cell.device.starts_with("cuda") && evaluation.throughput.is_some() {
            columns.push(number("peak GPU memory", "MiB", |group| {
                let results = group.metrics().filter_map(|metrics| metrics.throughput.as_ref());
                let peaks = results.filter_map(|result| result.gpu.as_ref()?.peak_memory_bytes);
                Some(Entry::Count(peaks.max()? >> 20))
            }));
            columns.push(number("GPU energy", "J", |group| {
                let results = group.metrics().filter_map(|metrics| metrics.throughput.as_ref());
                let joules: Vec<f64> = results
                    .filter_map(|result| result.gpu.as_ref()?.energy_joules)
                    .collect();
                let value = statistics::median(&joules)?;
                Some(Entry::Number { value, spread: None })
            }));
        }
        if evaluation
            .throughput
            .is_some_and(|request| request.tensor_parallel.is_some())
        {
            columns.push(number("all-reduces", "per token", |group| {
                let results = group.metrics().filter_map(|metrics| metrics.throughput.as_ref());
                Some(Entry::Count(
                    results.filter_map(|result| result.all_reduces_per_token).max()?,
                ))
            }));
        }
        columns.extend([
            number("peak memory", "MiB", |group| {
                let ok = group.records.iter().filter(|record| record.status == Status::Ok);
                let peaks = ok.filter_map(|record| record.memory.as_ref());
                Some(Entry::Count(
                    peaks.map(|memory| memory.peak_resident_bytes).max()? >> 20,
                ))
            }),
            number("method cost", "CPU s", |group| {
                let value = group.mean(|metrics| metrics.budget.cpu_seconds)?;
                Some(Entry::Number { value, spread: None })
            }),
            number("calibration", "tokens", |group| {
                let mean = group.mean(|metrics| metrics.budget.calibration_tokens as f64)?;
                Some(Entry::Count(mean.round() as u64))
            }),
        ]);
        let mut metrics = self.groups.iter().flat_map(|group| group.metrics());
        if metrics.any(|metrics| metrics.budget.training_tokens > 0) {
            columns.push(number("training", "tokens", |group| {
                let mean = group.mean(|metrics| metrics.budget.training_tokens as f64)?;
                Some(Entry::Count(mean.round() as u64))
            }));
        }
        columns.push(text("status", status));
        columns
    }
}

/// A name with the part of a timing that it names.
type Phase = (&'static str, fn(&ThroughputResult) -> &Samples);

type ColumnOf<'a> = (Column, Box<dyn Fn(&Group) -> Option<Entry> + 'a>);

fn number<'a>(header: &str, unit: &str, entry: impl Fn(&Group) -> Option<Entry> + 'a) -> ColumnOf<'a> {
    let column = Column {
        header: header.into(),
        unit: unit.into(),
        alignment: Alignment::Right,
    };
    (column, Box::new(entry))
}

fn text<'a>(header: &str, entry: impl Fn(&Group) -> String + 'a) -> ColumnOf<'a> {
    let column = Column {
        header: header.into(),
        unit: String::new(),
        alignment: Alignment::Left,
    };
    (column, Box::new(move |group| Some(Entry::Text(entry(group)))))
}

/// `ok`, or every failure with the first line of its error.
fn status(group: &Group) -> String {
    let failures = group.records.iter().filter(|record| record.status != Status::Ok);
    let mut failures: Vec<String> = failures
        .map(|record| {
            let error = record.error.as_deref().unwrap_or_default();
            let error = error.lines().next().unwrap_or_default();
            let seed = match group.records.len() {
                1 => String::new(),
                _ => format!("seed {} ", record.cell.seed),
            };
            format!("{seed}{}: {error}", record.status)
        })
        .collect();
    if failures.is_empty() {
        return Status::Ok.to_string();
    }
    if group.records.len() > 1 {
        let ok = group.metrics().count();
        failures.insert(0, format!("{ok} of {} ok", group.records.len()));
    }
    failures.join("; ")
}
