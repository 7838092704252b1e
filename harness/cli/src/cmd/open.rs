//! `prunebench open`.

use std::env;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;

use crate::Outcome;
use crate::cmd::report::write_page;
use crate::cmd::stores::all_found;
use crate::output::{note, print};

/// Show results as a page with tables and plots, in the browser.
#[derive(Debug, Args)]
#[command(
    after_help = "The page is made anew, as `page.html` in the results folder, the first of several. It needs nothing else and no \
network. The browser is the one that $BROWSER names, else the desktop's; where there is none, the page's address is printed.

Examples:
  prunebench open quick
  prunebench open quick smol
  prunebench open quick --no-browser"
)]
pub struct Open {
    /// Experiments that were run, or folders of their results
    #[arg(value_name = "RESULTS", required = true)]
    results: Vec<PathBuf>,
    /// Only make the page
    #[arg(long)]
    no_browser: bool,
    /// Show on the page what becomes of this paper's claims by these records; may be given several times
    #[arg(long, value_name = "PAPER")]
    claims: Vec<String>,
}

impl Open {
    pub fn run(self) -> Outcome {
        let folders = all_found(&self.results)?;
        let page = folders[0].join("page.html");
        let names: Vec<String> = folders.iter().map(|folder| name(folder)).collect();
        write_page(
            &page,
            &folders,
            &self.claims,
            &format!("prunebench: {}", names.join(", ")),
        )?;
        let page = std::path::absolute(&page).with_context(|| page.display().to_string())?;
        if self.no_browser {
            return Ok(true);
        }
        let address = address(&page);
        match browser() {
            Some(browser) => {
                if let Err(reason) = browser.open(&address) {
                    note(&format!("the browser couldn't be started ({reason}); the page is at:"));
                    print(&format!("{address}\n"))?;
                }
            }
            None => {
                note("there is no browser on this machine's screen; the page is at:");
                print(&format!("{address}\n"))?;
            }
        }
        Ok(true)
    }
}

/// The experiment's name, or that of another folder.
fn name(folder: &Path) -> String {
    let folder = folder.file_name().unwrap_or(folder.as_os_str());
    folder.to_string_lossy().into_owned()
}

/// A program that shows pages.
#[derive(Debug, PartialEq, Eq)]
struct Browser {
    program: OsString,
    /// How long to wait for it. One that the user chose may take over the terminal until its end; what the desktop starts goes on
    /// by itself.
    wait: Option<Duration>,
}

fn browser() -> Option<Browser> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    if let Some(program) = set("BROWSER") {
        return Some(Browser { program, wait: None });
    }
    let program = if cfg!(target_os = "macos") {
        "open"
    } else {
        set("DISPLAY").or_else(|| set("WAYLAND_DISPLAY"))?;
        "xdg-open"
    };
    Some(Browser {
        program: program.into(),
        wait: Some(Duration::from_secs(3)),
    })
}

impl Browser {
    /// Starts it; the reason if it can't be started, or ends at once and not well.
    fn open(&self, address: &str) -> Result<(), String> {
        let shown = self.program.to_string_lossy();
        let mut command = Command::new(&self.program);
        command.arg(address);
        if self.wait.is_some() {
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        }
        let mut started = command.spawn().map_err(|error| format!("{shown}: {error}"))?;
        let begin = Instant::now();
        let ended = loop {
            let ended = match self.wait {
                None => started.wait().map(Some),
                Some(_) => started.try_wait(),
            };
            match ended.map_err(|error| format!("{shown}: {error}"))? {
                Some(status) => break status,
                None if self.wait.is_some_and(|wait| begin.elapsed() >= wait) => return Ok(()),
                None => sleep(Duration::from_millis(20)),
            }
        };
        match ended.success() {
            true => Ok(()),
            false => Err(format!("{shown}: {ended}")),
        }
    }
}

/// A path as browsers take it.
fn address(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes().iter();
    let letters = bytes.map(|&byte| match byte {
        b'/' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    });
    format!("file://{}", letters.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_no_letter_that_means_something_else_in_it() {
        assert_eq!(
            address(Path::new("/a b/ü#1?/page.html")),
            "file:///a%20b/%C3%BC%231%3F/page.html"
        );
    }

    #[test]
    fn a_browser_that_fails_or_is_not_there_says_so() {
        let with = |program: &str, wait| Browser {
            program: program.into(),
            wait,
        };
        let short = Some(Duration::from_millis(50));
        assert_eq!(with("true", None).open("x"), Ok(()));
        assert_eq!(with("true", short).open("x"), Ok(()));
        assert!(
            with("false", None)
                .open("x")
                .unwrap_err()
                .starts_with("false: exit status")
        );
        assert!(
            with("/none/such", short)
                .open("x")
                .unwrap_err()
                .starts_with("/none/such: ")
        );
        // One that goes on is left alone.
        assert_eq!(with("sleep", short).open("1"), Ok(()));
    }
}
