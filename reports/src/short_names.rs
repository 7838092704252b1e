//! Names of cells that stand below each other: only what tells them apart.

use std::collections::BTreeSet;

use prunebench_results::Cell;

use crate::differences::Field;
use crate::overview::labels::Labels;

/// How a set of cells is told apart.
pub(crate) struct ShortNames {
    labels: Labels,
    /// What they differ in, but for their seeds.
    fields: Vec<Field>,
}

impl ShortNames {
    /// Of these cells, whose names leave out `known`.
    pub(crate) fn of<'a>(cells: impl Iterator<Item = &'a Cell> + Clone, known: &[Field]) -> Self {
        let differ = |field: &Field| {
            let values: BTreeSet<String> = cells.clone().map(|cell| field.value(cell)).collect();
            values.len() > 1 && !known.contains(field)
        };
        Self {
            fields: Field::ALL.into_iter().filter(differ).collect(),
            labels: Labels::of(cells.map(|cell| cell.recipe.as_slice())),
        }
    }

    /// The name of one of them; its model where nothing tells it apart.
    pub(crate) fn name(&self, cell: &Cell) -> String {
        let word = |field: &Field| match field {
            Field::Recipe => self.labels.whole(&cell.recipe),
            field => field.value(cell),
        };
        // The recipe first, which most cells differ in.
        let recipe = self.fields.iter().filter(|field| **field == Field::Recipe);
        let others = self.fields.iter().filter(|field| **field != Field::Recipe);
        let words: Vec<String> = recipe.chain(others).map(word).collect();
        match words.as_slice() {
            [] => cell.model.clone(),
            words => words.join(", "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(recipe: &str, engine: &str) -> Cell {
        Cell {
            model: "tiny".to_owned(),
            recipe: vec![recipe.to_owned()],
            engine: engine.to_owned(),
            device: "cpu".to_owned(),
            dtype: "f32".to_owned(),
            seed: 0,
            evaluation: Default::default(),
        }
    }

    #[test]
    fn a_name_has_what_differs_and_the_model_where_nothing_does() {
        let cells = [cell("dense", "candle"), cell("wanda(ratio=0.5, scope=row)", "torch")];
        let names = ShortNames::of(cells.iter(), &[]);
        assert_eq!(names.name(&cells[1]), "wanda 50 % scope=row, torch");
        let names = ShortNames::of(cells.iter(), &[Field::Engine]);
        assert_eq!(names.name(&cells[0]), "dense");
        assert_eq!(ShortNames::of(cells[..1].iter(), &[]).name(&cells[0]), "tiny");
    }
}
