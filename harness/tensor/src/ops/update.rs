//! Updates in place and outside autograd, as optimisers make them, and what dropout draws. Every clone that shares the storage
//! sees an update; [`Tensor::param`] makes a copy that is safe to update. The target is contiguous.

use crate::error::shape_error;
use crate::tensor::Repr;
use crate::{DType, Device, DeviceKind, Result, Tensor, cpu, no_grad};

/// One step of Adam with decoupled weight decay (Loshchilov and Hutter 2019), in the order of `torch.optim.AdamW`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Learning rate; a negative one ascends. The weights decay by its magnitude.
    pub learning_rate: f64,
    /// Decay rates of the first and the second moment.
    pub betas: (f64, f64),
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Share of the parameter that a learning rate of 1 takes away.
    pub weight_decay: f64,
    /// Number of this step, from 1: it corrects the moments for their start at 0.
    pub step: u64,
    /// Factor of the gradient, such as that of clipping.
    pub gradient_scale: f64,
}

impl AdamW {
    pub(crate) fn decay(&self) -> f64 {
        1.0 - self.learning_rate.abs() * self.weight_decay
    }

    pub(crate) fn rate(&self) -> f64 {
        self.learning_rate / (1.0 - self.betas.0.powf(self.step as f64))
    }

    /// Factor of the second moment's root.
    pub(crate) fn correction(&self) -> f64 {
        1.0 / (1.0 - self.betas.1.powf(self.step as f64)).sqrt()
    }
}

impl Tensor {
    /// x ← x + `scale` · `other`, equal shapes.
    pub fn add_in_place(&self, other: &Tensor, scale: f64) -> Result<()> {
        const OP: &str = "add_in_place";
        check_update(OP, &[self], &[other])?;
        if self.is_host_f32() {
            return self.host_f32_mut(OP, &mut |x| {
                other.host_f32(OP, |other| cpu::add_in_place(x, other, scale as f32))
            });
        }
        self.overwrite(|x| x.add(&other.detach()?.mul_scalar(scale)?))
    }

    /// x ← x + `weight` · (`target` − x), equal shapes.
    pub fn lerp_in_place(&self, target: &Tensor, weight: f64) -> Result<()> {
        const OP: &str = "lerp_in_place";
        check_update(OP, &[self], &[target])?;
        if self.is_host_f32() {
            return self.host_f32_mut(OP, &mut |x| {
                target.host_f32(OP, |target| cpu::lerp_in_place(x, target, weight as f32))
            });
        }
        self.overwrite(|x| x.add(&target.detach()?.sub(x)?.mul_scalar(weight)?))
    }

    /// x ← x · `factor`, equal shapes.
    pub fn mul_in_place(&self, factor: &Tensor) -> Result<()> {
        const OP: &str = "mul_in_place";
        check_update(OP, &[self], &[factor])?;
        if self.is_host_f32() {
            return self.host_f32_mut(OP, &mut |x| factor.host_f32(OP, |factor| cpu::mul_in_place(x, factor)));
        }
        self.overwrite(|x| x.mul(&factor.detach()?))
    }

    /// One step of `step` along `gradient`; `first` and `second` are the moments, zeros before the first step, and are updated
    /// too. Equal shapes.
    pub fn adamw_in_place(&self, gradient: &Tensor, first: &Tensor, second: &Tensor, step: &AdamW) -> Result<()> {
        const OP: &str = "adamw_in_place";
        check_update(OP, &[self, first, second], &[gradient])?;
        if self.is_host_f32() {
            return self.host_f32_mut(OP, &mut |parameter| {
                first.host_f32_mut(OP, &mut |first| {
                    second.host_f32_mut(OP, &mut |second| {
                        gradient.host_f32(OP, |gradient| cpu::adamw(parameter, gradient, first, second, step))
                    })
                })
            });
        }
        let (beta1, beta2) = step.betas;
        let gradient = gradient.detach()?.mul_scalar(step.gradient_scale)?;
        first.overwrite(|m| m.mul_scalar(beta1)?.add(&gradient.mul_scalar(1.0 - beta1)?))?;
        second.overwrite(|v| v.mul_scalar(beta2)?.add(&gradient.square()?.mul_scalar(1.0 - beta2)?))?;
        let root = second.sqrt()?.mul_scalar(step.correction())?.add_scalar(step.eps)?;
        let change = first.div(&root)?.mul_scalar(step.rate())?;
        self.overwrite(|p| p.mul_scalar(step.decay())?.sub(&change))
    }

    /// Σ x² over all elements, summed in f64 on the host and in f32 or wider elsewhere.
    pub fn square_sum(&self) -> Result<f64> {
        self.check_float("square_sum")?;
        let wide = match self.dtype() {
            DType::F64 => self.detach()?,
            _ => self.detach()?.to_dtype(DType::F32)?,
        };
        if wide.is_host_f32() {
            let mut sum = 0.0;
            wide.host_f32("square_sum", |x| sum = cpu::square_sum(x))?;
            return Ok(sum);
        }
        wide.square()?.sum_all()?.to_f64()
    }

    /// Zeroes a share `rate` of the elements and divides the others by 1 − `rate`. The draw depends on `seed` and the element's
    /// row-major index alone, so it is the same on every engine and device.
    pub fn dropout(&self, rate: f64, seed: u64) -> Result<Tensor> {
        self.check_float("dropout")?;
        if !(0.0..1.0).contains(&rate) {
            return shape_error(
                "dropout",
                format!("a rate of at least 0 and below 1 wanted, found {rate}"),
            );
        }
        let device = self.device();
        let host = Device::cpu(device.engine);
        let mask = Tensor::zeros(&self.shape(), DType::F32, &host)?;
        mask.host_f32_mut("dropout", &mut |mask| {
            cpu::dropout_mask(mask, rate, seed);
            Ok(())
        })?;
        self.mul(&mask.to_device(&device)?.to_dtype(self.dtype())?)
    }

    fn is_contiguous(&self) -> bool {
        match &self.repr {
            #[cfg(feature = "candle")]
            Repr::Candle(tensor) => tensor.is_contiguous(),
            #[cfg(feature = "torch")]
            Repr::Torch(tensor) => tensor.is_contiguous(),
        }
    }

    /// Whether an update of one would show in the other; on candle whether both are views of one storage, which it locks.
    fn shares_storage(&self, other: &Tensor) -> bool {
        match (&self.repr, &other.repr) {
            #[cfg(feature = "candle")]
            (Repr::Candle(a), Repr::Candle(b)) => std::ptr::eq(&*a.storage_and_layout().0, &*b.storage_and_layout().0),
            #[cfg(feature = "torch")]
            (Repr::Torch(a), Repr::Torch(b)) => {
                let (a, b) = (crate::torch::kernels::reach(a), crate::torch::kernels::reach(b));
                a.start < b.end && b.start < a.end
            }
            #[allow(unreachable_patterns)]
            _ => false,
        }
    }

    fn is_host_f32(&self) -> bool {
        self.device().kind == DeviceKind::Cpu && self.dtype() == DType::F32
    }

    /// Writes what `value` makes of the tensor back into it.
    fn overwrite(&self, value: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<()> {
        if self.elem_count() == 0 {
            return Ok(());
        }
        let value = no_grad(|| value(&self.detach()?))?;
        self.reshape(&[self.elem_count()])?
            .write_slice(0, 0, &value.reshape(&[self.elem_count()])?)
    }

    /// Reads the elements of a host f32 tensor where they lie.
    fn host_f32(&self, op: &'static str, read: impl FnOnce(&[f32])) -> Result<()> {
        match &self.repr {
            #[cfg(feature = "candle")]
            Repr::Candle(tensor) => {
                crate::candle::kernels::with_slice(tensor, read).map_err(|e| crate::candle::error(op, e))
            }
            #[cfg(feature = "torch")]
            Repr::Torch(tensor) => {
                let tensor = tensor.f_contiguous().map_err(|e| crate::torch::error(op, e))?;
                crate::torch::kernels::slice(&tensor)
                    .map(read)
                    .map_err(|e| crate::torch::error(op, e))
            }
        }
    }

    /// Lets `write` change the elements of a contiguous host f32 tensor where they lie.
    fn host_f32_mut(&self, op: &'static str, write: &mut dyn FnMut(&mut [f32]) -> Result<()>) -> Result<()> {
        match &self.repr {
            #[cfg(feature = "candle")]
            Repr::Candle(tensor) => {
                let mut outcome = Ok(());
                crate::candle::kernels::with_slice_mut(tensor, &mut |slice| outcome = write(slice))
                    .map_err(|e| crate::candle::error(op, e))?;
                outcome
            }
            #[cfg(feature = "torch")]
            // SAFETY: every caller has seen that no other operand shares the storage. Other threads' copies of the tensor are kept
            // away as from libtorch's own updates in place: they come between forward passes.
            Repr::Torch(tensor) => unsafe { crate::torch::kernels::with_slice_mut(tensor, write) }
                .map_err(|e| crate::torch::error(op, e))?,
        }
    }
}

/// Refuses operands that don't fit, targets that would not be updated where they lie, and targets that share their storage.
fn check_update(op: &'static str, targets: &[&Tensor], sources: &[&Tensor]) -> Result<()> {
    let target = targets[0];
    target.check_float(op)?;
    for (index, one) in targets.iter().enumerate() {
        if !one.is_contiguous() {
            return shape_error(
                op,
                "a contiguous target is wanted, or a copy would be updated; call contiguous first",
            );
        }
        for other in targets[index + 1..].iter().chain(sources) {
            target.check_same(op, other)?;
            if other.shape() != target.shape() {
                return shape_error(
                    op,
                    format!(
                        "equal shapes wanted, found {:?} and {:?}",
                        target.shape(),
                        other.shape()
                    ),
                );
            }
            if one.shares_storage(other) {
                return shape_error(
                    op,
                    "a target's own storage is among the operands; detach makes no copy, param does",
                );
            }
        }
    }
    Ok(())
}
