//! What the lines of every region are made of.

use std::time::Duration;

use console::{Style, measure_text_width};

use crate::terminal::shortened;

/// A bar narrower than this says nothing.
const NARROW: usize = 8;

/// A bar wider than this says no more.
const WIDE: usize = 40;

/// What is red on standard error.
pub fn red(text: &str) -> String {
    Style::new().for_stderr().red().apply_to(text).to_string()
}

/// What is yellow there.
pub fn yellow(text: &str) -> String {
    Style::new().for_stderr().yellow().apply_to(text).to_string()
}

/// What is green there.
pub fn green(text: &str) -> String {
    Style::new().for_stderr().green().apply_to(text).to_string()
}

/// What is bold there.
pub fn bold(text: &str) -> String {
    Style::new().for_stderr().bold().apply_to(text).to_string()
}

/// `name  ━━━━━────  words`, the bar as wide as there is room. `failed` is a part of the words that is red.
pub fn line(name: &str, fraction: f64, words: &str, failed: Option<&str>, width: usize) -> String {
    let room = width.saturating_sub(measure_text_width(words) + 2);
    // The words count for more than the name, and the name for more than the bar.
    let name = shortened(name, room.max(1));
    let room = room.saturating_sub(measure_text_width(&name) + 2);
    let plain = format!("{name}  {words}");
    if measure_text_width(&plain) > width {
        return shortened(&plain, width);
    }
    let words = match failed {
        Some(failed) => words.replacen(failed, &red(failed), 1),
        None => words.to_owned(),
    };
    match room {
        ..NARROW => format!("{}  {words}", bold(&name)),
        _ => format!("{}  {}  {words}", bold(&name), bar(fraction, room.min(WIDE))),
    }
}

fn bar(fraction: f64, width: usize) -> String {
    let filled = (fraction.clamp(0.0, 1.0) * width as f64) as usize;
    let rest = Style::new().for_stderr().dim().apply_to("─".repeat(width - filled));
    format!("{}{rest}", green(&"━".repeat(filled)))
}

/// `1:05`, or `1:00:05` of more than an hour.
pub fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds % 3600 / 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// The time that went by, and that is left, where that can be said.
pub fn times(gone: Duration, left: Option<f64>) -> String {
    let left = left.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let left = left.map_or_else(String::new, |left| format!(", about {} left", clock(left)));
    format!("{}{left}", clock(gone))
}

/// `perplexity 12/64`, or the phase alone if it is a single step, and `lora 12/60 · loss 0.94` of `lora: loss 0.94`: a training
/// says its numbers behind its name.
pub fn phase(phase: &str, done: usize, total: usize) -> String {
    let (phase, numbers) = named(phase);
    let counted = match total {
        0 | 1 => phase.to_owned(),
        _ => format!("{phase} {done}/{total}"),
    };
    match numbers {
        "" => counted,
        numbers => format!("{counted} · {numbers}"),
    }
}

/// The name of a phase, and its numbers.
pub fn named(phase: &str) -> (&str, &str) {
    phase.split_once(": ").unwrap_or((phase, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_loses_its_bar_before_its_name_and_its_name_before_its_words() {
        console::set_colors_enabled_stderr(false);
        let words = "1 of 4 · 0:02";
        assert_eq!(
            line("name", 0.25, words, None, 33),
            format!("name  ━━━─────────  {words}")
        );
        assert_eq!(line("name", 0.25, words, None, 24), format!("name  {words}"));
        assert_eq!(line("a long name", 0.25, words, None, 20), format!("a …me  {words}"));
        for width in 1..60 {
            let line = line("a long name", 0.9, words, Some("of"), width);
            assert!(measure_text_width(&line) <= width, "{width}: {line}");
        }
    }

    #[test]
    fn a_phase_is_counted_and_its_numbers_stand_behind() {
        assert_eq!(phase("perplexity", 3, 64), "perplexity 3/64");
        assert_eq!(phase("load", 0, 1), "load");
        assert_eq!(
            phase("lora: loss 0.94, 589 tokens/s", 2, 60),
            "lora 2/60 · loss 0.94, 589 tokens/s"
        );
    }

    #[test]
    fn times_are_to_the_second() {
        assert_eq!(
            times(Duration::from_millis(65_900), Some(35.2)),
            "1:05, about 0:35 left"
        );
        assert_eq!(times(Duration::from_secs(3605), None), "1:00:05");
        assert_eq!(times(Duration::ZERO, Some(f64::NAN)), "0:00");
    }
}
