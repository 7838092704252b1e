//! Whether a graph is consistent.

use std::collections::BTreeMap;

use super::{BlockShape, DeltaShape, Graph, NormKind, ScalesShape, Shortcut, Step};
use crate::{ModelError, Result};

impl BlockShape {
    /// Weights of the block's linears, norms and shortcuts; `None` if they are more than can be counted.
    fn weights(&self, hidden: usize) -> Option<usize> {
        let attention = match &self.attention {
            None => 0,
            Some(a) => {
                let (queries, keys) = (a.heads.checked_mul(a.head_dim)?, a.kv_heads.checked_mul(a.head_dim)?);
                let projections = queries.checked_add(keys)?.checked_mul(2)?.checked_mul(hidden)?;
                projections.checked_add(hidden)?.checked_add(queries)?
            }
        };
        let ffn = match &self.ffn {
            None => 0,
            Some(f) => f.width.checked_mul(hidden)?.checked_mul(3)?.checked_add(hidden)?,
        };
        let shortcuts = self.shortcuts().flatten().try_fold(0_usize, |sum, shortcut| {
            sum.checked_add(shortcut.from.checked_mul(shortcut.to)?)
        })?;
        attention.checked_add(ffn)?.checked_add(shortcuts)
    }

    /// The shape without what a block that borrows has of its own.
    fn lent(&self) -> Self {
        let mut lent = self.clone();
        (lent.borrows, lent.deltas) = (None, BTreeMap::new());
        if let Some(attention) = &mut lent.attention {
            attention.scales = ScalesShape::default();
        }
        if let Some(ffn) = &mut lent.ffn {
            ffn.scales = ScalesShape::default();
        }
        lent
    }
}

impl Graph {
    /// Checks that blocks borrow only what is there, and that deltas fit their linears.
    fn validate_borrowing(&self) -> Result<()> {
        for (index, shape) in self.blocks.iter().enumerate() {
            if let Some(lender) = shape.borrows {
                let refuse = |detail: String| {
                    Err(ModelError::Graph(format!(
                        "block {index} borrows the linears of block {lender}, {detail}"
                    )))
                };
                let Some(lent) = self.blocks.get(lender) else {
                    return refuse(format!("but there are {} blocks", self.blocks.len()));
                };
                if let Some(further) = lent.borrows {
                    return refuse(format!(
                        "which borrows them itself; name the block that has them, {further}"
                    ));
                }
                let (own, lent) = (shape.lent(), lent.lent());
                let fits = (own.attention.is_none() || own.attention == lent.attention)
                    && (own.ffn.is_none() || own.ffn == lent.ffn);
                if !fits {
                    return refuse("whose attention or FFN has another shape, or which has none".to_owned());
                }
                if shape.shortcuts().flatten().next().is_some() {
                    return refuse(
                        "whose stream goes through a shortcut matrix; blocks that share weights have one basis"
                            .to_owned(),
                    );
                }
            }
            for (&name, deltas) in &shape.deltas {
                let at = format!("block {index} {}", name.hf_name());
                let Some([out, inner]) = shape.linear(name, self.hidden_size) else {
                    return Err(ModelError::Graph(format!(
                        "{at} has a low-rank delta, but the block has no such linear"
                    )));
                };
                for (place, delta) in deltas.iter().enumerate() {
                    let DeltaShape { name, rank, scale, .. } = delta;
                    if !(1..=out.min(inner)).contains(rank) {
                        return Err(ModelError::Graph(format!(
                            "{at}: a low-rank delta of rank {rank}; a matrix of {out} × {inner} takes 1 to {}",
                            out.min(inner)
                        )));
                    }
                    if !scale.is_finite() {
                        return Err(ModelError::Graph(format!(
                            "{at}: a low-rank delta with the factor {scale}; a number is wanted"
                        )));
                    }
                    let word =
                        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
                    if !word || deltas[..place].iter().any(|before| before.name == *name) {
                        return Err(ModelError::Graph(format!(
                            "{at}: a low-rank delta named `{name}`; a name of letters, digits, `-` and `_` that no other delta of the \
                             linear has is wanted"
                        )));
                    }
                }
            }
        }
        if self.stream_gates && self.norm != NormKind::Rms {
            return Err(ModelError::Graph(
                "gates of the stream with LayerNorms, whose mean is over all channels; an RMSNorm is wanted".to_owned(),
            ));
        }
        if self.stream_gates && self.blocks.iter().any(BlockShape::normalises) {
            return Err(ModelError::Graph(
                "gates of the stream beside outputs that are normalised over all its channels; one of the two is wanted".to_owned(),
            ));
        }
        let mut shortcuts = self.blocks.iter().flat_map(BlockShape::shortcuts);
        if self.stream_gates && shortcuts.any(|shortcut| shortcut.is_some()) {
            return Err(ModelError::Graph(
                "gates of a stream that shortcut matrices lead from basis to basis; gate it before it is sliced"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    /// Checks that the stream that each sublayer leaves is as wide as the next one wants.
    fn validate_widths(&self) -> Result<()> {
        let whole = Shortcut {
            from: self.hidden_size,
            to: self.hidden_size,
        };
        let mut width = self.embedding_width();
        for (index, step) in self.steps.iter().enumerate() {
            for &block in step.blocks() {
                for shortcut in self.blocks[block].shortcuts() {
                    if shortcut.is_some() && !matches!(step, Step::Block(_)) {
                        return Err(ModelError::Graph(format!(
                            "step {index} runs block {block} beside others, but it has a shortcut matrix; blocks with one run \
                             one after another"
                        )));
                    }
                    let Shortcut { from, to } = shortcut.unwrap_or(whole);
                    if from != width || [from, to].iter().any(|width| !(1..=self.hidden_size).contains(width)) {
                        return Err(ModelError::Graph(format!(
                            "step {index}: block {block} takes a stream of {from} to one of {to}; the stream is {width} wide there, \
                             and 1 to {} is wanted after it",
                            self.hidden_size
                        )));
                    }
                    width = to;
                }
            }
        }
        if width != self.hidden_size {
            return Err(ModelError::Graph(format!(
                "the last step leaves a stream of width {width}; hidden_size {} is wanted",
                self.hidden_size
            )));
        }
        if self.tie_word_embeddings && self.embedding_width() != self.hidden_size {
            return Err(ModelError::Graph(format!(
                "an embedding of width {} can't be the output head, which is {} wide; tie_word_embeddings must be false",
                self.embedding_width(),
                self.hidden_size
            )));
        }
        Ok(())
    }

    /// Checks that the graph is consistent and that its sizes fit in memory's address range.
    pub fn validate(&self) -> Result<()> {
        let require = |holds: bool, detail: &dyn Fn() -> String| {
            if holds {
                Ok(())
            } else {
                Err(ModelError::Graph(detail()))
            }
        };
        require(self.vocab_size > 0 && self.hidden_size > 0, &|| {
            format!(
                "vocab_size {} and hidden_size {} must be positive",
                self.vocab_size, self.hidden_size
            )
        })?;
        if let Some(rope) = &self.rope {
            require(rope.theta > 0.0 && rope.theta.is_finite(), &|| {
                format!("rope theta {} must be a positive number", rope.theta)
            })?;
        }
        let learned = if self.rope.is_none() {
            self.max_position_embeddings
        } else {
            0
        };
        require(self.rope.is_some() || learned > 0, &|| {
            "max_position_embeddings is 0; a model without RoPE has a learned vector for each position".to_string()
        })?;
        let rows = self
            .vocab_size
            .checked_mul(2)
            .and_then(|rows| rows.checked_add(learned));
        let mut weights = rows.and_then(|rows| rows.checked_mul(self.hidden_size));
        for (index, block) in self.blocks.iter().enumerate() {
            if let Some(a) = &block.attention {
                require(
                    a.kv_heads > 0 && a.heads > 0 && a.heads.is_multiple_of(a.kv_heads),
                    &|| {
                        format!(
                            "block {index}: {} key heads must divide {} query heads",
                            a.kv_heads, a.heads
                        )
                    },
                )?;
                let halves = self.rope.is_none() || a.head_dim.is_multiple_of(2);
                require(a.head_dim > 0 && halves, &|| {
                    format!(
                        "block {index}: head_dim {} must be positive, and even for RoPE",
                        a.head_dim
                    )
                })?;
                if let Some(scale) = a.scale {
                    require(scale > 0.0 && scale.is_finite(), &|| {
                        format!("block {index}: attention scale {scale} must be a positive number")
                    })?;
                }
                require(a.window != Some(0), &|| {
                    format!("block {index}: an attention window of 0 sees nothing")
                })?;
            }
            if let Some(f) = &block.ffn {
                require(f.width > 0, &|| {
                    format!("block {index}: an FFN of width 0; leave the FFN out instead")
                })?;
            }
            weights = weights.and_then(|n| n.checked_add(block.weights(self.hidden_size)?));
        }
        require(weights.is_some_and(|n| n < isize::MAX as usize / 8), &|| {
            "the sizes multiply to more parameters than memory can address".to_string()
        })?;
        for (index, step) in self.steps.iter().enumerate() {
            require(!step.blocks().is_empty(), &|| format!("step {index} runs no block"))?;
            for &block in step.blocks() {
                require(block < self.blocks.len(), &|| {
                    format!(
                        "step {index} runs block {block}, but there are {} blocks",
                        self.blocks.len()
                    )
                })?;
            }
        }
        self.validate_borrowing()?;
        self.validate_widths()
    }
}
