//! Engines and the devices they run on.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{DType, Error, Result, Tensor};

/// Names a device that checks are made on beside the host, such as `candle:cuda:0`.
pub const DEVICE_VARIABLE: &str = "PRUNEBENCH_DEVICE";

/// Allows, if it is `1` when a process starts, that matrix products of f32 on a GPU round their operands to TF32. libtorch has
/// no other switch that is reached from here, so candle obeys it too.
pub const TF32_VARIABLE: &str = "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE";

/// Whether matrix products of f32 on a GPU may round their operands to TF32, which has the 11 bits of significand of f16: not
/// unless [`TF32_VARIABLE`] says so.
pub fn tf32() -> bool {
    std::env::var_os(TF32_VARIABLE).is_some_and(|value| value == "1")
}

/// A tensor library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// candle: pure Rust on the CPU, its own kernels on CUDA.
    Candle,
    /// libtorch, through `tch`.
    Torch,
}

impl Engine {
    /// The engines compiled into this binary.
    pub fn compiled() -> &'static [Engine] {
        &[
            #[cfg(feature = "candle")]
            Engine::Candle,
            #[cfg(feature = "torch")]
            Engine::Torch,
        ]
    }

    /// The version of what this engine computes, the decoder and the measurements on it included. Whoever changes a kernel, an
    /// order of sums or a dependency such that numbers move raises it, and cells are measured anew.
    ///
    /// Version 1 is of the records that name none.
    pub fn numerics(self) -> u32 {
        match self {
            Engine::Candle => 2,
            Engine::Torch => 2,
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Engine::Candle => "candle",
            Engine::Torch => "torch",
        })
    }
}

impl FromStr for Engine {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "candle" => Ok(Engine::Candle),
            "torch" => Ok(Engine::Torch),
            _ => Err(format!("`{text}` is not an engine; it is one of candle, torch")),
        }
    }
}

/// The hardware behind a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceKind {
    /// The host.
    Cpu,
    /// A CUDA GPU by index.
    Cuda(usize),
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceKind::Cpu => f.write_str("cpu"),
            DeviceKind::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl FromStr for DeviceKind {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text.split_once(':') {
            None if text == "cpu" => Ok(DeviceKind::Cpu),
            None if text == "cuda" => Ok(DeviceKind::Cuda(0)),
            Some(("cuda", index)) if index.parse::<usize>().is_ok() => {
                Ok(DeviceKind::Cuda(index.parse().unwrap_or_default()))
            }
            _ => Err(format!("`{text}` is not a device; it is cpu, cuda or cuda:INDEX")),
        }
    }
}

/// An engine on a piece of hardware, written `candle:cpu` or `torch:cuda:0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Device {
    /// Tensor library.
    pub engine: Engine,
    /// Hardware.
    pub kind: DeviceKind,
}

impl Device {
    /// `engine` on the host.
    pub fn cpu(engine: Engine) -> Self {
        Device {
            engine,
            kind: DeviceKind::Cpu,
        }
    }

    /// `engine` on the CUDA GPU `index`.
    pub fn cuda(engine: Engine, index: usize) -> Self {
        Device {
            engine,
            kind: DeviceKind::Cuda(index),
        }
    }

    /// Says whether tensors can be made here, and if not, why.
    pub fn is_available(&self) -> Result<()> {
        if !Engine::compiled().contains(&self.engine) {
            return Err(Error::Unsupported {
                op: "device",
                detail: format!(
                    "{self} is not in this build; build with the cargo feature `{}`",
                    self.engine
                ),
            });
        }
        match self.engine {
            #[cfg(feature = "candle")]
            Engine::Candle => crate::candle::device(self.kind).map(|_| ()),
            #[cfg(feature = "torch")]
            Engine::Torch => crate::torch::device(self.kind).map(|_| ()),
            #[allow(unreachable_patterns)]
            _ => Ok(()),
        }
    }

    /// Says whether a model can compute in `dtype` here, by a small product with its softmax.
    pub fn computes_in(&self, dtype: DType) -> Result<()> {
        let x = Tensor::full(&[2, 2], 0.5, dtype, self)?;
        x.matmul(&x)?.softmax()?;
        self.sync()
    }

    /// The devices that checks are made on: each compiled engine on the host, and the one that the variable [`DEVICE_VARIABLE`]
    /// names, whether it is there or not. GPUs are not looked for, because two engines never share a process on one.
    pub fn available() -> Vec<Device> {
        let mut devices: Vec<Device> = Engine::compiled().iter().copied().map(Device::cpu).collect();
        let named = std::env::var(DEVICE_VARIABLE).ok().and_then(|name| name.parse().ok());
        if let Some(device) = named.filter(|device: &Device| !devices.contains(device)) {
            // libtorch starts the threads of its backward passes once, for the devices that it knows by then.
            let _ = device.is_available();
            devices.push(device);
        }
        devices
    }

    /// Waits until everything queued on the device has run; a clock read afterwards is honest.
    pub fn sync(&self) -> Result<()> {
        let DeviceKind::Cuda(_index) = self.kind else {
            return Ok(());
        };
        match self.engine {
            #[cfg(feature = "candle")]
            Engine::Candle => crate::candle::device(self.kind)?
                .synchronize()
                .map_err(|e| crate::candle::error("sync", e)),
            #[cfg(feature = "torch")]
            Engine::Torch => {
                tch::Cuda::synchronize(_index as i64);
                Ok(())
            }
            #[allow(unreachable_patterns)]
            _ => self.is_available(),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.engine, self.kind)
    }
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (engine, kind) = text
            .split_once(':')
            .ok_or_else(|| format!("`{text}` is not ENGINE:DEVICE, such as candle:cpu or torch:cuda:0"))?;
        Ok(Device {
            engine: engine.parse()?,
            kind: kind.parse()?,
        })
    }
}
