//! What goes wrong in a run, and what is left of it.

use std::path::Path;

use prunebench_tensor::Tensor;

use super::*;

fn trainer<'a>(decoder: &'a Decoder, settings: Settings, folder: Option<&Path>) -> Trainer<'a> {
    let mut trainer = Trainer::new(decoder, Trainable::All, settings, mixture(3), Vec::new(), 5).unwrap();
    if let Some(folder) = folder {
        trainer.checkpoint_to(Checkpoints::new(folder.to_path_buf(), 1));
    }
    trainer
}

fn all_finite(decoder: &Decoder) -> bool {
    values(decoder).values().flatten().all(|x| x.is_finite())
}

#[test]
fn divergence_names_the_step_and_the_rate_and_leaves_the_weights_numbers() {
    for device in devices() {
        let decoder = f32_decoder(&device);
        let folder = tempfile::tempdir().unwrap();
        let steep = Settings {
            learning_rate: 1e30,
            ..settings(4)
        };
        let mut run = trainer(&decoder, steep, Some(folder.path()));
        let error = run.train(&mut |_| {}).unwrap_err();
        let checkpoint = folder.path().join("step-00000001");
        match &error {
            TrainError::Diverged {
                step: 2,
                learning_rate: 1e30,
                value,
                kept: Some(kept),
                ..
            } => {
                assert!(!value.is_finite());
                assert_eq!(*kept, checkpoint);
            }
            other => panic!("{device}: {other}"),
        }
        let text = error.to_string();
        for part in [
            "step 2",
            "now 1e30",
            "lower the learning rate",
            checkpoint.to_str().unwrap(),
        ] {
            assert!(text.contains(part), "{device}: {text}");
        }
        assert!(all_finite(&run.finish().unwrap().decoder), "{device}");
    }
}

#[test]
fn a_weight_that_is_no_number_is_seen_in_the_first_step() {
    for device in devices() {
        let mut decoder = f32_decoder(&device);
        let up = &mut decoder.blocks[1].linear_mut(LinearName::Up).unwrap().weight;
        *up = up.param().unwrap().detach().unwrap();
        up.write_slice(0, 3, &Tensor::full(&[1, 8], f64::NAN, DType::F32, &device).unwrap())
            .unwrap();
        let mut run = trainer(&decoder, settings(4), None);
        let error = run.train(&mut |_| {}).unwrap_err();
        assert!(
            matches!(
                error,
                TrainError::Diverged {
                    step: 1,
                    what: "loss",
                    kept: None,
                    ..
                }
            ),
            "{device}: {error}"
        );
        let broken = values(&run.finish().unwrap().decoder);
        let nan = broken.values().flatten().filter(|x| x.is_nan()).count();
        assert_eq!(nan, 8, "{device}: the step spread what was broken");
    }
}

#[test]
fn a_checkpoint_that_cannot_be_written_says_what_is_kept_and_the_run_goes_on_from_there() {
    for device in devices() {
        let decoder = f32_decoder(&device);
        let folder = tempfile::tempdir().unwrap();
        // Where the third checkpoint is to be made there is a file.
        let obstacle = folder.path().join("step-00000003");
        std::fs::write(&obstacle, b"").unwrap();
        let mut run = trainer(&decoder, settings(5), Some(folder.path()));
        let error = run.train(&mut |_| {}).unwrap_err();
        let whole = folder.path().join("step-00000002");
        match &error {
            TrainError::CheckpointNotWritten {
                step: 3,
                kept: Some(kept),
                ..
            } => assert_eq!(*kept, whole),
            other => panic!("{device}: {other}"),
        }
        let text = error.to_string();
        for part in ["step-00000003", "step-00000002 is whole and kept", "--resume"] {
            assert!(text.contains(part), "{device}: {text}");
        }
        std::fs::remove_file(&obstacle).unwrap();
        let mut again = trainer(&decoder, settings(5), Some(folder.path()));
        assert!(again.resume().unwrap());
        assert_eq!(again.step(), 2);
        again.train(&mut |_| {}).unwrap();
        let wanted = values(&trained(&decoder, Trainable::All, settings(5), &mut []).decoder);
        assert_eq!(values(&again.finish().unwrap().decoder), wanted, "{device}");
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_met_at_the_first_checkpoint_with_the_weights_still_there() {
    let device = devices().next().unwrap();
    let decoder = f32_decoder(&device);
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut run = trainer(&decoder, settings(3), Some(&file.path().join("checkpoints")));
    let error = run.train(&mut |_| {}).unwrap_err();
    assert!(
        matches!(
            error,
            TrainError::CheckpointNotWritten {
                step: 1,
                kept: None,
                ..
            }
        ),
        "{error}"
    );
    let one = trained(&decoder, Trainable::All, settings(1), &mut []);
    let left = run.finish().unwrap();
    assert_eq!(left.steps, 1);
    assert!(all_finite(&left.decoder) && left.decoder.parameters().len() == one.decoder.parameters().len());
}

#[test]
fn a_damaged_checkpoint_is_refused_by_name() {
    let device = devices().next().unwrap();
    let decoder = f32_decoder(&device);
    let folder = tempfile::tempdir().unwrap();
    trainer(&decoder, settings(3), Some(folder.path()))
        .train(&mut |_| {})
        .unwrap();
    let checkpoint = folder.path().join("step-00000002");
    let refusal = || {
        let mut run = trainer(&decoder, settings(3), Some(folder.path()));
        let text = run.resume().unwrap_err().to_string();
        assert_eq!(run.step(), 0);
        text
    };
    let tensors = checkpoint.join("tensors.safetensors");
    let whole = std::fs::read(&tensors).unwrap();
    std::fs::write(&tensors, &whole[..whole.len() - 10]).unwrap();
    let text = refusal();
    assert!(
        text.contains(tensors.to_str().unwrap()) && text.contains("not a whole safetensors file"),
        "{text}"
    );
    std::fs::write(checkpoint.join("state.json"), "{").unwrap();
    let text = refusal();
    assert!(text.contains("state.json") && text.contains("remove"), "{text}");
}
