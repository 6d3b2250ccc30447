//! The mel scale, and the triangles that sum a spectrum into mel bands.

/// How the mel scale is defined. Both put 1000 Hz where most of its listeners put 1000 mel, and
/// differ by some percent above and below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MelScale {
    /// `mel = 2595 log10(1 + hz / 700)`: D. O'Shaughnessy 1987, and the Hidden Markov Model Toolkit.
    Htk,
    /// M. Slaney's Auditory Toolbox, 1998: `3 hz / 200` up to 1000 Hz, then logarithmic, 27 bands
    /// to a factor of 6.4.
    Slaney,
}

/// How high the triangles are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MelNorm {
    /// Every triangle is 1 at its centre: a wide band sums more.
    Peak,
    /// Every triangle has the area 1 Hz: `2 / (upper - lower)` at its centre. The "slaney" norm.
    Area,
}

const SLANEY_CORNER_MEL: f64 = 15.0;
const SLANEY_CORNER_HZ: f64 = 1000.0;

impl MelScale {
    /// The place of a frequency on the scale.
    pub fn mel(self, hz: f64) -> f64 {
        match self {
            MelScale::Htk => 2595.0 * (1.0 + hz / 700.0).log10(),
            MelScale::Slaney if hz < SLANEY_CORNER_HZ => 3.0 * hz / 200.0,
            MelScale::Slaney => SLANEY_CORNER_MEL + (hz / SLANEY_CORNER_HZ).ln() / slaney_step(),
        }
    }

    /// The frequency at a place of the scale, in Hz.
    pub fn hz(self, mel: f64) -> f64 {
        match self {
            MelScale::Htk => 700.0 * (10f64.powf(mel / 2595.0) - 1.0),
            MelScale::Slaney if mel < SLANEY_CORNER_MEL => 200.0 * mel / 3.0,
            MelScale::Slaney => {
                SLANEY_CORNER_HZ * (slaney_step() * (mel - SLANEY_CORNER_MEL)).exp()
            }
        }
    }
}

fn slaney_step() -> f64 {
    6.4f64.ln() / 27.0
}

/// Triangles over the bins of a spectrum, without their zeros.
#[derive(Clone, Debug)]
pub(super) struct Filterbank {
    bands: Vec<Band>,
}

#[derive(Clone, Debug)]
struct Band {
    /// The first bin with a weight.
    start: usize,
    weights: Vec<f64>,
}

impl Filterbank {
    /// `mels` triangles between `low` and `high` Hz: the corners are spaced evenly on the scale,
    /// and each triangle begins and ends at the centres of its neighbours. Bin `k` of `bins` lies
    /// at `k * spacing` Hz.
    pub(super) fn new(
        (scale, norm): (MelScale, MelNorm),
        mels: usize,
        [low, high]: [f64; 2],
        (bins, spacing): (usize, f64),
    ) -> Self {
        let (first, last) = (scale.mel(low), scale.mel(high));
        let step = (last - first) / (mels + 1) as f64;
        let corner = |i: usize| scale.hz(first + step * i as f64);
        let band = |m: usize| {
            let [lower, centre, upper] = [0, 1, 2].map(|i| corner(m + i));
            let height = match norm {
                MelNorm::Peak => 1.0,
                MelNorm::Area => 2.0 / (upper - lower),
            };
            let weight = |k: usize| {
                let hz = k as f64 * spacing;
                let rising = (hz - lower) / (centre - lower);
                let falling = (upper - hz) / (upper - centre);
                height * rising.min(falling).max(0.0)
            };
            let start = (0..bins).find(|&k| weight(k) > 0.0).unwrap_or(bins);
            let weights = (start..bins).map(weight).take_while(|&w| w > 0.0);
            Band {
                start,
                weights: weights.collect(),
            }
        };
        Filterbank {
            bands: (0..mels).map(band).collect(),
        }
    }

    /// The sum of each band.
    pub(super) fn apply<'a>(&'a self, spectrum: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
        self.bands.iter().map(|band| {
            let bins = spectrum[band.start..].iter();
            bins.zip(&band.weights).map(|(s, w)| s * w).sum()
        })
    }

    /// The number of bands that lie between two bins and therefore sum nothing.
    pub(super) fn empty(&self) -> usize {
        let empty = |band: &&Band| band.weights.is_empty();
        self.bands.iter().filter(empty).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    #[test]
    fn the_scales_have_their_published_values_and_a_way_back() {
        // librosa 0.11: hz_to_mel(f, htk=True) and hz_to_mel(f).
        for (hz, htk, slaney) in [
            (110.0, 164.489_210_153_1, 1.65),
            (1000.0, 999.985_537_143_8, 15.0),
            (4000.0, 2_146.064_527_506_2, 35.163_760_314_6),
        ] {
            for (scale, mel) in [(MelScale::Htk, htk), (MelScale::Slaney, slaney)] {
                assert_relative_eq!(scale.mel(hz), mel, max_relative = 1e-10);
                assert_relative_eq!(scale.hz(mel), hz, max_relative = 1e-10);
            }
        }
    }

    #[test]
    fn neighbouring_triangles_of_height_one_sum_to_one() {
        let bank = Filterbank::new(
            (MelScale::Htk, MelNorm::Peak),
            10,
            [0.0, 4000.0],
            (513, 7.8125),
        );
        let mut sums = vec![0.0; 513];
        for band in &bank.bands {
            for (i, w) in band.weights.iter().enumerate() {
                sums[band.start + i] += w;
            }
        }
        // Between the centres of the first and the last triangle.
        for sum in &sums[40..400] {
            assert_relative_eq!(*sum, 1.0, max_relative = 1e-12);
        }
        assert_eq!(bank.empty(), 0);
        let narrow = Filterbank::new(
            (MelScale::Htk, MelNorm::Peak),
            64,
            [0.0, 4000.0],
            (33, 125.0),
        );
        assert!(narrow.empty() > 0);
    }

    #[test]
    fn triangles_of_equal_area_have_it() {
        let bank = Filterbank::new(
            (MelScale::Slaney, MelNorm::Area),
            8,
            [50.0, 8000.0],
            (8001, 1.0),
        );
        for band in &bank.bands {
            let area: f64 = band.weights.iter().sum();
            assert_relative_eq!(area, 1.0, max_relative = 1e-3);
        }
    }
}
