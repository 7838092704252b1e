//! What there is, counted: a model, and the data that a run trains on.

use std::fmt;

use prunebench_model::{Decoder, LinearName, count_zeros};
use prunebench_train::{Domain, Source};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{Basis, Recovery, Result};

/// Counts of a model and of the data that a run trains on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Census {
    /// The stored blocks, in order.
    pub blocks: Vec<BlockCount>,
    /// Columns of the embedding.
    pub width: usize,
    /// The stored parameters, in the order of checkpoints; one that is read in several places is there once.
    pub parameters: Vec<ParameterCount>,
    /// The domains of the training data.
    pub domains: Vec<DomainCount>,
}

/// Counts of a stored block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockCount {
    /// How often a token runs through it.
    pub uses: usize,
    /// How often a token runs through a block that borrows its linears.
    pub lent: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Channels of the FFN, between its projections.
    pub channels: usize,
}

/// Counts of a stored parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterCount {
    /// Its Hugging Face name.
    pub name: String,
    /// The block that it belongs to.
    pub block: Option<usize>,
    /// Which of the block's linears it is the matrix of, which makes its elements prunable weights.
    pub linear: Option<LinearName>,
    /// Whether a block that borrows reads it too.
    pub is_lent: bool,
    /// Its elements.
    pub elements: usize,
    /// Elements of a row, its last dimension.
    pub row: usize,
    /// Elements that are zero.
    pub zeros: usize,
}

/// Counts of a domain of the training data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DomainCount {
    /// Its name.
    #[serde(skip)]
    pub name: String,
    /// Its examples; a stream has places instead.
    pub examples: Option<usize>,
    /// Its tokens, prompts included.
    pub tokens: usize,
}

impl Census {
    /// Counts a model and the data.
    ///
    /// # Errors
    /// An operation on the model that fails.
    pub fn of(model: &Decoder, recovery: &Recovery) -> Result<Self> {
        let parameters = model.parameters().into_iter().map(|(name, tensor)| -> Result<_> {
            let (block, linear) = place(&name);
            Ok(ParameterCount {
                block,
                linear,
                is_lent: block.is_some() && is_lent(&name),
                elements: tensor.elem_count(),
                row: tensor.shape().last().copied().unwrap_or(1),
                zeros: count_zeros(tensor)? as usize,
                name,
            })
        });
        let steps = &model.graph.steps;
        let runs = |wanted: &dyn Fn(usize) -> bool| {
            let blocks = steps.iter().flat_map(|step| step.blocks());
            blocks.filter(|&&block| wanted(block)).count()
        };
        let block = |index: usize| {
            let shape = model.graph.blocks.get(index);
            let attention = shape.and_then(|shape| shape.attention.as_ref());
            let borrows = |block: usize| model.graph.blocks.get(block)?.borrows;
            BlockCount {
                uses: runs(&|block| block == index),
                lent: runs(&|block| borrows(block) == Some(index)),
                heads: attention.map_or(0, |attention| attention.heads),
                kv_heads: attention.map_or(0, |attention| attention.kv_heads),
                channels: shape.and_then(|shape| shape.ffn.as_ref()).map_or(0, |ffn| ffn.width),
            }
        };
        Ok(Self {
            parameters: parameters.collect::<Result<_>>()?,
            blocks: (0..model.blocks.len()).map(block).collect(),
            width: model.embedding.dim(1)?,
            domains: recovery.domains.iter().map(|(domain, _)| domain.into()).collect(),
        })
    }

    /// Blocks that a token runs through, one that runs twice counted twice.
    pub fn executed_blocks(&self) -> usize {
        self.blocks.iter().map(|block| block.uses).sum()
    }

    /// Stored parameters that a token reads more than once: those of blocks that run several times, and what others borrow.
    pub fn shared_parameters(&self) -> usize {
        let shared = |parameter: &&ParameterCount| {
            let block = parameter.block.and_then(|block| self.blocks.get(block));
            block.is_some_and(|block| match parameter.is_lent {
                true => block.uses + block.lent > 1,
                false => block.uses > 1,
            })
        };
        self.parameters
            .iter()
            .filter(shared)
            .map(|parameter| parameter.elements)
            .sum()
    }

    /// Stored parameters that aren't zero.
    pub fn nonzero_parameters(&self) -> usize {
        let (zeros, all) = self.zeros(Basis::Parameters);
        all - zeros
    }

    /// Zeros, and all elements, of the parameters that a share of zeros is of.
    pub(crate) fn zeros(&self, basis: Basis) -> (usize, usize) {
        let counts = self
            .masked(basis)
            .map(|parameter| (parameter.zeros, parameter.elements));
        counts.fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1))
    }

    /// The parameters that a share of zeros is of.
    pub(crate) fn masked(&self, basis: Basis) -> impl Iterator<Item = &ParameterCount> {
        let all = basis == Basis::Parameters;
        self.parameters
            .iter()
            .filter(move |parameter| all || parameter.linear.is_some())
    }

    /// The share of this model that is gone from the `finished` one. `fused` blocks are gone into others. A weight is gone as
    /// long as it is zero, whoever made it so.
    pub(crate) fn gone(&self, finished: &Census, basis: Basis, fused: usize) -> f64 {
        let (gone, all) = match basis {
            Basis::Nothing | Basis::Values | Basis::Refilled => (0, 1),
            Basis::Blocks => {
                let left = finished.blocks.len() + fused;
                (self.blocks.len().saturating_sub(left), self.blocks.len())
            }
            Basis::Width => return 1.0 - finished.width as f64 / self.width as f64,
            Basis::EachMatrix | Basis::Weights | Basis::Parameters => (finished.zeros(basis).0, self.zeros(basis).1),
        };
        gone as f64 / all.max(1) as f64
    }

    /// The share of zeros in each parameter that the share is of; `None` where it is not one of zeros.
    pub(crate) fn sparsity(&self, basis: Basis) -> Option<Value> {
        let share = |parameter: &ParameterCount| {
            let name = match (basis, parameter.block, parameter.linear) {
                (Basis::EachMatrix | Basis::Weights, Some(block), Some(linear)) => {
                    format!("{block}.{}", linear.hf_name())
                }
                _ => parameter.name.clone(),
            };
            (name, json!(parameter.sparsity()))
        };
        basis
            .is_of_zeros()
            .then(|| Value::Object(self.masked(basis).map(share).collect()))
    }
}

impl ParameterCount {
    /// The share of its elements that are zero.
    pub(crate) fn sparsity(&self) -> f64 {
        self.zeros as f64 / self.elements.max(1) as f64
    }
}

/// The block and the linear that a parameter of this name belongs to.
fn place(name: &str) -> (Option<usize>, Option<LinearName>) {
    let Some((block, rest)) = name.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.')) else {
        return (None, None);
    };
    let weight = rest.strip_suffix(".weight");
    let linear = LinearName::ALL
        .into_iter()
        .find(|linear| weight == Some(linear.hf_name()));
    (block.parse().ok(), linear)
}

/// Linears, with their biases and deltas, and norms of heads.
fn is_lent(name: &str) -> bool {
    ["_proj.", ".q_norm.", ".k_norm."]
        .iter()
        .any(|part| name.contains(part))
}

impl From<&Domain> for DomainCount {
    fn from(domain: &Domain) -> Self {
        let (examples, tokens) = match &domain.source {
            Source::Stream(tokens) => (None, tokens.len()),
            Source::Examples(examples) => {
                let tokens = examples.iter().map(|example| example.tokens.len());
                (Some(examples.len()), tokens.sum())
            }
        };
        Self {
            name: domain.name.clone(),
            examples,
            tokens,
        }
    }
}

impl fmt::Display for DomainCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, examples, tokens } = self;
        match examples {
            Some(examples) => write!(f, "`{name}` with {tokens} tokens in {examples} examples"),
            None => write!(f, "`{name}` with {tokens} tokens"),
        }
    }
}

#[cfg(test)]
mod tests {
    use prunebench_model::graph::{BlockShape, Step};
    use prunebench_tensor::Device;
    use prunebench_train::Example;

    use super::*;
    use crate::fixture::{BLOCKS, HIDDEN, make_identity, model};

    #[test]
    fn a_model_is_counted_by_its_graph_and_its_parameters() {
        for device in Device::available() {
            let mut model = model(&device);
            make_identity(&mut model, 2);
            let census = Census::of(&model, &Recovery::default()).unwrap();
            let block = BlockCount {
                uses: 1,
                lent: 0,
                heads: 4,
                kv_heads: 2,
                channels: 48,
            };
            assert_eq!(census.blocks, vec![block; BLOCKS]);
            assert_eq!((census.width, census.executed_blocks()), (HIDDEN, BLOCKS));
            let accounting = model.accounting().unwrap();
            assert_eq!(
                census.zeros(Basis::Weights),
                (accounting.zero_weights as usize, accounting.prunable_weights as usize)
            );
            assert_eq!(
                census.zeros(Basis::Parameters),
                (
                    accounting.zero_parameters as usize,
                    accounting.stored_parameters as usize
                )
            );
            let down = ParameterCount {
                name: "model.layers.2.mlp.down_proj.weight".to_owned(),
                block: Some(2),
                linear: Some(LinearName::Down),
                is_lent: true,
                elements: 48 * HIDDEN,
                row: 48,
                zeros: 48 * HIDDEN,
            };
            assert!(census.parameters.contains(&down));
        }
    }

    #[test]
    fn what_runs_twice_is_stored_once_and_executed_twice() {
        let mut model = model(&Device::available()[0]);
        let once = Census::of(&model, &Recovery::default()).unwrap();
        model.graph.steps.push(Step::Block(1));
        let twice = Census::of(&model, &Recovery::default()).unwrap();
        assert_eq!((once.shared_parameters(), once.executed_blocks()), (0, BLOCKS));
        assert_eq!(twice.parameters, once.parameters);
        assert_eq!(twice.executed_blocks(), BLOCKS + 1);
        // Projections of 4 heads and 2 key heads of 8, three of the FFN, two norms.
        let block = 2 * HIDDEN * 32 + 2 * HIDDEN * 16 + 3 * HIDDEN * 48 + 2 * HIDDEN;
        assert_eq!(twice.shared_parameters(), block);
    }

    #[test]
    fn what_a_block_borrows_is_stored_once_and_shared() {
        let dense = model(&Device::available()[0]);
        let mut graph = dense.graph.clone();
        let borrower = BlockShape {
            borrows: Some(1),
            ..graph.blocks[0].clone()
        };
        graph.blocks[0] = borrower;
        let parameters = dense.parameters();
        let model = Decoder::from_parameters(graph, |name, _| {
            let found = parameters.iter().find(|(listed, _)| listed == name);
            Ok(found.map(|(_, tensor)| (*tensor).clone()).unwrap())
        });
        let (before, after) = (
            Census::of(&dense, &Recovery::default()).unwrap(),
            Census::of(&model.unwrap(), &Recovery::default()).unwrap(),
        );
        let lent = 2 * HIDDEN * 32 + 2 * HIDDEN * 16 + 3 * HIDDEN * 48;
        assert_eq!((after.blocks[1].uses, after.blocks[1].lent), (1, 1));
        assert_eq!(after.shared_parameters(), lent);
        assert_eq!(
            before.zeros(Basis::Parameters).1,
            after.zeros(Basis::Parameters).1 + lent
        );
    }

    #[test]
    fn examples_and_tokens_of_each_domain_are_counted() {
        let domain = |name: &str, source| {
            (
                Domain {
                    name: name.to_owned(),
                    source,
                },
                1.0,
            )
        };
        let example = |tokens: usize| Example::new("questions", 0, vec![1; tokens], 1);
        let recovery = Recovery {
            domains: vec![
                domain("pages", Source::Stream(vec![0; 70])),
                domain("questions", Source::Examples(vec![example(3), example(4)])),
            ],
            validation: Vec::new(),
        };
        let census = Census::of(&model(&Device::available()[0]), &recovery).unwrap();
        let told: Vec<String> = census.domains.iter().map(DomainCount::to_string).collect();
        assert_eq!(
            told,
            ["`pages` with 70 tokens", "`questions` with 7 tokens in 2 examples"]
        );
    }
}
