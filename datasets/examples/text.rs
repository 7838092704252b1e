//! Prints a text of the catalogue as it is measured, for a comparison with other implementations: `text wikitext2 test`.

use std::io::Write;

use prunebench_datasets::{Catalogue, Places, text};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, split] = arguments.as_slice() else {
        return Err(
            "usage: text NAME SPLIT, which `prunebench list texts` names; PRUNEBENCH_DATA is the folder with texts"
                .into(),
        );
    };
    let text = text(&Catalogue::embedded()?, name, split, &Places::from_env(None))?;
    std::io::stdout().write_all(text.content.as_bytes())?;
    Ok(())
}
