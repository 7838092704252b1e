//! The HTML page, and its plots as files.

use std::fs::create_dir_all;
use std::path::{Path, PathBuf};

use anyhow::Context;
use prunebench_reports::{Page, Plot, PlotError};
use prunebench_results::read_samples;
use prunebench_sweep::{baseline, listed_records, records_folder};
use rayon::prelude::*;

use super::Report;
use crate::Outcome;
use crate::cmd::claims::scorecards;
use crate::output::{note, print};

/// Records whose samples are held together.
const AT_ONCE: usize = 64;

impl Report {
    pub(super) fn page(&self) -> Outcome {
        let baseline = baseline();
        let page = page(&self.folders, &self.claims, &baseline)?;
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

/// Writes the page of these folders' records, and what becomes of these papers' claims by them.
pub fn write_page(path: &Path, folders: &[PathBuf], claims: &[String], title: &str) -> anyhow::Result<()> {
    let html = page(folders, claims, &baseline())?.to_html(title)?;
    write(path, html.as_bytes())?;
    note(&format!("page: {}", path.display()));
    Ok(())
}

fn page<'a>(folders: &[PathBuf], claims: &[String], baseline: &'a [String]) -> anyhow::Result<Page<'a>> {
    let mut page = Page::new(baseline);
    if !claims.is_empty() {
        for scorecard in scorecards(claims, folders)? {
            page.add_scorecard(scorecard);
        }
    }
    for folder in folders {
        let inside = records_folder(folder);
        let mut records = listed_records(folder)?;
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
    Ok(page)
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
    prunebench_files::write(path, content)
        .with_context(|| format!("{} can't be written; check the folder and the disk", path.display()))
}
