//! What templates and their filters do, and what they say when they fail.

use serde::Deserialize;
use serde_json::json;

use super::*;

#[derive(Deserialize)]
struct File {
    text: Spanned<String>,
}

fn template(content: &str) -> Template {
    let file: File = toml::from_str(content).expect("valid");
    Template::new("tasks/a", "prompt.context", file.text, content)
}

/// The template between three quotes that open on line 1.
fn render(text: &str, row: serde_json::Value) -> Result<String> {
    let template = template(&format!("text = '''{text}'''"));
    let place = Place { split: "test", row: 7 };
    Engine::new("tasks/a")?
        .template(&template)?
        .render(&values(&row), &place)
}

fn evaluate<T>(text: &str, row: serde_json::Value, read: impl Fn(&CompiledExpression, &Value, &Place) -> T) -> T {
    let template = template(&format!("text = '''{text}'''"));
    let engine = Engine::new("tasks/a").expect("set up");
    let expression = engine.expression(&template).expect("compiles");
    read(&expression, &values(&row), &Place { split: "test", row: 7 })
}

fn texts(text: &str, row: serde_json::Value) -> Result<Vec<String>> {
    evaluate(text, row, |expression, row, place| expression.texts(row, place))
}

fn index(text: &str, row: serde_json::Value) -> Result<usize> {
    evaluate(text, row, |expression, row, place| expression.index(row, place, 4))
}

fn located(error: Error) -> (usize, Option<String>, TemplateProblem) {
    match error {
        Error::Template {
            file,
            line,
            key,
            row,
            problem,
        } => {
            assert_eq!((file.as_str(), key), ("tasks/a", "prompt.context"));
            (line, row, problem)
        }
        other => panic!("not of a template: {other}"),
    }
}

#[test]
fn text_stays_as_it_is_to_the_last_newline() {
    let row = json!({ "a": "<\"x\" & 'ü'>\n" });
    assert_eq!(render("{{ a }} é\n\n", row).expect("renders"), "<\"x\" & 'ü'>\n é\n\n");
}

#[test]
fn pythons_methods_of_strings_and_lists_are_there() {
    let row = json!({ "a": " Two Words ", "list": ["x", "y"], "number": 3 });
    for (template, expected) in [
        (
            "{{ a.strip() }}|{{ a.lstrip() }}|{{ a.split(' ')[-2] }}",
            "Two Words|Two Words |Words",
        ),
        ("{{ a.replace('o', '0') }}", " Tw0 W0rds "),
        ("{{ 'él A'.capitalize() }}", "Él a"),
        ("{{ list.index('y') }}", "1"),
        ("{{ a[:2] ~ a[-1:] }}|", " T |"),
    ] {
        assert_eq!(render(template, row.clone()).expect("renders"), expected);
    }
    let error = render("{{ list.index('z') }}", row).expect_err("absent").to_string();
    assert!(error.contains("'z' is not in ['x', 'y']"), "{error}");
}

#[test]
fn regex_replace_replaces_all_and_knows_groups() {
    let row = json!({ "a": "a[b] c[d]" });
    let rendered = render(r#"{{ a | regex_replace("\\[(.*?)\\]", "<$1>") }}"#, row.clone());
    assert_eq!(rendered.expect("renders"), "a<b> c<d>");
    let error = render(r#"{{ a | regex_replace("[", "") }}"#, row).expect_err("no pattern");
    assert!(error.to_string().contains("no regular expression"), "{error}");
}

#[test]
fn python_literals_become_lists_and_objects() {
    let literal = r#"[{'q': "it's", 'n': -2, 'f': 1.5, 'l': ['a"b', 'c\\d\x41\u00e9\n'], 'none': None, 'yes': True}]"#;
    let template = "{% set v = a | python_literal %}{{ v[0].q }}|{{ v[0].n + 1 }}|{{ v[0].f }}|{{ v[0].l | join(';') }}|\
                    {{ v[0].none is none }}|{{ v[0].yes }}";
    let rendered = render(template, json!({ "a": literal })).expect("renders");
    assert_eq!(rendered, "it's|-1|1.5|a\"b;c\\dAé\n|True|True");
}

#[test]
fn what_is_no_python_literal_is_an_error() {
    for wrong in ["[1, ", "name", r"'\U0001f600'", "", "f()"] {
        let error = render("{{ a | python_literal }}", json!({ "a": wrong })).expect_err(wrong);
        assert!(error.to_string().contains("no Python literal"), "{wrong}: {error}");
    }
}

#[test]
fn an_undefined_field_is_named_with_file_line_and_row() {
    let content = "# one\n# two\ntext = '''\nfirst {{ a }}\nsecond {{ gone.x | trim }}'''";
    let template = template(content);
    let engine = Engine::new("tasks/a").expect("set up");
    let compiled = engine.template(&template).expect("compiles");
    let place = Place { split: "test", row: 7 };
    let error = compiled
        .render(&values(&json!({ "a": 1 })), &place)
        .expect_err("undefined");
    let text = error.to_string();
    assert!(
        text.starts_with("catalogue/tasks/a.toml, line 5, prompt.context, at row 7 of test (the first is 0): `gone"),
        "{text}"
    );
    let (line, row, problem) = located(error);
    assert_eq!((line, row.is_some()), (5, true));
    assert!(matches!(problem, TemplateProblem::Undefined { .. }), "{problem}");
}

#[test]
fn lines_of_a_single_line_string_are_that_line() {
    let template = template("# one\ntext = \"a\\nb\\n{{ gone }}\"");
    let engine = Engine::new("tasks/a").expect("set up");
    let place = Place { split: "test", row: 0 };
    let compiled = engine.template(&template).expect("compiles");
    let (line, _, problem) = located(compiled.render(&values(&json!({})), &place).expect_err("undefined"));
    assert_eq!(line, 2);
    assert_eq!(
        problem,
        TemplateProblem::Undefined {
            expression: "gone".to_owned()
        }
    );
}

#[test]
fn a_syntax_error_has_its_line_and_no_row() {
    let template = template("text = '''\n\n{% if %}'''");
    let error = Engine::new("tasks/a")
        .expect("set up")
        .template(&template)
        .err()
        .expect("refused");
    let (line, row, problem) = located(error);
    assert_eq!((line, row), (3, None));
    assert!(problem.to_string().contains("syntax error"), "{problem}");
}

#[test]
fn choices_must_be_a_list_of_texts() {
    assert_eq!(texts("[a, 'b']", json!({ "a": "x" })).expect("texts"), ["x", "b"]);
    assert_eq!(texts("l | map('upper')", json!({ "l": ["x"] })).expect("texts"), ["X"]);
    for (text, found) in [("a", "x"), ("3", "3"), ("['x', 3]", "['x', 3]"), ("none", "None")] {
        let (_, _, problem) = located(texts(text, json!({ "a": "x" })).expect_err(text));
        assert_eq!(
            problem,
            TemplateProblem::NoTexts {
                found: found.to_owned()
            }
        );
    }
    let (_, _, problem) = located(texts("[]", json!({})).expect_err("empty"));
    assert_eq!(problem, TemplateProblem::NoChoices);
    let (_, _, problem) = located(texts("gone", json!({})).expect_err("undefined"));
    assert!(matches!(problem, TemplateProblem::Undefined { .. }), "{problem}");
}

#[test]
fn the_answer_must_be_the_index_of_a_choice() {
    assert_eq!(index("a", json!({ "a": 3 })).expect("index"), 3);
    assert_eq!(index("a | int", json!({ "a": "2" })).expect("index"), 2);
    for (value, found) in [
        (json!(4), "4"),
        (json!(-1), "-1"),
        (json!("1"), "1"),
        (json!(true), "True"),
        (json!(null), "None"),
    ] {
        let error = index("a", json!({ "a": value })).expect_err(found);
        let text = error.to_string();
        assert!(text.contains("wanted the index of one of 4 choices (0 to 3)"), "{text}");
        let (_, _, problem) = located(error);
        let found = found.to_owned();
        assert_eq!(problem, TemplateProblem::WrongGold { found, choices: 4 });
    }
}
