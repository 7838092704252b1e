//! `prunebench report`.

use std::fs::create_dir_all;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use prunebench_reports::{Page, Plot, PlotError};
use prunebench_results::{read_records, read_samples};
use prunebench_sweep::{Tables, baseline, listed_records, ordered_records, write_depth_plot, write_whole};
use rayon::prelude::*;

use super::claims::scorecards;
use crate::Outcome;
use crate::output::{listed, note, print, print_json, table};

/// Records whose samples are held together.
const AT_ONCE: usize = 64;

/// Make the tables of results folders again from their records, or one HTML page of them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  prunebench report results/runs/quick
  prunebench report results/runs/quick --json
  prunebench report results/runs/quick results/runs/smol --html report.html
  prunebench report results/runs/layer-parallelism-* --html report.html --claims layer_parallelism
  prunebench report results/runs/quick --plots plots
  prunebench report results/runs/quick --depth-plot 'shortgpt(ratio=*)' --depth-plot 'merge(end=6, start=*)'")]
pub struct Report {
    /// Folders of experiments' results, as `run` names them
    #[arg(value_name = "FOLDER", required = true)]
    folders: Vec<PathBuf>,
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

impl Report {
    pub fn run(self) -> Outcome {
        if self.html.is_some() || self.plots.is_some() {
            return self.page();
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
        if self.json {
            print_json(&all)?;
        } else {
            let drawn: Vec<String> = all.iter().map(table).collect();
            print(&drawn.join("\n"))?;
        }
        note(&format!("tables: {}", listed(&all_files)));
        Ok(true)
    }

    fn page(&self) -> Outcome {
        let baseline = baseline();
        let mut page = Page::new(&baseline);
        let inside = self.folders.iter().map(|folder| folder.join("records"));
        let inside = inside.zip(&self.folders);
        let stores: Vec<PathBuf> = inside
            .map(|(inside, folder)| if inside.is_dir() { inside } else { folder.clone() })
            .collect();
        if !self.claims.is_empty() {
            for scorecard in scorecards(&self.claims, &stores)? {
                page.add_scorecard(scorecard);
            }
        }
        for (folder, inside) in self.folders.iter().zip(&stores) {
            let mut records = match inside == folder {
                true => read_records(folder)?,
                false => listed_records(folder)?,
            };
            let name = folder.display().to_string();
            // Samples take the most time and memory, so they are read by all cores, and never all held together.
            for some in records.chunks_mut(AT_ONCE) {
                some.par_iter_mut()
                    .try_for_each(|record| read_samples(inside, record))?;
                for record in some {
                    page.add(&name, record)?;
                    record.metrics = None;
                }
            }
        }
        // All is made before anything is written.
        let html = self.html.as_ref().map(|_| page.to_html(&self.title)).transpose()?;
        let pictures = self.plots.as_ref().map(|_| pictures(&page)).transpose()?;
        if let (Some(path), Some(html)) = (&self.html, html) {
            write(path, html.as_bytes())?;
            note(&format!("page: {}", path.display()));
        }
        if let (Some(folder), Some(pictures)) = (&self.plots, pictures) {
            create_dir_all(folder).with_context(|| format!("{} can't be made", folder.display()))?;
            for (name, content) in pictures {
                let path = folder.join(name);
                write(&path, &content)?;
                print(&format!("{}\n", path.display()))?;
            }
        }
        Ok(true)
    }
}

/// The page's plots as files: name and content.
fn pictures(page: &Page) -> Result<Vec<(String, Vec<u8>)>, PlotError> {
    let both = page.plots()?.into_par_iter().map(|plot| {
        let png = plot.to_png()?;
        let Plot { name, svg } = plot;
        Ok([(format!("{name}.svg"), svg.into_bytes()), (format!("{name}.png"), png)])
    });
    Ok(both.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    write_whole(folder.unwrap_or(Path::new(".")), path, content)
        .with_context(|| format!("{} can't be written; check the folder and the disk", path.display()))
}
