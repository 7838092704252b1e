use super::*;

fn domain(name: &str, tokens: Range<u32>) -> Domain {
    let example = |token: u32| Example::new(name, u64::from(token), vec![token, token + 1, token + 2], 0);
    let examples = tokens.map(example);
    Domain {
        name: name.to_owned(),
        source: Source::Examples(examples.collect()),
    }
}

fn stream(tokens: u32) -> Domain {
    Domain {
        name: "stream".to_owned(),
        source: Source::Stream((0..tokens).collect()),
    }
}

#[test]
fn every_example_comes_once_an_epoch_in_an_order_of_the_seed() {
    let draw = |seed| -> Vec<u32> {
        let mut mixture = Mixture::new(vec![domain("a", 0..20)], &[1.0], 8, seed).unwrap();
        (0..40).map(|_| mixture.next_sequence().tokens[0]).collect()
    };
    let drawn = draw(3);
    for epoch in drawn.chunks(20) {
        let mut sorted = epoch.to_vec();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..20).collect::<Vec<_>>());
    }
    assert_ne!(drawn[..20], drawn[20..]);
    assert_eq!(drawn, draw(3));
    assert_ne!(drawn, draw(4));
}

#[test]
fn proportions_can_change_and_are_kept_to() {
    let mut mixture = Mixture::new(vec![domain("a", 0..7), domain("b", 100..103)], &[3.0, 1.0], 8, 0).unwrap();
    for _ in 0..4000 {
        mixture.next_sequence();
    }
    let before: Vec<u64> = mixture.drawn().map(|(_, drawn)| drawn).collect();
    assert!((before[0] as f64 / 4000.0 - 0.75).abs() < 0.03, "{before:?}");
    mixture.set_proportions(&[0.0, 1.0]).unwrap();
    for _ in 0..100 {
        assert!(mixture.next_sequence().tokens[0] >= 100);
    }
}

#[test]
fn a_restored_mixture_draws_what_the_first_would_have_drawn() {
    let new = || Mixture::new(vec![domain("a", 0..7), stream(50)], &[1.0, 1.0], 8, 5).unwrap();
    let mut first = new();
    for _ in 0..23 {
        first.next_sequence();
    }
    first.set_proportions(&[0.3, 0.7]).unwrap();
    let saved = serde_json::to_string(first.state()).unwrap();
    let mut second = new();
    second.restore(serde_json::from_str(&saved).unwrap()).unwrap();
    for _ in 0..50 {
        assert_eq!(first.next_sequence(), second.next_sequence());
    }
    let mut other = Mixture::new(vec![domain("a", 0..7)], &[1.0], 8, 5).unwrap();
    assert!(other.restore(first.state().clone()).is_err());
}

#[test]
fn a_stream_gives_places_of_the_text_with_one_token_more_than_it_predicts() {
    let mut mixture = Mixture::new(vec![stream(50)], &[1.0], 8, 5).unwrap();
    let mut seen = [false; 50];
    for _ in 0..2000 {
        let tokens = mixture.next_sequence().tokens;
        assert_eq!(tokens.len(), 9);
        assert!(tokens.windows(2).all(|pair| pair[1] == pair[0] + 1));
        tokens.iter().for_each(|&token| seen[token as usize] = true);
    }
    assert!(seen.iter().all(|&seen| seen), "every token is reached");
}

#[test]
fn data_that_makes_no_batch_is_refused_with_its_name() {
    let refusal = |domains, shares: &[f64]| Mixture::new(domains, shares, 8, 0).err().unwrap().to_string();
    assert!(refusal(vec![], &[]).contains("no domain"));
    assert!(refusal(vec![domain("poems", 0..0)], &[1.0]).contains("domain `poems` is empty"));
    assert!(refusal(vec![stream(8)], &[1.0]).contains("has 8 tokens, and one sequence takes 9"));
    assert!(refusal(vec![stream(80)], &[1.0, 2.0]).contains("for 1 domains"));
    assert!(refusal(vec![stream(80)], &[0.0]).contains("one of them positive"));
    assert!(refusal(vec![stream(80)], &[f64::NAN]).contains("one share of 0 or more"));
    let prompts = |domain: &str| Domain {
        name: "prompts".to_owned(),
        source: Source::Examples(vec![Example::new(domain, 4, vec![1; 20], 12)]),
    };
    assert!(refusal(vec![prompts("prompts")], &[1.0]).contains("no example has a token to learn within 8"));
    assert!(refusal(vec![prompts("a")], &[1.0]).contains("domain `prompts` has example 4 of domain `a`"));
}

#[test]
fn batches_learn_the_successors_after_the_prompt() {
    let examples = [
        Example::new("a", 0, vec![1, 2, 3, 4], 2),
        Example::new("a", 1, vec![7, 8], 0),
    ];
    let padded = Batch::new(&examples, false);
    assert_eq!(padded.rows, [vec![1, 2, 3], vec![7, 0, 0]]);
    assert_eq!(padded.targets, [(1, 3), (2, 4), (3, 8)]);
    assert_eq!(padded.tokens, 4);
    let packed = Batch::new(&examples, true);
    assert_eq!(packed.rows, [vec![1, 2, 3, 7]]);
    assert_eq!(packed.targets, [(1, 3), (2, 4), (3, 8)]);
    assert_eq!(packed.parts, Some(vec![0..3, 3..4]));
}
