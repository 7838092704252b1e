//! Short lists of words or digits, and what can be said of them. Held out are lists.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::{Part, Question, some, wrong};

/// Each with an initial of its own, so that their order is that of their initials.
const WORDS: [&str; 24] = [
    "apple", "bread", "candle", "drum", "egg", "flute", "glove", "hammer", "ink", "jar", "kettle", "ladder", "map",
    "needle", "oar", "pipe", "quilt", "rope", "spoon", "towel", "umbrella", "vase", "wagon", "yarn",
];

const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

/// At least four items, so that a question about one has four answers.
const LENGTHS: std::ops::RangeInclusive<usize> = 4..=7;

type List = Vec<&'static str>;

#[derive(Clone, Copy)]
enum Property {
    Length,
    First,
    Last,
    Least,
    Next,
    Rest,
    Missing,
    Again,
    Backwards,
    Sorted,
}

const PROPERTIES: [Property; 10] = [
    Property::Length,
    Property::First,
    Property::Last,
    Property::Least,
    Property::Next,
    Property::Rest,
    Property::Missing,
    Property::Again,
    Property::Backwards,
    Property::Sorted,
];

/// Something said of a list.
struct Sentence {
    begin: String,
    end: String,
    /// Other ends of the same form. Without any, the list in other orders will do.
    likely: Vec<String>,
}

impl Property {
    fn of(self, list: &List, rng: &mut ChaCha8Rng) -> Sentence {
        let last = list.len() - 1;
        let place = rng.random_range(0..list.len());
        let without = |place: usize| {
            let mut rest = list.clone();
            rest.remove(place);
            rest
        };
        let mut sorted = list.clone();
        sorted.sort_unstable();
        let item = |begin: &str, item: &str| Sentence {
            begin: begin.to_owned(),
            end: item.to_owned(),
            likely: list.iter().map(|&item| item.to_owned()).collect(),
        };
        let order = |begin: &str, list: &[&str]| Sentence {
            begin: begin.to_owned(),
            end: joined(list),
            likely: Vec::new(),
        };
        match self {
            Self::Length => Sentence {
                begin: "The number of items is".to_owned(),
                end: list.len().to_string(),
                likely: LENGTHS.map(|length| length.to_string()).collect(),
            },
            Self::First => item("The first is", list[0]),
            Self::Last => item("The last is", list[last]),
            Self::Least => item("Sorted, the first is", sorted[0]),
            Self::Next => {
                let place = rng.random_range(0..last);
                item(&format!("After {} comes", list[place]), list[place + 1])
            }
            Self::Rest => Sentence {
                begin: format!("Without {} it is", list[place]),
                end: joined(&without(place)),
                likely: (0..=last).map(|place| joined(&without(place))).collect(),
            },
            Self::Missing => {
                let mut rest = without(place);
                rest.shuffle(rng);
                item(&format!("What {} lacks is", joined(&rest)), list[place])
            }
            Self::Again => order("Again it is", list),
            Self::Backwards => {
                let reversed: List = list.iter().rev().copied().collect();
                order("Backwards it is", &reversed)
            }
            Self::Sorted => order("Sorted it is", &sorted),
        }
    }
}

fn joined(list: &[&str]) -> String {
    list.join(" ")
}

fn list(rng: &mut ChaCha8Rng, part: Part) -> List {
    let random = |rng: &mut ChaCha8Rng| -> List {
        let items: &[&str] = if rng.random() { &WORDS } else { &DIGITS };
        let length = rng.random_range(LENGTHS);
        some(rng, items.len(), length)
            .into_iter()
            .map(|item| items[item])
            .collect()
    };
    part.draw(rng, random, |list| joined(list))
}

fn opening(list: &List) -> String {
    format!("The list is {}.", joined(list))
}

pub(super) fn document(rng: &mut ChaCha8Rng, part: Part) -> String {
    let list = list(rng, part);
    let count = rng.random_range(3..=5);
    let mut document = opening(&list);
    for property in some(rng, PROPERTIES.len(), count) {
        let Sentence { begin, end, .. } = PROPERTIES[property].of(&list, rng);
        document += &format!(" {begin} {end}.");
    }
    document + "\n"
}

/// Wrong answers are other items of the list, or its items in another order.
pub(super) fn question(rng: &mut ChaCha8Rng, part: Part) -> Question {
    let list = list(rng, part);
    let property = PROPERTIES[rng.random_range(0..PROPERTIES.len())];
    let Sentence { begin, end, likely } = property.of(&list, rng);
    let shuffled = |rng: &mut ChaCha8Rng| {
        let mut list = list.clone();
        list.shuffle(rng);
        joined(&list)
    };
    Question {
        context: format!("{} {begin}", opening(&list)),
        wrong: wrong(rng, &end, likely, shuffled).map(|end| end + "."),
        answer: end + ".",
    }
}
