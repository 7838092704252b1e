use serde_json::json;

use super::*;

/// Two blocks on a stream of 8, of which the first writes and the second reads 6 directions.
fn narrowed() -> Graph {
    let block = |attention: (usize, usize), ffn: (usize, usize)| BlockShape {
        attention: Some(AttentionShape {
            heads: 2,
            kv_heads: 1,
            head_dim: 4,
            shortcut: Some(shortcut(attention)),
            ..AttentionShape::default()
        }),
        ffn: Some(FfnShape {
            width: 12,
            shortcut: Some(shortcut(ffn)),
            ..FfnShape::default()
        }),
        ..BlockShape::default()
    };
    Graph {
        architecture: Architecture::Llama,
        vocab_size: 10,
        hidden_size: 8,
        rms_norm_eps: 1e-5,
        max_position_embeddings: 16,
        tie_word_embeddings: false,
        bos_token_id: None,
        eos_token_ids: vec![],
        rope: Some(Rope {
            theta: 1e4,
            scaling: RopeScaling::None,
        }),
        norm: NormKind::Rms,
        head_bias: false,
        stream_gates: false,
        blocks: vec![block((5, 6), (6, 6)), block((6, 7), (7, 8))],
        steps: vec![Step::Block(0), Step::Block(1)],
    }
}

fn shortcut((from, to): (usize, usize)) -> Shortcut {
    Shortcut { from, to }
}

fn refusal(edit: fn(&mut Graph)) -> String {
    let mut graph = narrowed();
    edit(&mut graph);
    graph.validate().unwrap_err().to_string()
}

#[test]
fn a_stream_may_change_its_width_from_sublayer_to_sublayer() {
    let graph = narrowed();
    graph.validate().unwrap();
    assert_eq!(graph.embedding_width(), 5);
    let again: Graph = serde_json::from_value(serde_json::to_value(&graph).unwrap()).unwrap();
    assert_eq!(again, graph);
}

#[test]
fn a_graph_without_shortcuts_reads_and_writes_no_word_of_them() {
    let mut graph = narrowed();
    for block in &mut graph.blocks {
        block.attention.as_mut().unwrap().shortcut = None;
        block.ffn.as_mut().unwrap().shortcut = None;
    }
    graph.validate().unwrap();
    assert_eq!(graph.embedding_width(), 8);
    let written = serde_json::to_value(&graph).unwrap();
    assert_eq!(written["blocks"][0]["ffn"], json!({ "width": 12 }));
    assert!(!written.to_string().contains("shortcut"));
    assert_eq!(serde_json::from_value::<Graph>(written).unwrap(), graph);
}

#[test]
fn widths_that_do_not_meet_are_refused_with_their_place() {
    assert!(
        refusal(|graph| graph.blocks[1].attention.as_mut().unwrap().shortcut = Some(shortcut((5, 7))))
            .contains("step 1: block 1 takes a stream of 5 to one of 7; the stream is 6 wide there")
    );
    assert!(
        refusal(|graph| graph.blocks[1].attention.as_mut().unwrap().shortcut = None)
            .contains("block 1 takes a stream of 8 to one of 8; the stream is 6 wide there")
    );
    assert!(
        refusal(|graph| graph.blocks[1].ffn.as_mut().unwrap().shortcut = Some(shortcut((7, 9))))
            .contains("1 to 8 is wanted")
    );
    assert!(
        refusal(|graph| graph.blocks[0].attention.as_mut().unwrap().shortcut = Some(shortcut((0, 6))))
            .contains("1 to 8 is wanted")
    );
    assert!(
        refusal(|graph| graph.blocks[1].ffn.as_mut().unwrap().shortcut = Some(shortcut((7, 7))))
            .contains("the last step leaves a stream of width 7; hidden_size 8 is wanted")
    );
}

#[test]
fn a_narrow_embedding_is_no_head_and_blocks_with_shortcuts_run_alone() {
    assert!(refusal(|graph| graph.tie_word_embeddings = true).contains("tie_word_embeddings must be false"));
    for parallel in [Step::Parallel, Step::ParallelSublayers] {
        let mut graph = narrowed();
        graph.steps = vec![parallel(vec![0, 1])];
        let error = graph.validate().unwrap_err().to_string();
        assert!(error.contains("step 0 runs block 0 beside others"), "{error}");
    }
}
