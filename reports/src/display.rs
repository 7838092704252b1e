//! The comparison as people read it: one row per recipe and engine, over all seeds.

use prunebench_results::{Record, Samples, Status, ThroughputResult, statistics};

use crate::{
    comparison::{Comparison, Group, method, place},
    gate::{perplexity_name, speed_name},
    notes,
    quantity::{Quantity, Subject},
    table::{Column, Entry, Table},
    utilisation,
};

impl Comparison<'_> {
    /// One row per recipe, engine, device and dtype. A row whose cells all failed has their status
    /// and no number; one of which some failed has the numbers of the rest and says so.
    pub fn table(&self) -> Table {
        let quantities = self.quantities();
        let row = |group: &Group| {
            let entries = quantities.iter();
            entries
                .map(|quantity| (quantity.entry)(group).unwrap_or(Entry::Missing))
                .collect()
        };
        let subjects = quantities.iter().map(|quantity| quantity.subject).collect();
        Table {
            caption: notes::caption(self),
            rows: self.groups.iter().map(row).collect(),
            sources: (0..)
                .zip(&self.groups)
                .map(|(row, group)| self.source(row, group))
                .collect(),
            notes: notes::notes(self, &subjects),
            columns: quantities.into_iter().map(|quantity| quantity.column).collect(),
            ..Table::default()
        }
    }

    /// Everything but accuracies, in the order of the table.
    pub(crate) fn quantities(&self) -> Vec<Quantity<'_>> {
        let evaluation = &self.first().cell.evaluation;
        let baseline = self.baseline.join(" + ");
        let mut all = vec![
            text("method", |group| method(group.first())),
            text("engine", |group| place(group.first())),
            number("seeds", "", Subject::Identity, |group| {
                Some(Entry::Count(group.metrics().count() as u64))
            }),
            number("nominal ratio", "", Subject::Compression, |group| {
                group.metrics().next()?.compression.nominal_ratio.map(Entry::Share)
            }),
            number("achieved ratio", "", Subject::Compression, |group| {
                group
                    .mean(|metrics| metrics.compression.achieved_ratio)
                    .map(Entry::Share)
            })
            .of_series("achieved ratio"),
            number("mask sparsity", "", Subject::Compression, |group| {
                group
                    .mean(|metrics| metrics.compression.mask_sparsity)
                    .map(Entry::Share)
            })
            .of_series("mask sparsity"),
            number("stored parameters", "", Subject::Compression, |group| {
                let mean = group.mean(|metrics| metrics.accounting.stored_parameters as f64)?;
                Some(Entry::Count(mean.round() as u64))
            })
            .of_series("stored parameters"),
        ];
        let depths = |group: &Group| group.mean(|metrics| metrics.accounting.effective_depth as f64);
        let mut all_depths = self.groups.iter().filter_map(depths);
        let first_depth = all_depths.next();
        if all_depths.any(|depth| Some(depth) != first_depth) {
            let depth = number("effective depth", "", Subject::Compression, move |group| {
                Some(Entry::Count(depths(group)?.round() as u64))
            });
            all.push(depth.of_series("effective depth"));
        }
        let several_seeds = self.groups.iter().any(|group| group.metrics().count() > 1);
        for (index, request) in evaluation.perplexity.iter().enumerate() {
            let name = perplexity_name(&request.protocol);
            let perplexity = number(&name, "± stderr", Subject::Perplexity, move |group| {
                let estimate = self.perplexity(&group.records, index)?;
                Some(Entry::Number {
                    value: estimate.value,
                    spread: estimate.stderr,
                })
            });
            all.push(perplexity.of_series(&name));
            if several_seeds {
                let sd = number("seed sd", "", Subject::Perplexity, move |group| {
                    let value = self.perplexity(&group.records, index)?.seed_sd?;
                    Some(Entry::Number { value, spread: None })
                });
                all.push(sd.named(format!("seed sd of {name}")).over(&name));
            }
            let header = format!("ratio to {baseline}");
            let ratio = number(&header, "95 % interval", Subject::PerplexityRatio, move |group| {
                let ratio = self.ratio(&group.records, index)?;
                Some(Entry::Ratio {
                    value: ratio.value,
                    interval: ratio.interval,
                })
            });
            all.push(ratio.named(format!("ratio of {name}")).of_series(name).relative());
        }
        if let Some(request) = &evaluation.throughput {
            let rate = |(value, mad)| Entry::Number {
                value,
                spread: Some(mad),
            };
            let phases: [Phase; 2] = [
                ("prefill", |result| &result.prefill),
                ("decode", |result| &result.decode),
            ];
            for (phase, samples) in phases {
                let name = speed_name(phase, request);
                let speed = number(phase, "tokens/s ± MAD", Subject::Speed, move |group| {
                    group.rate(samples).map(rate)
                });
                all.push(speed.named(&name).of_series(&name));
                if self.is_in_rounds() {
                    let header = format!("{phase}, ratio to {baseline}");
                    let ratio = number(&header, "95 % interval", Subject::SpeedRatio, move |group| {
                        let ratio = self.speed_ratio(&group.records, samples)?;
                        Some(Entry::Ratio {
                            value: ratio.value,
                            interval: ratio.interval,
                        })
                    });
                    all.push(ratio.named(format!("ratio of {name}")).of_series(name).relative());
                }
            }
            if request.tensor_parallel.is_some() {
                all.push(number("all-reduces", "per token", Subject::Speed, |group| {
                    let results = group.metrics().filter_map(|metrics| metrics.throughput.as_ref());
                    Some(Entry::Count(
                        results.filter_map(|result| result.all_reduces_per_token).max()?,
                    ))
                }));
            }
        }
        if evaluation.throughput.is_some_and(|request| request.ceilings) {
            let of = |group: &Group, value: fn(&Record) -> Option<f64>| {
                let values: Vec<f64> = group.records.iter().filter_map(|record| value(record)).collect();
                statistics::median(&values)
            };
            let milliseconds = move |group: &Group, value| {
                Some(Entry::Number {
                    value: of(group, value)? * 1e3,
                    spread: None,
                })
            };
            all.extend([
                number("first token", "ms", Subject::Utilisation, move |group| {
                    milliseconds(group, utilisation::time_to_first_token)
                }),
                number("time per token", "ms", Subject::Utilisation, move |group| {
                    milliseconds(group, utilisation::time_per_token)
                }),
                number("decode of copy bandwidth", "", Subject::Utilisation, move |group| {
                    of(group, utilisation::bandwidth).map(Entry::Share)
                }),
                number("prefill of matmul FLOP/s", "", Subject::Utilisation, move |group| {
                    of(group, utilisation::flops).map(Entry::Share)
                }),
            ]);
        }
        if self.first().cell.device.starts_with("cuda") && evaluation.throughput.is_some() {
            all.extend([
                number("peak GPU memory", "MiB", Subject::Gpu, |group| {
                    let results = group.metrics().filter_map(|metrics| metrics.throughput.as_ref());
                    let peaks = results.filter_map(|result| result.gpu.as_ref()?.peak_memory_bytes);
                    Some(Entry::Count(peaks.max()? >> 20))
                }),
                number("GPU energy", "J", Subject::Gpu, |group| {
                    let results = group.metrics().filter_map(|metrics| metrics.throughput.as_ref());
                    let joules: Vec<f64> = results
                        .filter_map(|result| result.gpu.as_ref()?.energy_joules)
                        .collect();
                    let value = statistics::median(&joules)?;
                    Some(Entry::Number { value, spread: None })
                }),
            ]);
        }
        all.extend([
            number("peak memory", "MiB", Subject::Memory, |group| {
                let ok = group.records.iter().filter(|record| record.status == Status::Ok);
                let peaks = ok.filter_map(|record| record.memory.as_ref());
                Some(Entry::Count(
                    peaks.map(|memory| memory.peak_resident_bytes).max()? >> 20,
                ))
            }),
            number("method cost", "CPU s", Subject::Cost, |group| {
                let value = group.mean(|metrics| metrics.budget.cpu_seconds)?;
                Some(Entry::Number { value, spread: None })
            }),
            number("calibration", "tokens", Subject::Cost, |group| {
                let mean = group.mean(|metrics| metrics.budget.calibration_tokens as f64)?;
                Some(Entry::Count(mean.round() as u64))
            }),
        ]);
        let mut metrics = self.groups.iter().flat_map(|group| group.metrics());
        if metrics.any(|metrics| metrics.budget.training_tokens > 0) {
            all.push(number("training", "tokens", Subject::Cost, |group| {
                let mean = group.mean(|metrics| metrics.budget.training_tokens as f64)?;
                Some(Entry::Count(mean.round() as u64))
            }));
        }
        all.push(text("status", status));
        all
    }
}

/// A name with the part of a timing that it names.
pub(crate) type Phase = (&'static str, fn(&ThroughputResult) -> &Samples);

fn number<'a>(
    header: &str,
    unit: &str,
    subject: Subject,
    entry: impl Fn(&Group) -> Option<Entry> + Send + Sync + 'a,
) -> Quantity<'a> {
    Quantity::new(Column::number(header, unit), subject, entry)
}

fn text<'a>(header: &str, entry: impl Fn(&Group) -> String + Send + Sync + 'a) -> Quantity<'a> {
    let entry = move |group: &Group| Some(Entry::Text(entry(group)));
    Quantity::new(Column::text(header), Subject::Identity, entry)
}

/// `ok`, or every failure with the first line of its error.
pub(crate) fn status(group: &Group) -> String {
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
