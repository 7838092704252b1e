//! What the world says is right, and what it holds out is nowhere in training. Every answer is worked out anew from the words.

use std::collections::{BTreeSet, HashMap};

use super::*;

/// The questions of a part with their right answers, as text.
fn answered(domain: Domain, part: Part) -> Vec<(String, String)> {
    let answered = |row: Value| {
        let gold = row["gold"].as_u64().expect("an index") as usize;
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        (text(&row["context"]), text(&row["choices"][gold]))
    };
    rows(domain, part).into_iter().map(answered).collect()
}

fn bytes_of(part: Part) -> usize {
    match part {
        Part::Train => 2_000_000,
        Part::Validation => 60_000,
    }
}

fn some_documents(domain: Domain, part: Part) -> Vec<String> {
    documents(domain, part, bytes_of(part))
}

/// The documents of a part, and its questions with their answers in the same form.
fn everything(domain: Domain, part: Part) -> Vec<String> {
    let questions = answered(domain, part).into_iter();
    let space = if domain == Domain::Programs { "" } else { " " };
    let questions = questions.map(|(context, answer)| format!("{context}{space}{answer}\n"));
    some_documents(domain, part).into_iter().chain(questions).collect()
}

/// Asserts that what `read` finds in the documents and questions of one part is not in the other, and that there is something.
fn assert_apart(domain: Domain, read: impl Fn(&str) -> Vec<String>) {
    let found = |part| -> BTreeSet<String> { everything(domain, part).iter().flat_map(|text| read(text)).collect() };
    let (train, held_out) = (found(Part::Train), found(Part::Validation));
    assert!(
        train.len() > held_out.len() && held_out.len() > 400,
        "{} held out",
        held_out.len()
    );
    let both: Vec<&String> = train.intersection(&held_out).take(3).collect();
    assert!(both.is_empty(), "in both parts: {both:?}");
}

#[test]
fn a_document_ends_in_a_newline_and_has_no_blank_line() {
    for (domain, part) in Domain::ALL
        .iter()
        .flat_map(|&domain| Part::ALL.map(|part| (domain, part)))
    {
        let all = some_documents(domain, part);
        assert!(
            all.iter()
                .all(|text| text.ends_with('\n') && !text.contains("\n\n") && text.is_ascii())
        );
        let bytes: usize = all.iter().map(String::len).sum();
        let wanted = bytes_of(part);
        assert!((wanted..wanted + 500).contains(&bytes), "{domain:?} {part:?}: {bytes}");
        assert_eq!(all, some_documents(domain, part), "the same each time");
    }
}

#[test]
fn questions_have_four_choices_with_the_right_one_anywhere() {
    for (domain, part) in Domain::ALL
        .iter()
        .flat_map(|&domain| Part::ALL.map(|part| (domain, part)))
    {
        let rows = rows(domain, part);
        assert_eq!(rows.len(), if part == Part::Train { 100 } else { 500 });
        let mut places = [0; 4];
        for row in &rows {
            let choices: BTreeSet<&str> = row["choices"]
                .as_array()
                .expect("a list")
                .iter()
                .filter_map(Value::as_str)
                .collect();
            assert_eq!(choices.len(), 4, "{row}");
            places[row["gold"].as_u64().expect("an index") as usize] += 1;
        }
        // Four standard deviations.
        let (mean, sd) = (rows.len() as f64 / 4.0, (rows.len() as f64 * 0.1875).sqrt());
        assert!(
            places.iter().all(|&count| (f64::from(count) - mean).abs() < 4.0 * sd),
            "{domain:?}: {places:?}"
        );
    }
}

#[test]
fn no_question_is_asked_in_both_parts() {
    for domain in Domain::ALL {
        let asked =
            |part| -> BTreeSet<String> { answered(domain, part).into_iter().map(|(context, _)| context).collect() };
        let (validation, train) = (asked(Part::Validation), asked(Part::Train));
        assert_eq!((validation.len(), train.len()), (500, 100), "each is asked once");
        assert!(validation.is_disjoint(&train));
    }
}

#[test]
fn choices_alone_do_not_give_the_answer_away() {
    for domain in Domain::ALL {
        let rows = rows(domain, Part::Validation);
        let choices = |row: &Value| -> Vec<String> {
            let choices = row["choices"].as_array().expect("a list").iter();
            choices
                .map(|choice| choice.as_str().expect("text").to_owned())
                .collect()
        };
        let gold = |row: &Value| row["gold"].as_u64().expect("an index") as usize;
        // How often a choice was right, and how often it was offered, in all rows.
        let mut record: HashMap<String, [f64; 2]> = HashMap::new();
        for row in &rows {
            for (index, choice) in choices(row).into_iter().enumerate() {
                let [right, offered] = record.entry(choice).or_default();
                *right += f64::from(u8::from(index == gold(row)));
                *offered += 1.0;
            }
        }
        let mut found = [0.0; 3];
        for row in &rows {
            let choices = choices(row);
            let rate = |index: usize| {
                // Without the row itself.
                let [right, offered] = record[&choices[index]];
                let own = f64::from(u8::from(index == gold(row)));
                (right - own + 0.25) / offered
            };
            let most =
                |score: &dyn Fn(usize) -> f64| (0..4).max_by(|&a, &b| score(a).total_cmp(&score(b))) == Some(gold(row));
            let length = |index: usize| choices[index].len() as f64;
            for (count, right) in found
                .iter_mut()
                .zip([most(&rate), most(&length), most(&|index| -length(index))])
            {
                *count += f64::from(u8::from(right)) / rows.len() as f64;
            }
        }
        assert!(
            found.iter().all(|&share| share < 0.36),
            "{domain:?}: by record, longest, shortest: {found:?}"
        );
    }
}

#[test]
fn answers_about_people_and_towns_are_those_of_the_training_text() {
    let mut told: HashMap<String, String> = HashMap::new();
    for line in some_documents(Domain::Facts, Part::Train)
        .iter()
        .flat_map(|text| text.lines())
    {
        if let Some((question, answer)) = line.split_once("? ") {
            let known = told.entry(format!("{question}?")).or_insert_with(|| answer.to_owned());
            assert_eq!(known, answer, "{question}");
        }
    }
    assert_eq!(told.len(), 240 * 5 + 40 * 3);
    for (question, answer) in answered(Domain::Facts, Part::Validation) {
        assert_eq!(told[&question], answer, "{question}");
    }
    let train: BTreeSet<String> = some_documents(Domain::Facts, Part::Train).into_iter().collect();
    assert!(
        some_documents(Domain::Facts, Part::Validation)
            .iter()
            .all(|text| !train.contains(text))
    );
}

/// Operation, smaller and larger number of every sentence, which must be true.
fn sums(text: &str) -> Vec<String> {
    let sentences = text.trim_end().trim_end_matches('.').split(". ");
    let sums = sentences.map(|sentence| {
        let numbers: Vec<u32> = sentence
            .split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect();
        let &[one, other, result] = numbers.as_slice() else {
            panic!("not three numbers: {sentence}");
        };
        let (least, most) = (one.min(other), one.max(other));
        let has = |one: &str, other: &str| sentence.contains(one) || sentence.contains(other);
        let (sign, right) = if has("plus", "sum") {
            ('+', one + other)
        } else if has("times", "product") {
            ('*', one * other)
        } else {
            assert!(has("minus", "difference"), "{sentence}");
            ('-', one - other)
        };
        assert_eq!(result, right, "{sentence}");
        format!("{sign} {least} {most}")
    });
    sums.collect()
}

#[test]
fn sums_are_right_and_held_out_pairs_are_not_trained_on() {
    assert_apart(Domain::Arithmetic, sums);
}

/// The list of a document, of which every sentence must be true.
fn lists(text: &str) -> Vec<String> {
    let items = |text: &str| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
    let mut sentences = text.trim_end().trim_end_matches('.').split(". ");
    let list = sentences
        .next()
        .and_then(|sentence| sentence.strip_prefix("The list is "))
        .expect("a list");
    let all = items(list);
    for sentence in sentences {
        let (begin, end) = sentence
            .rsplit_once(" is ")
            .or_else(|| sentence.rsplit_once(" comes "))
            .expect("a claim");
        let mut sorted = all.clone();
        sorted.sort();
        let (words, said) = (begin.split(' ').collect::<Vec<_>>(), items(end));
        let right: Vec<String> = match words.as_slice() {
            ["The", "number", ..] => vec![all.len().to_string()],
            ["The", "first"] => vec![all[0].clone()],
            ["The", "last"] => vec![all[all.len() - 1].clone()],
            ["Sorted,", "the", "first"] => vec![sorted[0].clone()],
            ["Sorted", "it"] => sorted,
            ["Again", "it"] => all.clone(),
            ["Backwards", "it"] => all.iter().rev().cloned().collect(),
            ["After", item] => vec![all[all.iter().position(|other| other == item).expect("in the list") + 1].clone()],
            ["Without", item, "it"] => all.iter().filter(|other| other != item).cloned().collect(),
            ["What", rest @ .., "lacks"] => {
                let rest = items(&rest.join(" "));
                all.iter().filter(|item| !rest.contains(item)).cloned().collect()
            }
            _ => panic!("unknown: {sentence}"),
        };
        assert_eq!(said, right, "{text}");
    }
    vec![list.to_owned()]
}

#[test]
fn lists_are_told_right_and_held_out_ones_are_not_trained_on() {
    assert_apart(Domain::Lists, lists);
}

/// A program without its last line, whose output must be what that line prints.
fn programs(text: &str) -> Vec<String> {
    let (source, output) = text.trim_end().split_once(")\n>").expect("a program and its output");
    let (source, names) = source.split_once("\nprint(").expect("a program that prints");
    let mut values: HashMap<&str, i32> = HashMap::new();
    for line in source.lines() {
        let value = |term: &str| term.parse().unwrap_or_else(|_| values[term]);
        let assignment = match line.strip_prefix("if(").and_then(|rest| rest.split_once(')')) {
            None => Some(line),
            Some((condition, assignment)) => {
                let (one, other) = condition.split_once('>').expect("a condition");
                (value(one) > value(other)).then_some(assignment)
            }
        };
        if let Some((target, sum)) = assignment.map(|text| text.split_once('=').expect("an assignment")) {
            let new = match (sum.split_once('+'), sum.split_once('-')) {
                (Some((one, other)), _) => value(one) + value(other),
                (_, Some((one, other))) => value(one) - value(other),
                _ => value(sum),
            };
            assert!((0..10).contains(&new), "{source}");
            values.insert(target, new);
        }
    }
    let printed: Vec<String> = names.split(',').map(|name| values[name].to_string()).collect();
    assert_eq!(printed.join(","), output, "{text}");
    vec![source.to_owned()]
}

#[test]
fn programs_print_what_is_said_and_held_out_ones_are_not_trained_on() {
    assert_apart(Domain::Programs, programs);
}

/// The story of a document, which must end as is said.
fn stories(text: &str) -> Vec<String> {
    let told = text
        .strip_prefix("Today ")
        .and_then(|text| text.trim_end().split_once(" So it ends. "));
    let (story, ends) = told.expect("a story and how it ends");
    let (mut places, mut things): (HashMap<&str, &str>, HashMap<&str, &str>) = Default::default();
    let mut before = "";
    for sentence in story.trim_end_matches('.').split(". ") {
        let words: Vec<&str> = sentence.split(' ').collect();
        let subject = if ["He", "She"].contains(&words[0]) {
            before
        } else {
            words[0]
        };
        before = subject;
        match words[1..] {
            ["is", "in", place] | ["goes", "to", place] => {
                assert_ne!(places.insert(subject, place), Some(place), "{story}");
            }
            [thing, "is", "with", name] => {
                things.insert(thing, name);
            }
            ["gives", "the", thing, "to", other] => {
                assert_eq!(places[subject], places[other], "{story}");
                assert_eq!(things.insert(thing, other), Some(subject), "{story}");
            }
            _ => panic!("unknown: {sentence}"),
        }
    }
    for line in ends.trim_end_matches('.').split(". ") {
        let right = match line.split(' ').collect::<Vec<_>>()[..] {
            ["The", thing, "is", "in", place] => places[things[thing]] == place,
            ["The", thing, "is", "with", name] => things[thing] == name,
            [name, "is", "in", place] => places[name] == place,
            _ => panic!("unknown: {line}"),
        };
        assert!(right, "{text}");
    }
    vec![story.to_owned()]
}

#[test]
fn stories_end_as_is_said_and_held_out_ones_are_not_trained_on() {
    assert_apart(Domain::Stories, stories);
}
