//! Random weights in the shape of a well-known model, for timing.

use std::{collections::BTreeMap, path::Path};

use crate::{
    checkpoint::graph_from_config,
    error::{ModelError, Result},
    graph::Graph,
};

const SHAPES: &str = include_str!("shapes.toml");

/// The shapes by name, each the `config.json` of such a model.
pub fn shapes() -> Result<BTreeMap<String, serde_json::Value>> {
    toml::from_str(SHAPES).map_err(|e| ModelError::malformed(Path::new("shapes.toml"), e.to_string()))
}

/// Graph of a shape, or `None` if no shape has that name.
pub(super) fn graph(name: &str) -> Result<Option<Graph>> {
    shapes()?
        .remove(name)
        .map(|config| graph_from_config(Path::new("shapes.toml"), config))
        .transpose()
}
