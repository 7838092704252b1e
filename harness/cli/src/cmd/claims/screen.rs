//! What became of a paper's claims, as people read it.

use prunebench_reports::claims::{Scorecard, Scored, Verdict};

use crate::terminal::{bad, beginning, doubtful, faint, good, heading, indented};

/// Longer ids stand above their statements.
const LONG_ID: usize = 8;

/// The counts, then the claims by verdict: those first that the records speak against, and last those that none speaks of.
pub fn drawn(scorecard: &Scorecard, width: usize) -> String {
    let order = [
        Verdict::NotReproduced,
        Verdict::Reproduced,
        Verdict::Inconclusive,
        Verdict::NotRun,
    ];
    let of = |verdict: Verdict| {
        scorecard
            .claims
            .iter()
            .filter(move |claim| claim.verdict == verdict)
            .collect()
    };
    let groups: Vec<(Verdict, Vec<&Scored>)> = order.map(|verdict| (verdict, of(verdict))).to_vec();
    let there = || groups.iter().filter(|(_, claims)| !claims.is_empty());
    let counts = there().map(|(verdict, claims)| format!("{} {}", claims.len(), verdict.words()));
    let counts = format!(
        "{} claims: {}",
        scorecard.claims.len(),
        counts.collect::<Vec<_>>().join(", ")
    );
    let mut text = indented(&format!("{}  ", heading(&scorecard.paper)), &counts, width);
    let ids = scorecard.claims.iter().map(|claim| claim.id.chars().count());
    let id_width = ids.filter(|&id| id <= LONG_ID).max().unwrap_or(0);
    for (verdict, claims) in there() {
        text += &format!("\n{}\n", heading(&coloured(*verdict)));
        text += &match verdict {
            Verdict::NotRun => not_run(claims, id_width, width),
            _ => claims.iter().map(|claim| judged(claim, id_width, width)).collect(),
        };
    }
    text
}

fn coloured(verdict: Verdict) -> String {
    let colour = match verdict {
        Verdict::Reproduced => good,
        Verdict::NotReproduced => bad,
        Verdict::Inconclusive => doubtful,
        Verdict::NotRun => faint,
    };
    colour(verdict.words())
}

/// A claim with what its verdict rests on.
fn judged(claim: &Scored, id_width: usize, width: usize) -> String {
    let indent = format!("{:1$}", "", id_width + 4);
    let mut text = headed(claim, id_width, |room| room.to_owned(), width);
    let evidence = claim.evidence();
    if !evidence.is_empty() {
        text += &indented(&indent, &evidence, width);
    }
    let missing = claim.missing_shown();
    if !missing.is_empty() {
        text += &indented(&format!("{indent}{}", faint("missing: ")), &missing, width);
    }
    text
}

/// Its id with its statement behind it, or below where the id is long.
fn headed(claim: &Scored, id_width: usize, statement: impl Fn(&str) -> String, width: usize) -> String {
    let statement = statement(&claim.statement);
    if claim.id.chars().count() > id_width {
        let below = format!("{:1$}", "", id_width + 4);
        return format!("  {}\n{}", claim.id, indented(&below, &statement, width));
    }
    indented(&format!("  {:<id_width$}  ", claim.id), &statement, width)
}

/// Claims in a line each, below the reason that they share.
fn not_run(claims: &[&Scored], id_width: usize, width: usize) -> String {
    let mut reasons: Vec<(String, Vec<&Scored>)> = Vec::new();
    for claim in claims {
        let reason = claim.missing_shown();
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, claims)) => claims.push(claim),
            None => reasons.push((reason, vec![claim])),
        }
    }
    let mut text = String::new();
    for (reason, claims) in reasons {
        for claim in claims {
            let room = width.saturating_sub(id_width + 4);
            text += &headed(claim, id_width, |statement| beginning(statement, room), width);
        }
        text += &indented(&format!("    {}", faint("why: ")), &reason, width);
    }
    text
}
