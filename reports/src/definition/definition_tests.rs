use prunebench_results::Record;

use super::*;
use crate::comparison::tests::{baseline, dense, failed, record};
use crate::table::Rank;

const SHOWN: &str = "show = 'perplexity wiki/stream-3@1'";

/// Makes the table of records that are of one model each.
fn table(definition: &str, models: &[Vec<Record>]) -> Result<Table, DefinitionError> {
    let baseline = baseline();
    let comparisons: Vec<Comparison> = models
        .iter()
        .map(|records| Comparison::new(records, &baseline).unwrap())
        .collect();
    Definition::parse(definition)?.table(&comparisons)
}

fn rows(table: &Table) -> Vec<Vec<String>> {
    let row = |row| (0..table.columns.len()).map(|column| table.text(row, column)).collect();
    (0..table.rows.len()).map(row).collect()
}

/// As [`record`], each window with a loss of its own.
fn noisy(method: &str, nll: f64) -> Record {
    let mut record = record(method, "candle", 1, nll);
    let result = &mut record.metrics.as_mut().unwrap().perplexity[0];
    for (window, loss) in result.window_nll.iter_mut().enumerate() {
        *loss += 0.02 * ((7 * window) % 10) as f64 * nll.fract();
    }
    record
}

fn on_model(model: &str, mut records: Vec<Record>) -> Vec<Record> {
    for record in &mut records {
        record.cell.model = model.into();
        record.key = record.cell.key(&record.inputs);
    }
    records
}

#[test]
fn rows_and_columns_stand_as_they_are_asked_for_with_their_decimals() {
    let definition = format!(
        "by = ['engine']\nlabel = 'recipe'\nrows = [{{ recipe = 'wanda*', name = 'Wanda' }}, {{ recipe = 'dense' }}]\n\
         [[columns]]\nshow = 'achieved ratio'\nheader = 'removed'\ndecimals = 2\n[[columns]]\n{SHOWN}\ndecimals = 1\n"
    );
    let records = vec![
        dense("candle"),
        record("random", "candle", 1, 3.5),
        record("wanda(ratio=0.5)", "candle", 1, 3.2),
        record("wanda(ratio=0.5)", "torch", 1, 3.3),
    ];
    let table = table(&definition, &[records]).unwrap();
    let headers: Vec<String> = table.columns.iter().map(ToString::to_string).collect();
    assert_eq!(
        headers,
        ["recipe", "engine", "removed", "perplexity wiki/stream-3@1 (± stderr)"]
    );
    assert_eq!(
        rows(&table),
        [
            ["Wanda", "candle", "49.96 %", "24.5 ± 0.8"],
            ["Wanda", "torch", "49.96 %", "27.1 ± 0.9"],
            ["dense", "candle", "0.00 %", "20.1 ± 0.7"],
        ]
    );
    // Notes only about what is shown, and every number names its record.
    assert!(
        table
            .notes
            .iter()
            .any(|note| note.starts_with("Perplexity wiki/stream-3@1"))
    );
    assert!(!table.notes.iter().any(|note| note.starts_with("Peak memory")));
    assert_eq!(table.sources.len(), 6);
}

#[test]
fn a_column_can_take_some_of_a_rows_recipes_and_failures_are_shown_as_such() {
    let definition = format!(
        "rows = [{{ recipe = 'wanda(*)', name = 'Wanda' }}, {{ recipe = 'random(*)', name = 'random' }}]\n\
         [[columns]]\n{SHOWN}\nheader = '20 %'\nwhere = {{ recipe = '*0.2*' }}\n\
         [[columns]]\n{SHOWN}\nheader = '50 %'\nwhere = {{ recipe = '*0.5*' }}\n"
    );
    let records = vec![
        dense("candle"),
        record("wanda(ratio=0.2)", "candle", 1, 3.1),
        record("wanda(ratio=0.5)", "candle", 1, 3.3),
        failed("random(ratio=0.2)", "candle", 1),
    ];
    let table = table(&definition, &[records]).unwrap();
    assert_eq!(
        rows(&table),
        [
            ["Wanda", "22.20 ± 0.74", "27.11 ± 0.90"],
            ["random", "oom: asked for 9 GiB", "—"],
        ]
    );
}

#[test]
fn only_what_is_surely_better_than_all_that_is_worse_is_marked() {
    let definition = format!("[[columns]]\n{SHOWN}\nbest = 'lower'\n");
    let marks = |nlls: [f64; 3]| {
        let names = ["a", "b", "c"];
        let mut records = vec![dense("candle")];
        records.extend(names.iter().zip(nlls).map(|(name, nll)| noisy(name, nll)));
        let table = table(&definition, &[records]).unwrap();
        assert!(table.notes.last().unwrap().contains("after Holm"));
        let name = |mark: &crate::table::Mark| (table.text(mark.row, 0), mark.column, mark.rank);
        table.marks.iter().map(name).collect::<Vec<_>>()
    };
    // The dense model, at 3.0, is not ranked.
    assert_eq!(
        marks([3.9, 3.2, 3.5]),
        [("b".to_owned(), 1, Rank::Best), ("c".to_owned(), 1, Rank::Second)]
    );
    // Those that differ by a thousandth of their noise stay without a mark, and so does what is behind them.
    assert_eq!(marks([3.9, 3.2, 3.2]), []);
}

#[test]
fn parts_have_headings_and_their_own_best() {
    let definition = format!("group = 'model'\n[[columns]]\n{SHOWN}\nbest = 'lower'\n");
    let records = |nlls: [f64; 2]| vec![dense("candle"), noisy("a", nlls[0]), noisy("b", nlls[1])];
    let models = [
        on_model("small", records([3.1, 3.6])),
        on_model("large", records([3.7, 3.2])),
    ];
    let table = table(&definition, &models).unwrap();
    assert_eq!(table.headings, [(0, "small".to_owned()), (3, "large".to_owned())]);
    let best: Vec<usize> = table.marks.iter().map(|mark| mark.row).collect();
    assert_eq!(best, [1, 5]);
}

#[test]
fn an_entry_with_two_numbers_is_refused_and_so_are_numbers_over_other_windows() {
    let definition = format!("[[columns]]\n{SHOWN}\n");
    let both = vec![dense("candle"), dense("torch")];
    let error = table(&definition, std::slice::from_ref(&both)).unwrap_err().to_string();
    assert!(
        error.contains("the row `dense` has two numbers") && error.contains("torch cpu f32"),
        "{error}"
    );
    let torch = format!("where = {{ engine = 'torch' }}\n{definition}");
    assert_eq!(rows(&table(&torch, &[both]).unwrap()), [["dense", "20.09 ± 0.67"]]);

    let mut fewer = on_model("other", vec![record("a", "candle", 1, 3.0)]);
    let metrics = fewer[0].metrics.as_mut().unwrap();
    metrics.perplexity[0].windows_available = 99;
    let error = table(&definition, &[vec![dense("candle")], fewer.clone()])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("10 of 1234 windows") && error.contains("10 of 99 windows"),
        "{error}"
    );
    let grouped = format!("group = 'model'\n{definition}");
    assert!(table(&grouped, &[vec![dense("candle")], fewer]).is_ok());
}

#[test]
fn a_mistake_names_its_place_and_what_there_is() {
    let records = || [vec![dense("candle")]];
    let error = |definition: &str| table(definition, &records()).unwrap_err().to_string();
    let unknown = error("[[columns]]\nshow = 'perplexity wiki/stream-3@2'\n");
    assert!(
        unknown.starts_with(
            "column 1: no record has `perplexity wiki/stream-3@2`; did you mean `perplexity wiki/stream-3@1`?"
        ),
        "{unknown}"
    );
    let recipe = error(&format!("rows = [{{ recipe = 'wanda*' }}]\n[[columns]]\n{SHOWN}\n"));
    assert_eq!(recipe, "row 1: no record's recipe is `wanda*`; the recipes are: dense");
    let key = error("colums = []\n");
    assert!(key.starts_with("line 1: unknown field `colums`"), "{key}");
}
