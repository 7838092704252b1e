//! The last lines of a terminal, drawn again while what they tell of changes.

use std::env;
use std::io::{self, IsTerminal};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use console::{Term, measure_text_width};
use indicatif::TermLike;

/// How often the lines are drawn.
const TICK: Duration = Duration::from_millis(100);

/// Back to the begin of the line, and nothing from there on.
const CLEAR: &str = "\r\u{1b}[J";

/// What is drawn.
pub trait Drawn: Send + 'static {
    /// The lines as they are now, none wider than `width`.
    fn lines(&self, width: usize) -> Vec<String>;
}

/// Lines that stand below everything else until this is dropped.
///
/// It draws by itself: indicatif's bars fill their lines up with spaces and let the terminal break them, and one that is made
/// narrower or wider then breaks all of them anew, as a single long line, and what was there before stays.
pub struct Region<D> {
    screen: Arc<Mutex<Screen<D>>>,
    /// Ends when nobody can tell it anything any more.
    ticker: Option<(Sender<()>, JoinHandle<()>)>,
}

struct Screen<D> {
    terminal: Box<dyn TermLike>,
    drawn: D,
    shown: Vec<String>,
}

/// Whether somebody sees standard error, on a terminal that can draw over what it shows.
pub fn is_live() -> bool {
    io::stderr().is_terminal() && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

impl<D: Drawn> Region<D> {
    /// On standard error; none where it is no terminal.
    pub fn on_terminal(drawn: D) -> Option<Self> {
        is_live().then(|| {
            let mut region = Self::new(Box::new(Term::buffered_stderr()), drawn);
            let (sender, ended) = channel();
            let screen = Arc::clone(&region.screen);
            let tick = move || {
                while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                    locked(&screen).draw(None);
                }
            };
            region.ticker = Some((sender, spawn(tick)));
            region
        })
    }

    fn new(terminal: Box<dyn TermLike>, drawn: D) -> Self {
        let screen = Screen {
            terminal,
            drawn,
            shown: Vec::new(),
        };
        Self {
            screen: Arc::new(Mutex::new(screen)),
            ticker: None,
        }
    }

    /// Changes what is drawn.
    pub fn change<T>(&self, change: impl FnOnce(&mut D) -> T) -> T {
        change(&mut locked(&self.screen).drawn)
    }

    /// Writes a line that stays, above the others.
    pub fn keep(&self, line: &str) {
        locked(&self.screen).draw(Some(line));
    }
}

impl<D> Drop for Region<D> {
    fn drop(&mut self) {
        if let Some((sender, ticker)) = self.ticker.take() {
            drop(sender);
            // Of a panic there it is told by itself, and what is shown goes all the same.
            let _ = ticker.join();
        }
        let mut screen = locked(&self.screen);
        screen.show(None, Vec::new());
    }
}

impl<D: Drawn> Screen<D> {
    fn draw(&mut self, kept: Option<&str>) {
        let (width, height) = (self.terminal.width().max(1), self.terminal.height());
        let mut lines = self.drawn.lines(width.into());
        // What is above the terminal's first row can't be drawn over.
        lines.truncate(usize::from(height).saturating_sub(1).max(1));
        if kept.is_some() || lines != self.shown {
            self.show(kept, lines);
        }
    }
}

impl<D> Screen<D> {
    /// Puts these lines in the place of those that are shown.
    fn show(&mut self, kept: Option<&str>, lines: Vec<String>) {
        let width = usize::from(self.terminal.width()).max(1);
        let kept = kept.map_or_else(String::new, |line| format!("{line}\r\n"));
        let text = format!("{CLEAR}{kept}{}", lines.join("\r\n"));
        let write = || {
            self.terminal
                .move_cursor_up(rows(&self.shown, width).saturating_sub(1))?;
            self.terminal.write_str(&text)?;
            self.terminal.flush()
        };
        // A terminal that is gone shows nothing, and the work goes on.
        let _ = write();
        self.shown = lines;
    }
}

/// The rows that lines take on a terminal that may have been made narrower since they were drawn.
fn rows(lines: &[String], width: usize) -> usize {
    let rows = lines.iter().map(|line| measure_text_width(line).div_ceil(width).max(1));
    rows.sum()
}

fn locked<D>(screen: &Mutex<Screen<D>>) -> MutexGuard<'_, Screen<D>> {
    screen.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub mod tests {
    use indicatif::InMemoryTerm;

    use super::*;

    impl<D: Drawn> Region<D> {
        /// On a terminal in memory, drawn by [`Region::draw`].
        pub fn in_memory(terminal: &InMemoryTerm, drawn: D) -> Self {
            Self::new(Box::new(terminal.clone()), drawn)
        }

        pub fn draw(&self) {
            locked(&self.screen).draw(None);
        }
    }

    struct Rulers(usize);

    impl Drawn for Rulers {
        fn lines(&self, width: usize) -> Vec<String> {
            vec!["-".repeat(width); self.0]
        }
    }

    #[test]
    fn lines_are_as_wide_as_the_terminal_and_what_is_kept_stays_above_them() {
        let terminal = InMemoryTerm::new(10, 30);
        let region = Region::in_memory(&terminal, Rulers(2));
        let ruler = "-".repeat(30);
        region.draw();
        assert_eq!(terminal.contents(), format!("{ruler}\n{ruler}"));
        region.keep("one");
        region.change(|rulers| rulers.0 = 1);
        region.draw();
        assert_eq!(terminal.contents(), format!("one\n{ruler}"));
        region.keep("two");
        drop(region);
        assert_eq!(terminal.contents(), "one\ntwo");
    }

    #[test]
    fn no_more_lines_are_drawn_than_the_terminal_has_rows() {
        let terminal = InMemoryTerm::new(4, 10);
        let region = Region::in_memory(&terminal, Rulers(9));
        for _ in 0..3 {
            region.draw();
            region.change(|rulers| rulers.0 += 1);
        }
        region.keep("kept");
        assert_eq!(terminal.contents().lines().count(), 4);
        drop(region);
        assert_eq!(terminal.contents(), "kept");
    }

    #[test]
    fn lines_of_a_terminal_made_narrower_take_more_rows() {
        let lines = ["a".repeat(100), String::new(), "b".repeat(60)];
        assert_eq!([100, 60, 59].map(|width| rows(&lines, width)), [3, 4, 5]);
    }
}
