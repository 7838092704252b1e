//! Typed access to a GGUF file's key-value metadata.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use candle_core::quantized::gguf_file::Value;

use crate::error::{ModelError, Result};

/// Metadata of one file; every error names file and key.
pub(super) struct Metadata {
    path: PathBuf,
    values: HashMap<String, Value>,
    /// Prefix of the keys that describe the model, such as `llama`.
    pub(super) architecture: String,
}

impl Metadata {
    pub(super) fn new(path: &Path, values: HashMap<String, Value>) -> Result<Self> {
        let mut metadata = Self {
            path: path.to_path_buf(),
            values,
            architecture: String::new(),
        };
        metadata.architecture = metadata
            .string("general.architecture")?
            .ok_or_else(|| metadata.missing("general.architecture"))?
            .to_owned();
        Ok(metadata)
    }

    pub(super) fn malformed(&self, detail: impl Into<String>) -> ModelError {
        ModelError::malformed(&self.path, detail)
    }

    pub(super) fn missing(&self, key: &str) -> ModelError {
        self.malformed(format!(
            "metadata has no `{key}`; fetch the file again or convert the model again"
        ))
    }

    pub(super) fn unsupported(&self, found: impl Into<String>, wanted: impl Into<String>) -> ModelError {
        ModelError::unsupported(&self.path, found, wanted)
    }

    /// The full name of a key that describes the model: `block_count` is `llama.block_count`.
    pub(super) fn key(&self, suffix: &str) -> String {
        format!("{}.{suffix}", self.architecture)
    }

    pub(super) fn string(&self, key: &str) -> Result<Option<&str>> {
        self.read(key, "a string", as_str)
    }

    pub(super) fn boolean(&self, key: &str) -> Result<Option<bool>> {
        self.read(key, "a boolean", |value| value.to_bool().ok())
    }

    pub(super) fn size(&self, key: &str) -> Result<Option<usize>> {
        self.read(key, "a count", |value| usize::try_from(as_integer(value)?).ok())
    }

    pub(super) fn float(&self, key: &str) -> Result<Option<f64>> {
        self.read(key, "a number", as_float)
    }

    pub(super) fn strings(&self, key: &str) -> Result<Option<Vec<&str>>> {
        self.read(key, "an array of strings", |value| as_array(value, as_str))
    }

    pub(super) fn integers(&self, key: &str) -> Result<Option<Vec<i64>>> {
        self.read(key, "an array of integers", |value| as_array(value, as_integer))
    }

    pub(super) fn floats(&self, key: &str) -> Result<Option<Vec<f64>>> {
        self.read(key, "an array of numbers", |value| as_array(value, as_float))
    }

    pub(super) fn architecture_size(&self, suffix: &str) -> Result<Option<usize>> {
        self.size(&self.key(suffix))
    }

    pub(super) fn required_size(&self, suffix: &str) -> Result<usize> {
        self.architecture_size(suffix)?
            .ok_or_else(|| self.missing(&self.key(suffix)))
    }

    /// One count a block: files write either one number for all blocks or an array.
    pub(super) fn per_block(&self, suffix: &str, blocks: usize) -> Result<Option<Vec<usize>>> {
        let key = self.key(suffix);
        let counts = self.read(&key, "a count or an array of counts", |value| match value {
            Value::Array(_) => as_array(value, |v| usize::try_from(as_integer(v)?).ok()),
            _ => Some(vec![usize::try_from(as_integer(value)?).ok()?; blocks]),
        })?;
        match counts {
            Some(counts) if counts.len() != blocks => Err(self.malformed(format!(
                "`{key}` has {} entries for {blocks} blocks; convert the model again",
                counts.len()
            ))),
            counts => Ok(counts),
        }
    }

    fn read<'a, T>(&'a self, key: &str, wanted: &str, parse: impl Fn(&'a Value) -> Option<T>) -> Result<Option<T>> {
        self.values
            .get(key)
            .map(|value| {
                parse(value).ok_or_else(|| {
                    self.malformed(format!(
                        "metadata `{key}` is {:?}, wanted {wanted}; convert the model again",
                        value.value_type()
                    ))
                })
            })
            .transpose()
    }
}

fn as_str(value: &Value) -> Option<&str> {
    value.to_string().ok().map(String::as_str)
}

fn as_integer(value: &Value) -> Option<i64> {
    match value {
        Value::I8(v) => Some((*v).into()),
        Value::I16(v) => Some((*v).into()),
        Value::I32(v) => Some((*v).into()),
        Value::I64(v) => Some(*v),
        Value::Bool(_) => None,
        other => i64::try_from(other.to_u64().ok()?).ok(),
    }
}

fn as_float(value: &Value) -> Option<f64> {
    match value {
        // The decimal that was rounded to f32 (1e-5), not the f32's exact expansion (9.99999974e-6).
        Value::F32(v) => v.to_string().parse().ok(),
        Value::F64(v) => Some(*v),
        _ => None,
    }
}

fn as_array<'a, T>(value: &'a Value, parse: impl Fn(&'a Value) -> Option<T>) -> Option<Vec<T>> {
    value.to_vec().ok()?.iter().map(parse).collect()
}
