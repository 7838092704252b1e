//! `prunebench paper`.

mod screen;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use clap::Args;
use prunebench_reports::{Mapping, PaperTable};
use prunebench_results::{Paper as Published, PublishedError, Record, read_samples};
use prunebench_sweep::{baseline, records_folder, visit_listed};
use serde_json::json;

use crate::Outcome;
use crate::output::{Format, note, print, print_json};
use crate::terminal::width;

const RESULTS: &str = "results/runs";

/// Show a paper's tables, published and measured side by side.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  prunebench paper
  prunebench paper flexigpt --table 1
  prunebench paper weight_evolution --results results/runs --json
  prunebench paper flexigpt --table 1 --format markdown
  prunebench paper flexigpt --table 1 --plan > flexigpt-1.toml")]
pub struct Paper {
    /// The paper; if left out, all papers and their tables are listed
    id: Option<String>,
    /// Only this table, by its number or name
    #[arg(long, value_name = "N", requires = "id")]
    table: Option<String>,
    /// Folder with the results of experiments, a folder each, as `run` makes them [default: results/runs]
    #[arg(long, value_name = "DIR")]
    results: Option<PathBuf>,
    /// All that is known of each value
    #[arg(long, requires = "id", conflicts_with_all = ["json", "format"])]
    wide: bool,
    /// Sources, remarks, and why values are not comparable or not there
    #[arg(long, requires = "id", conflicts_with_all = ["json", "format"])]
    notes: bool,
    /// Print it in this form
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        requires = "id",
        conflicts_with = "json",
        default_value_t
    )]
    format: Format,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print the experiment that fills what is missing in a table
    #[arg(long, requires = "table", conflicts_with_all = ["json", "wide", "notes", "format"])]
    plan: bool,
}

impl Paper {
    pub fn run(self) -> Outcome {
        let Some(id) = &self.id else {
            return list(self.json);
        };
        let paper = Published::find(id)?;
        let wanted: Vec<&str> = match &self.table {
            Some(table) => vec![paper.table(table)?.id.as_str()],
            None => paper.tables.iter().map(|table| table.id.as_str()).collect(),
        };
        let (mapping, baseline) = (Mapping::of(&paper)?, baseline());
        let records = self.records(&mapping, &baseline)?;
        let tables = wanted
            .iter()
            .map(|table| PaperTable::new(&paper, table, &mapping, &records, &baseline))
            .collect::<Result<Vec<_>, PublishedError>>()?;
        if self.plan {
            for table in &tables {
                match table.plan()? {
                    Some(experiment) => print(&experiment)?,
                    None => note(&format!("nothing of table {} is left to be filled here", table.table)),
                }
            }
        } else if self.json {
            print_json(
                &json!({ "paper": paper.id, "title": paper.title, "reference": paper.reference,
                "left_out": paper.left_out, "tables": tables }),
            )?;
        } else if self.format == Format::Markdown {
            let drawn: Vec<String> = tables.iter().map(|shown| shown.to_table().to_markdown()).collect();
            print(&drawn.join("\n"))?;
            if self.table.is_none() && !paper.left_out.is_empty() {
                print(&format!("\nNot in these tables:\n- {}\n", paper.left_out.join("\n- ")))?;
            }
        } else {
            let left_out: &[String] = if self.table.is_none() { &paper.left_out } else { &[] };
            print(&screen::drawn(&tables, left_out, [self.wide, self.notes], width()))?;
        }
        Ok(true)
    }

    /// The records of all experiments that the paper's tables may show, with their samples.
    fn records(&self, mapping: &Mapping, baseline: &[String]) -> anyhow::Result<Vec<Record>> {
        let mut records = Vec::new();
        for folder in stores(self.results.as_deref())? {
            let mut found = Vec::new();
            visit_listed(&folder, &mut |record| {
                if mapping.wants(&record, baseline) {
                    found.push(record);
                }
            })?;
            let inside = records_folder(&folder);
            for record in &mut found {
                read_samples(&inside, record)?;
            }
            records.append(&mut found);
        }
        Ok(records)
    }
}

/// The folders of experiments' results under a folder, itself among them if it is one.
pub fn stores(results: Option<&Path>) -> anyhow::Result<Vec<PathBuf>> {
    let root = results.unwrap_or(Path::new(RESULTS));
    ensure!(
        results.is_none() || root.is_dir(),
        "{} is no folder; --results wants the one that holds a folder for each experiment, such as {RESULTS}",
        root.display()
    );
    let mut stores = vec![root.to_owned()];
    if root.is_dir() {
        for entry in std::fs::read_dir(root)? {
            stores.push(entry?.path());
        }
    }
    stores.retain(|folder| folder.join("records").is_dir());
    stores.sort();
    Ok(stores)
}

fn list(as_json: bool) -> Outcome {
    let papers = Published::all()?;
    if as_json {
        let entry = |paper: &Published| {
            let tables = paper.tables.iter().map(|table| (table.id.clone(), table.title.clone()));
            json!({ "id": paper.id, "title": paper.title, "reference": paper.reference,
                "tables": tables.collect::<BTreeMap<String, String>>() })
        };
        print_json(&papers.iter().map(entry).collect::<Vec<_>>())?;
        return Ok(true);
    }
    print(&screen::list(&papers, width()))?;
    Ok(true)
}
