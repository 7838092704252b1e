use prunebench_tensor::Engine;

use super::*;

const SMALL: &str = r#"
name = "a"
tokenizer = { bpe = 300 }
initialisation = "normal"
trajectory = ["linear"]
checkpoint_every = 2
[model]
architecture = "llama"
layers = 1
hidden = 8
heads = 2
width = 16
context = 32
tied = true
[[domain]]
text = "world/facts-validation"
[[domain]]
text = "world/lists-validation"
[[validation]]
text = "world/stories-validation"
windows = 2
[training]
steps = 3
batch = 2
length = 16
"#;

fn train(folder: &Path, text: &str, resume: bool) -> Result<Value> {
    train_heard(folder, text, resume, &mut |_, _| {})
}

/// Trains into `new` in a folder.
fn train_heard(folder: &Path, text: &str, resume: bool, observe: Observe) -> Result<Value> {
    let file = folder.join("a.toml");
    fs::write(&file, text).unwrap();
    let place = Place {
        device: Device::cpu(Engine::compiled()[0]),
        places: Places::from_env(None),
        out: folder.join("new"),
        resume,
    };
    pretrain(&Pretraining::read(&file)?, 0, &place, observe)
}

#[test]
fn the_best_weights_are_kept_though_they_are_the_last() {
    let folder = tempfile::tempdir().unwrap();
    // The only validation is after the last step.
    let provenance = train(folder.path(), SMALL, false).unwrap();
    assert_eq!(provenance["best"]["step"], 3);
    let device = Device::cpu(Engine::compiled()[0]);
    let run = TrainingRun::beside(&folder.path().join("new")).unwrap();
    let best = run.best(&device).unwrap();
    let last =
        prunebench_model::checkpoint::load_tensors(&folder.path().join("new/model.safetensors"), &device).unwrap();
    assert_eq!(best.len(), last.len());
    for (name, best) in best {
        assert_eq!(best.to_f64_vec().unwrap(), last[&name].to_f64_vec().unwrap(), "{name}");
    }
}

#[test]
fn a_file_that_wants_the_best_of_no_validation_is_refused_before_anything_is_trained() {
    let folder = tempfile::tempdir().unwrap();
    let (before, after) = SMALL.split_once("[[validation]]").unwrap();
    let (_, training) = after.split_once("[training]").unwrap();
    let without = format!("{before}[training]\nkeep_best = true\n{training}");
    let refusal = train(folder.path(), &without, false).unwrap_err().to_string();
    assert!(
        refusal.contains("`keep_best`") && refusal.contains("[[validation]]"),
        "{refusal}"
    );
    assert!(!folder.path().join("new.training").exists());
    // A warm-up that doesn't fit is met in the file.
    let warm = SMALL.replace("steps = 3", "steps = 3\nwarmup = 4");
    let refusal = train(folder.path(), &warm, false).unwrap_err().to_string();
    assert!(refusal.contains("a.toml") && refusal.contains("3 at most"), "{refusal}");
}

#[test]
fn a_run_goes_on_only_with_the_shares_averages_and_validation_of_the_one_that_stopped() {
    let folder = tempfile::tempdir().unwrap();
    // What comes into the model's place meanwhile stops the run, with a checkpoint after the second step.
    let in_the_way = folder.path().join("new");
    train_heard(folder.path(), SMALL, false, &mut |_, _| {
        fs::create_dir_all(in_the_way.join("other")).unwrap();
    })
    .unwrap_err();
    fs::remove_dir_all(&in_the_way).unwrap();
    for (from, to, what) in [
        (
            "text = \"world/lists-validation\"",
            "text = \"world/lists-validation\"\nshare = 0.5",
            "shares: ",
        ),
        ("[\"linear\"]", "[\"linear\", \"ema\"]", "averages: [\"linear\"], now"),
        ("windows = 2", "windows = 3", "validation: world/stories-validation: "),
    ] {
        let changed = SMALL.replace(from, to);
        assert_ne!(changed, SMALL);
        let refusal = train(folder.path(), &changed, true).unwrap_err().to_string();
        assert!(refusal.contains(what) && refusal.contains("start afresh"), "{refusal}");
    }
    train(folder.path(), SMALL, true).unwrap();
}
