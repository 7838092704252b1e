//! Token ids of the shared reference. Skipped, visibly, where the shared folder is absent.

use prunebench_model::{
    checkpoint::{self, LoadedModel},
    source::ModelSource,
};
use prunebench_tensor::{DType, Device, Engine};

fn smollm2() -> LoadedModel {
    let source: ModelSource = "smollm2-135m".parse().unwrap();
    let device = Device::cpu(Engine::compiled()[0]);
    source.resolve().unwrap().load(&device, DType::F32).unwrap()
}

#[test]
fn smollm2_encodes_every_golden_case_exactly() {
    let Some(shared) = prunebench_testing::shared() else {
        return;
    };
    let text = std::fs::read_to_string(shared.join("golden/smollm2_reference.json")).unwrap();
    let golden: serde_json::Value = serde_json::from_str(&text).unwrap();
    let model = smollm2();
    let tokenizer = model.tokenizer().unwrap();
    let cases = golden["tokens"].as_array().unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let text = case["text"].as_str().unwrap();
        let ids: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
        assert_eq!(tokenizer.encode(text).unwrap(), ids, "{text:?}");
        assert_eq!(tokenizer.decode(&ids).unwrap(), text);
    }
    let corpus = std::fs::read_to_string(shared.join("data/text/wikitext2/wiki.test.hfjoined.txt")).unwrap();
    let wanted = golden["ppl"]["tokens_total"].as_u64().unwrap();
    assert_eq!(tokenizer.encode(&corpus).unwrap().len() as u64, wanted);
}

#[test]
fn saved_tokenizer_encodes_like_the_one_from_gguf() {
    let Some(shared) = prunebench_testing::shared() else {
        return;
    };
    let corpus = std::fs::read_to_string(shared.join("data/text/wikitext2/wiki.test.hfjoined.txt")).unwrap();
    let model = smollm2();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("model");
    checkpoint::save(&model.decoder, model.tokenizer.as_ref(), &out).unwrap();
    let device = Device::cpu(Engine::compiled()[0]);
    let again = checkpoint::load(&out, &device, DType::F32).unwrap();
    let (first, second) = (model.tokenizer().unwrap(), again.tokenizer().unwrap());
    let text: String = corpus.chars().take(100_000).collect();
    assert_eq!(first.encode(&text).unwrap(), second.encode(&text).unwrap());
    assert_eq!((first.bos(), first.eos()), (second.bos(), second.eos()));
    assert_eq!(model.decoder.graph, again.decoder.graph);
}
