//! Programs of a few lines and what they print. Held out are programs. Every value is a digit, so all answers look alike.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{Part, Question, wrong};

const VARIABLES: [&str; 3] = ["a", "b", "c"];

/// Lines between those that give each variable a value and the one that prints.
const CHANGES: std::ops::RangeInclusive<usize> = 1..=2;

/// Values of the variables.
type State = [u8; VARIABLES.len()];

struct Program {
    /// All but the last line, which prints.
    source: String,
    state: State,
    /// What it would print without some of its lines.
    other: Vec<State>,
}

impl Program {
    fn random(rng: &mut ChaCha8Rng) -> Self {
        let state: State = std::array::from_fn(|_| rng.random_range(0..10));
        let given = VARIABLES.iter().zip(state);
        let mut program = Self {
            source: given.map(|(name, value)| format!("{name}={value}\n")).collect(),
            state,
            other: Vec::new(),
        };
        for _ in 0..rng.random_range(CHANGES) {
            program.change(rng);
        }
        program
    }

    /// Adds a line that uses a variable, and carries it out.
    fn change(&mut self, rng: &mut ChaCha8Rng) {
        let [from, target] = [0; 2].map(|_| rng.random_range(0..VARIABLES.len()));
        let (name, value) = (VARIABLES[from], self.state[from]);
        let (condition, written, new, holds) = match rng.random_range(0..3) {
            0 => {
                let (limit, digit): (u8, u8) = (rng.random_range(1..9), rng.random_range(0..10));
                (format!("if({name}>{limit})"), digit.to_string(), digit, value > limit)
            }
            1 if from != target => (String::new(), name.to_owned(), value, true),
            _ if value < 9 && (value == 0 || rng.random()) => {
                let more = rng.random_range(1..=9 - value);
                (String::new(), format!("{name}+{more}"), value + more, true)
            }
            _ => {
                let less = rng.random_range(1..=value);
                (String::new(), format!("{name}-{less}"), value - less, true)
            }
        };
        self.source += &format!("{condition}{}={written}\n", VARIABLES[target]);
        let mut changed = self.state;
        changed[target] = new;
        if holds {
            self.other.push(self.state);
            self.state = changed;
        } else {
            self.other.push(changed);
        }
    }

    /// All of it, up to its output.
    fn whole(&self) -> String {
        format!("{}print({})\n>", self.source, VARIABLES.join(","))
    }
}

fn output(state: &State) -> String {
    state.map(|value| value.to_string()).join(",")
}

fn program(rng: &mut ChaCha8Rng, part: Part) -> Program {
    part.draw(rng, Program::random, |program| program.source.clone())
}

pub(super) fn document(rng: &mut ChaCha8Rng, part: Part) -> String {
    let program = program(rng, part);
    format!("{}{}\n", program.whole(), output(&program.state))
}

/// Wrong answers are what would be printed without a line, and with another value of a variable.
pub(super) fn question(rng: &mut ChaCha8Rng, part: Part) -> Question {
    let program = program(rng, part);
    let answer = output(&program.state);
    let further = |rng: &mut ChaCha8Rng| {
        let mut state = program.state;
        state[rng.random_range(0..VARIABLES.len())] = rng.random_range(0..10);
        output(&state)
    };
    Question {
        context: program.whole(),
        wrong: wrong(rng, &answer, program.other.iter().map(output).collect(), further),
        answer,
    }
}
