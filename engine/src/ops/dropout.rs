//! Dropout.

use crate::error::{BadOperands, Result};
use crate::float::Float;
use crate::gradcheck::{Case, Gen};
use crate::op::Op;
use crate::par;
use crate::rng::Key;
use crate::tensor::Tensor;

/// y = x / (1 − p), or 0 with probability p, for each element independently;  dx = dy likewise
/// (Srivastava et al. 2014, scaled while training)
///
/// Which elements are lost is a pure function of the key and their position. So backward makes
/// the mask again instead of keeping it, and no number of threads changes it. Take another key
/// for every layer and every step.
#[derive(Clone, Debug)]
pub struct Dropout {
    /// The probability that an element is lost, in `[0, 1)`.
    pub p: f64,
    /// Where the random numbers come from.
    pub key: Key,
}

/// Elements that share a stream of random numbers: 4 KiB of them, on the stack.
const BLOCK: usize = 1024;

impl Dropout {
    /// Loses and scales, in place: both the function and its gradient.
    fn mask<T: Float>(&self, x: &mut Tensor<T>) {
        let scale = T::of(1.0 / (1.0 - self.p));
        // A word of 32 random bits is below this with probability p.
        let threshold = (self.p * 2_f64.powi(32)) as u32;
        par::chunks(
            x.data_mut(),
            par::task_size(par::CHEAP, BLOCK),
            |start, piece| {
                let mut words = [0; BLOCK];
                for (b, x) in piece.chunks_mut(BLOCK).enumerate() {
                    let block = (start / BLOCK + b) as u64;
                    let words = &mut words[..x.len()];
                    self.key.at(block).rng().fill(words);
                    for (x, &word) in x.iter_mut().zip(&*words) {
                        *x = if word < threshold {
                            T::ZERO
                        } else {
                            *x * scale
                        };
                    }
                }
            },
        );
    }
}

impl Op<1> for Dropout {
    const NAME: &'static str = "dropout";
    type Saved<T: Float> = ();

    fn forward<T: Float>(&self, [x]: [&Tensor<T>; 1]) -> Result<(Tensor<T>, ())> {
        if !(0.0..1.0).contains(&self.p) {
            let reason = format!("a probability of {} is not in [0, 1)", self.p);
            return Err(BadOperands::new(Self::NAME, reason)
                .operand("input", "", x.shape())
                .into());
        }
        let mut y = x.clone();
        self.mask(&mut y);
        Ok((y, ()))
    }

    fn backward<T: Float>(
        &self,
        (): (),
        mut dy: Tensor<T>,
        _: [bool; 1],
    ) -> [Option<Tensor<T>>; 1] {
        self.mask(&mut dy);
        [Some(dy)]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        let cases: [(f64, &[usize]); 4] = [
            (0.3, &[7]),
            (0.5, &[3, 17]),
            (0.1, &[2, BLOCK + 1]),
            (0.0, &[5]),
        ];
        let case = |&(p, shape): &(f64, &[usize])| {
            let key = Key::new(g.rng().bits());
            Case::new(
                format!("{shape:?}, p {p}"),
                Dropout { p, key },
                [g.normal(shape)],
            )
        };
        cases.iter().map(case).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::rng::Key;
    use crate::{Tensor, Var, par};

    #[test]
    fn the_share_that_is_lost_is_p_and_the_mean_stays() {
        let n = 200_000;
        let x = Var::<f32>::constant(Tensor::full([n], 1.0));
        for p in [0.0, 0.1, 0.5, 0.9] {
            let y = x.dropout(p, Key::new(1));
            let lost = y.value().data().iter().filter(|&&y| y == 0.0).count();
            let share = lost as f64 / n as f64;
            assert!((share - p).abs() < 0.005, "{share} instead of {p}");
            let kept = (1.0 / (1.0 - p)) as f32;
            assert!(y.value().data().iter().all(|&y| y == 0.0 || y == kept));
        }
    }

    #[test]
    fn the_mask_depends_on_key_and_position_alone() {
        let x = Var::<f32>::constant(Tensor::full([10_000], 1.0));
        let mask = |key| x.dropout(0.5, key).value().bits();
        let key = Key::new(2).named("dropout");
        assert_ne!(mask(key), mask(key.at(1)));
        let whole = mask(key);
        let pieces = par::with_smallest_tasks(|| par::with_threads(3, || mask(key)));
        assert_eq!(whole, pieces);
        let start = Var::<f32>::constant(Tensor::full([1500], 1.0));
        assert_eq!(start.dropout(0.5, key).value().bits(), whole[..1500]);
        // Blocks do not repeat each other.
        assert_ne!(whole[..1024], whole[1024..2048]);
    }

    #[test]
    fn a_probability_outside_its_range_is_an_error() {
        let x = Var::<f32>::constant(Tensor::zeros([1]));
        for p in [-0.1, 1.0, f64::NAN] {
            let e = x.try_dropout(p, Key::new(0)).unwrap_err().to_string();
            assert!(e.contains("dropout") && e.contains(&p.to_string()), "{e}");
        }
    }
}
