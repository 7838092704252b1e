//! SVD, symmetric eigendecomposition and QR: their factors multiply back, are orthonormal, and have the right spectrum.

use prunebench_tensor::{DType, Device, Tensor};

use crate::array::Array;
use crate::case::{FLOATS, normal_array, tensor};
use crate::forward::compare;
use crate::layout::Layout;
use crate::reference::{matmul, symmetric_eigenvalues};
use crate::tolerance::Tolerance;

const SHAPES: &[[usize; 2]] = &[[1, 1], [4, 4], [7, 3], [3, 7], [1, 5], [33, 20]];

fn array(tensor: &Tensor) -> Array {
    Array::new(&tensor.shape(), tensor.to_f64_vec().expect("readable elements"))
}

/// Factors come back in the matrix's dtype, so a product of them errs by a few of its roundings.
fn close(context: &str, got: &Array, wanted: &Array, dtype: DType) {
    let scale = wanted.largest();
    let tolerance = Tolerance::forward(dtype);
    let slack = 4.0 * (tolerance.absolute + tolerance.relative) * scale;
    assert_eq!(got.shape, wanted.shape, "{context}");
    for (at, (got, wanted)) in got.data.iter().zip(&wanted.data).enumerate() {
        assert!(
            (got - wanted).abs() <= slack,
            "{context}: element {at} is {got:e}, wanted {wanted:e}"
        );
    }
}

fn identity(n: usize) -> Array {
    Array::from_fn(&[n, n], |i| f64::from(u8::from(i[0] == i[1])))
}

fn orthonormal_columns(context: &str, q: &Array, dtype: DType) {
    close(context, &matmul(&q.transpose(0, 1), q), &identity(q.shape[1]), dtype);
}

/// `q` with its columns scaled.
fn scaled(q: &Array, by: &Array) -> Array {
    q.zip(by, |q, s| q * s)
}

/// Runs `check` with a matrix, its tensor in every memory layout, and a context for messages.
fn each(shapes: &[[usize; 2]], symmetric: bool, check: impl Fn(&str, &Array, &Tensor, DType)) {
    for shape in shapes {
        for dtype in FLOATS {
            let drawn = normal_array(shape, 5);
            let matrix = if symmetric {
                drawn.zip(&drawn.transpose(0, 1), |a, b| a + b)
            } else {
                drawn
            }
            .rounded(dtype);
            for device in Device::available() {
                for layout in Layout::ALL {
                    let base = tensor(&layout.base(&matrix), dtype, &device).expect("a tensor");
                    let view = layout.view(&base, shape).expect("a view");
                    check(
                        &format!("{shape:?} on {device} in {dtype}, {layout:?}"),
                        &matrix,
                        &view,
                        dtype,
                    );
                }
            }
        }
    }
}

#[test]
fn svd_multiplies_back_with_descending_singular_values() {
    each(SHAPES, false, |context, matrix, view, dtype| {
        let (u, s, vt) = view.svd().unwrap_or_else(|e| panic!("svd {context}: {e}"));
        assert_eq!((u.dtype(), s.dtype(), vt.dtype()), (dtype, dtype, dtype), "{context}");
        let rank = matrix.shape[0].min(matrix.shape[1]);
        let transposed = matrix.transpose(0, 1);
        let gram = if matrix.shape[0] < matrix.shape[1] {
            matmul(matrix, &transposed)
        } else {
            matmul(&transposed, matrix)
        };
        let singular = symmetric_eigenvalues(&gram)
            .into_iter()
            .rev()
            .map(|x| x.max(0.0).sqrt())
            .collect();
        let loose = |dtype| match dtype {
            // The square root of an eigenvalue of the Gram matrix has half of its digits.
            DType::F64 => Tolerance {
                absolute: 1e-8,
                relative: 1e-8,
            },
            _ => Tolerance::forward(dtype),
        };
        compare(
            &format!("singular values {context}"),
            &s,
            &Array::new(&[rank], singular),
            dtype,
            loose(dtype),
        )
        .unwrap();
        let (u, s, vt) = (array(&u), array(&s), array(&vt));
        assert_eq!(
            (&u.shape[..], &vt.shape[..]),
            (&[matrix.shape[0], rank][..], &[rank, matrix.shape[1]][..])
        );
        assert!(s.data.is_sorted_by(|a, b| a >= b), "{context}");
        close(
            &format!("svd product {context}"),
            &matmul(&scaled(&u, &s), &vt),
            matrix,
            dtype,
        );
        orthonormal_columns(&format!("svd U {context}"), &u, dtype);
        orthonormal_columns(&format!("svd V {context}"), &vt.transpose(0, 1), dtype);
    });
}

#[test]
fn eigh_multiplies_back_with_ascending_eigenvalues() {
    each(
        &[[1, 1], [2, 2], [5, 5], [24, 24]],
        true,
        |context, matrix, view, dtype| {
            let (values, vectors) = view.eigh().unwrap_or_else(|e| panic!("eigh {context}: {e}"));
            assert_eq!((values.dtype(), vectors.dtype()), (dtype, dtype), "{context}");
            let wanted = Array::new(&matrix.shape[..1], symmetric_eigenvalues(matrix));
            compare(
                &format!("eigenvalues {context}"),
                &values,
                &wanted,
                dtype,
                Tolerance::forward(dtype),
            )
            .unwrap();
            let (values, vectors) = (array(&values), array(&vectors));
            let product = matmul(&scaled(&vectors, &values), &vectors.transpose(0, 1));
            close(&format!("eigh product {context}"), &product, matrix, dtype);
            orthonormal_columns(&format!("eigenvectors {context}"), &vectors, dtype);
        },
    );
}

#[test]
fn qr_multiplies_back_with_a_triangular_factor() {
    each(SHAPES, false, |context, matrix, view, dtype| {
        let (q, r) = view.qr().unwrap_or_else(|e| panic!("qr {context}: {e}"));
        assert_eq!((q.dtype(), r.dtype()), (dtype, dtype), "{context}");
        let (q, r) = (array(&q), array(&r));
        let rank = matrix.shape[0].min(matrix.shape[1]);
        assert_eq!(
            (&q.shape[..], &r.shape[..]),
            (&[matrix.shape[0], rank][..], &[rank, matrix.shape[1]][..])
        );
        close(&format!("qr product {context}"), &matmul(&q, &r), matrix, dtype);
        orthonormal_columns(&format!("qr Q {context}"), &q, dtype);
        for i in 0..rank {
            for j in 0..i {
                assert_eq!(r.at(&[i, j]), 0.0, "R below its diagonal, {context}");
            }
        }
    });
}

#[test]
fn a_matrix_with_nan_has_no_factorisation() {
    for device in Device::available() {
        let matrix = Tensor::from_slice(&[1.0, f64::NAN, f64::NAN, 2.0], &[2, 2], &device).expect("a tensor");
        assert!(matrix.svd().is_err(), "{device}");
        assert!(matrix.eigh().is_err(), "{device}");
    }
}
