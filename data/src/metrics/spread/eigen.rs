//! Eigenvalues of a symmetric matrix: Householder reflections to three diagonals, then implicit
//! QL with Wilkinson's shifts (G. Golub and C. Van Loan, "Matrix Computations", chapter 8).

/// The eigenvalues of the symmetric `[n, n]` matrix `a`, in no particular order.
///
/// # Panics
/// If `a` is not `n` by `n`, or not finite.
pub(super) fn eigenvalues(a: &[f64], n: usize) -> Vec<f64> {
    assert_eq!(a.len(), n * n, "a square matrix");
    assert!(a.iter().all(|v| v.is_finite()), "a finite matrix");
    let (mut diagonal, mut beside) = tridiagonal(a.to_vec(), n);
    iterate(&mut diagonal, &mut beside);
    diagonal
}

/// The diagonal, and the elements beside it followed by a zero, of a tridiagonal matrix with the
/// eigenvalues of `a`. Column `k` is reflected onto its first two elements:
/// `A := H A H`, `H = 1 - 2 v vᵀ`, written as `A - v wᵀ - w vᵀ`.
fn tridiagonal(mut a: Vec<f64>, n: usize) -> (Vec<f64>, Vec<f64>) {
    let mut beside = vec![0.0; n];
    for k in 0..n.saturating_sub(1) {
        let column: Vec<f64> = (k + 1..n).map(|i| a[i * n + k]).collect();
        let length = column.iter().map(|x| x * x).sum::<f64>().sqrt();
        let target = if column[0] > 0.0 { -length } else { length };
        beside[k] = target;
        let mut v = column;
        v[0] -= target;
        let square: f64 = v.iter().map(|x| x * x).sum();
        if square == 0.0 {
            continue;
        }
        v.iter_mut().for_each(|x| *x /= square.sqrt());
        let row = |i: usize| &a[(k + 1 + i) * n + k + 1..(k + 2 + i) * n];
        let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
        let mut w: Vec<f64> = (0..v.len()).map(|i| 2.0 * dot(row(i), &v)).collect();
        let along = dot(&w, &v);
        w.iter_mut().zip(&v).for_each(|(w, v)| *w -= along * v);
        for i in 0..v.len() {
            let row = &mut a[(k + 1 + i) * n + k + 1..(k + 2 + i) * n];
            for (x, (vj, wj)) in row.iter_mut().zip(v.iter().zip(&w)) {
                *x -= v[i] * wj + w[i] * vj;
            }
        }
    }
    ((0..n).map(|i| a[i * n + i]).collect(), beside)
}

/// Turns a tridiagonal matrix diagonal. An eigenvalue takes two or three sweeps.
fn iterate(d: &mut [f64], e: &mut [f64]) {
    const SWEEPS: usize = 60;
    let n = d.len();
    for l in 0..n {
        for _ in 0..SWEEPS {
            // The first element beside the diagonal that is as good as zero ends the block.
            let small = |m: &usize| e[*m].abs() <= f64::EPSILON * (d[*m].abs() + d[*m + 1].abs());
            let m = (l..n - 1).find(small).unwrap_or(n - 1);
            if m == l {
                break;
            }
            let half = (d[l + 1] - d[l]) / (2.0 * e[l]);
            let mut g = d[m] - d[l] + e[l] / (half + half.hypot(1.0).copysign(half));
            let (mut sine, mut cosine, mut shift) = (1.0, 1.0, 0.0);
            let mut finished = true;
            for i in (l..m).rev() {
                let (f, b) = (sine * e[i], cosine * e[i]);
                let r = f.hypot(g);
                e[i + 1] = r;
                if r == 0.0 {
                    d[i + 1] -= shift;
                    e[m] = 0.0;
                    finished = false;
                    break;
                }
                (sine, cosine) = (f / r, g / r);
                g = d[i + 1] - shift;
                let t = (d[i] - g) * sine + 2.0 * cosine * b;
                shift = sine * t;
                d[i + 1] = g + shift;
                g = cosine * t - b;
            }
            if finished {
                d[l] -= shift;
                e[l] = g;
                e[m] = 0.0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::rng::Key;

    fn sorted(mut values: Vec<f64>) -> Vec<f64> {
        values.sort_by(f64::total_cmp);
        values
    }

    /// Q diag(values) Qᵀ, with Q a product of random reflections.
    fn matrix(values: &[f64]) -> Vec<f64> {
        let n = values.len();
        let mut a = vec![0.0; n * n];
        (0..n).for_each(|i| a[i * n + i] = values[i]);
        let mut rng = Key::new(n as u64).rng();
        for _ in 0..3 {
            let v: Vec<f64> = (0..n).map(|_| rng.normal()).collect();
            let square: f64 = v.iter().map(|x| x * x).sum();
            let reflect = |a: &[f64]| -> Vec<f64> {
                // Rows reflected, and the result transposed: twice makes both sides.
                let mut out = vec![0.0; n * n];
                for i in 0..n {
                    let row = &a[i * n..(i + 1) * n];
                    let along: f64 = row.iter().zip(&v).map(|(x, v)| x * v).sum();
                    for j in 0..n {
                        out[j * n + i] = row[j] - 2.0 * along * v[j] / square;
                    }
                }
                out
            };
            a = reflect(&reflect(&a));
        }
        a
    }

    #[test]
    fn eigenvalues_survive_a_rotation() {
        let spectra = [
            vec![5.0],
            vec![1.0, -2.0],
            vec![3.0, 3.0, 3.0, 3.0],
            vec![0.0, 0.0, 1e-9, 1.0, 1.0, 1e6],
            (0..65).map(|i| f64::from(i * i)).collect(),
        ];
        for values in spectra {
            let scale = values.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
            let found = sorted(eigenvalues(&matrix(&values), values.len()));
            for (found, wanted) in found.iter().zip(sorted(values)) {
                assert!(
                    (found - wanted).abs() < 1e-13 * scale * 65.0,
                    "{found} {wanted}"
                );
            }
        }
        assert_eq!(eigenvalues(&[0.0; 9], 3), [0.0; 3]);
        assert!(eigenvalues(&[], 0).is_empty());
    }
}
