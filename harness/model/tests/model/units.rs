//! Units that are gated, folded and cut out.

use prunebench_model::{Decoder, Units};
use prunebench_tensor::{DType, Device, Tensor};

use crate::small::{HIDDEN, KINDS, Kind, TYPES, WIDTH, assert_close, logits, patchwork, random};

/// Every kind of decoder on every device, in each element type with its rounding.
fn everywhere() -> impl Iterator<Item = (Device, Kind, (DType, f64))> {
    let of_device = |device| {
        KINDS
            .into_iter()
            .flat_map(move |kind| TYPES.map(|dtype| (device, kind, dtype)))
    };
    Device::available().into_iter().flat_map(of_device)
}

/// Ones, and 0 at the units that are lost.
fn gates(count: usize, lost: &[usize], device: &Device) -> Tensor {
    let gate = |unit| f32::from(!lost.contains(&unit));
    let gates: Vec<f32> = (0..count).map(gate).collect();
    Tensor::from_slice(&gates, &[count], device).unwrap()
}

/// Gates that nothing but their product could undo.
fn soft(count: usize, device: &Device) -> Tensor {
    let noise = Tensor::rand(&[count], 9, DType::F32, device).unwrap();
    noise.add_scalar(0.3).unwrap()
}

fn cut(decoder: &mut Decoder, units: Units, lost: &[usize]) {
    let count = decoder.units(units).unwrap();
    let kept: Vec<usize> = (0..count).filter(|unit| !lost.contains(unit)).collect();
    decoder.keep(units, &kept).unwrap();
}

fn mask(decoder: &mut Decoder, units: Units, lost: &[usize]) {
    let gates = gates(decoder.units(units).unwrap(), lost, &decoder.device());
    decoder.gate(units, &gates).unwrap();
}

#[test]
fn what_is_masked_and_what_is_cut_out_have_the_same_logits_unit_by_unit_and_all_together() {
    for (device, kind, (dtype, tolerance)) in everywhere() {
        let dense = kind.model(dtype, &device);
        let mut cases: Vec<(Units, Vec<usize>)> = vec![
            (Units::Stream, vec![0, 5, 6, 23]),
            (Units::Channels(0), vec![0, 7, 39]),
            (Units::Channels(3), (0..WIDTH - 1).collect()),
            (Units::Attentions, vec![0]),
            (Units::Ffns, vec![2]),
        ];
        if kind.kv_heads > 1 {
            cases.push((Units::Heads(3), vec![1]));
        }
        // Blocks last, so that the others keep their numbers.
        cases.push((Units::Blocks, vec![1]));
        let (mut all_masked, mut all_cut) = (dense.clone(), dense.clone());
        for (units, lost) in &cases {
            let what = format!("{device}, {dtype}, {}: {units}", kind.name);
            let (mut masked, mut small) = (dense.clone(), dense.clone());
            mask(&mut masked, *units, lost);
            cut(&mut small, *units, lost);
            let moved = logits(&masked)
                .iter()
                .zip(logits(&dense))
                .any(|(a, b)| (a - b).abs() > 1e-3);
            assert!(moved, "{what} changed nothing");
            assert_close(&logits(&small), &logits(&masked), tolerance, &what);
            cut(&mut all_cut, *units, lost);
            // A gate of a block takes the place of those of its halves, which here have their own.
            if *units != Units::Blocks {
                mask(&mut all_masked, *units, lost);
            }
        }
        mask(&mut all_masked, Units::Attentions, &[0, 1]);
        mask(&mut all_masked, Units::Ffns, &[1, 2]);
        let what = format!("{device}, {dtype}, {}: all", kind.name);
        assert_close(&logits(&all_cut), &logits(&all_masked), tolerance, &what);
        let counted = all_cut.accounting().unwrap().stored_parameters;
        assert!(counted < dense.accounting().unwrap().stored_parameters, "{what}");
    }
}

#[test]
fn folded_gates_give_the_logits_of_the_gates_and_then_cut_out_too() {
    for (device, kind, (dtype, tolerance)) in everywhere() {
        let mut gated = kind.model(dtype, &device);
        for units in [Units::Heads(0), Units::Channels(1), Units::Channels(2), Units::Blocks] {
            gated.gate(units, &soft(gated.units(units).unwrap(), &device)).unwrap();
        }
        let open = soft(HIDDEN, &device).mul(&gates(HIDDEN, &[2, 11], &device)).unwrap();
        gated.gate(Units::Stream, &open).unwrap();
        let what = format!("{device}, {dtype}, {}", kind.name);
        let mut folded = gated.clone();
        folded.fold_gates().unwrap();
        assert_close(&logits(&folded), &logits(&gated), tolerance, &what);
        let left: Vec<String> = folded.parameters().into_iter().map(|(name, _)| name).collect();
        let gates = left
            .iter()
            .filter(|name| name.contains("gate") && !name.contains("gate_proj"));
        assert_eq!(gates.collect::<Vec<_>>(), ["model.stream_gates"], "{what}");
        cut(&mut folded, Units::Stream, &[2, 11]);
        assert_close(&logits(&folded), &logits(&gated), tolerance, &what);
        assert!(!folded.graph.stream_gates, "{what}: nothing is gated any more");
        assert_eq!(folded.graph.hidden_size, HIDDEN - 2);
    }
}

#[test]
fn bias_and_delta_are_cut_and_folded_with_their_matrix() {
    for (device, kind, (dtype, tolerance)) in everywhere() {
        let dense = random(patchwork(kind), dtype, &device);
        let what = format!("{device}, {dtype}, {}", kind.name);
        let mut folded = dense.clone();
        folded.fold_gates().unwrap();
        assert_close(&logits(&folded), &logits(&dense), tolerance, &what);
        for (units, lost) in [(Units::Channels(1), vec![0, 3, 4]), (Units::Attentions, vec![0, 2])] {
            let (mut masked, mut small) = (folded.clone(), folded.clone());
            mask(&mut masked, units, &lost);
            cut(&mut small, units, &lost);
            assert_close(
                &logits(&small),
                &logits(&masked),
                tolerance,
                &format!("{what}: {units}"),
            );
        }
    }
}

#[test]
fn units_that_are_not_there_are_refused_by_name() {
    let device = Device::available()[0];
    let kind = KINDS[0];
    let dense = kind.model(DType::F32, &device);
    let refusal = |work: &dyn Fn(&mut Decoder) -> prunebench_model::Result<()>| {
        let mut decoder = dense.clone();
        let error = work(&mut decoder).unwrap_err().to_string();
        assert_eq!(decoder.graph, dense.graph, "{error}");
        error
    };
    let ones = |count| gates(count, &[], &device);
    for (error, part) in [
        (
            refusal(&|d| d.keep(Units::Channels(1), &[0, 40])),
            "FFN channels of block 1: 40 to be kept of 40",
        ),
        (
            refusal(&|d| d.keep(Units::Heads(9), &[0])),
            "key heads of block 9: there are 4 blocks",
        ),
        (
            refusal(&|d| d.keep(Units::Stream, &[])),
            "none of the channels of the residual stream would be left",
        ),
        (
            refusal(&|d| d.keep(Units::Stream, &[3, 3])),
            "each once and in rising order",
        ),
        (refusal(&|d| d.gate(Units::Heads(0), &ones(3))), "[4] is wanted"),
        (refusal(&|d| d.keep(Units::Blocks, &[])), "every block would be removed"),
    ] {
        assert!(error.contains(part), "{error}");
    }
    let mut bare = dense.clone();
    cut(&mut bare, Units::Attentions, &[0, 1, 2, 3]);
    let error = bare.keep(Units::Attentions, &[0]).unwrap_err().to_string();
    assert!(error.contains("there are no attentions"), "{error}");
    let error = bare.units(Units::Heads(1)).unwrap_err().to_string();
    assert!(error.contains("there are no key heads of block 1"), "{error}");
    let mut shut = dense.clone();
    shut.gate(Units::Stream, &gates(HIDDEN, &(0..HIDDEN).collect::<Vec<_>>(), &device))
        .unwrap();
    let error = shut.forward(&shut.ids(&[&[1]]).unwrap()).unwrap_err().to_string();
    assert!(error.contains("every gate of the residual stream is 0"), "{error}");
}
