//! Stories in which people carry things from place to place, and who and what is where in the end. Held out are stories.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::{Part, Question, pick, some, wrong};

/// Names and pronouns of the people in every story. They are few, so that a small model learns to look each of them up.
const CAST: [(&str, &str); 4] = [("Mira", "She"), ("Tobo", "He"), ("Lena", "She"), ("Rusko", "He")];

const PLACES: [&str; 8] = ["Ambo", "Brill", "Corla", "Dunvo", "Eskar", "Gostra", "Korva", "Pell"];

const THINGS: [&str; 4] = ["coin", "key", "book", "cup"];

/// Openings of a story and of its end. Without them a name would stand first in its line, where tokenizers spell it otherwise.
const OPENING: &str = "Today";
const ENDING: &str = "So it ends.";

/// Things in a story, at most.
const CARRIED: usize = 2;

struct Story {
    /// Where each of the cast is.
    places: [&'static str; CAST.len()],
    /// Things, and which of the cast has them.
    things: Vec<(&'static str, usize)>,
    text: String,
    /// Places of the story.
    visited: Vec<&'static str>,
}

impl Story {
    fn random(rng: &mut ChaCha8Rng) -> Self {
        let places = some(rng, PLACES.len(), CAST.len());
        let places = std::array::from_fn(|who| PLACES[places[who]]);
        let holders = some(rng, CAST.len(), CARRIED);
        let things = some(rng, THINGS.len(), CARRIED);
        let things = things
            .iter()
            .zip(holders)
            .map(|(&thing, holder)| (THINGS[thing], holder));
        let things: Vec<_> = things.take(rng.random_range(1..=CARRIED)).collect();
        let people = CAST.iter().zip(places);
        let mut sentences: Vec<String> = people
            .map(|((name, _), place)| format!("{name} is in {place}."))
            .collect();
        sentences.extend(
            things
                .iter()
                .map(|&(thing, who)| format!("The {thing} is with {}.", CAST[who].0)),
        );
        let mut story = Self {
            places,
            things,
            text: format!("{OPENING} {}", sentences.join(" ")),
            visited: places.to_vec(),
        };
        for _ in 0..rng.random_range(0..=3) {
            if rng.random() {
                story.give(rng);
            } else {
                story.go(rng.random_range(0..CAST.len()), pick(rng, &PLACES));
            }
        }
        story
    }

    /// Someone goes to another, if not there, and gives a thing away.
    fn give(&mut self, rng: &mut ChaCha8Rng) {
        let given = rng.random_range(0..self.things.len());
        let (thing, from) = self.things[given];
        let to = (from + rng.random_range(1..CAST.len())) % CAST.len();
        let went = self.go(from, self.places[to]);
        let (name, pronoun) = CAST[from];
        let subject = if went { pronoun } else { name };
        self.text += &format!(" {subject} gives the {thing} to {}.", CAST[to].0);
        self.things[given].1 = to;
    }

    /// Whether there was a way to go.
    fn go(&mut self, who: usize, place: &'static str) -> bool {
        if self.places[who] == place {
            return false;
        }
        self.text += &format!(" {} goes to {place}.", CAST[who].0);
        self.places[who] = place;
        self.visited.push(place);
        true
    }

    /// How it ends, each time up to the last word, and that word: where people are, where things are, and who has them.
    fn ends(&self) -> [Vec<(String, &'static str)>; 3] {
        let people = CAST.iter().zip(self.places);
        let people = people.map(|((name, _), place)| (format!("{name} is in"), place));
        let things = self.things.iter();
        let places = things
            .clone()
            .map(|&(thing, who)| (format!("The {thing} is in"), self.places[who]));
        let holders = things.map(|&(thing, who)| (format!("The {thing} is with"), CAST[who].0));
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
        2 => CAST.iter().map(|(name, _)| *name).collect(),
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
