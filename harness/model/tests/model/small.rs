//! Small random models of each kind of decoder, and what tests ask of them.

use prunebench_model::graph::{
    Architecture, AttentionShape, BlockShape, DEFAULT_DELTA, DeltaShape, FfnShape, Graph, NormKind, Rope, RopeScaling,
    ScalesShape, Step,
};
use prunebench_model::{Decoder, LinearName};
use prunebench_tensor::{DType, Device, Tensor};

pub(crate) const HIDDEN: usize = 24;
pub(crate) const WIDTH: usize = 40;
pub(crate) const HEAD: usize = 8;
/// Element types with the rounding that algebra leaves in the logits.
pub(crate) const TYPES: [(DType, f64); 2] = [(DType::F64, 1e-10), (DType::F32, 1e-5)];
pub(crate) const IDS: [u32; 9] = [7, 3, 60, 12, 5, 5, 41, 0, 33];

/// What tells kinds of decoders apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) kv_heads: usize,
    pub(crate) tied: bool,
    pub(crate) architecture: Architecture,
}

/// Multi-head, grouped and multi-query attention, tied and untied heads, biases and norms of heads.
pub(crate) const KINDS: [Kind; 5] = [
    Kind {
        name: "MHA, tied",
        kv_heads: 4,
        tied: true,
        architecture: Architecture::Llama,
    },
    Kind {
        name: "GQA, untied",
        kv_heads: 2,
        tied: false,
        architecture: Architecture::Llama,
    },
    Kind {
        name: "MQA, tied",
        kv_heads: 1,
        tied: true,
        architecture: Architecture::Llama,
    },
    Kind {
        name: "GQA with biases",
        kv_heads: 2,
        tied: true,
        architecture: Architecture::Qwen2,
    },
    Kind {
        name: "GQA with norms of heads",
        kv_heads: 2,
        tied: false,
        architecture: Architecture::Qwen3,
    },
];

impl Kind {
    pub(crate) fn block(self) -> BlockShape {
        BlockShape {
            attention: Some(AttentionShape {
                heads: 4,
                kv_heads: self.kv_heads,
                head_dim: HEAD,
                qkv_bias: self.architecture == Architecture::Qwen2,
                qk_norm: self.architecture == Architecture::Qwen3,
                ..AttentionShape::default()
            }),
            ffn: Some(FfnShape {
                width: WIDTH,
                ..FfnShape::default()
            }),
            ..BlockShape::default()
        }
    }

    pub(crate) fn graph(self, blocks: Vec<BlockShape>) -> Graph {
        Graph {
            architecture: self.architecture,
            vocab_size: 64,
            hidden_size: HIDDEN,
            rms_norm_eps: 1e-5,
            max_position_embeddings: 128,
            tie_word_embeddings: self.tied,
            bos_token_id: None,
            eos_token_ids: vec![],
            rope: Some(Rope {
                theta: 1e4,
                scaling: RopeScaling::None,
            }),
            norm: NormKind::Rms,
            head_bias: false,
            stream_gates: false,
            steps: (0..blocks.len()).map(Step::Block).collect(),
            blocks,
        }
    }

    pub(crate) fn model(self, dtype: DType, device: &Device) -> Decoder {
        random(self.graph(vec![self.block(); 4]), dtype, device)
    }
}

/// A delta of each of these linears.
pub(crate) fn deltas(linears: &[LinearName], rank: usize) -> std::collections::BTreeMap<LinearName, Vec<DeltaShape>> {
    let delta = DeltaShape {
        name: DEFAULT_DELTA.to_owned(),
        rank,
        scale: 0.5,
        keeps_zeros: false,
    };
    linears.iter().map(|&name| (name, vec![delta.clone()])).collect()
}

/// Blocks of different shapes, one without attention and one without FFN, one that borrows from a later one and one from an
/// earlier, with deltas, gates, and outputs that are normalised.
pub(crate) fn patchwork(kind: Kind) -> Graph {
    let whole = kind.block();
    let wide = BlockShape {
        ffn: Some(FfnShape {
            width: WIDTH + 8,
            ..FfnShape::default()
        }),
        deltas: deltas(&[LinearName::V, LinearName::Down], 2),
        ..whole.clone()
    };
    let slot = |lender: &BlockShape, borrows: usize, rank: usize| {
        let mut slot = BlockShape {
            borrows: Some(borrows),
            deltas: deltas(&LinearName::ALL, rank),
            ..lender.clone()
        };
        let output = ScalesShape {
            norm: true,
            ..ScalesShape::default()
        };
        slot.attention.as_mut().unwrap().scales = output;
        slot.ffn.as_mut().unwrap().scales = output;
        slot
    };
    let mut gated = whole.clone();
    gated.attention.as_mut().unwrap().scales = ScalesShape {
        unit_gates: true,
        gate: true,
        ..ScalesShape::default()
    };
    gated.ffn.as_mut().unwrap().scales.unit_gates = true;
    let mut two_deltas = deltas(&[LinearName::Q], 3);
    two_deltas.get_mut(&LinearName::Q).unwrap().push(DeltaShape {
        name: "second".to_owned(),
        rank: 1,
        scale: 2.0,
        keeps_zeros: true,
    });
    let no_ffn = BlockShape {
        ffn: None,
        deltas: two_deltas,
        ..whole.clone()
    };
    let no_attention = BlockShape {
        attention: None,
        ..whole.clone()
    };
    kind.graph(vec![
        slot(&wide, 4, 2),
        gated,
        no_ffn,
        no_attention,
        wide.clone(),
        slot(&wide, 4, 4),
    ])
}

/// A model of that graph with random parameters, the same on every engine.
pub(crate) fn random(graph: Graph, dtype: DType, device: &Device) -> Decoder {
    let mut seed = 100;
    Decoder::from_parameters(graph, |name, shape| {
        seed += 1;
        let noise = Tensor::randn(shape, seed, DType::F32, device)?.mul_scalar(0.15)?;
        let about_one = name.contains("norm") || name.contains("gate") && !name.contains("gate_proj");
        Ok(if about_one { noise.add_scalar(1.0)? } else { noise }.to_dtype(dtype)?)
    })
    .unwrap()
}

/// Logits of [`IDS`].
pub(crate) fn logits(decoder: &Decoder) -> Vec<f64> {
    let ids = decoder.ids(&[&IDS]).unwrap();
    decoder.forward(&ids).unwrap().to_f64_vec().unwrap()
}

pub(crate) fn assert_close(found: &[f64], wanted: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (found, wanted) in found.iter().zip(wanted) {
        assert!(
            (found - wanted).abs() <= tolerance * wanted.abs().max(1.0),
            "{what}: {found}, wanted {wanted}"
        );
    }
}
