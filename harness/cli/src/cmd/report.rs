//! `prunebench report`.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, ValueEnum};
use prunebench_reports::{Comparison, Definition, Page, Table};
use prunebench_results::{Record, read_records, read_samples};
use prunebench_sweep::{
    Tables, baseline, comparable_parts, listed_records, ordered_records, write_depth_plot, write_whole,
};
use rayon::prelude::*;

use crate::Outcome;
use crate::output::{listed, note, print, print_json, table};

/// Records whose samples are held together.
const AT_ONCE: usize = 64;

/// Make the tables of results folders again from their records, a table of one's own, or one HTML page.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  prunebench report results/runs/quick
  prunebench report results/runs/quick --format latex > quick.tex
  prunebench report results/runs/quick --columns
  prunebench report results/runs/quick --table mine.toml --format csv
  prunebench report results/runs/quick results/runs/smol --html report.html
  prunebench report results/runs/quick --depth-plot 'shortgpt(ratio=*)' --depth-plot 'merge(end=6, start=*)'")]
pub struct Report {
    /// Folders of experiments' results, as `run` names them; with --table those that the definition names if none is given
    #[arg(value_name = "FOLDER", required_unless_present = "table")]
    folders: Vec<PathBuf>,
    /// Make the table that this TOML file defines: its rows, columns, parts and decimals; FORMAT.md says how
    #[arg(long, value_name = "FILE", conflicts_with_all = ["html", "depth_plot"])]
    table: Option<PathBuf>,
    /// List the names of all numbers that a column of such a table can show
    #[arg(long, conflicts_with_all = ["table", "html", "depth_plot", "json", "format"])]
    columns: bool,
    /// What to print tables as, instead of a drawing on a terminal and Markdown elsewhere
    #[arg(long, value_enum, value_name = "FORMAT", conflicts_with_all = ["html", "json"])]
    format: Option<Format>,
    /// Write one page with tables, plots and the provenance of each number, which needs nothing else and no network, instead of
    /// the tables
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "depth_plot"])]
    html: Option<PathBuf>,
    /// Title of the page
    #[arg(long, requires = "html", default_value = "prunebench: results")]
    title: String,
    /// Also draw perplexity against effective depth into depth.svg, a line for each recipe given here, which has a `*` in
    /// place of what varies; may be given several times
    #[arg(long, value_name = "RECIPE")]
    depth_plot: Vec<String>,
    /// Print the tables as JSON
    #[arg(long)]
    json: bool,
}

/// A text that a table can be.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// GitHub-flavoured Markdown
    Markdown,
    /// For programs: unrounded, every number in a column of its own
    Csv,
    /// With the rules of booktabs
    Latex,
    /// To be put into a page
    Html,
}

impl Report {
    pub fn run(self) -> Outcome {
        if let Some(path) = &self.html {
            return self.page(path);
        }
        if self.columns {
            return self.list_columns();
        }
        if let Some(path) = &self.table {
            self.show(&[self.defined(path)?])?;
            return Ok(true);
        }
        let (mut all, mut all_files) = (Vec::new(), Vec::new());
        for folder in &self.folders {
            let Tables { tables, files } = Tables::of(folder)?;
            all.extend(tables);
            all_files.extend(files);
            if !self.depth_plot.is_empty() {
                let records = ordered_records(folder)?;
                all_files.push(write_depth_plot(&records, &self.depth_plot, folder)?);
            }
        }
        self.show(&all)?;
        note(&format!("tables: {}", listed(&all_files)));
        Ok(true)
    }

    fn show(&self, tables: &[Table]) -> anyhow::Result<()> {
        if self.json {
            return print_json(&tables);
        }
        let text = |shown: &Table| {
            Ok(match self.format {
                None => table(shown),
                Some(Format::Markdown) => shown.to_markdown(),
                Some(Format::Csv) => shown.to_csv()?,
                Some(Format::Latex) => shown.to_latex(),
                Some(Format::Html) => shown.to_html()?,
            })
        };
        let texts: Vec<String> = tables.iter().map(text).collect::<anyhow::Result<_>>()?;
        print(&texts.join("\n"))
    }

    fn defined(&self, path: &Path) -> anyhow::Result<Table> {
        let text = std::fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))?;
        let of_file = || path.display().to_string();
        let definition = Definition::parse(&text).with_context(of_file)?;
        let stores = match self.folders.as_slice() {
            [] => &definition.stores,
            folders => folders,
        };
        anyhow::ensure!(
            !stores.is_empty(),
            "{}: it names no `stores`; name folders of results on the command line",
            path.display()
        );
        let (parts, baseline) = (comparable(stores)?, baseline());
        let comparisons = parts.iter().map(|part| Comparison::new(part, &baseline));
        let comparisons: Vec<Comparison> = comparisons.collect::<Result<_, _>>()?;
        definition.table(&comparisons).with_context(of_file)
    }

    fn list_columns(&self) -> Outcome {
        let baseline = baseline();
        let mut names: Vec<String> = Vec::new();
        for part in comparable(&self.folders)? {
            for name in Comparison::new(&part, &baseline)?.number_names() {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        print(&(names.join("\n") + "\n"))?;
        Ok(true)
    }

    fn page(&self, path: &Path) -> Outcome {
        let baseline = baseline();
        let mut page = Page::new(&baseline);
        for folder in &self.folders {
            let inside = folder.join("records");
            let (mut records, inside) = if inside.is_dir() {
                (listed_records(folder)?, inside)
            } else {
                (read_records(folder)?, folder.clone())
            };
            let name = folder.display().to_string();
            // Samples take the most time and memory, so they are read by all cores, and never all held together.
            for some in records.chunks_mut(AT_ONCE) {
                some.par_iter_mut()
                    .try_for_each(|record| read_samples(&inside, record))?;
                for record in some {
                    page.add(&name, record)?;
                    record.metrics = None;
                }
            }
        }
        let html = page.to_html(&self.title)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        write_whole(folder.unwrap_or(Path::new(".")), path, html.as_bytes())
            .with_context(|| format!("{} can't be written; check the folder and the disk", path.display()))?;
        note(&format!("page: {}", path.display()));
        Ok(true)
    }
}

/// The records of folders, those together that may stand side by side.
fn comparable(folders: &[PathBuf]) -> anyhow::Result<Vec<Vec<Record>>> {
    let mut parts = Vec::new();
    for folder in folders {
        parts.extend(comparable_parts(ordered_records(folder)?)?);
    }
    Ok(parts)
}
