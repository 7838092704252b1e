//! The dense model beside a compressed one: its final hidden states at the scored positions, which are the same for every cell
//! that asks the same requests.

use std::time::Instant;

use prunebench_model::Decoder;
use prunebench_results::{SharedWork, SharedWorkCache};
use prunebench_tensor::{DType, Tensor};
use serde::{Deserialize, Serialize};

use crate::likelihood::{ROWS_AT_ONCE, Reader, Reading};
use crate::{Error, Result};

/// What [`Dense::shared`] holds, with a version that is raised when its numbers change.
pub const DENSE_STATES: &str = "hidden states of the dense model @1";
/// About how large a part of the work is: it is held in memory as a whole. Tests have parts of one pass.
const PART_BYTES: usize = if cfg!(test) { 1 } else { 64 << 20 };

/// The dense model to compare with.
#[derive(Clone, Copy)]
pub struct Dense<'a> {
    /// The model.
    pub decoder: &'a Decoder,
    /// Where its hidden states are kept for other cells, of the same requests to the same model.
    pub shared: Option<(&'a SharedWorkCache, &'a SharedWork)>,
}

/// Reads passes with the dense model, or takes what another cell read.
pub(crate) struct DenseReader<'a> {
    reader: Reader<'a>,
    shared: Option<(&'a SharedWorkCache, &'a SharedWork)>,
    /// Seconds of those that made what was taken, less those of sharing.
    pub(crate) seconds_of_others: f64,
}

/// Hidden states `[rows, hidden]` as numbers, exact for their dtype.
#[derive(Serialize, Deserialize)]
pub(crate) struct States {
    rows: usize,
    values: Values,
}

#[derive(Serialize, Deserialize)]
enum Values {
    Single(Vec<f32>),
    Double(Vec<f64>),
}

impl<'a> DenseReader<'a> {
    pub(crate) fn new(Dense { decoder, shared }: Dense<'a>, capacity: Option<usize>) -> Result<Self> {
        Ok(Self {
            reader: Reader::new(decoder, capacity)?,
            shared,
            seconds_of_others: 0.0,
        })
    }

    pub(crate) fn decoder(&self) -> &'a Decoder {
        self.reader.decoder()
    }

    /// Passes whose hidden states are about a part, at least one.
    pub(crate) fn passes_at_once(&self) -> usize {
        let row = self.decoder().graph.hidden_size * DType::F32.size_in_bytes();
        (PART_BYTES / (ROWS_AT_ONCE * row).max(1)).max(1)
    }

    /// The states of consecutive passes, a part of the work. They don't depend on the passes before: the cache begins empty,
    /// since a beginning that is read in other pieces differs in the last digits.
    pub(crate) fn hidden(&mut self, passes: &[Reading]) -> Result<Vec<States>> {
        let Self { reader, shared, .. } = self;
        let mut make = || -> Result<Vec<States>> {
            reader.forget();
            passes.iter().map(|pass| States::of(&reader.read(pass)?.1)).collect()
        };
        let Some((cache, work)) = *shared else {
            return make();
        };
        let start = Instant::now();
        let part: Vec<_> = passes.iter().map(|pass| (pass.prefix, &pass.sequences)).collect();
        let (seconds, states) = cache.share(work, part, || {
            let start = Instant::now();
            let made = make()?;
            Ok::<_, Error>((start.elapsed().as_secs_f64(), made))
        })?;
        self.seconds_of_others += seconds - start.elapsed().as_secs_f64();
        Ok(states)
    }
}

impl States {
    fn of(hidden: &Tensor) -> Result<Self> {
        Ok(Self {
            rows: hidden.dim(0)?,
            values: match hidden.dtype() {
                DType::F64 => Values::Double(hidden.to_vec()?),
                _ => Values::Single(hidden.to_dtype(DType::F32)?.to_vec()?),
            },
        })
    }

    /// As they came out of `dense`.
    pub(crate) fn tensor(&self, dense: &Decoder) -> Result<Tensor> {
        let (shape, device) = ([self.rows, dense.graph.hidden_size], dense.device());
        let tensor = match &self.values {
            Values::Single(values) => Tensor::from_slice(values, &shape, &device),
            Values::Double(values) => Tensor::from_slice(values, &shape, &device),
        };
        Ok(tensor?.to_dtype(dense.dtype())?)
    }
}
