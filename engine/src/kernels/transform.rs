//! The transforms of Winograd's convolution, on vectors of channels.
//!
//! A polynomial product of degree 5 is known from its values at six points; the points are
//! 0, 1, −1, 2, −2 and ∞. Three maps follow, each applied to rows and then to columns of a small
//! image (Lavin and Gray 2015 call them G, Bᵀ and Aᵀ; they come from the same points for every
//! way of splitting 6 = n + r − 1):
//!
//! - [`Map::Evaluate`]: `n` coefficients to the six values, divided by `Π_{q≠p} (p − q)`;
//! - [`Map::Reach`]: six pixels to the six combinations that meet those values;
//! - [`Map::Interpolate`]: six products to the `n` results.
//!
//! An output of `n` by `n` pixels under a kernel of `r = 7 − n` taps takes `36` products per
//! channel instead of `n² r²`: a quarter for `n = 4, r = 3`.

use super::simd::{Four, Isa, Vector};

/// Points, and so values per axis.
pub const POINTS: usize = 6;

/// Which of the three maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Map {
    /// From `n` to six.
    Evaluate,
    /// From six to six.
    Reach,
    /// From six to `n`.
    Interpolate,
}

/// One small image: rows and columns of pixels, each `channels` neighbouring elements.
pub struct Transform<'a, T> {
    /// The map.
    pub map: Map,
    /// The side of the small image: 2 to 5.
    pub n: usize,
    /// The first pixel read.
    pub from: *const T,
    /// Distances to the next row and column.
    pub from_steps: [usize; 2],
    /// The first pixel written.
    pub to: *mut T,
    /// Distances to the next row and column.
    pub to_steps: [usize; 2],
    /// Rows and columns to write, for an image that the edge cuts.
    pub to_size: [usize; 2],
    /// Elements of a pixel.
    pub channels: usize,
    /// Added to every pixel written.
    pub bias: Option<&'a [T]>,
}

/// `G`: values at the points, divided by the products of their distances.
#[inline(always)]
unsafe fn evaluate<V: Vector<Element = E>, E: Number, const N: usize>(x: [V; N]) -> [V; POINTS] {
    unsafe {
        let c = |k: f64| V::splat(E::of(k));
        // Even and odd parts at 1 and at 2.
        let (mut even, mut odd) = ([V::zero(); 2], [V::zero(); 2]);
        for (k, &x) in x.iter().enumerate() {
            let part = if k % 2 == 0 { &mut even } else { &mut odd };
            part[0] = part[0].add(x);
            part[1] = x.mul_add(c((1 << k) as f64), part[1]);
        }
        [
            x[0].mul(c(1.0 / 4.0)),
            even[0].add(odd[0]).mul(c(-1.0 / 6.0)),
            even[0].sub(odd[0]).mul(c(-1.0 / 6.0)),
            even[1].add(odd[1]).mul(c(1.0 / 24.0)),
            even[1].sub(odd[1]).mul(c(1.0 / 24.0)),
            x[N - 1],
        ]
    }
}

/// `Bᵀ`.
#[inline(always)]
unsafe fn reach<V: Vector<Element = E>, E: Number>(x: [V; POINTS]) -> [V; POINTS] {
    unsafe {
        let c = |k: f64| V::splat(E::of(k));
        let (two, four, five) = (c(2.0), c(-4.0), c(-5.0));
        let even = x[2].mul_add(four, x[4]);
        let odd = x[1].mul_add(four, x[3]);
        let even2 = x[4].sub(x[2]);
        let odd2 = x[3].sub(x[1]).mul(two);
        [
            x[0].mul_add(c(4.0), x[2].mul_add(five, x[4])),
            even.add(odd),
            even.sub(odd),
            even2.add(odd2),
            even2.sub(odd2),
            x[1].mul_add(c(4.0), x[3].mul_add(five, x[5])),
        ]
    }
}

/// `Aᵀ`: powers of the points.
#[inline(always)]
unsafe fn interpolate<V: Vector<Element = E>, E: Number, const N: usize>(x: [V; POINTS]) -> [V; N] {
    unsafe {
        let even = [x[1].add(x[2]), x[3].add(x[4])];
        let odd = [x[1].sub(x[2]), x[3].sub(x[4])];
        let mut out = [V::zero(); N];
        for (k, out) in out.iter_mut().enumerate() {
            let part = if k % 2 == 0 { &even } else { &odd };
            *out = part[1].mul_add(V::splat(E::of((1 << k) as f64)), part[0]);
        }
        out[0] = out[0].add(x[0]);
        out[N - 1] = out[N - 1].add(x[5]);
        out
    }
}

/// Converts the constants of the maps.
pub trait Number: Copy {
    /// The nearest number of this type.
    fn of(x: f64) -> Self;
}
impl Number for f32 {
    #[inline(always)]
    fn of(x: f64) -> Self {
        x as f32
    }
}
impl Number for f64 {
    #[inline(always)]
    fn of(x: f64) -> Self {
        x
    }
}

/// Applies `map` to columns, then to rows, of each vector of channels.
#[inline(always)]
unsafe fn apply<V: Vector, const I: usize, const O: usize>(
    t: &Transform<'_, V::Element>,
    map: impl Fn([V; I]) -> [V; O],
) {
    let [fy, fx] = t.from_steps;
    let [ty, tx] = t.to_steps;
    let mut c = 0;
    while c < t.channels {
        let tail = if t.channels - c < V::LANES {
            t.channels - c
        } else {
            0
        };
        unsafe {
            // Plain loops throughout: a closure that the compiler does not inline would be
            // compiled without the instruction set.
            let mut columns = [[V::zero(); O]; I];
            for (j, column) in columns.iter_mut().enumerate() {
                let mut pixels = [V::zero(); I];
                for (i, pixel) in pixels.iter_mut().enumerate() {
                    let from = t.from.add(i * fy + j * fx + c);
                    *pixel = if tail == 0 {
                        V::load(from)
                    } else {
                        V::load_first(from, tail)
                    };
                }
                *column = map(pixels);
            }
            let mut rows = [[V::zero(); I]; O];
            for (j, column) in columns.into_iter().enumerate() {
                for (row, x) in rows.iter_mut().zip(column) {
                    row[j] = x;
                }
            }
            for (i, row) in rows.into_iter().enumerate().take(t.to_size[0]) {
                for (j, mut x) in map(row).into_iter().enumerate().take(t.to_size[1]) {
                    let to = t.to.add(i * ty + j * tx + c);
                    if let Some(bias) = t.bias {
                        let from = bias.as_ptr().add(c);
                        let bias = if tail == 0 {
                            V::load(from)
                        } else {
                            V::load_first(from, tail)
                        };
                        x = x.add(bias);
                    }
                    if tail == 0 {
                        x.store(to)
                    } else {
                        x.store_first(to, tail)
                    }
                }
            }
        }
        c += V::LANES;
    }
}

#[inline(always)]
unsafe fn run<V: Vector<Element = E>, E: Number>(t: &Transform<'_, E>) {
    macro_rules! sides {
        ($($n:literal)*) => {
            match (t.map, t.n) {
                (Map::Reach, _) => apply::<V, POINTS, POINTS>(t, |x| reach(x)),
                $(
                    (Map::Evaluate, $n) => apply::<V, $n, POINTS>(t, |x| evaluate(x)),
                    (Map::Interpolate, $n) => apply::<V, POINTS, $n>(t, |x| interpolate(x)),
                )*
                (map, n) => unreachable!("{map:?} of side {n}"),
            }
        };
    }
    unsafe { sides!(2 3 4 5) }
}

/// A transform compiled for one instruction set.
pub type Run<T> = unsafe fn(&Transform<'_, T>);

macro_rules! compiled {
    ($name:ident, $t:ty, $portable:ident, $avx2:ident $v2:ident, $avx512:ident $v512:ident) => {
        unsafe fn $portable(t: &Transform<'_, $t>) {
            unsafe { run::<Four<$t>, $t>(t) }
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        unsafe fn $avx2(t: &Transform<'_, $t>) {
            unsafe { run::<std::arch::x86_64::$v2, $t>(t) }
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512dq")]
        unsafe fn $avx512(t: &Transform<'_, $t>) {
            unsafe { run::<std::arch::x86_64::$v512, $t>(t) }
        }
        /// The transform for an instruction set, which must be available.
        pub fn $name(isa: Isa) -> Run<$t> {
            match isa {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 => $avx512,
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => $avx2,
                _ => $portable,
            }
        }
    };
}
compiled!(for_f32, f32, portable_f32, avx2_f32 __m256, avx512_f32 __m512);
compiled!(for_f64, f64, portable_f64, avx2_f64 __m256d, avx512_f64 __m512d);
