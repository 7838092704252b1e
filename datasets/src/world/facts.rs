//! Facts about invented people and towns. They are the same in both parts: what is held out is documents, not facts.

use std::sync::LazyLock;

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Part, Question, SEED, names, pick, some, wrong};

const PEOPLE: usize = 240;
const TOWNS: usize = 40;
const RIVERS: usize = 12;

/// What can be said and asked about a person or a town. `@` is the name or a pronoun, `#` the value.
struct Attribute {
    statements: [&'static str; 3],
    question: &'static str,
    /// Empty where the values are names of the world.
    values: &'static [&'static str],
}

const COLOURS: &[&str] = &[
    "red", "blue", "green", "grey", "white", "black", "brown", "yellow", "purple", "pink",
];

const OF_PEOPLE: [Attribute; 5] = [
    Attribute {
        statements: ["@ lives in #.", "@ has a house in #.", "The home of @ is in #."],
        question: "Where does @ live?",
        values: &[],
    },
    Attribute {
        statements: ["@ is a #.", "@ works as a #.", "The trade of @ is that of a #."],
        question: "What is the trade of @?",
        values: &[
            "baker", "miller", "weaver", "tailor", "potter", "fisher", "mason", "tanner", "cooper", "painter",
            "singer", "doctor", "farmer", "sailor", "joiner", "hunter", "smith", "cook", "judge", "porter", "shepherd",
            "teacher",
        ],
    },
    Attribute {
        statements: ["@ has a #.", "@ keeps a # as a pet.", "The pet of @ is a #."],
        question: "What pet does @ have?",
        values: &[
            "goat", "dog", "cat", "hen", "horse", "parrot", "rabbit", "tortoise", "donkey", "duck", "mouse", "frog",
            "lamb", "pony", "raven", "snail",
        ],
    },
    Attribute {
        statements: [
            "@ likes to eat #.",
            "@ eats # every day.",
            "The favourite food of @ is #.",
        ],
        question: "What does @ like to eat?",
        values: &[
            "bread", "soup", "cheese", "plums", "beans", "rice", "honey", "nuts", "fish", "cake", "pears", "eggs",
            "porridge", "cabbage", "carrots", "noodles", "onions", "cherries", "figs", "melons", "peas", "turnips",
        ],
    },
    Attribute {
        statements: ["@ wears a # coat.", "@ likes the colour #.", "The coat of @ is #."],
        question: "What colour is the coat of @?",
        values: COLOURS,
    },
];

const OF_TOWNS: [Attribute; 3] = [
    Attribute {
        statements: [
            "@ lies on the river #.",
            "@ was built by the river #.",
            "The river of @ is the #.",
        ],
        question: "Which river does @ lie on?",
        values: &[],
    },
    Attribute {
        statements: ["@ is known for its #.", "@ sells #.", "Traders go to @ for #."],
        question: "What is @ known for?",
        values: &[
            "cloth", "salt", "wool", "glass", "bells", "ropes", "boats", "knives", "wine", "butter", "paper",
            "candles", "barrels", "leather", "tiles", "baskets", "carpets", "lanterns", "mirrors", "saddles",
            "statues", "violins",
        ],
    },
    Attribute {
        statements: ["@ has # gates.", "@ has a # flag.", "The colour of @ is #."],
        question: "What colour is the flag of @?",
        values: COLOURS,
    },
];

/// A person or a town.
struct Entity {
    name: String,
    pronoun: &'static str,
    attributes: &'static [Attribute],
    /// One for each attribute.
    values: Vec<String>,
}

static WORLD: LazyLock<Vec<Entity>> = LazyLock::new(|| {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    // Apart from the streams of texts and questions.
    rng.set_stream(u64::MAX);
    let rivers = names::different(&mut rng, RIVERS, names::river);
    let towns = names::different(&mut rng, TOWNS, names::town);
    let people = names::different(&mut rng, PEOPLE, names::person);
    let mut entity = |name: &String, pronoun, attributes: &'static [Attribute], named: &[String]| {
        let value = |attribute: &Attribute| match attribute.values {
            [] => named[rng.random_range(0..named.len())].clone(),
            values => pick(&mut rng, values).to_owned(),
        };
        Entity {
            name: name.clone(),
            pronoun,
            attributes,
            values: attributes.iter().map(value).collect(),
        }
    };
    let of_people = people.iter().enumerate().map(|(number, name)| {
        let pronoun = if number % 2 == 0 { "She" } else { "He" };
        entity(name, pronoun, &OF_PEOPLE, &towns)
    });
    let mut world: Vec<Entity> = of_people.collect();
    world.extend(towns.iter().map(|name| entity(name, "It", &OF_TOWNS, &rivers)));
    world
});

impl Entity {
    fn state(&self, attribute: usize, subject: &str, rng: &mut ChaCha8Rng) -> String {
        let statement = pick(rng, &self.attributes[attribute].statements);
        // Only a statement that begins with the subject can have a pronoun.
        let subject = if statement.starts_with('@') {
            subject
        } else {
            &self.name
        };
        statement.replace('@', subject).replace('#', &self.values[attribute])
    }

    fn ask(&self, attribute: usize) -> String {
        self.attributes[attribute].question.replace('@', &self.name)
    }
}

fn entity(rng: &mut ChaCha8Rng) -> &'static Entity {
    &WORLD[rng.random_range(0..WORLD.len())]
}

fn fact(rng: &mut ChaCha8Rng) -> (&'static Entity, usize) {
    let entity = entity(rng);
    (entity, rng.random_range(0..entity.attributes.len()))
}

pub(super) fn document(rng: &mut ChaCha8Rng, part: Part) -> String {
    part.draw(rng, composed, String::clone)
}

fn composed(rng: &mut ChaCha8Rng) -> String {
    match rng.random_range(0..5) {
        0 | 1 => portrait(rng),
        2 | 3 => quiz(rng),
        _ => survey(rng),
    }
}

/// Several facts about one of them.
fn portrait(rng: &mut ChaCha8Rng) -> String {
    let entity = entity(rng);
    let mut order: Vec<usize> = (0..entity.attributes.len()).collect();
    order.shuffle(rng);
    order.truncate(rng.random_range(3..=5));
    let sentences = order.iter().enumerate().map(|(place, &attribute)| {
        let named = place == 0 || rng.random_bool(0.4);
        let subject = if named { &entity.name } else { entity.pronoun };
        entity.state(attribute, subject, rng)
    });
    sentences.collect::<Vec<_>>().join(" ") + "\n"
}

/// Questions with their answers.
fn quiz(rng: &mut ChaCha8Rng) -> String {
    let lines = (0..rng.random_range(3..=6)).map(|_| {
        let (entity, attribute) = fact(rng);
        format!("{} {}.\n", entity.ask(attribute), entity.values[attribute])
    });
    lines.collect()
}

/// The same of several people.
fn survey(rng: &mut ChaCha8Rng) -> String {
    let attribute = rng.random_range(0..OF_PEOPLE.len());
    let count = rng.random_range(3..=5);
    let people = some(rng, PEOPLE, count);
    let sentences = people.iter().map(|&person| {
        let entity = &WORLD[person];
        entity.state(attribute, &entity.name, rng)
    });
    sentences.collect::<Vec<_>>().join(" ") + "\n"
}

/// Wrong answers are what is true of others, so they are as frequent as right ones.
pub(super) fn question(rng: &mut ChaCha8Rng) -> Question {
    let (entity, attribute) = fact(rng);
    let answer = &entity.values[attribute];
    let (from, to) = if entity.attributes.len() == OF_PEOPLE.len() {
        (0, PEOPLE)
    } else {
        (PEOPLE, PEOPLE + TOWNS)
    };
    let other = |rng: &mut ChaCha8Rng| WORLD[rng.random_range(from..to)].values[attribute].clone();
    let wrong = wrong(rng, answer, Vec::new(), other);
    Question {
        context: entity.ask(attribute),
        answer: format!("{answer}."),
        wrong: wrong.map(|value| value + "."),
    }
}
