//! Results in a pager, for those who ask for one.

use std::env;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::process::{Child, Command, Stdio};

use anyhow::Context;

/// What pages where `PAGER` names nothing: colours stay, and what fits a screen is only printed.
const USUAL: &str = "less -RFX";

/// A program that shows what goes to standard output, until it is dropped and has been read to its end.
pub struct Pager(Child);

impl Pager {
    /// Starts `PAGER`, where standard output is a terminal.
    ///
    /// # Errors
    /// If it can't be started.
    pub fn start() -> anyhow::Result<Option<Self>> {
        if !io::stdout().is_terminal() {
            return Ok(None);
        }
        let named = env::var("PAGER").ok().filter(|named| !named.trim().is_empty());
        let command = named.as_deref().unwrap_or(USUAL);
        // The width and the colours are those of the terminal behind it.
        super::keep_width();
        let mut child = Command::new("sh")
            .args(["-c", command])
            .stdin(Stdio::piped())
            .spawn()
            .with_context(|| format!("the pager `{command}` can't be started; name another in PAGER"))?;
        let input = child.stdin.take().context("the pager has no input")?;
        rustix::stdio::dup2_stdout(&input).context("standard output can't be given to the pager")?;
        Ok(Some(Self(child)))
    }
}

impl Drop for Pager {
    fn drop(&mut self) {
        // The pager waits for the end of what it reads; if it can't be told, it ends with this program.
        let closed = File::options().write(true).open("/dev/null");
        if closed.is_ok_and(|closed| rustix::stdio::dup2_stdout(&closed).is_ok()) {
            let _ = self.0.wait();
        }
    }
}
