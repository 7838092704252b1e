//! Lines of words that fit.

use super::faint;
use console::measure_text_width;
use textwrap::{Options, WordSeparator, WordSplitter, core::Word, wrap};

/// Words up to this many characters are never broken.
const LONG: usize = 30;

/// A text in lines of at most `width`, broken between words, and where a word is long, behind its punctuation.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let options = Options::new(width.max(1))
        .word_separator(WordSeparator::Custom(pieces))
        .word_splitter(WordSplitter::NoHyphenation)
        .break_words(false);
    let lines = text.lines().flat_map(|line| wrap(line, &options));
    lines.map(|line| shortened(line.trim_end(), width)).collect()
}

/// The same as one text with a line's end: the first line stands behind `first`, the others as far in.
pub fn indented(first: &str, text: &str, width: usize) -> String {
    let indent = measure_text_width(first);
    let lines = wrapped(text, width.saturating_sub(indent));
    let mut lines = lines.iter();
    let mut text = format!("{first}{}", lines.next().map_or("", String::as_str));
    text.truncate(text.trim_end().len());
    for line in lines {
        text += &match line.is_empty() {
            true => "\n".to_owned(),
            false => format!("\n{:indent$}{line}", ""),
        };
    }
    text + "\n"
}

/// Names behind `first` in lines of at most `width`, as far in as the first; none is broken, `between` stands behind each.
pub fn names<'a>(first: &str, names: impl IntoIterator<Item = &'a str>, between: &str, width: usize) -> String {
    let indent = measure_text_width(first);
    let mut lines = vec![String::new()];
    let mut names = names.into_iter().peekable();
    while let Some(name) = names.next() {
        let word = format!("{name}{}", if names.peek().is_some() { between } else { "" });
        let last = lines.len() - 1;
        let taken = indent + measure_text_width(&lines[last]);
        if !lines[last].is_empty() && taken + 1 + measure_text_width(&word) > width {
            lines.push(word);
        } else {
            let gap = if lines[last].is_empty() { "" } else { " " };
            lines[last] += &format!("{gap}{word}");
        }
    }
    let body = lines.join(&format!("\n{:indent$}", ""));
    format!("{}\n", format!("{first}{body}").trim_end())
}

/// A command with what it is for behind it, or below where there is no room.
pub fn command(command: &str, what: &str, width: usize) -> String {
    let beside = measure_text_width(command) + 2 + measure_text_width(what);
    match beside <= width {
        true => format!("{command}  {}\n", faint(what)),
        false => indented("", command, width) + &indented("  ", &faint(what), width),
    }
}

/// What a text begins with, in a line of at most `width`.
pub fn beginning(text: &str, width: usize) -> String {
    let mut lines = wrapped(text, width.saturating_sub(2)).into_iter();
    let first = lines.next().unwrap_or_default();
    if lines.next().is_some() {
        format!("{first} …")
    } else {
        first
    }
}

/// A line that says by which options, of those not given, a command shows more.
pub fn more(command: &str, options: &[(&str, bool)], width: usize) -> String {
    let left = options.iter().filter(|(_, given)| !given).map(|(option, _)| *option);
    let left: Vec<&str> = left.collect();
    indented(&faint("more  "), &format!("{command} {}", left.join(" | ")), width)
}

/// A text of at most `width`, with `…` for its middle if it is longer.
pub fn shortened(text: &str, width: usize) -> String {
    if measure_text_width(text) <= width {
        return text.to_owned();
    }
    let kept = width.saturating_sub(1);
    let characters: Vec<char> = text.chars().collect();
    let (head, tail) = (kept.div_ceil(2), characters.len() - kept / 2);
    let of = |part: &[char]| part.iter().collect::<String>();
    format!("{}…{}", of(&characters[..head]), of(&characters[tail..]))
}

/// The longest part of a text that [`wrapped`] doesn't break.
pub fn longest(text: &str) -> usize {
    let words = text.lines().flat_map(pieces);
    words.map(|word| measure_text_width(word.word)).max().unwrap_or(0)
}

/// Words with the spaces behind them; long ones in pieces that end in punctuation.
fn pieces(line: &str) -> Box<dyn Iterator<Item = Word<'_>> + '_> {
    let parts = line.split_inclusive(' ').flat_map(|word| {
        let mut parts = Vec::new();
        let mut start = 0;
        if word.trim_end().chars().count() > LONG {
            let inside = word.match_indices(['/', ',', '(']).map(|(at, _)| at + 1);
            for end in inside.filter(|&end| end < word.trim_end().len()) {
                parts.push(&word[start..end]);
                start = end;
            }
        }
        parts.push(&word[start..]);
        parts
    });
    Box::new(parts.map(Word::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_long_words_behind_punctuation() {
        assert_eq!(wrapped("weight-evolution 50 %", 17), ["weight-evolution", "50 %"]);
        let long = "finetune(batch=16,learning_rate=0.001,length=128)";
        let lines = wrapped(long, 30);
        assert_eq!(lines.concat(), long);
        assert!(lines.iter().all(|line| line.ends_with([',', '(', ')'])), "{lines:?}");
        assert_eq!(longest("a learning_rate"), 13);
    }

    #[test]
    fn names_stay_whole_and_texts_end_where_the_line_does() {
        assert_eq!(names("n  ", ["one", "two/three"], ",", 8), "n  one,\n   two/three\n");
        assert_eq!(names("n  ", ["one", "two"], ",", 12), "n  one, two\n");
        assert_eq!(beginning("one two three", 13), "one two …");
        assert_eq!(beginning("one two", 13), "one two");
        console::set_colors_enabled(false);
        assert_eq!(command("list a", "one", 11), "list a  one\n");
        assert_eq!(command("list a", "one", 10), "list a\n  one\n");
    }

    #[test]
    fn what_is_too_long_loses_its_middle() {
        assert_eq!(shortened("abcdefghij", 10), "abcdefghij");
        assert_eq!(shortened("abcdefghij", 7), "abc…hij");
        assert_eq!(shortened("abcdefghij", 6), "abc…ij");
        assert_eq!(indented("x  ", "one two three", 10), "x  one two\n   three\n");
        assert_eq!(indented("x  ", "one\n\ntwo", 10), "x  one\n\n   two\n");
    }
}
