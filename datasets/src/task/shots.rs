//! Which rows become few-shot examples of which document.

use super::python_random::PythonRandom;
use super::rows::Row;
use crate::catalogue::Order;

/// Chooses examples for one document after another from one pool.
pub(super) struct Chooser<'a> {
    pool: Vec<&'a Row>,
    count: usize,
    /// Whether the document itself may be in the pool and is then left out.
    skips_document: bool,
    generator: Option<PythonRandom>,
}

impl<'a> Chooser<'a> {
    pub(super) fn new(pool: Vec<&'a Row>, count: usize, skips_document: bool, order: Order, seed: u64) -> Self {
        Self {
            pool,
            count,
            skips_document,
            generator: match order {
                Order::First => None,
                Order::Seeded => Some(PythonRandom::new(seed)),
            },
        }
    }

    /// The examples of the next document, or how many rows the pool lacks to choose from.
    pub(super) fn choose(&mut self, document: &Row) -> Result<Vec<&'a Row>, TooFew> {
        let too_few = |wanted, available| TooFew { wanted, available };
        let others = |rows: &mut dyn Iterator<Item = &'a Row>| -> Vec<&'a Row> {
            let other = |row: &&Row| !self.skips_document || row.fields != document.fields;
            rows.filter(other).take(self.count).collect()
        };
        let Some(generator) = &mut self.generator else {
            let chosen = others(&mut self.pool.iter().copied());
            return match chosen.len() {
                found if found < self.count => Err(too_few(self.count, found)),
                _ => Ok(chosen),
            };
        };
        // One more than needed, so that enough are left if the document is among them.
        let drawn = self.count + usize::from(self.skips_document);
        let indexes = generator
            .sample(self.pool.len(), drawn)
            .ok_or(too_few(drawn, self.pool.len()))?;
        let chosen = others(&mut indexes.iter().map(|&index| self.pool[index]));
        if chosen.len() == self.count {
            return Ok(chosen);
        }
        // The pool has several copies of the document.
        let pool: Vec<&Row> = self
            .pool
            .iter()
            .copied()
            .filter(|row| row.fields != document.fields)
            .collect();
        let indexes = generator
            .sample(pool.len(), self.count)
            .ok_or(too_few(self.count, pool.len()))?;
        Ok(indexes.into_iter().map(|index| pool[index]).collect())
    }
}

/// A pool that is too small.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooFew {
    pub(super) wanted: usize,
    pub(super) available: usize,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rows(values: &[u32]) -> Vec<Row> {
        let fields = |value: &u32| json!({ "value": value });
        let rows = values.iter().map(fields).enumerate();
        rows.map(|(number, fields)| Row { number, fields }).collect()
    }

    fn chooser(rows: &[Row], count: usize, skips_document: bool, order: Order) -> Chooser<'_> {
        Chooser::new(rows.iter().collect(), count, skips_document, order, 1234)
    }

    fn numbers(chosen: &[&Row]) -> Vec<usize> {
        chosen.iter().map(|row| row.number).collect()
    }

    #[test]
    fn the_first_rows_leave_out_the_document_only_where_asked() {
        let rows = rows(&[5, 6, 7, 8]);
        let mut kept = chooser(&rows, 3, false, Order::First);
        assert_eq!(numbers(&kept.choose(&rows[1]).expect("enough")), [0, 1, 2]);
        let mut skipped = chooser(&rows, 3, true, Order::First);
        assert_eq!(numbers(&skipped.choose(&rows[1]).expect("enough")), [0, 2, 3]);
        assert_eq!(numbers(&skipped.choose(&rows[3]).expect("enough")), [0, 1, 2]);
    }

    // The seed's first samples of 10 rows in CPython 3.11 are [7, 1, 0] and, of four, [7, 1, 0, 6].
    #[test]
    fn draws_go_on_from_document_to_document() {
        let rows = rows(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        let mut drawn = chooser(&rows, 3, false, Order::Seeded);
        let first = numbers(&drawn.choose(&rows[1]).expect("enough"));
        assert_eq!(first, [7, 1, 0]);
        assert_ne!(numbers(&drawn.choose(&rows[1]).expect("enough")), first);
    }

    #[test]
    fn a_drawn_document_gives_way_to_the_spare_row() {
        let rows = rows(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        let with = |document: usize| {
            let mut drawn = chooser(&rows, 3, true, Order::Seeded);
            numbers(&drawn.choose(&rows[document]).expect("enough"))
        };
        let spare = with(7)[2];
        assert_eq!(with(9), [7, 1, 0]);
        assert_eq!(with(7), [1, 0, spare]);
        assert_eq!(with(1), [7, 0, spare]);
    }

    #[test]
    fn copies_of_the_document_are_never_its_examples() {
        let rows = rows(&[0, 0, 0, 0, 1, 2]);
        let mut drawn = chooser(&rows, 2, true, Order::Seeded);
        for _ in 0..50 {
            let mut chosen = numbers(&drawn.choose(&rows[0]).expect("enough"));
            chosen.sort_unstable();
            assert_eq!(chosen, [4, 5]);
        }
    }

    #[test]
    fn too_few_rows_are_counted_after_the_document_left() {
        let rows = rows(&[0, 0, 1]);
        let few = |count, order| chooser(&rows, count, true, order).choose(&rows[0]).map(|_| ());
        let (wanted, available) = (2, 1);
        assert_eq!(few(2, Order::First), Err(TooFew { wanted, available }));
        assert_eq!(few(2, Order::Seeded), Err(TooFew { wanted, available }));
        let (wanted, available) = (4, 3);
        assert_eq!(few(3, Order::Seeded), Err(TooFew { wanted, available }));
    }
}
