//! The kernels of `cpu` as candle operations, and compositions for what they do not cover.
//!
//! The fast paths have no backward pass, so each is taken only on the host, in f32, when no operand is tracked.

use std::cell::RefCell;
use std::cmp::Ordering;

use candle_core::{CpuStorage, CustomOp2, CustomOp3, DType, InplaceOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::on_gpu;
use crate::cpu;

/// The kernels apply: host, f32, nothing tracked.
fn host_f32(tensors: &[&Tensor]) -> bool {
    tensors
        .iter()
        .all(|t| t.device().is_cpu() && t.dtype() == DType::F32 && !t.track_op())
}

/// [`host_f32`], and contiguous.
fn fast(tensors: &[&Tensor]) -> bool {
    host_f32(tensors) && tensors.iter().all(|t| t.is_contiguous())
}

fn slice<'a, T: candle_core::WithDType>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice()?[start..end]),
        None => candle_core::bail!("a contiguous operand was promised"),
    }
}

/// Reads the elements of a host f32 tensor where they lie.
pub(crate) fn with_slice(tensor: &Tensor, read: impl FnOnce(&[f32])) -> Result<()> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        candle_core::Storage::Cpu(storage) => read(slice(storage, layout)?),
        _ => candle_core::bail!("a tensor on the host was promised"),
    }
    Ok(())
}

type Change<'a> = &'a mut dyn FnMut(&mut [f32]);

struct Write<'a>(RefCell<Change<'a>>);

impl InplaceOp1 for Write<'_> {
    fn name(&self) -> &'static str {
        "write"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        match (storage, layout.contiguous_offsets()) {
            (CpuStorage::F32(values), Some((start, end))) => {
                (self.0.borrow_mut())(&mut values[start..end]);
                Ok(())
            }
            _ => candle_core::bail!("a contiguous target is wanted; call contiguous first"),
        }
    }
}

/// Lets `write` change the elements of a contiguous host f32 tensor where they lie.
pub(crate) fn with_slice_mut(tensor: &Tensor, write: &mut dyn FnMut(&mut [f32])) -> Result<()> {
    tensor.inplace_op1(&Write(RefCell::new(write)))
}

/// Runs `op` in f32 on half-precision elements: candle's sums on the host, and the terms of its softmax on a GPU, round to the
/// operand's dtype at every step.
pub(crate) fn widened(x: &Tensor, op: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    match x.dtype() {
        DType::BF16 | DType::F16 => op(&x.to_dtype(DType::F32)?)?.to_dtype(x.dtype()),
        _ => op(x),
    }
}

/// Matrix product; a 2-d right side serves every leading dimension of the left.
pub(crate) fn matmul(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let product = |x: &Tensor, y: &Tensor| match (x.rank(), y.rank()) {
        (3.., 2) => on_gpu::dense(x)?.broadcast_matmul(y),
        _ => on_gpu::dense(x)?.matmul(&on_gpu::dense(y)?),
    };
    let vector = x.dim(candle_core::D::Minus2)? == 1 || y.dim(candle_core::D::Minus1)? == 1;
    if x.dtype() == DType::F16 && x.device().is_cpu() && vector {
        // The gemm crate's matrix-times-vector sums f16 in f16; its matrix product does not.
        return product(&x.to_dtype(DType::F32)?, &y.to_dtype(DType::F32)?)?.to_dtype(DType::F16);
    }
    product(x, y)
}

struct MatVec;

impl CustomOp2 for MatVec {
    fn name(&self) -> &'static str {
        "matvec"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, w: &CpuStorage, wl: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, _) = wl.shape().dims2()?;
        let mut out = vec![0f32; rows];
        cpu::matvec(slice(w, wl)?, slice(x, xl)?, &mut out);
        let mut shape = xl.dims().to_vec();
        shape.pop();
        shape.push(rows);
        Ok((CpuStorage::F32(out), shape.into()))
    }
}

/// `x wᵀ` for x `[..., in]` and w `[out, in]`.
pub(crate) fn linear(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let inner = weight.dim(1)?;
    if x.elem_count() == inner && inner > 0 && fast(&[x, weight]) {
        return x.apply_op2_no_bwd(weight, &MatVec);
    }
    let mut shape = x.dims().to_vec();
    let rows = shape.iter().rev().skip(1).product::<usize>();
    shape.pop();
    shape.push(weight.dim(0)?);
    matmul(&x.reshape((rows, inner))?, &weight.t()?)?.reshape(shape)
}

/// Elements from one row to the next, if rows are contiguous and that far from each other in all dimensions.
fn row_step(layout: &Layout) -> Option<usize> {
    let (dims, strides) = (layout.dims(), layout.stride());
    let (&width, &one) = (dims.last()?, strides.last()?);
    let mut step = None;
    let mut rows = 1;
    for (&dim, &stride) in dims.iter().zip(strides).rev().skip(1).filter(|(dim, _)| **dim != 1) {
        let first = *step.get_or_insert(stride);
        if stride != first * rows {
            return None;
        }
        rows *= dim;
    }
    (one == 1 || width <= 1).then(|| step.unwrap_or(width))
}

struct SwiGlu;

impl CustomOp2 for SwiGlu {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn cpu_fwd(&self, g: &CpuStorage, gl: &Layout, u: &CpuStorage, ul: &Layout) -> Result<(CpuStorage, Shape)> {
        let (Some(gate_step), Some(up_step)) = (row_step(gl), row_step(ul)) else {
            candle_core::bail!("operands with contiguous rows at one distance were promised");
        };
        let mut out = vec![0f32; gl.shape().elem_count()];
        // What is contiguous in both is one row.
        let width = gl.dims().last().copied().unwrap_or(1);
        let sizes = match [gate_step, up_step] == [width; 2] {
            true => [out.len(); 3],
            false => [width, gate_step, up_step],
        };
        let (gate, up) = (g.as_slice()?, u.as_slice()?);
        cpu::swiglu(&gate[gl.start_offset()..], &up[ul.start_offset()..], sizes, &mut out);
        Ok((CpuStorage::F32(out), gl.shape().clone()))
    }
}

pub(crate) fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    let rows = [gate, up].iter().all(|t| row_step(t.layout()).is_some());
    if rows && host_f32(&[gate, up]) {
        gate.apply_op2_no_bwd(up, &SwiGlu)
    } else {
        gate.silu()?.mul(up)
    }
}

struct CrossEntropy;

impl CustomOp2 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, t: &CpuStorage, tl: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, vocab) = xl.shape().dims2()?;
        let mut out = vec![0f32; rows];
        cpu::cross_entropy(slice(x, xl)?, vocab, slice(t, tl)?, &mut out);
        Ok((CpuStorage::F32(out), rows.into()))
    }
}

pub(crate) fn cross_entropy(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let logits = if logits.dtype() == DType::F64 {
        logits.clone()
    } else {
        logits.to_dtype(DType::F32)?
    };
    if fast(&[&logits]) && targets.is_contiguous() {
        return logits.apply_op2_no_bwd(targets, &CrossEntropy);
    }
    let chosen = log_softmax(&logits)?.gather(&targets.contiguous()?.unsqueeze(1)?, 1)?;
    chosen.squeeze(1)?.neg()
}

/// What `work` makes of the elements of a host f32 tensor in row-major order, if nothing is tracked.
pub(crate) fn on_host<T>(tensor: &Tensor, work: impl FnOnce(&[f32]) -> T) -> Result<Option<T>> {
    if !host_f32(&[tensor]) {
        return Ok(None);
    }
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        candle_core::Storage::Cpu(storage) => Ok(Some(work(slice(storage, layout)?))),
        _ => Ok(None),
    }
}

/// Softmax over the last dimension.
pub(crate) fn softmax(x: &Tensor) -> Result<Tensor> {
    if x.track_op() {
        widened(x, |x| candle_nn::ops::softmax(x, candle_core::D::Minus1))
    } else {
        widened(&x.contiguous()?, candle_nn::ops::softmax_last_dim)
    }
}

pub(crate) fn log_softmax(x: &Tensor) -> Result<Tensor> {
    widened(x, |x| candle_nn::ops::log_softmax(x, candle_core::D::Minus1))
}

pub(crate) fn sigmoid(x: &Tensor) -> Result<Tensor> {
    x.neg()?.exp()?.affine(1.0, 1.0)?.recip()
}

/// max(x, 0). candle's own has slope 1 at 0, where libtorch's has 0, and turns NaN into 0.
pub(crate) fn relu(x: &Tensor) -> Result<Tensor> {
    x.le(0.0)?.where_cond(&x.zeros_like()?, x)
}

/// x / sqrt(mean(x²) + eps) · weight over the last dimension.
pub(crate) fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    if !x.track_op() && !weight.track_op() && x.dtype() != DType::F64 {
        return candle_nn::ops::rms_norm(&x.contiguous()?, &weight.contiguous()?, eps as f32);
    }
    let wide = if x.dtype() == DType::F64 {
        x.clone()
    } else {
        x.to_dtype(DType::F32)?
    };
    let scale = wide
        .sqr()?
        .mean_keepdim(candle_core::D::Minus1)?
        .affine(1.0, eps)?
        .sqrt()?;
    wide.broadcast_div(&scale)?.to_dtype(x.dtype())?.broadcast_mul(weight)
}

/// (x − mean) / sqrt(variance + eps) over the last dimension.
pub(crate) fn layer_norm(x: &Tensor, eps: f64) -> Result<Tensor> {
    let wide = if x.dtype() == DType::F64 {
        x.clone()
    } else {
        x.to_dtype(DType::F32)?
    };
    let centred = wide.broadcast_sub(&wide.mean_keepdim(candle_core::D::Minus1)?)?;
    let scale = centred
        .sqr()?
        .mean_keepdim(candle_core::D::Minus1)?
        .affine(1.0, eps)?
        .sqrt()?;
    centred.broadcast_div(&scale)?.to_dtype(x.dtype())
}

/// Rotates the halves of each head: `[x1, x2] → [x1 cos − x2 sin, x2 cos + x1 sin]`.
pub(crate) fn rope(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    if x.track_op() || x.dtype() == DType::F64 {
        candle_nn::rotary_emb::rope_slow(x, cos, sin)
    } else {
        candle_nn::rotary_emb::rope(&x.contiguous()?, &cos.contiguous()?, &sin.contiguous()?)
    }
}

/// `[B, H, S, D]` as products take it: contiguous matrices at one distance, as in a part of a KV cache, are not copied.
fn matrices(x: &Tensor) -> Result<Tensor> {
    let (_, heads, _, width) = x.dims4()?;
    match *x.stride() {
        [batch, head, row, 1] if row == width && batch == head * heads => Ok(x.clone()),
        _ => x.contiguous(),
    }
}

struct Attention<'a>(&'a cpu::AttentionSizes);

fn strided<'a>(storage: &'a CpuStorage, layout: &'a Layout) -> Result<cpu::Strided<'a>> {
    match cpu::Strided::new(&storage.as_slice()?[layout.start_offset()..], layout.stride()) {
        Some(operand) => Ok(operand),
        None => candle_core::bail!("an operand with contiguous rows was promised"),
    }
}

impl CustomOp3 for Attention<'_> {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        ql: &Layout,
        k: &CpuStorage,
        kl: &Layout,
        v: &CpuStorage,
        vl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let mut out = vec![0f32; ql.shape().elem_count()];
        cpu::attention(strided(q, ql)?, strided(k, kl)?, strided(v, vl)?, self.0, &mut out);
        Ok((CpuStorage::F32(out), ql.shape().clone()))
    }
}

/// Attention as in [`crate::Tensor::attention`]; `mask` is additive, `[queries, keys]`, and absent if every key is seen.
pub(crate) fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    sizes: &cpu::AttentionSizes,
    scale: f64,
    mask: impl FnOnce() -> Result<Option<Tensor>>,
) -> Result<Tensor> {
    let (batch, heads, queries, head_dim) = q.dims4()?;
    let (kv_heads, keys) = (sizes.kv_heads, sizes.keys);
    let rows_contiguous = [q, k, v].iter().all(|t| t.stride().last() == Some(&1));
    if rows_contiguous && host_f32(&[q, k, v]) && q.elem_count() > 0 {
        return q.apply_op3_no_bwd(k, v, &Attention(sizes));
    }
    let (q, k, v) = (q.contiguous()?, matrices(k)?, matrices(v)?);
    // The query heads of one key head lie side by side, so keys and values need no copies.
    let group = heads / kv_heads;
    let grouped = q.reshape((batch, kv_heads, group * queries, head_dim))?;
    let scores = grouped.matmul(&k.t()?)?.affine(scale, 0.0)?;
    let scores = match mask()? {
        None => scores,
        Some(mask) => scores
            .reshape((batch, kv_heads, group, queries, keys))?
            .broadcast_add(&mask)?
            .reshape((batch, kv_heads, group * queries, keys))?,
    };
    softmax(&scores)?.matmul(&v)?.reshape((batch, heads, queries, head_dim))
}

/// Stable order of each row (i64). Sorted on the host: candle's CUDA sort stops at 1024 columns.
pub(crate) fn argsort(x: &Tensor, descending: bool) -> Result<Tensor> {
    let width = x.dim(candle_core::D::Minus1)?;
    let values = x.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
    let mut order = vec![0i64; values.len()];
    order
        .par_chunks_mut(width.max(1))
        .zip(values.par_chunks(width.max(1)))
        .for_each(|(order, row)| {
            order.iter_mut().enumerate().for_each(|(i, place)| *place = i as i64);
            order.sort_by(|&a, &b| {
                // As libtorch has it: NaN is the largest, and the two zeros are equal.
                let (x, y) = (row[a as usize], row[b as usize]);
                let ascending = x
                    .is_nan()
                    .cmp(&y.is_nan())
                    .then(x.partial_cmp(&y).unwrap_or(Ordering::Equal));
                if descending { ascending.reverse() } else { ascending }
            });
        });
    Tensor::from_vec(order, x.dims(), x.device())
}
