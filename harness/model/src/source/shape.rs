//! Random weights in the shape of a well-known model, for timing.

use std::{collections::BTreeMap, path::Path};

use prunebench_tensor::{DType, Device, Tensor};

use crate::{
    checkpoint::graph_from_config,
    decoder::Decoder,
    error::{ModelError, Result},
    graph::Graph,
};

const SHAPES: &str = include_str!("shapes.toml");
/// Standard deviation of the weights, the usual one at the start of training.
const DEVIATION: f64 = 0.02;

/// Names of the shapes, sorted.
pub(super) fn names() -> Result<Vec<String>> {
    Ok(table()?.into_keys().collect())
}

fn table() -> Result<BTreeMap<String, serde_json::Value>> {
    toml::from_str(SHAPES).map_err(|e| ModelError::malformed(Path::new("shapes.toml"), e.to_string()))
}

/// Graph of a shape, or `None` if no shape has that name.
pub(super) fn graph(name: &str) -> Result<Option<Graph>> {
    table()?
        .remove(name)
        .map(|config| graph_from_config(Path::new("shapes.toml"), config))
        .transpose()
}

/// A decoder with normally distributed weights, unit norms and zero biases; the same on every engine.
pub(super) fn random_decoder(graph: Graph, device: &Device, dtype: DType) -> Result<Decoder> {
    let mut seed = 0;
    Decoder::from_parameters(graph, |name, shape| {
        seed += 1;
        Ok(if name.ends_with(".bias") {
            Tensor::zeros(shape, dtype, device)?
        } else if shape.len() == 1 {
            Tensor::ones(shape, dtype, device)?
        } else {
            Tensor::randn(shape, seed, dtype, device)?.mul_scalar(DEVIATION)?
        })
    })
}
