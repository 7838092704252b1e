use serde_json::json;

use super::*;

#[test]
fn names_of_folders_and_hashes_are_those_of_lm_eval() {
    // By lm_eval.utils: sanitize_model_name and hash_string.
    assert_eq!(sanitised("org/name:x[1]?*y"), "org__name__x__1__y");
    assert_eq!(
        hash("a"),
        "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
    );
    let time = file_time();
    assert!(
        time.len() == 26 && time.as_bytes()[10] == b'T' && time.as_bytes()[19] == b'.',
        "{time}"
    );
}

#[test]
fn a_document_is_hashed_as_python_prints_it() {
    // hash_string(json.dumps(document, indent=2, ensure_ascii=False)) in Python.
    let document = json!({ "z": "é\n\u{7f}\u{1f}", "a": [1, 2.5, null, true], "e": [], "o": {} });
    let printed = "{\n  \"z\": \"é\\n\u{7f}\\u001f\",\n  \"a\": [\n    1,\n    2.5,\n    null,\n    true\n  ],\n  \"e\": [],\n  \"o\": {}\n}";
    assert_eq!(format!("{document:#}"), printed);
}

#[test]
fn a_task_with_two_numbers_of_shots_is_refused() {
    let request = |shots| TaskRequest {
        task: "arc_easy@1".into(),
        shots,
        shots_split: None,
        shots_seed: 1234,
        limit: None,
        divergence: false,
    };
    assert!(LmEvalOutput::check(&[request(0)]).is_ok());
    let error = LmEvalOutput::check(&[request(0), request(5)]).unwrap_err();
    assert!(
        matches!(
            error,
            LmEvalError::Twice {
                first: 0,
                second: 5,
                ..
            }
        ),
        "{error}"
    );
}
