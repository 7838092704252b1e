//! Sums, differences and products of small numbers. Held out are pairs of numbers.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{Part, Question, pick, wrong};

#[derive(Clone, Copy)]
enum Operation {
    Plus,
    Minus,
    Times,
}

struct Sum {
    operation: Operation,
    left: u32,
    right: u32,
}

impl Sum {
    fn random(rng: &mut ChaCha8Rng) -> Self {
        let operation = match rng.random_range(0..10) {
            0 => Operation::Times,
            1..=5 => Operation::Plus,
            _ => Operation::Minus,
        };
        let (mut left, mut right) = match operation {
            Operation::Times => (rng.random_range(2..=5), rng.random_range(2..=20)),
            _ => {
                let most = if rng.random_bool(0.5) { 20 } else { 99 };
                (rng.random_range(0..=most), rng.random_range(0..=most))
            }
        };
        let swapped = match operation {
            Operation::Minus => left < right,
            Operation::Plus => false,
            Operation::Times => rng.random(),
        };
        if swapped {
            (left, right) = (right, left);
        }
        Self { operation, left, right }
    }

    /// The same for both orders of a pair.
    fn key(&self) -> String {
        let sign = match self.operation {
            Operation::Plus => '+',
            Operation::Minus => '-',
            Operation::Times => '*',
        };
        format!("{sign} {} {}", self.left.min(self.right), self.left.max(self.right))
    }

    fn result(&self) -> u32 {
        match self.operation {
            Operation::Plus => self.left + self.right,
            Operation::Minus => self.left - self.right,
            Operation::Times => self.left * self.right,
        }
    }

    /// A sentence up to its result.
    fn begin(&self, rng: &mut ChaCha8Rng) -> String {
        let forms = match self.operation {
            Operation::Plus => ["@ plus # is", "The sum of @ and # is"],
            Operation::Minus => ["@ minus # is", "The difference of @ and # is"],
            Operation::Times => ["@ times # is", "The product of @ and # is"],
        };
        pick(rng, &forms)
            .replace('@', &self.left.to_string())
            .replace('#', &self.right.to_string())
    }
}

fn sum(rng: &mut ChaCha8Rng, part: Part) -> Sum {
    part.draw(rng, Sum::random, Sum::key)
}

pub(super) fn document(rng: &mut ChaCha8Rng, part: Part) -> String {
    let sentences = (0..rng.random_range(3..=6)).map(|_| {
        let sum = sum(rng, part);
        format!("{} {}.", sum.begin(rng), sum.result())
    });
    sentences.collect::<Vec<_>>().join(" ") + "\n"
}

/// Wrong answers are near the right one, and have as many digits.
pub(super) fn question(rng: &mut ChaCha8Rng, part: Part) -> Question {
    let sum = sum(rng, part);
    let result = sum.result();
    let digits = |number: u32| number.to_string().len();
    let near = [1, 2, 3, 9, 10, 11, 20]
        .iter()
        .flat_map(|&off| [result.checked_sub(off), Some(result + off)])
        .flatten()
        .filter(|&other| digits(other) == digits(result));
    let near: Vec<String> = near.map(|other| format!("{other}.")).collect();
    let answer = format!("{result}.");
    let further = |rng: &mut ChaCha8Rng| match digits(result) {
        1 => format!("{}.", rng.random_range(0..10)),
        2 => format!("{}.", rng.random_range(10..100)),
        _ => format!("{}.", rng.random_range(100..200)),
    };
    Question {
        context: sum.begin(rng),
        wrong: wrong(rng, &answer, near, further),
        answer,
    }
}
