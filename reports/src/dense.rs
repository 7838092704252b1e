//! The records of the dense model that a number stands beside.

use prunebench_results::{Cell, Inputs, Record, Status};

use crate::gate::{Observed, machine};

/// A record, or what a snapshot keeps of one.
pub(crate) trait Identified {
    fn cell(&self) -> &Cell;
    fn inputs(&self) -> &Inputs;
    fn status(&self) -> Status;
}

macro_rules! identified {
    ($($kind:ty),*) => {$(
        impl Identified for $kind {
            fn cell(&self) -> &Cell {
                &self.cell
            }

            fn inputs(&self) -> &Inputs {
                &self.inputs
            }

            fn status(&self) -> Status {
                self.status
            }
        }
    )*};
}

identified!(Record, Observed);

/// The successful records of the recipe `dense` that a record's quality stands beside: of its model, engine, device, dtype and
/// evaluation, with the same value of every input that both have. The first of each seed, in the order of `all`.
pub(crate) fn beside<'a, R: Identified>(
    record: &R,
    all: impl IntoIterator<Item = &'a R>,
    dense: &[String],
) -> Vec<&'a R> {
    let mut found: Vec<&R> = Vec::new();
    for other in all {
        if other.cell().recipe == dense
            && other.status() == Status::Ok
            && differ_in_recipe_and_seed(record.cell(), other.cell())
            && agree(record.inputs(), other.inputs())
            && found.iter().all(|known| known.cell().seed != other.cell().seed)
        {
            found.push(other);
        }
    }
    found
}

/// The one of them that a record's speed stands beside: of its round, which is a seed of an experiment, on its machine.
pub(crate) fn of_round<'a>(
    record: &Record,
    all: impl IntoIterator<Item = &'a Record>,
    dense: &[String],
) -> Option<&'a Record> {
    let in_round = |other: &&Record| {
        (other.cell.seed, &other.experiment) == (record.cell.seed, &record.experiment)
            && machine(&other.provenance) == machine(&record.provenance)
    };
    beside(record, all.into_iter().filter(in_round), dense)
        .into_iter()
        .next()
}

/// Whether two cells differ in nothing else.
fn differ_in_recipe_and_seed(a: &Cell, b: &Cell) -> bool {
    (&a.model, &a.engine, &a.device, &a.dtype, &a.evaluation)
        == (&b.model, &b.engine, &b.device, &b.dtype, &b.evaluation)
}

/// Whether every input that both have has the same value.
fn agree(a: &Inputs, b: &Inputs) -> bool {
    a.iter()
        .all(|(input, value)| b.get(input).is_none_or(|other| other == value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comparison::tests::{baseline, dense, failed, record};

    /// What is another, and how a record is made to have it.
    type Other = (&'static str, fn(&mut Record));

    fn changed(change: impl Fn(&mut Record)) -> Record {
        let mut dense = dense("candle");
        dense.inputs.insert("data:wiki/test".into(), "aa".into());
        change(&mut dense);
        dense
    }

    fn compressed() -> Record {
        let mut record = record("a", "candle", 1, 3.5);
        record.inputs.insert("data:wiki/test".into(), "aa".into());
        record.inputs.insert("calibration".into(), "16 windows".into());
        record
    }

    #[test]
    fn a_record_stands_beside_dense_ones_that_differ_in_nothing_but_recipe_and_seed() {
        let record = compressed();
        let of_seed = |seed| changed(|dense| dense.cell.seed = seed);
        let all = [of_seed(1), of_seed(2), of_seed(2)];
        let found = beside(&record, &all, &baseline());
        assert_eq!(found.iter().map(|dense| dense.cell.seed).collect::<Vec<_>>(), [1, 2]);
        let others: [Other; 9] = [
            ("model", |dense| dense.cell.model = "other".into()),
            ("engine", |dense| dense.cell.engine = "torch".into()),
            ("device", |dense| dense.cell.device = "cuda:0".into()),
            ("dtype", |dense| dense.cell.dtype = "bf16".into()),
            ("evaluation", |dense| dense.cell.evaluation.perplexity[0].windows = None),
            ("content hash", |dense| {
                drop(dense.inputs.insert("model".into(), "cd".into()))
            }),
            ("data hash", |dense| {
                drop(dense.inputs.insert("data:wiki/test".into(), "bb".into()))
            }),
            ("thread count", |dense| {
                drop(dense.inputs.insert("threads".into(), "4".into()))
            }),
            ("recipe", |dense| dense.cell.recipe = vec!["b".into()]),
        ];
        for (what, change) in others {
            let all = [changed(change), changed(|_| ())];
            let found = beside(&record, &all, &baseline());
            assert!(found.len() == 1 && std::ptr::eq(found[0], &all[1]), "{what}");
        }
        assert!(beside(&record, &[failed("dense", "candle", 1)], &baseline()).is_empty());
    }

    #[test]
    fn a_speed_stands_beside_the_dense_one_of_its_round_and_machine() {
        let record = compressed();
        let others: [Other; 6] = [
            ("seed", |dense| dense.cell.seed = 2),
            ("experiment", |dense| dense.experiment = "another".into()),
            ("CPU", |dense| {
                dense.provenance.cpu = prunebench_results::Cpu::Named("another CPU".into())
            }),
            ("cores", |dense| dense.provenance.cores = 64),
            ("threads", |dense| dense.provenance.threads = 4),
            ("GPU", |dense| dense.provenance.gpu = Some("a GPU".into())),
        ];
        for (what, change) in others {
            let all = [changed(change), changed(|_| ())];
            let found = of_round(&record, &all, &baseline());
            assert!(found.is_some_and(|found| std::ptr::eq(found, &all[1])), "{what}");
            assert_eq!(of_round(&record, &all[..1], &baseline()), None, "{what}");
        }
    }
}
