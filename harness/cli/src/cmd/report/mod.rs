//! `prunebench report`.

mod page;
mod table;

pub use self::page::write_page;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use prunebench_reports::Table;
use prunebench_sweep::{Tables, ordered_records, write_depth_plot};

use crate::Outcome;
use crate::cmd::show::ShowArgs;
use crate::cmd::stores::all_found;
use crate::output::{note, print, print_json, table};

/// Make the tables of results folders again from their records, a table of one's own, or one HTML page.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  prunebench report quick
  prunebench report quick --format latex > quick.tex
  prunebench report quick --columns
  prunebench report quick --table mine.toml --format csv
  prunebench report quick smol --html report.html
  prunebench report results/runs/layer-parallelism-* --html report.html --claims layer_parallelism
  prunebench report quick --plots plots
  prunebench report quick --depth-plot 'shortgpt(ratio=*)' --depth-plot 'merge(end=6, start=*)'")]
pub struct Report {
    /// Experiments that were run, or folders of their results; with --table those that the definition names if none is given
    #[arg(value_name = "RESULTS", required_unless_present = "table")]
    folders: Vec<PathBuf>,
    /// Make the table that this TOML file defines: its rows, columns, parts and decimals; docs/format.md says how
    #[arg(long, value_name = "FILE", conflicts_with_all = ["html", "depth_plot"])]
    table: Option<PathBuf>,
    /// List the names of all numbers that a column of such a table can show
    #[arg(long, conflicts_with_all = ["table", "html", "depth_plot", "json", "format"])]
    columns: bool,
    /// Print the tables of all numbers in this form
    #[arg(long, value_enum, value_name = "FORMAT", conflicts_with_all = ["html", "json"])]
    format: Option<Format>,
    #[command(flatten)]
    show: ShowArgs,
    /// Write one page with tables, plots and the provenance of each number, which needs nothing else and no network, instead of
    /// the tables
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "depth_plot"])]
    html: Option<PathBuf>,
    /// Draw quality against size and speed, and the scores and losses that methods report, into SVG and PNG files of this folder,
    /// instead of the tables
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["json", "depth_plot"])]
    plots: Option<PathBuf>,
    /// Show on the page what becomes of this paper's claims by these records; may be given several times
    #[arg(long, value_name = "PAPER", requires = "html")]
    claims: Vec<String>,
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
    #[value(alias = "md")]
    Markdown,
    /// For programs: unrounded, every number in a column of its own
    Csv,
    /// With the rules of booktabs
    Latex,
    /// To be put into a page
    Html,
}

impl Report {
    pub fn run(mut self) -> Outcome {
        self.folders = all_found(&self.folders)?;
        if self.html.is_some() || self.plots.is_some() {
            return self.page();
        }
        if self.columns {
            return self.list_columns();
        }
        if let Some(path) = &self.table {
            self.print(&[self.defined(path)?])?;
            return Ok(true);
        }
        let (mut all, mut further) = (Vec::new(), String::new());
        for (place, folder) in self.folders.iter().enumerate() {
            let mut tables = Tables::of(folder)?;
            if !self.depth_plot.is_empty() {
                let records = ordered_records(folder)?;
                tables.files.push(write_depth_plot(&records, &self.depth_plot, folder)?);
            }
            further += &self.show.further(folder, &tables.files);
            if self.json || self.format.is_some() {
                all.extend(tables.tables);
            } else {
                let space = if place > 0 { "\n" } else { "" };
                print(&format!("{space}{}", self.show.text(folder, &tables)?))?;
            }
        }
        if self.json || self.format.is_some() {
            self.print(&all)?;
        }
        note(&format!("\n{}", further.trim_end()));
        Ok(true)
    }

    fn print(&self, tables: &[Table]) -> anyhow::Result<()> {
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
}
