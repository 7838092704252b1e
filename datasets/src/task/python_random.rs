//! The draws of Python's `random.Random(seed).sample`, which lm-eval chooses few-shot examples by.

use std::collections::HashSet;

use rand_mt::Mt;

/// Python's generator, seeded from an integer.
pub(super) struct PythonRandom(Mt);

impl PythonRandom {
    pub(super) fn new(seed: u64) -> Self {
        let [low, high] = [seed as u32, (seed >> 32) as u32];
        Self(match high {
            0 => Mt::new_with_key([low]),
            _ => Mt::new_with_key([low, high]),
        })
    }

    /// `count` different indexes below `population`; `None` if there are not that many.
    pub(super) fn sample(&mut self, population: usize, count: usize) -> Option<Vec<usize>> {
        // Mersenne's draws have 32 bits; no split is that long.
        let total = u32::try_from(population).ok()?;
        if count > population {
            return None;
        }
        // As Python decides: a list of what is left where that is smaller than a set of what is taken.
        let mut set_size = 21;
        if count > 5 {
            let mut power = 4;
            while power < count * 3 {
                power *= 4;
            }
            set_size += power;
        }
        if population <= set_size {
            let mut pool: Vec<usize> = (0..population).collect();
            return Some(
                (0..count)
                    .map(|drawn| {
                        let left = population - drawn;
                        let index = self.below(total - drawn as u32);
                        let chosen = pool[index];
                        pool[index] = pool[left - 1];
                        chosen
                    })
                    .collect(),
            );
        }
        let mut taken = HashSet::with_capacity(count);
        Some(
            (0..count)
                .map(|_| {
                    loop {
                        let index = self.below(total);
                        if taken.insert(index) {
                            break index;
                        }
                    }
                })
                .collect(),
        )
    }

    /// Uniform below `bound`, which is not 0.
    fn below(&mut self, bound: u32) -> usize {
        let unused_bits = bound.leading_zeros();
        loop {
            let drawn = self.0.next_u32() >> unused_bits;
            if drawn < bound {
                break drawn as usize;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The expected values are those of CPython 3.11, drawn one after another from one generator.
    fn drawn(seed: u64) -> Vec<Vec<usize>> {
        let mut random = PythonRandom::new(seed);
        let sizes = [
            (10, 3),
            (30, 6),
            (1000, 6),
            (100_000, 5),
            (22, 5),
            (21, 5),
            (85, 6),
            (86, 6),
            (3, 3),
        ];
        sizes
            .iter()
            .map(|&(population, count)| random.sample(population, count).expect("enough"))
            .collect()
    }

    #[test]
    fn samples_are_pythons_from_lists_and_from_sets() {
        let expected: [&[usize]; 9] = [
            &[7, 1, 0],
            &[2, 25, 18, 1, 21, 22],
            &[85, 100, 784, 363, 242, 17],
            &[4038, 2076, 45362, 84976, 81694],
            &[15, 19, 14, 4, 2],
            &[5, 3, 0, 16, 15],
            &[31, 8, 69, 59, 83, 76],
            &[11, 65, 74, 5, 34, 71],
            &[0, 1, 2],
        ];
        assert_eq!(drawn(1234), expected);
    }

    #[test]
    fn seeds_of_zero_and_of_two_words_are_pythons() {
        assert_eq!(drawn(0)[..2], [vec![6, 9, 0], vec![8, 16, 15, 12, 25, 9]]);
        assert_eq!(drawn((1 << 32) + 5)[..2], [vec![2, 7, 4], vec![28, 19, 26, 0, 11, 20]]);
    }

    #[test]
    fn no_more_can_be_drawn_than_there_are() {
        let mut random = PythonRandom::new(1);
        assert_eq!(random.sample(3, 4), None);
        assert_eq!(random.sample(0, 0), Some(Vec::new()));
    }
}
