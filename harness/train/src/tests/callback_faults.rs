//! Callbacks that do not fit the model, another callback or a checkpoint.

use prunebench_tensor::Tensor;

use super::callbacks::{Gate, Masks, gated};
use super::*;

/// Says what it is told to say.
#[derive(Default)]
struct Says {
    leaves: Vec<(&'static str, &'static str)>,
    rates: Vec<Rate>,
    makes: Vec<&'static str>,
    made: Vec<(&'static str, usize)>,
}

impl Callback for Says {
    fn leaves(&self) -> Result<Vec<Leaf>> {
        let leaf = |&(name, group): &(&str, &'static str)| {
            Ok(Leaf {
                name: name.to_owned(),
                value: Tensor::ones(&[1], DType::F32, &devices().next().unwrap())?,
                group,
            })
        };
        self.leaves.iter().map(leaf).collect()
    }

    fn rates(&self) -> Vec<Rate> {
        self.rates.clone()
    }

    fn makes(&self) -> Vec<String> {
        self.makes.iter().map(ToString::to_string).collect()
    }

    fn before_pass(&mut self, _: &Pass, _: &Leaves) -> Result<Made> {
        let made = |&(name, count): &(&str, usize)| {
            let value = Tensor::ones(&[count], DType::F32, &devices().next().unwrap())?;
            Ok((name.to_owned(), value))
        };
        self.made.iter().map(made).collect()
    }
}

#[test]
fn a_callback_that_does_not_fit_is_refused_with_what_is_wrong() {
    let device = devices().next().unwrap();
    let decoder = decoder(gated(), DType::F32, &device);
    let rate = |group, learning_rate| Rate {
        group,
        learning_rate,
        weight_decay: 0.0,
    };
    let refusal = |mut says: Says| {
        let mut other = Masks::new(Gate::Identity, &rotary(), &device);
        other.names.truncate(1);
        let mut trainer = Trainer::new(&decoder, Trainable::All, settings(1), mixture(0), Vec::new(), 0).unwrap();
        trainer.call(&mut other).unwrap();
        let called = trainer.call(&mut says);
        let error = called.and_then(|()| trainer.train(&mut |_| {})).unwrap_err();
        assert!(matches!(error, TrainError::Callback(_)), "{error}");
        error.to_string()
    };
    let gates = "model.layers.2.mlp.channel_gates";
    for (leaves, rates, part) in [
        (
            vec![("model.norm.weight", "a")],
            vec![rate("a", 1.0)],
            "leaf `model.norm.weight` has the name of a parameter",
        ),
        (
            vec![("logits", "a")],
            vec![rate("a", 1.0)],
            "two leaves are named `logits`",
        ),
        (
            vec![("x", "a"), ("x", "a")],
            vec![rate("a", 1.0)],
            "two leaves are named `x`",
        ),
        (
            vec![("x", "a")],
            vec![],
            "leaf `x` is of group `a`, which has no rate; there are rates for none",
        ),
        (
            vec![("x", "a")],
            vec![rate("a", 1.0), rate("b", 1.0)],
            "a rate for group `b`, and no leaf is of it; groups are `a`",
        ),
        (
            vec![("x", "a")],
            vec![rate("a", 1.0), rate("a", 2.0)],
            "two rates for group `a`",
        ),
        (
            vec![("x", "a")],
            vec![rate("a", f64::NAN)],
            "group `a`: a learning rate of NaN",
        ),
    ] {
        let says = Says {
            leaves,
            rates,
            ..Says::default()
        };
        let text = refusal(says);
        assert!(text.contains(part), "{text}");
    }
    for (makes, made, part) in [
        (
            vec!["model.layers.7.mlp.channel_gates"],
            vec![],
            "the model has no such parameter; names are like `",
        ),
        (vec!["model.layers.0.mlp.channel_gates"], vec![], "is made twice"),
        (vec![gates], vec![], "is to be made, and no value came"),
        (
            vec![gates],
            vec![(gates, 11)],
            "is made in the shape [11], and the model has it in [12]",
        ),
        (vec![], vec![(gates, 12)], "what is to be made is none"),
        (vec![gates], vec![(gates, 12), (gates, 12)], "each once"),
    ] {
        let says = Says {
            makes,
            made,
            ..Says::default()
        };
        let text = refusal(says);
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_checkpoint_of_other_leaves_or_rates_is_refused_with_what_differs() {
    let device = devices().next().unwrap();
    let decoder = decoder(gated(), DType::F32, &device);
    let folder = tempfile::tempdir().unwrap();
    let resume = |learning_rate: f64| {
        let mut masks = Masks::new(Gate::Noisy, &decoder.graph, &device);
        masks.rates[0].learning_rate = learning_rate;
        let mut trainer = Trainer::new(&decoder, Trainable::All, settings(3), mixture(3), Vec::new(), 5).unwrap();
        trainer.call(&mut masks).unwrap();
        trainer.checkpoint_to(Checkpoints::new(folder.path().to_path_buf(), 1));
        let resumed = trainer.resume();
        if let Ok(false) = resumed {
            trainer.train(&mut |_| {}).unwrap();
        }
        resumed
    };
    assert!(!resume(0.05).unwrap());
    assert!(resume(0.05).unwrap());
    let error = resume(0.5).unwrap_err();
    assert!(matches!(error, TrainError::OtherRun { .. }), "{error}");
    assert!(error.to_string().contains("learnt values"), "{error}");
}
