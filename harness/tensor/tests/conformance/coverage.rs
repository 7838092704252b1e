//! Every public operation has a case, and every differentiable one a gradient case.

use std::collections::BTreeSet;
use std::path::Path;

use crate::cases;

/// Operations without a case, each checked by tests of its own in `creation`, `factorisations`, `state` or `updates`.
const OWN_TESTS: &[&str] = &[
    "adamw_in_place",
    "add_in_place",
    "arange",
    "device",
    "dim",
    "dropout",
    "dtype",
    "eigh",
    "elem_count",
    "from_le_bytes",
    "from_slice",
    "full",
    "lerp_in_place",
    "mul_in_place",
    "no_grad",
    "ones",
    "param",
    "qr",
    "rand",
    "randn",
    "rank",
    "shape",
    "square_sum",
    "svd",
    "to_device",
    "to_dtype",
    "to_f64",
    "to_f64_vec",
    "to_vec",
    "write_le_bytes",
    "write_slice",
    "zeros",
];

/// Operations whose result is piecewise constant, an index, or cut off on purpose.
const NOT_DIFFERENTIABLE: &[&str] = &[
    "argmax",
    "detach",
    "eq",
    "ge",
    "gt",
    "kl_divergence",
    "le",
    "lt",
    "token_log_likelihoods",
];

/// Names of the documented functions in a source file: `pub fn name`, or a row `name, ...` of a macro that makes one.
fn documented_functions(source: &str) -> impl Iterator<Item = String> {
    let mut documented = false;
    source.lines().filter_map(move |line| {
        let line = line.trim();
        let was_documented = std::mem::replace(&mut documented, line.starts_with("///"));
        let public = was_documented && !line.starts_with("pub(");
        let row = line.strip_prefix("pub fn ").or(public.then_some(line))?;
        let end = row.find(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'))?;
        let is_name = end > 0 && matches!(&row[end..end + 1], "(" | "<" | ",");
        is_name.then(|| row[..end].to_string())
    })
}

fn public_operations() -> BTreeSet<String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let operations = std::fs::read_dir(source.join("ops")).expect("the operations' sources");
    let mut files = vec![source.join("tensor.rs"), source.join("autograd.rs")];
    files.extend(operations.map(|entry| entry.expect("a source file").path()));
    files
        .iter()
        .flat_map(|file| {
            documented_functions(&std::fs::read_to_string(file).expect("a readable source")).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn every_public_operation_is_in_the_suite() {
    let cases = cases::all();
    let covered: BTreeSet<String> = cases
        .iter()
        .map(|case| case.op)
        .chain(OWN_TESTS.iter().copied())
        .map(str::to_string)
        .collect();
    let public = public_operations();
    assert!(
        public.contains("matmul") && public.contains("silu"),
        "the sources were not understood: {public:?}"
    );
    let missing: Vec<_> = public.difference(&covered).collect();
    let stale: Vec<_> = covered.difference(&public).collect();
    assert!(missing.is_empty(), "public operations without a case: {missing:?}");
    assert!(stale.is_empty(), "names in the suite that are no operation: {stale:?}");
}

#[test]
fn every_differentiable_operation_has_a_gradient_case() {
    let cases = cases::all();
    let all: BTreeSet<&str> = cases.iter().map(|case| case.op).collect();
    let checked: BTreeSet<&str> = cases
        .iter()
        .filter(|case| !case.differentiable.is_empty())
        .map(|case| case.op)
        .collect();
    let unchecked: Vec<&str> = all.difference(&checked).copied().collect();
    assert_eq!(unchecked, NOT_DIFFERENTIABLE);
}

#[test]
fn every_case_has_a_label_of_its_own() {
    let mut labels = BTreeSet::new();
    for case in cases::all() {
        let label = case.label();
        assert!(labels.insert(label.clone()), "two cases are called `{label}`");
    }
}
