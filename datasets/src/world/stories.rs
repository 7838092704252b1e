//! Stories in which people carry things from place to place, and who and what is where in the end. Held out are stories.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::{Part, Question, pick, some, wrong};

/// Names and pronouns.
const PEOPLE: [(&str, &str); 12] = [
    ("Mira", "She"),
    ("Tobo", "He"),
    ("Lena", "She"),
    ("Rusko", "He"),
    ("Nola", "She"),
    ("Pavo", "He"),
    ("Suri", "She"),
    ("Olik", "He"),
    ("Dalia", "She"),
    ("Joro", "He"),
    ("Vesna", "She"),
    ("Bramo", "He"),
];

/// Names, so that a place stands as near to its person in "is in" and "goes to" as a person to his thing in "is with".
const PLACES: [&str; 16] = [
    "Ambo", "Brill", "Corla", "Dunvo", "Eskar", "Fennik", "Gostra", "Hovik", "Irrin", "Jessa", "Korva", "Lorn", "Mosk",
    "Nettin", "Orba", "Pell",
];

const THINGS: [&str; 16] = [
    "coin", "ball", "key", "book", "cup", "letter", "knife", "hat", "bag", "stone", "basket", "blanket", "feather",
    "mirror", "ring", "shovel",
];

/// Openings of a story and of its end. Without them a name would stand first in its line, where tokenizers spell it otherwise.
const OPENING: &str = "Today";
const ENDING: &str = "So it ends.";

/// People in a story.
const CAST: usize = 4;

/// Things in a story, at most.
const CARRIED: usize = 2;

struct Story {
    cast: [(&'static str, &'static str); CAST],
    /// Where each of the cast is.
    places: [&'static str; CAST],
    /// Things, and which of the cast has them.
    things: Vec<(&'static str, usize)>,
    text: String,
    /// Places of the story.
    visited: Vec<&'static str>,
}

impl Story {
    fn random(rng: &mut ChaCha8Rng) -> Self {
        let cast = some(rng, PEOPLE.len(), CAST);
        let places = some(rng, PLACES.len(), CAST);
        let holders = some(rng, CAST, CARRIED);
        let things = some(rng, THINGS.len(), CARRIED);
        let things = things
            .iter()
            .zip(holders)
            .map(|(&thing, holder)| (THINGS[thing], holder));
        let mut story = Self {
            cast: std::array::from_fn(|index| PEOPLE[cast[index]]),
            places: std::array::from_fn(|index| PLACES[places[index]]),
            things: things.take(rng.random_range(1..=CARRIED)).collect(),
            text: String::new(),
            visited: Vec::new(),
        };
        story.visited.extend(story.places);
        let present = story.cast.iter().zip(story.places);
        let mut sentences: Vec<String> = present
            .map(|((name, _), place)| format!("{name} is in {place}."))
            .collect();
        sentences.extend(
            story
                .things
                .iter()
                .map(|&(thing, who)| format!("The {thing} is with {}.", story.cast[who].0)),
        );
        story.text = format!("{OPENING} {}", sentences.join(" "));
        for _ in 0..rng.random_range(0..=3) {
            if rng.random() {
                story.give(rng);
            } else {
                story.go(rng.random_range(0..CAST), pick(rng, &PLACES));
            }
        }
        story
    }

    /// Someone goes to another, if not there, and gives a thing away.
    fn give(&mut self, rng: &mut ChaCha8Rng) {
        let given = rng.random_range(0..self.things.len());
        let (thing, from) = self.things[given];
        let to = (from + rng.random_range(1..CAST)) % CAST;
        let went = self.go(from, self.places[to]);
        let (name, pronoun) = self.cast[from];
        let subject = if went { pronoun } else { name };
        self.text += &format!(" {subject} gives the {thing} to {}.", self.cast[to].0);
        self.things[given].1 = to;
    }

    /// Whether there was a way to go.
    fn go(&mut self, who: usize, place: &'static str) -> bool {
        if self.places[who] == place {
            return false;
        }
        self.text += &format!(" {} goes to {place}.", self.cast[who].0);
        self.places[who] = place;
        self.visited.push(place);
        true
    }

    /// How it ends, each time up to the last word, and that word: where people are, where things are, and who has them.
    fn ends(&self) -> [Vec<(String, &'static str)>; 3] {
        let people = self.cast.iter().zip(self.places);
        let people = people.map(|((name, _), place)| (format!("{name} is in"), place));
        let things = self.things.iter();
        let places = things
            .clone()
            .map(|&(thing, who)| (format!("The {thing} is in"), self.places[who]));
        let holders = things.map(|&(thing, who)| (format!("The {thing} is with"), self.cast[who].0));
        [people.collect(), places.collect(), holders.collect()]
    }
}

fn story(rng: &mut ChaCha8Rng, part: Part) -> Story {
    part.draw(rng, Story::random, |story| story.text.clone())
}

pub(super) fn document(rng: &mut ChaCha8Rng, part: Part) -> String {
    let story = story(rng, part);
    let mut ends = story.ends().concat();
    ends.shuffle(rng);
    let ends: String = ends.iter().map(|(begin, end)| format!(" {begin} {end}.")).collect();
    format!("{} {ENDING}{ends}\n", story.text)
}

/// Wrong answers are others of the cast, or places, those of the story first.
pub(super) fn question(rng: &mut ChaCha8Rng, part: Part) -> Question {
    let story = story(rng, part);
    // People, things and holders are asked for alike, though there are more people.
    let kinds = story.ends();
    let kind = rng.random_range(0..kinds.len());
    let (begin, answer) = &kinds[kind][rng.random_range(0..kinds[kind].len())];
    let likely: Vec<&str> = match kind {
        2 => story.cast.iter().map(|(name, _)| *name).collect(),
        _ => story.visited,
    };
    let likely = likely.into_iter().map(str::to_owned).collect();
    let further = |rng: &mut ChaCha8Rng| pick(rng, &PLACES).to_owned();
    Question {
        context: format!("{} {ENDING} {begin}", story.text),
        wrong: wrong(rng, answer, likely, further).map(|word| word + "."),
        answer: format!("{answer}."),
    }
}
