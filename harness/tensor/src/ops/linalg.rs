//! Matrix factorisations, in f64 on the host on both engines, without autograd. candle has none; libtorch's would depend on
//! the LAPACK it was built with.

use faer::Mat;

use crate::error::shape_error;
use crate::{Error, Result, Tensor};

impl Tensor {
    fn to_matrix(&self, op: &'static str) -> Result<Mat<f64>> {
        self.check_float(op)?;
        let shape = self.shape();
        let [rows, columns] = shape[..] else {
            return shape_error(op, format!("a matrix wanted, the shape is {shape:?}"));
        };
        let values = self.detach()?.to_f64_vec()?;
        if let Some(place) = values.iter().position(|x| !x.is_finite()) {
            return Err(Error::Engine {
                op,
                detail: format!("element {place} of the matrix is {}", values[place]),
            });
        }
        Ok(Mat::from_fn(rows, columns, |i, j| values[i * columns + j]))
    }

    /// A tensor beside `self`: its device and dtype.
    fn beside(&self, values: Vec<f64>, shape: &[usize]) -> Result<Tensor> {
        let host = Tensor::from_slice(&values, shape, &self.device())?;
        host.to_dtype(self.dtype())
    }

    fn matrix_beside(&self, matrix: faer::MatRef<'_, f64>) -> Result<Tensor> {
        let (rows, columns) = (matrix.nrows(), matrix.ncols());
        let values = (0..rows * columns)
            .map(|i| matrix[(i / columns, i % columns)])
            .collect();
        self.beside(values, &[rows, columns])
    }

    /// Thin singular value decomposition of `[m, n]`: U `[m, r]`, S `[r]` descending, Vᵀ `[r, n]` with r = min(m, n).
    pub fn svd(&self) -> Result<(Tensor, Tensor, Tensor)> {
        let svd = self
            .to_matrix("svd")?
            .thin_svd()
            .map_err(|e| did_not_converge("svd", e))?;
        let singular: Vec<f64> = svd.S().column_vector().iter().copied().collect();
        let rank = singular.len();
        Ok((
            self.matrix_beside(svd.U())?,
            self.beside(singular, &[rank])?,
            self.matrix_beside(svd.V().transpose())?,
        ))
    }

    /// Eigenvalues (ascending, `[n]`) and eigenvectors (columns of `[n, n]`) of a symmetric matrix; the lower triangle is read.
    pub fn eigh(&self) -> Result<(Tensor, Tensor)> {
        let matrix = self.to_matrix("eigh")?;
        if matrix.nrows() != matrix.ncols() {
            return shape_error(
                "eigh",
                format!("a square matrix wanted, the shape is {:?}", self.shape()),
            );
        }
        let eigen = matrix
            .self_adjoint_eigen(faer::Side::Lower)
            .map_err(|e| did_not_converge("eigh", e))?;
        let values: Vec<f64> = eigen.S().column_vector().iter().copied().collect();
        let count = values.len();
        Ok((self.beside(values, &[count])?, self.matrix_beside(eigen.U())?))
    }

    /// Thin QR decomposition of `[m, n]`: Q `[m, r]` with orthonormal columns, R `[r, n]` upper triangular, r = min(m, n).
    pub fn qr(&self) -> Result<(Tensor, Tensor)> {
        let qr = self.to_matrix("qr")?.qr();
        Ok((
            self.matrix_beside(qr.compute_thin_Q().as_ref())?,
            self.matrix_beside(qr.thin_R())?,
        ))
    }
}

fn did_not_converge(op: &'static str, e: impl std::fmt::Debug) -> Error {
    Error::Engine {
        op,
        detail: format!("the factorisation did not converge ({e:?})"),
    }
}
