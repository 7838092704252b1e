//! The order of rows: families, and below each recipe those that go on from it.

use super::FamilyOf;
use super::labels::Labels;
use super::places::{Places, Shown};
use crate::comparison::{Comparison, Group};
use crate::table::grouped;

/// A row to be.
pub(super) struct Node<'c, 'a> {
    pub(super) group: &'c Group<'a>,
    pub(super) family: Option<String>,
    pub(super) depth: usize,
    pub(super) label: String,
    /// The label that it has where no row above says a part of it.
    whole: String,
}

/// The rows in the order of the records, those of a family together, each followed by those whose recipe begins with its own.
pub(super) fn tree<'c, 'a>(comparison: &'c Comparison<'a>, places: &Places, families: FamilyOf) -> Vec<Node<'c, 'a>> {
    let labels = Labels::of(comparison.recipes());
    let mut recipes: Vec<&[String]> = Vec::new();
    for group in &comparison.groups {
        let recipe = group.first().cell.recipe.as_slice();
        if !recipes.contains(&recipe) {
            recipes.push(recipe);
        }
    }
    let parent = |recipe: &[String]| {
        let shorter = recipes
            .iter()
            .filter(|other| other.len() < recipe.len() && recipe.starts_with(other));
        shorter.max_by_key(|other| other.len()).copied()
    };
    let mut ordered: Vec<(&[String], usize)> = Vec::new();
    let mut families_seen: Vec<Option<String>> = Vec::new();
    let family = |recipe: &[String]| (recipe != comparison.baseline).then(|| families(recipe)).flatten();
    for recipe in recipes.iter().filter(|recipe| parent(recipe).is_none()) {
        let family = family(recipe);
        if !families_seen.contains(&family) {
            families_seen.push(family);
        }
    }
    for wanted in &families_seen {
        for recipe in recipes
            .iter()
            .filter(|recipe| parent(recipe).is_none() && family(recipe) == *wanted)
        {
            descend(recipe, 0, &recipes, &parent, &mut ordered);
        }
    }
    let several = families_seen.iter().flatten().count() > 1;
    let mut nodes = Vec::new();
    for (recipe, depth) in ordered {
        let groups: Vec<&Group> = comparison
            .groups
            .iter()
            .filter(|group| group.first().cell.recipe == recipe)
            .collect();
        let root = ancestors(recipe, &parent).last().copied().unwrap_or(recipe);
        let family = family(root).filter(|_| several);
        let above = parent(recipe).map_or(0, <[String]>::len);
        for Shown { group, place } in places.rows(comparison, &groups) {
            let after = |text: String| {
                let trained = trained(group).map_or_else(String::new, |tokens| format!(", {tokens}"));
                let place = place.as_ref().map_or_else(String::new, |place| format!(" on {place}"));
                format!("{text}{trained}{place}")
            };
            let further = if above > 0 { "+ " } else { "" };
            nodes.push(Node {
                group,
                family: family.clone(),
                depth,
                label: after(format!("{further}{}", labels.whole(&recipe[above..]))),
                whole: after(labels.whole(recipe)),
            });
        }
    }
    nodes
}

/// The rows by a number, the smallest first and those without it last, after the baseline; `None` if none has it.
pub(super) fn flat<'c, 'a>(
    mut nodes: Vec<Node<'c, 'a>>,
    key: impl Fn(&Group) -> Option<f64>,
) -> Option<Vec<Node<'c, 'a>>> {
    nodes.iter().find_map(|node| key(node.group))?;
    nodes.sort_by(|a, b| {
        let of = |node: &Node| key(node.group).unwrap_or(f64::INFINITY);
        of(a).total_cmp(&of(b))
    });
    for node in &mut nodes {
        node.family = None;
        node.depth = 0;
        node.label.clone_from(&node.whole);
    }
    Some(nodes)
}

fn descend<'r>(
    recipe: &'r [String],
    depth: usize,
    all: &[&'r [String]],
    parent: &dyn Fn(&[String]) -> Option<&'r [String]>,
    ordered: &mut Vec<(&'r [String], usize)>,
) {
    ordered.push((recipe, depth));
    for child in all.iter().filter(|other| parent(other) == Some(recipe)) {
        descend(child, depth + 1, all, parent, ordered);
    }
}

fn ancestors<'r>(recipe: &[String], parent: &dyn Fn(&[String]) -> Option<&'r [String]>) -> Vec<&'r [String]> {
    std::iter::successors(parent(recipe), |above| parent(above)).collect()
}

/// How much its recipe trained on.
fn trained(group: &Group) -> Option<String> {
    let tokens = group.mean(|metrics| metrics.budget.training_tokens as f64)?;
    (tokens > 0.0).then(|| match tokens {
        few if few < 1e4 => format!("{} tokens", grouped(few.round() as u64)),
        many if many < 1e6 => format!("{:.0} k tokens", many / 1e3),
        more => format!("{:.1} M tokens", more / 1e6),
    })
}
