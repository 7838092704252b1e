//! Sets of instructions: rows that become a prompt and the response wanted.

use serde::Deserialize;
use toml::Spanned;

use super::source::{HubSource, RowFile};
use crate::error::{Error, Result};
use crate::template::{Engine, Template};

/// Rows to tune a model on: it reads the prompt and learns the response.
#[derive(Debug, Clone)]
pub struct InstructionSet {
    /// Its name, and that of its file: `alpaca`.
    pub name: String,
    /// Its name for a reader.
    pub title: String,
    /// Terms it is given out under.
    pub licence: String,
    /// Where the Hub keeps it.
    pub hub: HubSource,
    /// The file of rows.
    pub rows: RowFile,
    /// What makes the prompt of a row.
    pub prompt: Template,
    /// What makes its response.
    pub response: Template,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InstructionFile {
    title: String,
    licence: String,
    hub: HubSource,
    rows: RowFile,
    prompt: Spanned<String>,
    response: Spanned<String>,
}

impl InstructionSet {
    pub(super) fn parse(name: &str, content: &str) -> Result<Self> {
        let path = format!("instructions/{name}");
        let fault = |reason: String| Error::Catalogue {
            file: path.clone(),
            reason,
        };
        let file: InstructionFile = toml::from_str(content).map_err(|error| fault(error.to_string()))?;
        file.hub.check().map_err(fault)?;
        file.rows.check("rows").map_err(fault)?;
        let engine = Engine::new(&path)?;
        let template = |key, value| {
            let template = Template::new(&path, key, value, content);
            engine.template(&template).map(drop)?;
            Ok(template)
        };
        Ok(Self {
            name: name.to_owned(),
            title: file.title,
            licence: file.licence,
            prompt: template("prompt", file.prompt)?,
            response: template("response", file.response)?,
            hub: file.hub,
            rows: file.rows,
        })
    }
}
