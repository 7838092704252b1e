use std::path::Path;

use serde_json::{Value, json};

use super::graph;
use crate::{
    checkpoint::{config::graph_from_config, plain_config::plain_config},
    error::{ModelError, Result},
    graph::{Activation, Architecture, AttentionShape, Graph, NormKind, RopeScaling, Step},
};

fn parse(edit: &[(&str, Value)]) -> Result<Graph> {
    let mut config = json!({
        "model_type": "llama", "vocab_size": 12, "hidden_size": 256, "intermediate_size": 256,
        "num_hidden_layers": 3, "num_attention_heads": 4, "rms_norm_eps": 1e-5, "max_position_embeddings": 64,
    });
    for (key, value) in edit {
        config[*key] = value.clone();
    }
    graph_from_config(Path::new("config.json"), config)
}

fn windows(graph: &Graph) -> Vec<Option<usize>> {
    graph
        .blocks
        .iter()
        .map(|block| block.attention.as_ref().unwrap().window)
        .collect()
}

fn with_windows(architecture: Architecture, windows: [Option<usize>; 2]) -> Graph {
    let mut graph = graph(architecture);
    for (block, window) in graph.blocks.iter_mut().zip(windows) {
        block.attention.as_mut().unwrap().window = window;
    }
    graph
}

#[test]
fn plain_graphs_survive_the_config() {
    let mut graphs = vec![
        with_windows(Architecture::Mistral, [Some(8); 2]),
        with_windows(Architecture::Qwen2, [None, Some(8)]),
        with_windows(Architecture::Qwen3, [Some(8), None]),
    ];
    for scaling in [
        RopeScaling::Linear { factor: 2.0 },
        RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 32,
        },
        RopeScaling::Factors {
            factors: (1..=32).map(f64::from).collect(),
        },
    ] {
        let mut graph = graph(Architecture::Llama);
        graph.rope.as_mut().unwrap().scaling = scaling;
        graph.eos_token_ids = vec![2, 3];
        graphs.push(graph);
    }
    for graph in graphs {
        let config = plain_config(&graph).unwrap();
        assert_eq!(
            graph_from_config(Path::new("config.json"), Value::Object(config)).unwrap(),
            graph
        );
    }
}

fn of_each_attention(graph: &mut Graph, edit: fn(&mut AttentionShape)) {
    graph
        .blocks
        .iter_mut()
        .filter_map(|block| block.attention.as_mut())
        .for_each(edit);
}

#[test]
fn graph_files_written_before_a_field_existed_mean_what_they_meant() {
    let old = json!({
        "architecture": "llama", "vocab_size": 12, "hidden_size": 256, "rms_norm_eps": 1e-5,
        "max_position_embeddings": 64, "tie_word_embeddings": true, "bos_token_id": 1, "eos_token_ids": [2],
        "rope": {"theta": 10_000.0, "scaling": {"type": "none"}},
        "blocks": vec![json!({
            "attention": {
                "heads": 4, "kv_heads": 2, "head_dim": 64, "qkv_bias": false, "qk_norm": false, "window": null,
            },
            "ffn": {"width": 256},
        }); 2],
        "steps": [{"block": 0}, {"block": 1}],
    });
    let graph = graph(Architecture::Llama);
    assert_eq!(serde_json::from_value::<Graph>(old.clone()).unwrap(), graph);
    // What a family leaves out is not written: hashes of such graphs stay.
    assert_eq!(serde_json::to_value(graph).unwrap(), old);
}

#[test]
fn graphs_beyond_a_plain_config_are_recognised() {
    let edits: [fn(&mut Graph); 14] = [
        |graph| graph.steps.swap(0, 1),
        |graph| graph.steps.truncate(1),
        |graph| graph.steps[0] = Step::Parallel(vec![0]),
        |graph| graph.blocks[1].ffn = None,
        |graph| graph.blocks[0].attention = None,
        |graph| graph.blocks[1].ffn.as_mut().unwrap().width = 8,
        |graph| graph.blocks.clear(),
        |graph| graph.architecture = Architecture::Gpt,
        |graph| graph.rope = None,
        |graph| graph.norm = NormKind::Layer,
        |graph| graph.head_bias = true,
        |graph| of_each_attention(graph, |attention| attention.o_bias = true),
        |graph| of_each_attention(graph, |attention| attention.scale = Some(0.25)),
        |graph| {
            for block in &mut graph.blocks {
                block.ffn.as_mut().unwrap().activation = Activation::Relu;
            }
        },
    ];
    for (index, edit) in edits.into_iter().enumerate() {
        let mut graph = graph(Architecture::Llama);
        edit(&mut graph);
        assert!(plain_config(&graph).is_none(), "edit {index}");
    }
    for (architecture, windows) in [
        (Architecture::Llama, [Some(8); 2]),
        (Architecture::Mistral, [None, Some(8)]),
        (Architecture::Qwen2, [Some(4), Some(8)]),
    ] {
        assert!(
            plain_config(&with_windows(architecture, windows)).is_none(),
            "{architecture:?}"
        );
    }
}

#[test]
fn absent_keys_have_the_defaults_of_transformers() {
    let llama = parse(&[]).unwrap();
    let attention = llama.blocks[0].attention.clone().unwrap();
    assert_eq!((attention.kv_heads, attention.head_dim), (4, 64));
    assert_eq!(llama.rope.unwrap().theta, 10_000.0);
    assert!(!llama.tie_word_embeddings);
    let qwen3 = parse(&[("model_type", json!("qwen3"))]).unwrap();
    assert_eq!(qwen3.blocks[0].attention.clone().unwrap().head_dim, 128);
    let mistral =
        |edit: &[(&str, Value)]| windows(&parse(&[&[("model_type", json!("mistral"))], edit].concat()).unwrap());
    assert_eq!(mistral(&[]), [Some(4096); 3]);
    assert_eq!(mistral(&[("sliding_window", Value::Null)]), [None; 3]);
}

#[test]
fn qwen_windows_follow_their_switch() {
    let qwen = |edit: &[(&str, Value)]| {
        parse(&[&[("model_type", json!("qwen2")), ("sliding_window", json!(16))], edit].concat()).unwrap()
    };
    assert_eq!(windows(&qwen(&[])), [None; 3]);
    let on = ("use_sliding_window", json!(true));
    assert_eq!(
        windows(&qwen(&[on.clone(), ("max_window_layers", json!(2))])),
        [None, None, Some(16)]
    );
    let types = (
        "layer_types",
        json!(["sliding_attention", "full_attention", "full_attention"]),
    );
    assert_eq!(windows(&qwen(&[on, types])), [Some(16), None, None]);
}

#[test]
fn rope_is_read_in_the_spelling_of_each_version() {
    let scaling = json!({"rope_type": "linear", "type": "linear", "factor": 2.0});
    let old = parse(&[("rope_theta", json!(5e5)), ("rope_scaling", scaling)]).unwrap();
    let parameters = json!({"rope_theta": 5e5, "rope_type": "linear", "factor": 2.0});
    assert_eq!(parse(&[("rope_parameters", parameters)]).unwrap(), old);
    assert_eq!(old.rope.as_ref().unwrap().scaling, RopeScaling::Linear { factor: 2.0 });
    let oldest = parse(&[
        ("rope_theta", json!(5e5)),
        ("rope_scaling", json!({"type": "linear", "factor": 2.0})),
    ]);
    assert_eq!(oldest.unwrap(), old);
}

#[test]
fn unsupported_keys_are_named() {
    let nested = json!({"full_attention": {"rope_theta": 1e4}});
    for (key, value, named) in [
        ("model_type", json!("gemma"), "model_type = gemma"),
        ("model_type", json!("gpt"), "model_type = gpt"),
        ("model_type", Value::Null, "model_type = absent"),
        ("hidden_act", json!("gelu"), "hidden_act = gelu"),
        ("attention_bias", json!(true), "attention_bias"),
        ("mlp_bias", json!(true), "mlp_bias"),
        ("partial_rotary_factor", json!(0.5), "partial_rotary_factor = 0.5"),
        ("quantization_config", json!({}), "quantization_config"),
        ("rope_scaling", json!({"rope_type": "yarn", "factor": 4.0}), "yarn"),
        ("rope_parameters", nested, "rope_parameters.full_attention"),
        ("num_hidden_layers", json!(u32::MAX), "num_hidden_layers"),
    ] {
        let error = parse(&[(key, value)]).unwrap_err();
        assert!(matches!(error, ModelError::UnsupportedArchitecture { .. }), "{error:?}");
        assert!(error.to_string().contains(named), "{error}");
    }
}

#[test]
fn malformed_keys_are_named() {
    for (key, value, named) in [
        ("hidden_size", json!("wide"), "string \"wide\""),
        ("hidden_size", json!(-1), "-1"),
        (
            "rope_scaling",
            json!({"rope_type": "llama3", "factor": 8.0}),
            "low_freq_factor",
        ),
    ] {
        let error = parse(&[(key, value)]).unwrap_err();
        assert!(matches!(error, ModelError::Malformed { .. }), "{error:?}");
        assert!(error.to_string().contains(named), "{error}");
    }
    // Sizes that contradict each other are the graph's to refuse.
    let graph = parse(&[("num_attention_heads", json!(0))]).unwrap();
    assert!(graph.validate().is_err());
}
