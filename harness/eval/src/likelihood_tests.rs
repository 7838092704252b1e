use prunebench_model::Decoder;
use prunebench_results::{SharedWork, SharedWorkCache};
use prunebench_tensor::Engine;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use super::*;
use crate::perplexity::tests::small_decoder;

/// What a forward pass over the whole sequence alone says, one token's distribution after another.
fn log_probabilities(decoder: &Decoder, sequence: &Sequence) -> Vec<Vec<f64>> {
    let logits = decoder.forward(&decoder.ids(&[sequence.input()]).unwrap()).unwrap();
    let all = logits.log_softmax().unwrap().to_f64_vec().unwrap();
    let rows = all.chunks(decoder.graph.vocab_size).map(<[f64]>::to_vec);
    rows.skip(sequence.unscored()).collect()
}

fn alone(decoder: &Decoder, sequence: &Sequence) -> (f64, bool) {
    let scored = &sequence.tokens[sequence.tokens.len() - sequence.scored..];
    let rows = log_probabilities(decoder, sequence);
    let likeliest = |row: &[f64]| (0..row.len()).rev().max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
    let tokens = || rows.iter().zip(scored);
    (
        tokens().map(|(row, &token)| row[token as usize]).sum(),
        tokens().all(|(row, &token)| likeliest(row) == token as usize),
    )
}

fn alone_with(decoder: &Decoder) -> Dense<'_> {
    Dense { decoder, shared: None }
}

/// Contexts of a few documents, some behind one long beginning, each with several continuations, in no order.
fn sequences(documents: usize) -> Vec<Sequence> {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut draw = |count: usize| -> Vec<u32> { (0..count).map(|_| rng.random_range(0..32)).collect() };
    let beginning = draw(150);
    let mut all = Vec::new();
    for document in 0..documents {
        let mut context = if document % 4 == 0 {
            Vec::new()
        } else {
            beginning.clone()
        };
        context.extend(draw(1 + document % 40));
        for choice in 0..4 {
            let continuation = draw(1 + (document + choice) % 9);
            let tokens = [context.as_slice(), &continuation].concat();
            all.push(Sequence::new(tokens, continuation.len()).unwrap());
        }
    }
    let places: Vec<u64> = all.iter().map(|_| u64::from(draw(1)[0])).collect();
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by_key(|&at| places[at]);
    order.into_iter().map(|at| all[at].clone()).collect()
}

#[track_caller]
fn same(found: &[Answer], wanted: impl Iterator<Item = (f64, bool)>) {
    let mut count = 0;
    for (found, (log_likelihood, greedy)) in found.iter().zip(wanted) {
        let off = (found.log_likelihood - log_likelihood).abs();
        assert!(off < 1e-4, "{} is {off} off {log_likelihood}", found.log_likelihood);
        assert_eq!(found.greedy, greedy);
        count += 1;
    }
    assert_eq!(found.len(), count);
}

#[test]
fn packed_sequences_are_scored_as_each_alone() {
    let sequences = sequences(60);
    for &engine in Engine::compiled() {
        let decoder = small_decoder(engine);
        let together = answers(&decoder, &sequences, None, &mut |_| ()).unwrap();
        same(
            &together.answers,
            sequences.iter().map(|sequence| alone(&decoder, sequence)),
        );
        let in_all: usize = sequences.iter().map(|sequence| sequence.input().len()).sum();
        assert!(
            together.tokens_read * 5 < in_all,
            "{} of {in_all} tokens were read",
            together.tokens_read
        );
    }
}

#[test]
fn the_order_and_the_company_of_sequences_change_nothing() {
    let mut sequences = sequences(20);
    let decoder = small_decoder(Engine::compiled()[0]);
    let of = |sequences: &[Sequence]| answers(&decoder, sequences, None, &mut |_| ()).unwrap().answers;
    let together = of(&sequences);
    let pair = |answer: &Answer| (answer.log_likelihood, answer.greedy);
    same(
        &together,
        sequences
            .iter()
            .map(|sequence| pair(&of(std::slice::from_ref(sequence))[0])),
    );
    sequences.reverse();
    same(&of(&sequences), together.iter().rev().map(pair));
}

#[test]
fn a_long_beginning_that_goes_through_several_passes_is_read_once() {
    let begin: Vec<u32> = (0..300).map(|i| i * 7 % 32).collect();
    let of = |last: u32| {
        let own: Vec<u32> = (0..60).map(|i| (i * last + last / 32) % 32).collect();
        Sequence::new([begin.as_slice(), &own].concat(), 1).unwrap()
    };
    let all: Vec<Sequence> = (1..100).map(of).collect();
    let mut sorted: Vec<&Sequence> = all.iter().collect();
    sorted.sort_by_key(|sequence| &sequence.tokens);
    let plan = plan(&sorted);
    assert!(plan.len() > 2, "{plan:?}");
    assert!(
        plan.iter().all(|pass| pass.prefix >= 300 && pass.rows <= ROWS_AT_ONCE),
        "{plan:?}"
    );
    assert!(plan.windows(2).all(|pair| pair[0].end == pair[1].first));
    assert_eq!((plan[0].first, plan[plan.len() - 1].end), (0, 99));
    let decoder = small_decoder(Engine::compiled()[0]);
    let found = answers(&decoder, &all, None, &mut |_| ()).unwrap();
    assert!(found.tokens_read <= 300 + 99 * 59, "{}", found.tokens_read);
    same(&found.answers, all.iter().map(|sequence| alone(&decoder, sequence)));
}

#[test]
fn divergence_is_the_kullback_leibler_divergence_from_the_dense_model() {
    let sequences = sequences(9);
    let (decoder, mut dense) = (
        small_decoder(Engine::compiled()[0]),
        small_decoder(Engine::compiled()[0]),
    );
    let found = answers(&decoder, &sequences, Some(alone_with(&dense)), &mut |_| ())
        .unwrap()
        .answers;
    assert!(found.iter().all(|answer| answer.divergence.unwrap().abs() < 1e-5));
    dense.embedding = dense.embedding.mul_scalar(1.5).unwrap();
    let found = answers(&decoder, &sequences, Some(alone_with(&dense)), &mut |_| ())
        .unwrap()
        .answers;
    for (sequence, found) in sequences.iter().zip(found) {
        let (p, q) = (
            log_probabilities(&dense, sequence),
            log_probabilities(&decoder, sequence),
        );
        let terms = p
            .iter()
            .flatten()
            .zip(q.iter().flatten())
            .map(|(p, q)| p.exp() * (p - q));
        let wanted: f64 = terms.sum();
        let off = (found.divergence.unwrap() - wanted).abs();
        assert!(
            wanted > 0.01 && off < 1e-4 * wanted.max(1.0),
            "{found:?}, wanted {wanted}"
        );
    }
}

#[test]
fn states_of_the_dense_model_that_another_cell_read_give_the_same_divergence_to_the_last_bit() {
    // Beginnings are cached over several passes, each of which is a part here.
    let sequences = sequences(200);
    let work = SharedWork::new("states".into(), json!("requests"));
    for &engine in Engine::compiled() {
        let (decoder, mut dense) = (small_decoder(engine), small_decoder(engine));
        dense.embedding = dense.embedding.mul_scalar(1.5).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let with = |cache| {
            let dense = Dense {
                decoder: &dense,
                shared: Some((cache, &work)),
            };
            answers(&decoder, &sequences, Some(dense), &mut |_| ()).unwrap().answers
        };
        let alone = answers(&decoder, &sequences, Some(alone_with(&dense)), &mut |_| ())
            .unwrap()
            .answers;
        let first = SharedWorkCache::new(folder.path(), 1 << 30, "a machine");
        assert_eq!(with(&first), alone);
        let files = || {
            let entries = std::fs::read_dir(folder.path())
                .unwrap()
                .map(|entry| entry.unwrap().path());
            entries.filter(|path| path.is_file()).collect::<Vec<_>>()
        };
        let parts = files().len();
        assert!(parts > 2 && first.taken().is_empty(), "{parts}");
        // Some parts were removed since, so that some are taken and some are made.
        for path in files().iter().step_by(2) {
            std::fs::remove_file(path).unwrap();
        }
        let second = SharedWorkCache::new(folder.path(), 1 << 30, "a machine");
        assert_eq!(with(&second), alone);
        assert_eq!((second.taken(), second.faults()), (vec!["states".to_owned()], vec![]));
        assert_eq!(files().len(), parts);
        // Other requests have other states, whatever the work is called.
        let third = SharedWorkCache::new(folder.path(), 1 << 30, "a machine");
        let one = Dense {
            decoder: &dense,
            shared: Some((&third, &work)),
        };
        answers(&decoder, &sequences[..7], Some(one), &mut |_| ()).unwrap();
        assert!(third.taken().is_empty());
    }
}

#[test]
fn a_model_of_nan_gives_no_number_and_nothing_greedy() {
    let mut decoder = small_decoder(Engine::compiled()[0]);
    decoder.final_norm.gain = decoder.final_norm.gain.mul_scalar(f64::NAN).unwrap();
    let found = answers(&decoder, &sequences(2), None, &mut |_| ()).unwrap().answers;
    assert!(
        found
            .iter()
            .all(|answer| answer.log_likelihood.is_nan() && !answer.greedy)
    );
}

#[test]
fn a_sequence_scores_at_least_one_token_and_not_its_first() {
    assert!(Sequence::new(vec![1, 2], 0).is_none());
    assert!(Sequence::new(vec![1, 2], 2).is_none());
    assert!(Sequence::new(vec![], 0).is_none());
    assert!(Sequence::new(vec![1, 2], 1).is_some());
}
