//! Invented names, made from syllables.

use std::collections::HashSet;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

const ONSETS: &[u8] = b"bdfghklmnprstvw";
const VOWELS: &[u8] = b"aeiou";
const CLOSES: &[u8] = b"lmnr";

/// `count` different names by `name`.
pub(super) fn different(rng: &mut ChaCha8Rng, count: usize, name: fn(&mut ChaCha8Rng) -> String) -> Vec<String> {
    let (mut names, mut taken) = (Vec::with_capacity(count), HashSet::new());
    while names.len() < count {
        let name = name(rng);
        if taken.insert(name.clone()) {
            names.push(name);
        }
    }
    names
}

/// Of a person: `Barden`.
pub(super) fn person(rng: &mut ChaCha8Rng) -> String {
    let name = closed(rng) + &closed(rng);
    capitalised(&name)
}

/// Of a town: `Belford`.
pub(super) fn town(rng: &mut ChaCha8Rng) -> String {
    const ENDS: [&str; 8] = ["ton", "ford", "wick", "mere", "dale", "holm", "stead", "port"];
    capitalised(&(closed(rng) + ENDS[rng.random_range(0..ENDS.len())]))
}

/// Of a river: `Narda`.
pub(super) fn river(rng: &mut ChaCha8Rng) -> String {
    let name = closed(rng) + &open(rng);
    capitalised(&name)
}

fn open(rng: &mut ChaCha8Rng) -> String {
    letter(rng, ONSETS) + &letter(rng, VOWELS)
}

fn closed(rng: &mut ChaCha8Rng) -> String {
    open(rng) + &letter(rng, CLOSES)
}

fn letter(rng: &mut ChaCha8Rng, of: &[u8]) -> String {
    char::from(of[rng.random_range(0..of.len())]).to_string()
}

fn capitalised(name: &str) -> String {
    let (first, rest) = name.split_at(name.len().min(1));
    first.to_uppercase() + rest
}
