//! What stands above an overview.

use prunebench_results::{SuiteMember, SuiteRequest};

use super::mean::chance;
use crate::comparison::Comparison;
use crate::table::grouped;

/// The model, and what was measured of it.
pub(super) fn title(comparison: &Comparison, mean: Option<&SuiteRequest>) -> String {
    let first = comparison.first();
    let dense = comparison
        .groups
        .iter()
        .find(|group| comparison.is_baseline(group.first()));
    let size = dense.and_then(|group| group.mean(|metrics| metrics.accounting.stored_parameters as f64));
    let mut dtypes: Vec<&str> = Vec::new();
    for record in comparison.records() {
        if !dtypes.contains(&record.cell.dtype.as_str()) {
            dtypes.push(&record.cell.dtype);
        }
    }
    let size = size.map_or_else(String::new, |size| format!("{} parameters, ", short(size)));
    let mut parts = vec![format!("{} ({size}{})", first.cell.model, dtypes.join(", "))];
    let metrics = comparison.groups.iter().find_map(|group| group.metrics().next());
    if let Some(metrics) = metrics {
        parts.extend(metrics.perplexity.first().map(|result| {
            let samples = if result.window.is_some() {
                "documents"
            } else {
                "windows"
            };
            let further = match metrics.perplexity.len() {
                1 => String::new(),
                all => format!(" (1 of {all} perplexities)"),
            };
            format!("{} {samples} of {}{further}", result.windows, result.protocol)
        }));
        if let Some(mean) = mean {
            let of = |member: &SuiteMember| {
                let mut tasks = metrics.tasks.iter();
                tasks
                    .find(|result| member.is_of(&result.request))
                    .map(|result| result.documents)
            };
            let documents: Vec<usize> = mean.members.iter().filter_map(of).collect();
            let total: usize = documents.iter().sum();
            parts.push(
                match (documents.as_slice(), documents.iter().all(|&n| n == documents[0])) {
                    ([only], _) => format!("{} × {only} questions", mean.suite),
                    (_, true) => format!("{} tasks × {} questions", documents.len(), documents[0]),
                    _ => format!("{} tasks, {} questions", documents.len(), grouped(total as u64)),
                },
            );
            parts.extend(chance(metrics, mean).map(|chance| format!("chance {:.0} %", 100.0 * chance)));
        }
    }
    parts.extend(
        first
            .cell
            .evaluation
            .throughput
            .as_ref()
            .filter(|_| comparison.is_in_rounds())
            .map(|request| request.setting()),
    );
    parts.join(" · ")
}

/// `1.41 M`
pub(super) fn short(count: f64) -> String {
    let (value, unit) = match count {
        few if few < 1e3 => return format!("{few:.0}"),
        thousands if thousands < 1e6 => (thousands / 1e3, "k"),
        millions if millions < 1e9 => (millions / 1e6, "M"),
        billions => (billions / 1e9, "B"),
    };
    let places = if value < 10.0 {
        2
    } else if value < 100.0 {
        1
    } else {
        0
    };
    format!("{value:.places$} {unit}")
}
