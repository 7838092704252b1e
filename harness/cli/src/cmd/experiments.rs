//! The experiments that come with the program, as `prunebench list` shows them.

use prunebench_sweep::shipped;
use serde_json::{Value, json};

use crate::terminal::{faint, indented, width};

/// A name and what stands behind it, for each, as wide as the terminal.
pub fn text() -> anyhow::Result<String> {
    let shipped = shipped()?;
    let names = shipped.iter().map(|shipped| shipped.name.chars().count());
    let column = names.max().unwrap_or(0);
    let lines = shipped.iter().map(|shipped| {
        let experiment = &shipped.experiment;
        let what = indented(
            &format!("  {:<column$}  ", shipped.name),
            &experiment.description,
            width(),
        );
        let plural = if shipped.recipes == 1 { "" } else { "s" };
        let size = format!(
            "{} recipe{plural}; {}; {}",
            shipped.recipes,
            experiment.models.join(", "),
            experiment.engines.join(", ")
        );
        what + &faint(&indented(&format!("  {:column$}  ", ""), &size, width()))
    });
    Ok(lines.collect())
}

/// The same as JSON.
pub fn json() -> anyhow::Result<Value> {
    let entry = |shipped: &prunebench_sweep::Shipped| {
        let experiment = &shipped.experiment;
        json!({
            "name": shipped.name, "description": experiment.description, "path": shipped.path,
            "results": experiment.name, "models": experiment.models, "recipes": shipped.recipes,
            "engines": experiment.engines, "devices": experiment.devices,
        })
    };
    Ok(shipped()?.iter().map(entry).collect())
}
