//! The method that CONTRIBUTING.md writes step by step, so that its text is compiled and run.

mod small_blocks;

const TEXT: &str = include_str!("../../../CONTRIBUTING.md");

#[test]
fn the_guide_shows_the_method_as_it_is_compiled() {
    let method = include_str!("small_blocks.rs");
    let (code, test) = method.split_once("\n#[cfg(test)]").unwrap();
    for part in [
        code.trim(),
        include_str!("README.md").trim(),
        format!("#[cfg(test)]{}", test).trim(),
    ] {
        assert!(TEXT.contains(part), "CONTRIBUTING.md lacks:\n{part}");
    }
}
