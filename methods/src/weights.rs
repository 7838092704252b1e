//! Setting the least of the prunable weights to zero, exactly as many as asked for.
//!
//! Scores are compared as f32 on the host, so both engines choose the same weights; of equal scores the one that comes first
//! is zeroed: by block, by role in [`LinearName::ALL`], row by row.

use prunebench_model::{Block, Decoder, LinearName};
use prunebench_tensor::{DType, Tensor};
use rayon::prelude::*;

use crate::Result;

/// The prunable matrices: every linear of every block; never embedding, head or norms.
pub(crate) fn prunable(model: &Decoder) -> Vec<(usize, LinearName)> {
    let of_block = |(index, block): (usize, &Block)| -> Vec<_> {
        LinearName::ALL
            .into_iter()
            .filter(|&name| block.linear(name).is_some())
            .map(|name| (index, name))
            .collect()
    };
    model.blocks.iter().enumerate().flat_map(of_block).collect()
}

/// |w| in row-major order.
pub(crate) fn magnitudes(weight: &Tensor) -> Result<Vec<f32>> {
    let mut values = weight.to_dtype(DType::F32)?.to_vec::<f32>()?;
    values.iter_mut().for_each(|w| *w = w.abs());
    Ok(values)
}

/// The mask that zeroes the `count` lowest of each `group` scores in a row: 0 for those, 1 for the others.
pub(crate) fn mask_lowest(scores: &[f32], group: usize, count: usize) -> Vec<f32> {
    let mut mask = vec![1.0; scores.len()];
    mask.par_chunks_mut(group)
        .zip(scores.par_chunks(group))
        .for_each(|(mask, scores)| {
            let mut order: Vec<usize> = (0..scores.len()).collect();
            if (1..scores.len()).contains(&count) {
                order.select_nth_unstable_by(count, |&a, &b| scores[a].total_cmp(&scores[b]).then(a.cmp(&b)));
            }
            order.iter().take(count).for_each(|&lowest| mask[lowest] = 0.0);
        });
    mask
}

/// Multiplies the matrix by a mask of zeros and ones.
pub(crate) fn apply_mask(model: &mut Decoder, block: usize, linear: LinearName, mask: &[f32]) -> Result<()> {
    if let Some(target) = model.blocks[block].linear_mut(linear) {
        let weight = &target.weight;
        let tensor = Tensor::from_slice(mask, &weight.shape(), &weight.device())?.to_dtype(weight.dtype())?;
        target.weight = weight.mul(&tensor)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_of_each_group_are_zeroed_and_ties_go_to_the_first() {
        let scores = [3.0, 1.0, 2.0, 0.5, 7.0, 7.0, 7.0, 7.0];
        assert_eq!(mask_lowest(&scores, 4, 2), [1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0]);
        assert_eq!(mask_lowest(&scores, 8, 5), [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn any_count_is_met_exactly() {
        let scores: Vec<f32> = (0..97).map(|i| (i * 31 % 17) as f32).collect();
        for count in 0..=97 {
            assert_eq!(
                mask_lowest(&scores, 97, count).iter().filter(|&&m| m == 0.0).count(),
                count
            );
        }
    }
}
