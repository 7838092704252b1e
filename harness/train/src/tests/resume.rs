//! A run that is stopped and gone on with ends like one that was not.

use std::path::Path;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::weights::Weights;

const STEPS: u64 = 11;

/// Takes more from the domain with the higher loss, as methods do that mix by losses.
struct Balance;

impl Callback for Balance {
    fn validated(&mut self, _: &Moment, losses: &[(String, Loss)], mixture: &mut Mixture) -> Result<()> {
        let shares: Vec<f64> = losses.iter().map(|(_, loss)| loss.mean()).collect();
        mixture.set_proportions(&shares)
    }
}

/// Ends a run as a kill would, in the middle of a step.
struct Kill {
    steps: u64,
}

impl Callback for Kill {
    fn updated(&mut self, _: &Moment, _: &Weights) -> Result<()> {
        if self.steps == 0 {
            return Err(TrainError::Data("killed".to_owned()));
        }
        self.steps -= 1;
        Ok(())
    }
}

/// A model to train, and how.
struct Case<'a> {
    decoder: &'a Decoder,
    trainable: Trainable,
    settings: Settings,
}

/// What a run leaves.
#[derive(Debug, PartialEq)]
struct Left {
    weights: BTreeMap<String, Vec<f64>>,
    best: BTreeMap<String, Vec<f64>>,
    averages: BTreeMap<String, Vec<f64>>,
    /// The last checkpoint: weights, moments, averages, best weights.
    tensors: Vec<u8>,
    position: serde_json::Value,
    /// Lines of the log without the columns of times.
    log: Vec<Vec<String>>,
}

impl Case<'_> {
    fn run(&self, folder: &Path, every: u64, kill_after: Option<u64>) -> Result<Left> {
        let sets = vec![
            validated("text", &[&[0, 7, 4, 2]]),
            validated("questions", &[&[6, 7, 10, 4]]),
        ];
        let mut trainer = Trainer::new(
            self.decoder,
            self.trainable.clone(),
            self.settings.clone(),
            mixture(3),
            sets,
            5,
        )?;
        trainer.track_best();
        trainer.checkpoint_to(Checkpoints::new(folder.join("checkpoints"), every));
        let mut trajectory = Trajectory::new(&[Weighting::Linear, Weighting::Sqrt]);
        let mut kill = Kill {
            steps: kill_after.unwrap_or(u64::MAX),
        };
        let mut balance = Balance;
        trainer.call(&mut trajectory)?;
        trainer.call(&mut balance)?;
        trainer.call(&mut kill)?;
        trainer.resume()?;
        let names = ["text", "questions"].map(str::to_owned);
        trainer.log_to(Log::after(trainer.step(), &folder.join("log.csv"), &names)?);
        trainer.train(&mut |_| {})?;
        let outcome = trainer.finish()?;
        let checkpoint = folder
            .join("checkpoints")
            .join(format!("step-{:08}", (STEPS - 1) / every * every));
        let state = std::fs::read_to_string(checkpoint.join("state.json")).unwrap();
        let mut position: serde_json::Value = serde_json::from_str(&state).unwrap();
        position["seconds"] = 0.into();
        for entry in position["entries"].as_array_mut().unwrap() {
            (entry["seconds"], entry["tokens_per_second"]) = (0.into(), 0.into());
        }
        let mut log = csv::Reader::from_path(folder.join("log.csv")).unwrap();
        let cells = |line: csv::StringRecord| -> Vec<String> {
            let times = 2..4;
            line.iter()
                .enumerate()
                .filter(|(at, _)| !times.contains(at))
                .map(|(_, cell)| cell.to_owned())
                .collect()
        };
        Ok(Left {
            weights: values(&outcome.decoder),
            best: values(&outcome.best.unwrap().decoder),
            averages: trajectory
                .tensors()
                .into_iter()
                .map(|(name, t)| (name, t.to_f64_vec().unwrap()))
                .collect(),
            tensors: std::fs::read(checkpoint.join("tensors.safetensors")).unwrap(),
            position,
            log: log.records().map(|line| cells(line.unwrap())).collect(),
        })
    }
}

fn cases(device: &Device) -> [(Decoder, Trainable, Settings); 3] {
    let mut adapted = f32_decoder(device);
    let lora = Lora {
        dropout: 0.1,
        ..Lora::default()
    };
    lora.attach(&mut adapted, 4, true).unwrap();
    let settings = Settings {
        validate_every: Some(2),
        micro_batch: Some(3),
        schedule: Course::Cosine,
        warmup: 3,
        weight_decay: 0.1,
        clip: Some(1.0),
        ..settings(STEPS)
    };
    let half = Settings {
        bf16: true,
        packed: true,
        ..settings.clone()
    };
    [
        (adapted, Trainable::Adapters, settings.clone()),
        (f32_decoder(device), Trainable::All, settings),
        (f32_decoder(device), Trainable::All, half),
    ]
}

#[test]
fn a_run_stopped_at_a_drawn_step_and_resumed_ends_bit_by_bit_like_one_that_was_not() {
    let mut draws = ChaCha8Rng::seed_from_u64(0);
    for device in devices() {
        for (decoder, trainable, settings) in cases(&device) {
            let case = Case {
                decoder: &decoder,
                trainable,
                settings,
            };
            let every = draws.random_range(1..4);
            let whole = tempfile::tempdir().unwrap();
            let wanted = case.run(whole.path(), every, None).unwrap();
            assert_eq!(wanted.log.len() as u64, STEPS);
            // Stopped twice, the second time perhaps before the first checkpoint after the resumption.
            let stopped = tempfile::tempdir().unwrap();
            for _ in 0..2 {
                let error = case
                    .run(stopped.path(), every, Some(draws.random_range(1..STEPS / 2)))
                    .unwrap_err();
                assert!(error.to_string().contains("killed"), "{error}");
            }
            let got = case.run(stopped.path(), every, None).unwrap();
            assert!(
                got == wanted,
                "{device}, {:?}: {:?}\nwanted {:?}",
                case.trainable,
                got.log,
                wanted.log
            );
        }
    }
}

#[test]
fn without_a_checkpoint_a_run_starts_afresh() {
    let device = devices().next().unwrap();
    let decoder = f32_decoder(&device);
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = Trainer::new(&decoder, Trainable::All, settings(2), mixture(0), Vec::new(), 0).unwrap();
    assert!(!trainer.resume().unwrap());
    trainer.checkpoint_to(Checkpoints::new(folder.path().join("none"), 1));
    assert!(!trainer.resume().unwrap());
    assert_eq!(trainer.step(), 0);
}

/// A run of some steps with a checkpoint after each, in a folder.
fn trainer<'a>(decoder: &'a Decoder, folder: &Path) -> Trainer<'a> {
    let mut trainer = Trainer::new(decoder, Trainable::All, settings(4), mixture(3), Vec::new(), 5).unwrap();
    trainer.checkpoint_to(Checkpoints::new(folder.to_path_buf(), 1));
    trainer
}

#[test]
fn a_checkpoint_of_another_run_is_refused_with_what_differs() {
    let device = devices().next().unwrap();
    let model = f32_decoder(&device);
    let folder = tempfile::tempdir().unwrap();
    trainer(&model, folder.path()).train(&mut |_| {}).unwrap();

    let refusal = |decoder: &Decoder, trainable, settings, mixture, seed| {
        let mut trainer = Trainer::new(decoder, trainable, settings, mixture, Vec::new(), seed).unwrap();
        trainer.checkpoint_to(Checkpoints::new(folder.path().to_path_buf(), 1));
        let error = trainer.resume().unwrap_err();
        assert!(matches!(error, TrainError::OtherRun { .. }), "{error}");
        let text = error.to_string();
        assert!(
            text.contains("step-00000003") && text.contains("start afresh"),
            "{text}"
        );
        text
    };
    let all = || Trainable::All;
    let wider = Graph {
        vocab_size: 12,
        ..rotary()
    };
    let text = refusal(&decoder(wider, DType::F32, &device), all(), settings(4), mixture(3), 5);
    assert!(text.contains("model: vocab_size: 11, now 12"), "{text}");
    let slower = Settings {
        learning_rate: 1e-3,
        ..settings(4)
    };
    let text = refusal(&model, all(), slower, mixture(3), 5);
    assert!(text.contains("settings: learning_rate: 0.01, now 0.001"), "{text}");
    let text = refusal(&model, all(), settings(4), mixture(3), 6);
    assert!(text.contains("seed: 5, now 6"), "{text}");
    let part = Trainable::Named(vec!["mlp".to_owned()]);
    let text = refusal(&model, part, settings(4), mixture(3), 5);
    assert!(text.contains("trained parameters"), "{text}");
    let domain = |name: &str| Domain {
        name: name.to_owned(),
        source: Source::Stream((0..50).map(|i| i % 11).collect()),
    };
    let other = Mixture::new(vec![domain("text"), domain("questions")], &[0.5, 0.5], 6, 3).unwrap();
    let text = refusal(&model, all(), settings(4), other, 5);
    assert!(text.contains("data"), "{text}");
    // A model of the same shape with other weights.
    let retrained = trained(&model, all(), settings(1), &mut []).decoder;
    let text = refusal(&retrained, all(), settings(4), mixture(3), 5);
    assert!(text.contains("weights"), "{text}");
    let mut same = trainer(&model, folder.path());
    assert!(same.resume().unwrap());
    assert_eq!(same.step(), 3);
}

/// A run like the others with these shares of the domains, validation sets and averages.
struct Configured<'a> {
    decoder: &'a Decoder,
    shares: [f64; 2],
    sets: Vec<Validation>,
    averages: Option<Vec<Weighting>>,
}

impl Configured<'_> {
    fn resume_in(&self, folder: &Path, train: bool) -> Result<bool> {
        let mut data = mixture(3);
        data.set_proportions(&self.shares)?;
        let mut trainer = Trainer::new(self.decoder, Trainable::All, settings(4), data, self.sets.clone(), 5)?;
        trainer.checkpoint_to(Checkpoints::new(folder.to_path_buf(), 1));
        let mut trajectory = self.averages.as_deref().map(Trajectory::new);
        let mut balance = Balance;
        trainer.call(&mut balance)?;
        if let Some(trajectory) = &mut trajectory {
            trainer.call(trajectory)?;
        }
        let resumed = trainer.resume()?;
        if train {
            trainer.train(&mut |_| {})?;
        }
        Ok(resumed)
    }
}

#[test]
fn a_checkpoint_of_other_shares_averages_or_validation_sets_is_refused_with_what_differs() {
    let device = devices().next().unwrap();
    let decoder = f32_decoder(&device);
    let folder = tempfile::tempdir().unwrap();
    let sets = || {
        vec![
            validated("text", &[&[0, 7, 4, 2]]),
            validated("questions", &[&[6, 7, 10, 4]]),
        ]
    };
    let configured = || Configured {
        decoder: &decoder,
        shares: [0.5, 0.5],
        sets: sets(),
        averages: Some(vec![Weighting::Linear]),
    };
    // The balance moves the shares as the run goes on.
    configured().resume_in(folder.path(), true).unwrap();
    let refusal = |other: Configured| {
        let error = other.resume_in(folder.path(), false).unwrap_err();
        assert!(matches!(error, TrainError::OtherRun { .. }), "{error}");
        error.to_string()
    };
    let mut other = configured();
    other.shares = [0.75, 0.25];
    let text = refusal(other);
    assert!(text.contains("shares: [0.5,0.5], now [0.75,0.25]"), "{text}");
    for (averages, now) in [
        (Some(vec![Weighting::Linear, Weighting::Sqrt]), r#"["linear","sqrt"]"#),
        (Some(vec![]), "[]"),
        (None, "null"),
    ] {
        let mut other = configured();
        other.averages = averages;
        let text = refusal(other);
        assert!(text.contains(&format!("averages: [\"linear\"], now {now}")), "{text}");
    }
    let more = [sets(), vec![validated("poems", &[&[1, 2]])]].concat();
    let changed = vec![validated("text", &[&[0, 7, 4, 3]]), sets().remove(1)];
    for (sets, name) in [(more, "poems"), (changed, "text"), (sets()[..1].to_vec(), "questions")] {
        let mut other = configured();
        other.sets = sets;
        let text = refusal(other);
        assert!(text.contains(&format!("validation: {name}: ")), "{text}");
    }
    let mut same = configured();
    same.shares = [2.0, 2.0];
    assert!(same.resume_in(folder.path(), false).unwrap());
}

#[test]
fn a_checkpoint_that_does_not_say_what_it_was_made_with_is_refused() {
    let device = devices().next().unwrap();
    let decoder = f32_decoder(&device);
    let folder = tempfile::tempdir().unwrap();
    trainer(&decoder, folder.path()).train(&mut |_| {}).unwrap();
    let file = folder.path().join("step-00000003/state.json");
    let mut state: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    for key in ["shares", "validation"] {
        assert!(state["identity"].as_object_mut().unwrap().remove(key).is_some());
    }
    std::fs::write(&file, state.to_string()).unwrap();
    let text = trainer(&decoder, folder.path()).resume().unwrap_err().to_string();
    for part in ["does not say its shares", "earlier version", "start afresh"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn what_a_killed_run_left_half_written_is_passed_over_and_replaced() {
    for device in devices() {
        let decoder = f32_decoder(&device);
        let folder = tempfile::tempdir().unwrap();
        let names = || {
            let entries = std::fs::read_dir(folder.path()).unwrap();
            let mut names: Vec<String> = entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        let mut kill = Kill { steps: 2 };
        let mut first = trainer(&decoder, folder.path());
        first.call(&mut kill).unwrap();
        let killed = first.train(&mut |_| {});
        assert!(killed.is_err());
        assert_eq!(names(), ["step-00000002"]);
        // As this version calls it, and as earlier ones did.
        for partial in [".step-00000003.a1B2c3.partial", "step-00000003.partial"] {
            let partial = folder.path().join(partial);
            std::fs::create_dir(&partial).unwrap();
            std::fs::write(partial.join("tensors.safetensors"), b"half of it").unwrap();
        }
        let mut second = trainer(&decoder, folder.path());
        assert!(second.resume().unwrap());
        assert_eq!(second.step(), 2);
        second.train(&mut |_| {}).unwrap();
        assert_eq!(names(), ["step-00000003"], "{device}");
        let wanted = trained(&decoder, Trainable::All, settings(4), &mut []);
        assert_eq!(
            values(&second.finish().unwrap().decoder),
            values(&wanted.decoder),
            "{device}"
        );
    }
}

#[test]
fn a_run_started_afresh_replaces_the_checkpoints_of_the_one_before() {
    let device = devices().next().unwrap();
    let decoder = f32_decoder(&device);
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        trainer(&decoder, folder.path()).train(&mut |_| {}).unwrap();
    }
    let mut again = trainer(&decoder, folder.path());
    assert!(again.resume().unwrap());
    assert_eq!(again.step(), 3);
}
