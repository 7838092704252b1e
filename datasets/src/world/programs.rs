//! Programs of a few lines and what they print. Held out are programs. Every value is a digit, so all answers look alike.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::{Part, Question, wrong};

const VARIABLES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// Lines before the last one, which prints.
const LINES: std::ops::RangeInclusive<usize> = 2..=5;

struct Program {
    source: String,
    values: Values,
    /// Every value that some variable had or could have had.
    seen: Vec<u8>,
}

/// Values of the variables that have one.
type Values = [Option<u8>; VARIABLES.len()];

impl Program {
    fn random(rng: &mut ChaCha8Rng) -> Self {
        let mut program = Self {
            source: String::new(),
            values: [None; VARIABLES.len()],
            seen: Vec::new(),
        };
        for _ in 0..rng.random_range(LINES) {
            program.line(rng);
        }
        program
    }

    /// Adds a line and carries it out. Half of them give a digit to a new variable, so that not every answer is far from
    /// what is written.
    fn line(&mut self, rng: &mut ChaCha8Rng) {
        let digit: u8 = rng.random_range(0..10);
        // There are more variables than lines.
        let free: Vec<usize> = (0..VARIABLES.len())
            .filter(|&index| self.values[index].is_none())
            .collect();
        let new = free[rng.random_range(0..free.len())];
        let defined = self.defined();
        if defined.is_empty() || rng.random() {
            return self.assign(new, digit, &digit.to_string());
        }
        let (from, value) = defined[rng.random_range(0..defined.len())];
        let name = VARIABLES[from];
        match rng.random_range(0..4) {
            0 => self.assign(new, value, name),
            1 => {
                let limit: u8 = rng.random_range(1..9);
                let (target, old) = defined[rng.random_range(0..defined.len())];
                self.source += &format!("if({name}>{limit})");
                self.assign(target, digit, &digit.to_string());
                self.values[target] = Some(if value > limit { digit } else { old });
            }
            change => {
                let target = if change == 2 { new } else { from };
                if value < 9 && (value == 0 || rng.random()) {
                    let more = rng.random_range(1..=9 - value);
                    self.assign(target, value + more, &format!("{name}+{more}"));
                } else {
                    let less = rng.random_range(1..=value);
                    self.assign(target, value - less, &format!("{name}-{less}"));
                }
            }
        }
    }

    fn assign(&mut self, target: usize, value: u8, written: &str) {
        self.source += &format!("{}={written}\n", VARIABLES[target]);
        self.values[target] = Some(value);
        self.seen.push(value);
    }

    /// Variables that have a value, with that.
    fn defined(&self) -> Vec<(usize, u8)> {
        let values = self.values.iter().enumerate();
        values.filter_map(|(index, value)| Some((index, (*value)?))).collect()
    }

    /// The program with a last line that prints the variables, up to its output.
    fn printing(&self, variables: &[(usize, u8)]) -> String {
        let names: Vec<&str> = variables.iter().map(|&(index, _)| VARIABLES[index]).collect();
        format!("{}print({})\n>", self.source, names.join(","))
    }
}

fn program(rng: &mut ChaCha8Rng, part: Part) -> Program {
    part.draw(rng, Program::random, |program| program.source.clone())
}

pub(super) fn document(rng: &mut ChaCha8Rng, part: Part) -> String {
    let program = program(rng, part);
    let mut printed = program.defined();
    printed.shuffle(rng);
    printed.truncate(rng.random_range(1..=printed.len()));
    let output: Vec<String> = printed
        .iter()
        .map(|&(index, value)| format!("{}={value}", VARIABLES[index]))
        .collect();
    format!("{}{}\n", program.printing(&printed), output.join(","))
}

/// Wrong answers are values that variables had, and other digits.
pub(super) fn question(rng: &mut ChaCha8Rng, part: Part) -> Question {
    let program = program(rng, part);
    let defined = program.defined();
    let printed = defined[rng.random_range(0..defined.len())];
    let answer = printed.1.to_string();
    let likely = program.seen.iter().map(u8::to_string).collect();
    let further = |rng: &mut ChaCha8Rng| rng.random_range(0..10).to_string();
    Question {
        context: format!("{}{}=", program.printing(&[printed]), VARIABLES[printed.0]),
        wrong: wrong(rng, &answer, likely, further),
        answer,
    }
}
