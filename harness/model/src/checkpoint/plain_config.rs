//! A graph as the `config.json` that transformers reads.

use serde_json::{Map, Value};

use super::{config::silu, folder::GRAPH_FILE};
use crate::graph::{
    Architecture, AttentionShape, BlockShape, FfnShape, Graph, NormKind, Rope, RopeScaling, ScalesShape, Step,
};

/// Config that makes transformers build exactly this graph, or `None` if no plain config can.
pub(super) fn plain_config(graph: &Graph) -> Option<Map<String, Value>> {
    let in_order = graph
        .steps
        .iter()
        .enumerate()
        .all(|(index, step)| *step == Step::Block(index));
    if !in_order || graph.steps.len() != graph.blocks.len() {
        return None;
    }
    let first = graph.blocks.first()?;
    let plain_block = BlockShape {
        attention: first.attention.clone(),
        ffn: first.ffn.clone(),
        ..BlockShape::default()
    };
    if *first != plain_block || graph.stream_gates {
        return None;
    }
    let (attention, ffn, rope) = (first.attention.as_ref()?, first.ffn.as_ref()?, graph.rope.as_ref()?);
    let plain_attention = AttentionShape {
        o_bias: false,
        scale: None,
        shortcut: None,
        scales: ScalesShape::default(),
        ..attention.clone()
    };
    let plain_ffn = FfnShape {
        width: ffn.width,
        ..FfnShape::default()
    };
    if graph.norm != NormKind::Rms || graph.head_bias || *attention != plain_attention || *ffn != plain_ffn {
        return None;
    }
    let windows: Vec<Option<usize>> = graph
        .blocks
        .iter()
        .map(|block| block.attention.as_ref().and_then(|a| a.window))
        .collect();
    let mut uniform = graph.blocks.iter().map(|block| {
        let mut block = block.clone();
        if let Some(other) = &mut block.attention {
            other.window = attention.window;
        }
        block
    });
    if !uniform.all(|block| block == *first) {
        return None;
    }
    let qwen2 = graph.architecture == Architecture::Qwen2;
    let qwen3 = graph.architecture == Architecture::Qwen3;
    if attention.qkv_bias != qwen2 || attention.qk_norm != qwen3 {
        return None;
    }
    let largest = windows.iter().flatten().max().copied();
    let one_window = windows.iter().all(|window| *window == largest);
    let expressible = match graph.architecture {
        Architecture::Gpt => false,
        Architecture::Llama => largest.is_none(),
        Architecture::Mistral => one_window,
        Architecture::Qwen2 | Architecture::Qwen3 => windows.iter().flatten().all(|&window| Some(window) == largest),
    };
    if !expressible {
        return None;
    }

    let mut config = common_keys(graph);
    let class = match graph.architecture {
        Architecture::Gpt => return None,
        Architecture::Llama => "LlamaForCausalLM",
        Architecture::Mistral => "MistralForCausalLM",
        Architecture::Qwen2 => "Qwen2ForCausalLM",
        Architecture::Qwen3 => "Qwen3ForCausalLM",
    };
    config.insert("architectures".into(), vec![class].into());
    config.insert("model_type".into(), serde_json::to_value(graph.architecture).ok()?);
    for (key, size) in [
        ("num_hidden_layers", graph.blocks.len()),
        ("num_attention_heads", attention.heads),
        ("num_key_value_heads", attention.kv_heads),
        ("head_dim", attention.head_dim),
        ("intermediate_size", ffn.width),
    ] {
        config.insert(key.into(), size.into());
    }
    config.insert("hidden_act".into(), silu().into());
    config.insert("rope_theta".into(), rope.theta.into());
    config.insert("rope_scaling".into(), rope_scaling(graph, rope));
    match graph.architecture {
        Architecture::Gpt => {}
        Architecture::Llama => {
            config.insert("attention_bias".into(), false.into());
            config.insert("mlp_bias".into(), false.into());
        }
        Architecture::Mistral => {
            config.insert("sliding_window".into(), largest.into());
        }
        Architecture::Qwen2 | Architecture::Qwen3 => {
            let types = windows.iter().map(|window| match window {
                Some(_) => "sliding_attention",
                None => "full_attention",
            });
            config.insert("layer_types".into(), types.collect::<Vec<_>>().into());
            config.insert("use_sliding_window".into(), largest.is_some().into());
            config.insert("sliding_window".into(), largest.into());
        }
    }
    Some(config)
}

/// Config of a folder whose graph is in [`GRAPH_FILE`]: a model type that transformers does not know.
pub(super) fn marker_config(graph: &Graph) -> Map<String, Value> {
    let mut config = common_keys(graph);
    config.insert("model_type".into(), "prunebench".into());
    config.insert("graph_file".into(), GRAPH_FILE.into());
    config
}

fn common_keys(graph: &Graph) -> Map<String, Value> {
    let eos = match graph.eos_token_ids.as_slice() {
        [] => Value::Null,
        [id] => (*id).into(),
        ids => ids.into(),
    };
    Map::from_iter([
        ("vocab_size".to_owned(), graph.vocab_size.into()),
        ("hidden_size".to_owned(), graph.hidden_size.into()),
        ("rms_norm_eps".to_owned(), graph.rms_norm_eps.into()),
        (
            "max_position_embeddings".to_owned(),
            graph.max_position_embeddings.into(),
        ),
        ("tie_word_embeddings".to_owned(), graph.tie_word_embeddings.into()),
        ("bos_token_id".to_owned(), graph.bos_token_id.into()),
        ("eos_token_id".to_owned(), eos),
    ])
}

fn rope_scaling(graph: &Graph, rope: &Rope) -> Value {
    match &rope.scaling {
        RopeScaling::None => Value::Null,
        RopeScaling::Linear { factor } => serde_json::json!({"rope_type": "linear", "factor": factor}),
        RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_max_position_embeddings,
        } => serde_json::json!({
            "rope_type": "llama3", "factor": factor, "low_freq_factor": low_freq_factor,
            "high_freq_factor": high_freq_factor,
            "original_max_position_embeddings": original_max_position_embeddings,
        }),
        RopeScaling::Factors { factors } => serde_json::json!({
            "rope_type": "longrope", "short_factor": factors, "long_factor": factors,
            "attention_factor": 1.0, "factor": 1.0,
            "original_max_position_embeddings": graph.max_position_embeddings,
        }),
    }
}
