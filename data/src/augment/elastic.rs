//! Elastic deformation: P. Simard, D. Steinkraus and J. Platt, "Best Practices for Convolutional
//! Neural Networks Applied to Visual Document Analysis", ICDAR 2003.

use engine::rng::{Key, Rng};

/// A smooth random displacement of every pixel: noise uniform in ±1, smoothed by a Gaussian of
/// `sigma` pixels (its weights sum to one), times `alpha`.
///
/// A displacement then has a standard deviation of about `0.163 alpha / sigma` pixels: 1.4 for
/// the paper's choice for MNIST, alpha 34 and sigma 4.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Elastic {
    /// The strength, in pixels.
    pub alpha: f32,
    /// The smoothness, in pixels: how far neighbours move together.
    pub sigma: f32,
}

/// Displacements of every pixel, `[height, width]` each, in pixels.
pub(super) struct Field {
    pub(super) dx: Vec<f32>,
    pub(super) dy: Vec<f32>,
}

impl Elastic {
    pub(super) fn field(&self, [height, width, _]: [usize; 3], key: Key) -> Field {
        let mut rng = key.rng();
        let kernel = self.kernel();
        Field {
            dx: smooth_noise(height, width, &kernel, &mut rng),
            dy: smooth_noise(height, width, &kernel, &mut rng),
        }
    }

    /// The Gaussian out to three sigmas, with `alpha` shared between the two passes.
    fn kernel(&self) -> Vec<f32> {
        let radius = (3.0 * self.sigma).ceil() as i32;
        let weights = (-radius..=radius).map(|i| (-0.5 * (i as f32 / self.sigma).powi(2)).exp());
        let mut weights: Vec<f32> = weights.collect();
        let scale = self.alpha.sqrt() / weights.iter().sum::<f32>();
        weights.iter_mut().for_each(|w| *w *= scale);
        weights
    }
}

/// Noise on a field wider than the image by the kernel, so that the border moves as much as the
/// middle, smoothed down the columns and then along the rows.
fn smooth_noise(height: usize, width: usize, kernel: &[f32], rng: &mut Rng) -> Vec<f32> {
    let margin = kernel.len() - 1;
    let (rows, columns) = (height + margin, width + margin);
    let noise = noise(rows * columns + LANES, rng);
    let mut smooth = vec![0.0; height * width];
    let mut line = vec![0.0; columns + LANES];
    for (y, out) in smooth.chunks_exact_mut(width).enumerate() {
        weighted_sum(kernel, &noise[y * columns..], columns, &mut line[..columns]);
        weighted_sum(kernel, &line, 1, out);
    }
    smooth
}

/// Sums that are kept in registers, side by side.
const LANES: usize = 8;

/// `out[x] = Σ_k kernel[k] · terms[k · step + x]`; reads up to `LANES` terms too many.
fn weighted_sum(kernel: &[f32], terms: &[f32], step: usize, out: &mut [f32]) {
    for (i, out) in out.chunks_mut(LANES).enumerate() {
        let mut sums = [0.0; LANES];
        for (k, weight) in kernel.iter().enumerate() {
            let terms = &terms[k * step + i * LANES..][..LANES];
            for (sum, term) in sums.iter_mut().zip(terms) {
                *sum += weight * term;
            }
        }
        out.copy_from_slice(&sums[..out.len()]);
    }
}

/// Uniform in ±1 in steps of 2⁻¹⁵: four numbers from each draw, since sums of hundreds of them
/// are all that is ever seen.
fn noise(n: usize, rng: &mut Rng) -> Vec<f32> {
    let mut noise = vec![0.0; n];
    for four in noise.chunks_mut(4) {
        let bits = rng.bits();
        for (i, value) in four.iter_mut().enumerate() {
            *value = f32::from((bits >> (16 * i)) as i16) * (1.0 / 32768.0);
        }
    }
    noise
}
