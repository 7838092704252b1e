//! What stands below the tables of accuracies.

use prunebench_results::TaskResult;

use crate::{accuracy::task_name, comparison::Comparison, statistics::COVERAGE, table::grouped};

/// How each task was asked and scored, and what its numbers are.
pub(crate) fn tasks(comparison: &Comparison) -> Vec<String> {
    let evaluation = &comparison.first().cell.evaluation;
    let mut notes: Vec<String> = (0..evaluation.tasks.len())
        .filter_map(|index| task(comparison, index))
        .collect();
    notes.push(
        "acc: share of items whose most likely request is the right one (the first of equals), or of tasks with a single \
         request, which greedy decoding gets right; acc_norm: by log-likelihood over the characters of the choice, \
         acc_bytes: over its UTF-8 bytes. ± is the standard error over items, pooled within groups if there are any."
            .into(),
    );
    notes.extend(evaluation.suites.iter().map(|suite| {
        let members = suite.members.iter().map(|member| {
            let mut requests = evaluation.tasks.iter();
            let name = requests.find(|request| member.is_of(request)).map(task_name);
            format!("{} {}", name.unwrap_or_else(|| member.task.clone()), member.metric)
        });
        let members: Vec<String> = members.collect();
        format!(
            "{} mean: unweighted mean of {}; its standard error is sqrt(Σ stderr²) / {}.",
            suite.suite,
            members.join("; "),
            members.len()
        )
    }));
    notes
}

fn task(comparison: &Comparison, index: usize) -> Option<String> {
    let metrics = comparison.groups.iter().flat_map(|group| group.metrics());
    let results: Vec<&TaskResult> = metrics.filter_map(|metrics| metrics.tasks.get(index)).collect();
    let result = results.first()?;
    let most = |count: fn(&TaskResult) -> usize| results.iter().map(|result| count(result)).max().unwrap_or(0);
    let (request, scoring) = (&result.request, &result.scoring);
    let mut note = format!("{}: {} shots", request.task, request.shots);
    if request.shots > 0 {
        if let Some(split) = &request.shots_split {
            note += &format!(" from {split}");
        }
        note += &format!(", seed {}", request.shots_seed);
    }
    note += &format!(
        "; n = {} of {} documents, {} requests, {} tokens scored, {} read; {}",
        grouped(result.documents as u64),
        grouped(result.documents_available as u64),
        grouped(scoring.requests as u64),
        grouped(scoring.tokens_scored as u64),
        grouped(scoring.tokens_read as u64),
        if scoring.bos_added {
            "BOS before each context"
        } else {
            "no BOS"
        },
    );
    if let Some(token) = scoring.prefix_token {
        note += &format!(", token {token} for an empty context");
    }
    note += &format!(
        "; at most {} requests cut to the model's context, {} ties and {} NaN items in a record.",
        most(|result| result.scoring.truncated_requests),
        most(|result| result.tied_items),
        most(|result| result.nan_items),
    );
    Some(note)
}

/// What the changes against the baseline are.
pub(crate) fn changes(comparison: &Comparison) -> Vec<String> {
    let baseline = comparison.baseline.join(" + ");
    let asked = comparison
        .first()
        .cell
        .evaluation
        .tasks
        .iter()
        .any(|request| request.divergence);
    let mut notes = vec![
        format!(
            "Δ to {baseline}: the score less that of {baseline} on the same engine, device and dtype, over the same items; of \
             a perplexity the ratio instead. {:.0} % interval by Student's t on the differences of the same items (taken as \
             independent), of several seeds over seeds too.",
            100.0 * COVERAGE,
        ),
        format!(
            "Retained: the score over that of {baseline}, with an interval likewise (of its logarithm); what guessing gives is part of both."
        ),
        format!(
            "Flips: share of items whose answer differs from that of {baseline}, right or wrong; of tasks with a single \
             request, whether it is greedy."
        ),
    ];
    if asked {
        notes.push(
            "KL: divergence of the dense model's next-token distribution from the compressed one's, mean over scored \
             positions; ± by the ratio of sums over items."
                .into(),
        );
    }
    notes
}
