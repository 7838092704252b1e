//! Compositions of libtorch operations, and host kernels where libtorch's own are slow.
//!
//! A host kernel has no backward pass, so it is taken only in f32 when no operand is tracked.

use std::sync::LazyLock;

use tch::{Kind, TchError, Tensor};

use crate::cpu;

type Result = std::result::Result<Tensor, TchError>;

/// Fewest rows for which oneDNN's better kernels outweigh its copies.
const ONEDNN_ROWS: usize = 32;
/// The same for the smaller side of the matrix: a low-rank product is bound by memory.
const ONEDNN_WIDTH: i64 = 64;

/// libtorch multiplies f32 matrices with MKL, which keeps to AVX2 on AMD; oneDNN, also in libtorch, does not.
static ONEDNN_IS_FASTER: LazyLock<bool> = LazyLock::new(|| {
    #[cfg(target_arch = "x86_64")]
    {
        let vendor = std::arch::x86_64::__cpuid(0);
        let amd = [vendor.ebx, vendor.edx, vendor.ecx] == [*b"Auth", *b"enti", *b"cAMD"].map(u32::from_le_bytes);
        amd && std::arch::is_x86_feature_detected!("avx512f")
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
});

fn host_f32(tensors: &[&Tensor]) -> bool {
    tensors
        .iter()
        .all(|t| t.device() == tch::Device::Cpu && t.kind() == Kind::Float)
}

/// [`host_f32`], and nothing is tracked.
fn untracked(tensors: &[&Tensor]) -> bool {
    host_f32(tensors) && tensors.iter().all(|t| !t.requires_grad())
}

/// Elements from the first to the last in memory order.
fn count(tensor: &Tensor) -> usize {
    let sizes = tensor.size();
    let last: i64 = sizes
        .iter()
        .zip(tensor.stride())
        .map(|(&size, stride)| (size - 1).max(0) * stride)
        .sum();
    if tensor.numel() == 0 { 0 } else { last as usize + 1 }
}

/// Addresses of a tensor's elements, from the first to behind the last.
pub(crate) fn reach(tensor: &Tensor) -> std::ops::Range<usize> {
    let start = tensor.data_ptr() as usize;
    start..start + count(tensor) * tensor.kind().elt_size_in_bytes()
}

/// The elements from the first to the last of a host f32 tensor, in memory order; an error for any other tensor.
pub(crate) fn slice(tensor: &Tensor) -> std::result::Result<&[f32], TchError> {
    check_host_f32(tensor)?;
    // Nothing has no address.
    if tensor.numel() == 0 {
        return Ok(&[]);
    }
    // SAFETY: the elements are f32 in this process's memory, the storage holds every one that sizes and strides reach, and it
    // lives as long as the tensor.
    Ok(unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast(), count(tensor)) })
}

/// Lets `write` change the elements of a contiguous host f32 tensor where they lie; an error for any other tensor.
///
/// # Safety
///
/// Until `write` returns nothing else reads or changes the tensor's storage, through this tensor or another that shares it.
pub(crate) unsafe fn with_slice_mut<T>(
    tensor: &Tensor,
    write: impl FnOnce(&mut [f32]) -> T,
) -> std::result::Result<T, TchError> {
    check_host_f32(tensor)?;
    if !tensor.is_contiguous() {
        return Err(TchError::Kind(format!(
            "a contiguous tensor is wanted, found strides {:?} of {:?}",
            tensor.stride(),
            tensor.size()
        )));
    }
    if tensor.numel() == 0 {
        return Ok(write(&mut []));
    }
    // SAFETY: the elements are f32 in this process's memory, without gaps, and live as long as the tensor; the caller keeps
    // everybody else away from them.
    Ok(write(unsafe {
        std::slice::from_raw_parts_mut(tensor.data_ptr().cast(), tensor.numel())
    }))
}

fn check_host_f32(tensor: &Tensor) -> std::result::Result<(), TchError> {
    if host_f32(&[tensor]) {
        return Ok(());
    }
    Err(TchError::Kind(format!(
        "f32 in the host's memory is wanted, found {:?} on {:?}",
        tensor.kind(),
        tensor.device()
    )))
}

/// A fresh contiguous host f32 tensor, filled by `fill`.
fn filled(size: &[i64], fill: impl FnOnce(&mut [f32])) -> Result {
    let out = Tensor::f_empty(size, (Kind::Float, tch::Device::Cpu))?;
    // SAFETY: the tensor is new, contiguous and has no other owner.
    fill(unsafe { std::slice::from_raw_parts_mut(out.data_ptr().cast(), out.numel()) });
    Ok(out)
}

/// `x weightᵀ + bias`.
pub(crate) fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result {
    let mut size = x.size();
    let inner = size.pop().unwrap_or_default();
    let rows: i64 = size.iter().product();
    size.push(weight.size()[0]);
    if !host_f32(&[x, weight]) {
        return x.f_linear(weight, bias);
    }
    let plain = untracked(&[x, weight]) && bias.is_none_or(|bias| untracked(&[bias]));
    if rows == 1 && inner > 0 && plain && x.is_contiguous() && weight.is_contiguous() {
        let (weight, x) = (slice(weight)?, slice(x)?);
        let y = filled(&size, |out| cpu::matvec(weight, x, out))?;
        return bias.map_or(Ok(y.shallow_clone()), |bias| y.f_add(bias));
    }
    let narrow = inner.min(weight.size()[0]) < ONEDNN_WIDTH;
    if rows as usize >= ONEDNN_ROWS && !narrow && *ONEDNN_IS_FASTER {
        // oneDNN reads a bias as if it were contiguous.
        let bias = bias.map(Tensor::f_contiguous).transpose()?;
        return x
            .f_contiguous()?
            .f_to_mkldnn(None::<Kind>)?
            .f_mkldnn_linear(&weight.f_contiguous()?, bias.as_ref())?
            .f_to_dense(None::<Kind>, false);
    }
    x.f_linear(weight, bias)
}

/// Attention as in [`crate::Tensor::attention`]; `bias` is an additive mask, and `causal` says that a plain causal mask does.
pub(crate) fn attention(
    [q, k, v]: [&Tensor; 3],
    sizes: &cpu::AttentionSizes,
    scale: f64,
    causal: bool,
    bias: impl FnOnce() -> crate::Result<Option<crate::Tensor>>,
) -> Result {
    if untracked(&[q, k, v]) && q.numel() > 0 {
        let strides = |t: &Tensor| t.stride().iter().map(|&s| s as usize).collect::<Vec<_>>();
        let [qs, ks, vs] = [q, k, v].map(strides);
        let operands = (
            cpu::Strided::new(slice(q)?, &qs),
            cpu::Strided::new(slice(k)?, &ks),
            cpu::Strided::new(slice(v)?, &vs),
        );
        if let (Some(q_rows), Some(k_rows), Some(v_rows)) = operands {
            return filled(&q.size(), |out| cpu::attention(q_rows, k_rows, v_rows, sizes, out));
        }
    }
    let bias = bias().map_err(|e| TchError::Torch(e.to_string()))?;
    let bias = bias.as_ref().and_then(|bias| super::all(&[bias]).pop());
    let grouped = sizes.heads != sizes.kv_heads;
    Tensor::f_scaled_dot_product_attention(q, k, v, bias, 0.0, causal, scale, grouped)
}

/// Rotates the halves of each head: `[x1, x2] → [x1 cos − x2 sin, x2 cos + x1 sin]`.
pub(crate) fn rope(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result {
    if !x.requires_grad() {
        // Both halves at once: the same sums in half as many kernels, whose launches are what a decoded token waits for.
        let mut size = x.size();
        let half = size.pop().unwrap_or_default() / 2;
        let halves = x.f_reshape([&size[..], &[2, half]].concat())?;
        let by_cos = halves.f_mul(&cos.f_unsqueeze(-2)?)?;
        let by_sin = halves.f_mul(&sin.f_unsqueeze(-2)?)?;
        let _ = by_cos.f_select(-2, 0)?.f_sub_(&by_sin.f_select(-2, 1)?)?;
        let _ = by_cos.f_select(-2, 1)?.f_add_(&by_sin.f_select(-2, 0)?)?;
        return by_cos.f_flatten(-2, -1);
    }
    let halves = x.f_chunk(2, -1)?;
    let (x1, x2) = (&halves[0], &halves[1]);
    let first = x1.f_mul(cos)?.f_sub(&x2.f_mul(sin)?)?;
    let second = x2.f_mul(cos)?.f_add(&x1.f_mul(sin)?)?;
    Tensor::f_cat(&[first, second], -1)
}

/// libtorch's own, with its backward pass, where something is tracked or lies on a GPU. Its sum over the vocabulary is in f32 and
/// off by some 10^-6, to one side, which a gradient does not notice and a measured loss does.
pub(crate) fn cross_entropy(logits: &Tensor, targets: &Tensor) -> Result {
    let wide = match logits.kind() {
        Kind::Double => Kind::Double,
        _ => Kind::Float,
    };
    let logits = logits.f_to_kind(wide)?;
    if untracked(&[&logits]) {
        let (logits, targets) = (logits.f_contiguous()?, Vec::<i64>::try_from(targets)?);
        let vocab = logits.size()[1].max(1) as usize;
        let logits = slice(&logits)?;
        return filled(&[targets.len() as i64], |out| {
            cpu::cross_entropy(logits, vocab, &targets, out);
        });
    }
    // No target is ignored: libtorch's default would score a stray −100 as 0.
    logits.f_cross_entropy_loss(targets, None::<&Tensor>, tch::Reduction::None, i64::MIN, 0.0)
}

/// What `work` makes of the elements of a host f32 tensor in row-major order, if nothing is tracked.
pub(crate) fn on_host<T>(tensor: &Tensor, work: impl FnOnce(&[f32]) -> T) -> std::result::Result<Option<T>, TchError> {
    if !untracked(&[tensor]) {
        return Ok(None);
    }
    Ok(Some(work(slice(&tensor.f_contiguous()?)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_f32_in_the_hosts_memory_becomes_a_slice() {
        let plain = Tensor::from_slice(&[1.0f32, 2.0]);
        assert_eq!(slice(&plain).unwrap(), [1.0, 2.0]);
        assert_eq!(slice(&plain.narrow(0, 0, 0)).unwrap(), [0.0f32; 0]);
        for kind in [Kind::BFloat16, Kind::Double, Kind::Int64] {
            let other = plain.to_kind(kind);
            let said = slice(&other).unwrap_err().to_string();
            assert!(said.contains("f32") && said.contains(&format!("{kind:?}")), "{said}");
            // SAFETY: nothing else uses the tensor.
            assert!(unsafe { with_slice_mut(&other, |_| ()) }.is_err());
        }
        let transposed = Tensor::zeros([2, 3], (Kind::Float, tch::Device::Cpu)).tr();
        // SAFETY: nothing else uses the tensor.
        let written = unsafe { with_slice_mut(&transposed, |x| x.fill(1.0)) };
        assert!(written.unwrap_err().to_string().contains("contiguous"));
    }
}
