//! The synthetic world: text and questions in five domains, made by this program from fixed seeds. Facts must be remembered;
//! in the other domains what is held out was never seen in training and must be worked out.

mod arithmetic;
mod facts;
mod lists;
mod names;
mod programs;
mod stories;

use std::collections::HashSet;

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Raised whenever a text or a question of the world changes.
pub const WORLD_VERSION: u32 = 1;

const SEED: u64 = 0x776f_726c_6400 + WORLD_VERSION as u64;

/// Questions of the validation part, and of the train part, from which few-shot examples come.
const QUESTIONS: [usize; 2] = [500, 100];

/// One kind of text, and the capability it takes to continue it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Domain {
    /// What invented people and towns are like: memory.
    Facts,
    /// Sums, differences and small products.
    Arithmetic,
    /// Counting, reversing, sorting and searching short lists.
    Lists,
    /// Programs of a few lines and what they print.
    Programs,
    /// Stories in which people carry things from place to place.
    Stories,
}

impl Domain {
    /// Every domain.
    pub const ALL: [Self; 5] = [
        Self::Facts,
        Self::Arithmetic,
        Self::Lists,
        Self::Programs,
        Self::Stories,
    ];

    /// As the catalogue spells it: `facts`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Facts => "facts",
            Self::Arithmetic => "arithmetic",
            Self::Lists => "lists",
            Self::Programs => "programs",
            Self::Stories => "stories",
        }
    }

    fn document(self, rng: &mut ChaCha8Rng, part: Part) -> String {
        match self {
            Self::Facts => facts::document(rng, part),
            Self::Arithmetic => arithmetic::document(rng, part),
            Self::Lists => lists::document(rng, part),
            Self::Programs => programs::document(rng, part),
            Self::Stories => stories::document(rng, part),
        }
    }

    fn question(self, rng: &mut ChaCha8Rng, part: Part) -> Question {
        match self {
            Self::Facts => facts::question(rng),
            Self::Arithmetic => arithmetic::question(rng, part),
            Self::Lists => lists::question(rng, part),
            Self::Programs => programs::question(rng, part),
            Self::Stories => stories::question(rng, part),
        }
    }
}

/// What a text or question is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// To train on, and to take few-shot examples from.
    Train,
    /// Held out: no sum, list, program, story or document of facts of it is in `Train`.
    Validation,
}

impl Part {
    /// Both parts.
    pub const ALL: [Self; 2] = [Self::Validation, Self::Train];

    /// As the catalogue spells it: `train`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
        }
    }

    /// Draws until `key` names a thing of this part: an eighth of all things are held out, by their hash.
    fn draw<T>(self, rng: &mut ChaCha8Rng, draw: impl Fn(&mut ChaCha8Rng) -> T, key: impl Fn(&T) -> String) -> T {
        loop {
            let drawn = draw(rng);
            let held_out = Sha256::digest(key(&drawn))[0] < 32;
            if held_out == (self == Self::Validation) {
                return drawn;
            }
        }
    }
}

/// A question with four answers.
struct Question {
    /// What stands before the answer.
    context: String,
    /// The right answer.
    answer: String,
    /// Three wrong ones of the same form.
    wrong: [String; 3],
}

/// As many documents of a domain as make at least `bytes`, each ending in a newline and without blank lines. The same on every
/// machine; fewer bytes are the beginning of more.
pub fn documents(domain: Domain, part: Part, bytes: usize) -> Vec<String> {
    let mut rng = generator(domain, part, 0);
    let (mut documents, mut made) = (Vec::new(), 0);
    while made < bytes {
        let document = domain.document(&mut rng, part);
        made += document.len();
        documents.push(document);
    }
    documents
}

/// The questions of a domain as rows of `context`, `choices` and `gold`, the index of the right choice. The same on every
/// machine; no question is in both parts.
pub fn rows(domain: Domain, part: Part) -> Vec<Value> {
    let mut asked = HashSet::new();
    let validation = questions(domain, Part::Validation, &mut asked);
    match part {
        Part::Validation => validation,
        Part::Train => questions(domain, Part::Train, &mut asked),
    }
}

fn questions(domain: Domain, part: Part, asked: &mut HashSet<String>) -> Vec<Value> {
    let count = QUESTIONS[usize::from(part == Part::Train)];
    let mut rng = generator(domain, part, 1);
    let mut rows = Vec::with_capacity(count);
    while rows.len() < count {
        let Question { context, answer, wrong } = domain.question(&mut rng, part);
        if !asked.insert(context.clone()) {
            continue;
        }
        let mut choices = wrong.to_vec();
        let gold = rng.random_range(0..=choices.len());
        choices.insert(gold, answer);
        rows.push(json!({ "context": context, "choices": choices, "gold": gold }));
    }
    rows
}

/// Documents of several domains, `bytes` of each, as one text with blank lines between them.
pub(crate) fn text(domains: &[Domain], part: Part, bytes: usize) -> String {
    let each = domains.iter().flat_map(|&domain| documents(domain, part, bytes));
    let documents: Vec<String> = each.collect();
    documents.join("\n")
}

fn generator(domain: Domain, part: Part, use_of_it: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    rng.set_stream(domain as u64 * 4 + part as u64 * 2 + use_of_it);
    rng
}

fn pick<'a, T: ?Sized>(rng: &mut ChaCha8Rng, of: &[&'a T]) -> &'a T {
    of[rng.random_range(0..of.len())]
}

/// `count` different indexes below `length`, in random order.
fn some(rng: &mut ChaCha8Rng, length: usize, count: usize) -> Vec<usize> {
    rand::seq::index::sample(rng, length, count).into_vec()
}

/// Three different wrong answers: the likely ones first, then `further` ones.
fn wrong(
    rng: &mut ChaCha8Rng,
    answer: &str,
    mut likely: Vec<String>,
    mut further: impl FnMut(&mut ChaCha8Rng) -> String,
) -> [String; 3] {
    likely.shuffle(rng);
    let mut chosen: Vec<String> = Vec::with_capacity(3);
    let mut likely = likely.into_iter();
    loop {
        let next = likely.next().unwrap_or_else(|| further(rng));
        if next != answer && !chosen.contains(&next) {
            chosen.push(next);
        }
        if let [one, two, three] = chosen.as_slice() {
            return [one.clone(), two.clone(), three.clone()];
        }
    }
}

#[cfg(test)]
mod tests;
