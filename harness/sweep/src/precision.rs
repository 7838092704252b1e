//! What a cell computes in: the dtype of its tensors, and what products of them may round to.

use std::fmt;
use std::str::FromStr;

use prunebench_tensor::DType;

/// A dtype for models, or `tf32`: f32 whose products a GPU may round to TF32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Precision {
    /// Of weights and activations.
    pub(crate) dtype: DType,
    /// Whether products of f32 may be rounded.
    pub(crate) tf32: bool,
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let tf32 = text == "tf32";
        match if tf32 { Ok(DType::F32) } else { text.parse::<DType>() } {
            Ok(dtype) if dtype.is_float() => Ok(Self { dtype, tf32 }),
            _ => Err(format!(
                "`{text}` is not a dtype of a model; it is one of f64, f32, tf32, bf16, f16"
            )),
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tf32 {
            true => f.write_str("tf32"),
            false => self.dtype.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tf32_is_f32_under_a_name_of_its_own() {
        let tf32: Precision = "tf32".parse().unwrap();
        assert_eq!((tf32.dtype, tf32.tf32), (DType::F32, true));
        for name in ["f64", "f32", "tf32", "bf16", "f16"] {
            let precision: Precision = name.parse().unwrap();
            assert_eq!(
                (precision.to_string(), precision.tf32),
                (name.to_owned(), name == "tf32")
            );
        }
    }

    #[test]
    fn what_no_model_computes_in_is_refused_with_what_it_can() {
        for name in ["i64", "f31", ""] {
            let refusal = name.parse::<Precision>().unwrap_err();
            assert!(
                refusal.contains(&format!("`{name}`")) && refusal.contains("bf16"),
                "{refusal}"
            );
        }
    }
}
