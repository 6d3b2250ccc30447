//! The transforms of Winograd's convolution, on vectors of channels.
//!
//! A polynomial product of degree 5 is known from its values at six points; the points are
//! 0, a, −a, b, −b and ∞ with a = 5/8 and b = 3/2. (The usual 1 and 2 round twice as much: the
//! powers of 2 grow, and with them what is later subtracted.) Three maps follow, each applied to
//! rows and then to columns of a small image (Lavin and Gray 2015 call them G, Bᵀ and Aᵀ; they
//! come from the same points for every way of splitting 6 = n + r − 1):
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

/// The points beside 0 and ∞, each with both signs.
const A: f64 = 5.0 / 8.0;
const B: f64 = 3.0 / 2.0;
/// a², b², a² + b² and a² b².
const AA: f64 = A * A;
const BB: f64 = B * B;
const SUM: f64 = AA + BB;
const PRODUCT: f64 = AA * BB;

/// pᵏ
const fn power(p: f64, k: usize) -> f64 {
    match k {
        0 => 1.0,
        _ => p * power(p, k - 1),
    }
}

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

/// Small images side by side: rows and columns of pixels, each `channels` neighbouring elements.
pub struct Transform<'a, T> {
    /// The map.
    pub map: Map,
    /// The side of a small image: 2 to 5.
    pub n: usize,
    /// How many there are.
    pub count: usize,
    /// The first pixel read.
    pub from: *const T,
    /// Distances to the next row and column.
    pub from_steps: [usize; 2],
    /// Distance to the next image.
    pub from_next: usize,
    /// The first pixel written.
    pub to: *mut T,
    /// Distances to the next row and column.
    pub to_steps: [usize; 2],
    /// Distance to the next image.
    pub to_next: usize,
    /// Rows and columns to write, for images that the edge cuts.
    pub to_size: [usize; 2],
    /// Elements of a pixel.
    pub channels: usize,
    /// Added to every pixel written.
    pub bias: Option<&'a [T]>,
}

/// A map from `I` to `O` vectors. Methods and not closures: a closure that the compiler does not
/// inline is compiled without the instruction set, and each of its operations becomes a call.
trait Line<const I: usize, const O: usize> {
    /// Applies it.
    unsafe fn map<V: Vector<Element = E>, E: Number>(x: [V; I]) -> [V; O];
}

/// A constant in every lane.
#[inline(always)]
unsafe fn c<V: Vector<Element = E>, E: Number>(k: f64) -> V {
    unsafe { V::splat(E::of(k)) }
}

/// `G`: values at the points, divided by the products of their distances.
struct Evaluate;

impl<const N: usize> Line<N, POINTS> for Evaluate {
    #[inline(always)]
    unsafe fn map<V: Vector<Element = E>, E: Number>(x: [V; N]) -> [V; POINTS] {
        unsafe {
            // Even and odd parts at a and at b.
            let (mut even, mut odd) = ([V::zero(); 2], [V::zero(); 2]);
            for (k, &x) in x.iter().enumerate() {
                let part = if k % 2 == 0 { &mut even } else { &mut odd };
                part[0] = x.mul_add(c(power(A, k)), part[0]);
                part[1] = x.mul_add(c(power(B, k)), part[1]);
            }
            let at_a = c(1.0 / (2.0 * AA * (AA - BB)));
            let at_b = c(1.0 / (2.0 * BB * (BB - AA)));
            [
                x[0].mul(c(1.0 / PRODUCT)),
                even[0].add(odd[0]).mul(at_a),
                even[0].sub(odd[0]).mul(at_a),
                even[1].add(odd[1]).mul(at_b),
                even[1].sub(odd[1]).mul(at_b),
                x[N - 1],
            ]
        }
    }
}

/// `Bᵀ`.
struct Reach;

impl Line<POINTS, POINTS> for Reach {
    #[inline(always)]
    unsafe fn map<V: Vector<Element = E>, E: Number>(x: [V; POINTS]) -> [V; POINTS] {
        unsafe {
            let (product, sum) = (c(PRODUCT), c(-SUM));
            // The even powers, and the odd ones times ±a or ±b.
            let even = [x[2].mul_add(c(-BB), x[4]), x[2].mul_add(c(-AA), x[4])];
            let odd = [x[1].mul_add(c(-BB), x[3]), x[1].mul_add(c(-AA), x[3])];
            [
                x[0].mul_add(product, x[2].mul_add(sum, x[4])),
                odd[0].mul_add(c(A), even[0]),
                odd[0].mul_add(c(-A), even[0]),
                odd[1].mul_add(c(B), even[1]),
                odd[1].mul_add(c(-B), even[1]),
                x[1].mul_add(product, x[3].mul_add(sum, x[5])),
            ]
        }
    }
}

/// `Aᵀ`: powers of the points.
struct Interpolate;

impl<const N: usize> Line<POINTS, N> for Interpolate {
    #[inline(always)]
    unsafe fn map<V: Vector<Element = E>, E: Number>(x: [V; POINTS]) -> [V; N] {
        unsafe {
            let even = [x[1].add(x[2]), x[3].add(x[4])];
            let odd = [x[1].sub(x[2]), x[3].sub(x[4])];
            let mut out = [V::zero(); N];
            for (k, out) in out.iter_mut().enumerate() {
                let part = if k % 2 == 0 { &even } else { &odd };
                *out = part[1].mul_add(c(power(B, k)), part[0].mul(c(power(A, k))));
            }
            out[0] = out[0].add(x[0]);
            out[N - 1] = out[N - 1].add(x[5]);
            out
        }
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

/// Applies a map to columns, then to rows, of each vector of channels of each image.
#[inline(always)]
unsafe fn apply<V, E, L, const I: usize, const O: usize>(t: &Transform<'_, E>)
where
    V: Vector<Element = E>,
    E: Number,
    L: Line<I, O>,
{
    unsafe {
        let tail = t.channels % V::LANES;
        let whole = t.to_size == [O; 2] && t.bias.is_none();
        for image in 0..t.count {
            let from = t.from.add(image * t.from_next);
            let to = t.to.add(image * t.to_next);
            let mut c = 0;
            while c + V::LANES <= t.channels {
                if whole {
                    vector::<V, E, L, I, O, true>(t, from.add(c), to.add(c), c, 0);
                } else {
                    vector::<V, E, L, I, O, false>(t, from.add(c), to.add(c), c, 0);
                }
                c += V::LANES;
            }
            if tail != 0 {
                vector::<V, E, L, I, O, false>(t, from.add(c), to.add(c), c, tail);
            }
        }
    }
}

/// A vector, of which only `tail` lanes unless 0.
#[inline(always)]
unsafe fn load<V: Vector>(from: *const V::Element, tail: usize) -> V {
    unsafe {
        match tail {
            0 => V::load(from),
            _ => V::load_first(from, tail),
        }
    }
}

/// One vector of channels of one image, from channel `c` on; `tail` of its lanes, unless 0.
/// `WHOLE` says that every pixel is written, and no bias added: what the loops are unrolled for.
#[inline(always)]
unsafe fn vector<V, E, L, const I: usize, const O: usize, const WHOLE: bool>(
    t: &Transform<'_, E>,
    from: *const E,
    to: *mut E,
    c: usize,
    tail: usize,
) where
    V: Vector<Element = E>,
    E: Number,
    L: Line<I, O>,
{
    unsafe {
        let mut rows = [[V::zero(); I]; O];
        for j in 0..I {
            let mut pixels = [V::zero(); I];
            for (i, pixel) in pixels.iter_mut().enumerate() {
                *pixel = load(from.add(i * t.from_steps[0] + j * t.from_steps[1]), tail);
            }
            let column = L::map(pixels);
            for (row, x) in rows.iter_mut().zip(column) {
                row[j] = x;
            }
        }
        let [height, width] = if WHOLE { [O; 2] } else { t.to_size };
        let bias = match t.bias {
            Some(bias) if !WHOLE => load(bias.as_ptr().add(c), tail),
            _ => V::zero(),
        };
        for (i, row) in rows.into_iter().enumerate() {
            for (j, x) in L::map(row).into_iter().enumerate() {
                if WHOLE || (i < height && j < width) {
                    let to = to.add(i * t.to_steps[0] + j * t.to_steps[1]);
                    match tail {
                        _ if WHOLE => x.store(to),
                        0 => x.add(bias).store(to),
                        _ => x.add(bias).store_first(to, tail),
                    }
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn run<V: Vector<Element = E>, E: Number>(t: &Transform<'_, E>) {
    macro_rules! sides {
        ($($n:literal)*) => {
            match (t.map, t.n) {
                (Map::Reach, _) => apply::<V, E, Reach, POINTS, POINTS>(t),
                $(
                    (Map::Evaluate, $n) => apply::<V, E, Evaluate, $n, POINTS>(t),
                    (Map::Interpolate, $n) => apply::<V, E, Interpolate, POINTS, $n>(t),
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
    ($name:ident, $t:ty, $portable:ident, $neon:ident $v1:ident, $avx2:ident $v2:ident,
     $avx512:ident $v512:ident) => {
        unsafe fn $portable(t: &Transform<'_, $t>) {
            unsafe { run::<Four<$t>, $t>(t) }
        }
        #[cfg(target_arch = "aarch64")]
        unsafe fn $neon(t: &Transform<'_, $t>) {
            unsafe { run::<std::arch::aarch64::$v1, $t>(t) }
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
                #[cfg(target_arch = "aarch64")]
                Isa::Neon => $neon,
                _ => $portable,
            }
        }
    };
}
compiled!(for_f32, f32, portable_f32, neon_f32 float32x4_t, avx2_f32 __m256, avx512_f32 __m512);
compiled!(for_f64, f64, portable_f64, neon_f64 float64x2_t, avx2_f64 __m256d, avx512_f64 __m512d);
