//! A case: an operation on tensors, the same operation on arrays, and the inputs to try it on.

use std::hash::{DefaultHasher, Hash, Hasher};

use prunebench_tensor::{DType, Device, Result, Tensor};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::array::Array;

pub const FLOATS: [DType; 4] = [DType::F64, DType::F32, DType::BF16, DType::F16];

/// How an input's elements are drawn.
#[derive(Clone, Debug)]
pub enum Values {
    Normal,
    Uniform(f64, f64),
    /// Shuffled multiples of 1/16 around the offset: up to 256 elements without a tie in any dtype.
    Spaced(f64),
    /// Integers of at most this magnitude, so that ties and exact equality happen; among them zeros of either sign.
    Grid(u32),
    /// Zeros and ones.
    Mask,
    /// 64-bit integers below a bound.
    Index(usize),
    /// 64-bit integers as listed.
    Indices(&'static [usize]),
}

#[derive(Clone, Debug)]
pub struct Input {
    pub shape: Vec<usize>,
    pub values: Values,
}

pub fn input(shape: &[usize], values: Values) -> Input {
    Input {
        shape: shape.to_vec(),
        values,
    }
}

pub fn normal(shape: &[usize]) -> Input {
    input(shape, Values::Normal)
}

impl Input {
    pub fn is_index(&self) -> bool {
        matches!(self.values, Values::Index(_) | Values::Indices(_))
    }

    fn draw(&self, rng: &mut ChaCha8Rng) -> Array {
        let count = self.shape.iter().product();
        let mut data: Vec<f64> = match self.values {
            Values::Normal => (0..count).map(|_| normal_number(rng)).collect(),
            Values::Uniform(low, high) => (0..count).map(|_| low + (high - low) * rng.random::<f64>()).collect(),
            Values::Spaced(offset) => (0..count)
                .map(|at| (at as f64 - (count / 2) as f64) / 16.0 + offset)
                .collect(),
            Values::Grid(limit) => (0..count)
                .map(|_| f64::from(rng.random_range(0..=limit)) * [1.0, -1.0][rng.random_range(0..2usize)])
                .collect(),
            Values::Mask => (0..count).map(|_| f64::from(rng.random_range(0..2u32))).collect(),
            Values::Index(bound) => (0..count).map(|_| rng.random_range(0..bound) as f64).collect(),
            Values::Indices(indices) => indices.iter().map(|&index| index as f64).collect(),
        };
        if matches!(self.values, Values::Spaced(_)) {
            for at in (1..count).rev() {
                data.swap(at, rng.random_range(0..=at));
            }
        }
        Array::new(&self.shape, data)
    }
}

fn normal_number(rng: &mut impl Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

/// The dtype the result must have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Output {
    /// That of the inputs.
    Same,
    /// That of the inputs, but f32 for the half-precision ones.
    AtLeastF32,
    /// f64, of terms in f32 unless the inputs are f64.
    SummedInF64,
    /// 64-bit integers.
    Index,
}

type OnTensors = Box<dyn Fn(&[Tensor]) -> Result<Tensor>>;
type OnArrays = Box<dyn Fn(&[Array]) -> Array>;

pub struct Case {
    /// The operation's name in the public interface.
    pub op: &'static str,
    pub note: String,
    pub inputs: Vec<Input>,
    pub on_tensors: OnTensors,
    pub on_arrays: OnArrays,
    pub output: Output,
    /// Inputs whose gradient is checked.
    pub differentiable: Vec<usize>,
    /// Whether the operation must take 64-bit integers too.
    pub integers: bool,
}

/// A case that is differentiable in every float input.
pub fn case(
    op: &'static str,
    inputs: Vec<Input>,
    on_tensors: impl Fn(&[Tensor]) -> Result<Tensor> + 'static,
    on_arrays: impl Fn(&[Array]) -> Array + 'static,
) -> Case {
    Case {
        op,
        note: String::new(),
        differentiable: (0..inputs.len()).filter(|&i| !inputs[i].is_index()).collect(),
        inputs,
        on_tensors: Box::new(on_tensors),
        on_arrays: Box::new(on_arrays),
        output: Output::Same,
        integers: false,
    }
}

impl Case {
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    pub fn output(mut self, output: Output) -> Self {
        self.output = output;
        self
    }

    pub fn differentiable(mut self, inputs: &[usize]) -> Self {
        self.differentiable = inputs.to_vec();
        self
    }

    pub fn forward_only(self) -> Self {
        self.differentiable(&[])
    }

    pub fn integers_too(mut self) -> Self {
        self.integers = true;
        self
    }

    pub fn label(&self) -> String {
        let shapes: Vec<String> = self.inputs.iter().map(|input| format!("{:?}", input.shape)).collect();
        format!("{} {} {}", self.op, shapes.join(" "), self.note)
            .trim_end()
            .to_string()
    }

    pub fn rng(&self, stream: u64) -> ChaCha8Rng {
        let mut hasher = DefaultHasher::new();
        (self.label(), stream).hash(&mut hasher);
        ChaCha8Rng::seed_from_u64(hasher.finish())
    }

    pub fn input_dtype(&self, input: usize, dtype: DType) -> DType {
        if self.inputs[input].is_index() {
            DType::I64
        } else {
            dtype
        }
    }

    pub fn output_dtype(&self, dtype: DType) -> DType {
        match (self.output, dtype) {
            (Output::Index, _) => DType::I64,
            (Output::SummedInF64, _) => DType::F64,
            (Output::AtLeastF32, DType::BF16 | DType::F16) => DType::F32,
            _ => dtype,
        }
    }

    /// The dtype whose tolerance the result must keep to.
    pub fn tolerance_dtype(&self, dtype: DType) -> DType {
        match (self.output, dtype) {
            (Output::SummedInF64, DType::F32 | DType::BF16 | DType::F16) => DType::F32,
            _ => self.output_dtype(dtype),
        }
    }

    /// The inputs, rounded to what `dtype` can hold: the reference computes from the very same numbers.
    pub fn arrays(&self, dtype: DType) -> Vec<Array> {
        let mut rng = self.rng(0);
        (0..self.inputs.len())
            .map(|i| {
                let drawn = self.inputs[i].draw(&mut rng);
                let scale = if dtype == DType::I64 && !self.inputs[i].is_index() {
                    16.0
                } else {
                    1.0
                };
                drawn.map(|x| x * scale).rounded(self.input_dtype(i, dtype))
            })
            .collect()
    }

    /// Random weights of the output, in the dtype of the output: their product summed is the loss of the gradient check.
    pub fn output_weights(&self, shape: &[usize], dtype: DType) -> Array {
        normal(shape).draw(&mut self.rng(1)).rounded(self.output_dtype(dtype))
    }
}

/// The tensor of an array's elements, which must be exact in `dtype`.
pub fn tensor(array: &Array, dtype: DType, device: &Device) -> Result<Tensor> {
    let (data, shape) = (&array.data, array.shape.as_slice());
    match dtype {
        DType::F64 => Tensor::from_slice(data, shape, device),
        DType::F32 => {
            let data: Vec<f32> = data.iter().map(|&x| x as f32).collect();
            Tensor::from_slice(&data, shape, device)
        }
        DType::BF16 => {
            let data: Vec<half::bf16> = data.iter().map(|&x| half::bf16::from_f64(x)).collect();
            Tensor::from_slice(&data, shape, device)
        }
        DType::F16 => {
            let data: Vec<half::f16> = data.iter().map(|&x| half::f16::from_f64(x)).collect();
            Tensor::from_slice(&data, shape, device)
        }
        DType::I64 => {
            // The spoiling NaN of a layout becomes an index that is out of range.
            let data: Vec<i64> = data
                .iter()
                .map(|&x| if x.is_nan() { i64::MIN } else { x as i64 })
                .collect();
            Tensor::from_slice(&data, shape, device)
        }
    }
}

/// Standard normal numbers, the same for the same seed.
pub fn normal_array(shape: &[usize], seed: u64) -> Array {
    normal(shape).draw(&mut ChaCha8Rng::seed_from_u64(seed))
}
