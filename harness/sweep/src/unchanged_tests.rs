use std::fs::{self, File};
use std::thread::sleep;

use prunebench_model::source::ModelSource;
use prunebench_results::Metrics;

use super::*;
use crate::experiment::Experiment;
use crate::message::Request;
use crate::plan::Plan;
use crate::worker::measure;

const EVALUATION: &str = r#"
[evaluation]
perplexity = [{ protocol = "world/stream-128@1", windows = 1 }]
"#;

/// A folder of its own with the model `tiny`.
fn model() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    fs::create_dir(&model).unwrap();
    let Location::Path(tiny) = ModelSource::Tiny.resolve().unwrap().location else {
        panic!("tiny is a folder");
    };
    for entry in fs::read_dir(tiny).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), model.join(entry.file_name())).unwrap();
    }
    (folder, model)
}

/// The request of the cell with this recipe.
fn planned(model: &Path, recipe: &str, rest: &str) -> Request {
    let text = format!(
        r#"
        name = "a"
        models = ["{}"]
        recipes = ["{recipe}"]
        engines = ["{}"]
        seeds = [1]
        threads = 1
        {rest}
        "#,
        model.display(),
        prunebench_tensor::Engine::compiled()[0],
    );
    let file = model.with_extension("toml");
    fs::write(&file, text).unwrap();
    let plan = Plan::new(&Experiment::read(&file).unwrap(), None).unwrap();
    let cell = plan
        .cells
        .into_iter()
        .find(|cell| cell.cell.recipe == [recipe])
        .unwrap();
    cell.request
}

fn measured(request: &Request) -> Result<Metrics, CellError> {
    measure(request, &mut |_, _, _| {})
}

#[track_caller]
fn refused(request: &Request, wanted: &str, place: &str) {
    let error = measured(request).unwrap_err();
    assert!(
        matches!(&error, CellError::Changed { input, .. } if input == wanted),
        "{error}"
    );
    let message = error.to_string();
    assert!(
        message.contains(place) && message.contains("run or submit it again"),
        "{message}"
    );
}

#[test]
fn a_model_overwritten_between_its_plan_and_its_cell_is_refused() {
    let (_folder, model) = model();
    let request = planned(&model, "dense", EVALUATION);
    measured(&request).unwrap();
    let place = model.display().to_string();
    for (file, from, to) in [
        ("tokenizer_config.json", "{", "{ "),
        ("config.json", "0.00001", "0.00002"),
    ] {
        let path = model.join(file);
        let before = fs::read_to_string(&path).unwrap();
        let after = before.replacen(from, to, 1);
        assert_ne!(after, before, "{before}");
        fs::write(&path, after).unwrap();
        refused(&request, MODEL_INPUT, &place);
        fs::write(&path, before).unwrap();
        measured(&request).unwrap();
    }
}

#[test]
fn what_a_training_left_is_read_as_it_was_planned_or_not_at_all() {
    let (_folder, model) = model();
    let request = planned(&model, "snapshot(of=average)", EVALUATION);
    let path = model.join("trajectory.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    refused(&request, TRAINING_RUN_INPUT, &model.display().to_string());
}

#[test]
fn every_text_and_task_is_read_as_it_was_planned_or_not_at_all() {
    let (_folder, model) = model();
    let rest = r#"
        recovery.texts = ["world/lists-validation"]
        [calibration]
        text = "world"
        split = "train-sample"
        windows = 2
        window = 16
        [evaluation]
        perplexity = [{ protocol = "world/stream-128@1", windows = 1 }]
        tasks = ["world_facts"]
        limit = 1
    "#;
    let read_by = [
        ("dense", &["data:world/validation", "task:world_facts@1"][..]),
        ("shortgpt(ratio=0.25)", &["data:world/train-sample"]),
        ("lora(batch=1, length=16, steps=1)", &["data:world/lists-validation"]),
    ];
    for (recipe, inputs) in read_by {
        let request = planned(&model, recipe, rest);
        for input in inputs {
            let mut other = request.clone();
            *other.inputs.get_mut(*input).unwrap() = "another".to_owned();
            refused(&other, input, "made by this program");
        }
    }
}

#[test]
fn files_that_nobody_touched_are_not_hashed_again_and_any_other_is() {
    let (_folder, folder) = model();
    let model = folder
        .display()
        .to_string()
        .parse::<ModelSource>()
        .unwrap()
        .resolve()
        .unwrap();
    let wrong = Inputs::from([(MODEL_INPUT.to_owned(), "another".to_owned())]);
    let refused = |before| matches!(check_model(&model, before, &wrong), Err(CellError::Changed { .. }));
    let stamps = Stamps::of(&model).unwrap();
    assert!(refused(None) && !refused(Some(&stamps)));

    // The clock of the file system goes in steps.
    sleep(Duration::from_millis(50));
    let path = folder.join("config.json");
    let (content, modified) = (
        fs::read(&path).unwrap(),
        fs::metadata(&path).unwrap().modified().unwrap(),
    );
    fs::write(&path, &content).unwrap();
    File::options()
        .append(true)
        .open(&path)
        .unwrap()
        .set_modified(modified)
        .unwrap();
    assert!(refused(Some(&stamps)), "its time of modification was set back");
    let right = Inputs::from([(MODEL_INPUT.to_owned(), model.content_hash().unwrap())]);
    assert_ne!(check_model(&model, Some(&stamps), &right).unwrap(), stamps);
    fs::write(folder.join("chat_template.jinja"), "").unwrap();
    assert!(check_model(&model, Some(&stamps), &right).is_err(), "a file more");
}

#[test]
fn files_written_just_now_are_hashed_again() {
    let (_folder, folder) = model();
    let model = folder
        .display()
        .to_string()
        .parse::<ModelSource>()
        .unwrap()
        .resolve()
        .unwrap();
    assert!(!Stamps::of(&model).unwrap().are_settled());
    let random = "shape:llama-2-7b".parse::<ModelSource>().unwrap().resolve().unwrap();
    assert!(!Stamps::of(&random).unwrap().are_settled());
}
