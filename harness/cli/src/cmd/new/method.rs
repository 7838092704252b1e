//! A new method: the one of the guide in CONTRIBUTING.md, under another name.

use std::fs;

use anyhow::{Context, bail, ensure};

use super::checkout::Checkout;
use super::word::MethodName;
use super::{Written, write_new};

const CODE: &str = include_str!("../../../../../methods/src/guide/small_blocks.rs");
const README: &str = include_str!("../../../../../methods/src/guide/README.md");

/// The names that the guide's files have for it.
const GUIDE: (&str, &str) = ("small-blocks", "SmallBlocks");

/// Where the registry begins and ends in `methods/src/lib.rs`.
const REGISTRY: (&str, &str) = ("registry::methods! {\n", "\n}");

pub fn method(checkout: &Checkout, name: &MethodName) -> anyhow::Result<Written> {
    let (id, module) = (name.id(), name.module());
    let sources = checkout.path("methods/src");
    let folder = sources.join(&module);
    let file = sources.join(format!("{module}.rs"));
    for taken in [&folder, &file] {
        ensure!(
            !taken.exists(),
            "{} is there already and stays as it is; take another name",
            taken.display()
        );
    }
    let registry = sources.join("lib.rs");
    let text = fs::read_to_string(&registry).with_context(|| format!("{} can't be read", registry.display()))?;
    let Some(registered) = registered(&text, &module) else {
        bail!(
            "{} has no list `{}`, where a line for the method belongs; is this checkout another version's?",
            registry.display(),
            REGISTRY.0.trim_end()
        );
    };
    let (code, readme) = (folder.join("mod.rs"), folder.join("README.md"));
    write_new(&code, &code_of(name))?;
    write_new(&readme, &README.replace(GUIDE.0, id))?;
    // Last, so that the line is never of a method that isn't there.
    prunebench_files::write(&registry, registered.as_bytes())
        .with_context(|| format!("{} can't be written; check the disk", registry.display()))?;
    Ok(Written {
        files: vec![code, readme, registry],
        next: format!(
            "  cargo test -p prunebench-methods {module}\n  \
             prunebench compress --model tiny --recipe '{id}(ratio=0.25)' --out smaller\n  \
             prunebench eval --model tiny --recipe '{id}(ratio=0.25)' --protocol world/stream-128@1 --tasks world\n  \
             It removes the blocks that write least, until `apply` in mod.rs does what you want. CONTRIBUTING.md\n  \
             explains each part. Tests ask for a recipe of it in harness/experiments: in quick.toml, nightly.toml and\n  \
             pinned.toml."
        ),
    })
}

/// The guide's code under another name, which is its own even where the guide uses the same word for something else.
fn code_of(name: &MethodName) -> String {
    let mut type_name = name.type_name();
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    if CODE.split(|letter| !is_letter(letter)).any(|word| word == type_name) {
        type_name += "Method";
    }
    CODE.replace(GUIDE.0, name.id()).replace(GUIDE.1, &type_name)
}

/// `lib.rs` with one more method at the end of its list.
fn registered(text: &str, module: &str) -> Option<String> {
    let begin = text.find(REGISTRY.0)? + REGISTRY.0.len();
    let end = begin + text[begin..].find(REGISTRY.1)?;
    Some(format!("{}\n    {module},{}", &text[..end], &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIB: &str = include_str!("../../../../../methods/src/lib.rs");

    #[test]
    fn a_new_method_is_the_guides_under_its_own_name_with_a_line_in_the_registry() {
        let folder = tempfile::tempdir().unwrap();
        for inside in ["methods/src", "datasets/catalogue", "harness/cli"] {
            fs::create_dir_all(folder.path().join(inside)).unwrap();
        }
        let lib = folder.path().join("methods/src/lib.rs");
        fs::write(&lib, LIB).unwrap();
        let checkout = Checkout::above(folder.path()).unwrap();
        let name: MethodName = "quiet-heads".parse().unwrap();
        let written = method(&checkout, &name).unwrap();
        let text = |path| fs::read_to_string(path).unwrap();
        let [code, readme] = [&written.files[0], &written.files[1]].map(text);
        for word in [
            "id: \"quiet-heads\"",
            "struct QuietHeads {",
            "quiet-heads(ratio=0.25)",
            "parse_strict::<QuietHeads>",
        ] {
            assert!(code.contains(word), "{word}:\n{code}");
        }
        assert!(
            readme.starts_with("# quiet-heads\n") && readme.contains("`ratio`"),
            "{readme}"
        );
        for guide in [GUIDE.0, GUIDE.1, "small_blocks"] {
            assert!(!code.contains(guide) && !readme.contains(guide), "{guide}");
        }
        let last = LIB.trim_end().trim_end_matches('}').to_owned();
        assert_eq!(text(&lib), format!("{last}    quiet_heads,\n}}\n"));

        let again = method(&checkout, &name).unwrap_err().to_string();
        assert!(again.contains("quiet_heads is there already"), "{again}");
        fs::write(folder.path().join("methods/src/ratio.rs"), "").unwrap();
        let module = method(&checkout, &"ratio".parse().unwrap()).unwrap_err().to_string();
        assert!(module.contains("ratio.rs is there already"), "{module}");
        fs::write(&lib, "").unwrap();
        let other = method(&checkout, &"more".parse().unwrap()).unwrap_err().to_string();
        assert!(other.contains("has no list `registry::methods! {`"), "{other}");
        assert!(!folder.path().join("methods/src/more").exists());
    }

    #[test]
    fn a_name_that_the_code_has_already_gets_another_type() {
        let code = code_of(&"report".parse().unwrap());
        assert!(
            code.contains("struct ReportMethod {") && code.contains("-> Result<Report>"),
            "{code}"
        );
    }
}
