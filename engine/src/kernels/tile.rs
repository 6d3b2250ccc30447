//! The two innermost loops of every matrix product.
//!
//! A tile of the output, `MR` rows by `NV` vectors, stays in registers while a sum runs over `k`.
//! Neither loop wants its left operand packed:
//!
//! - [`Kernels::inner`] reads it by rows, each row a base address and the sum along contiguous
//!   *segments*. One segment is a plain product; one segment per kernel row, with the rows'
//!   addresses stepping through a padded image, is a convolution without any `col` matrix.
//! - [`Kernels::outer`] reads it transposed: the sum runs over addresses (pixels), the rows of
//!   the tile are neighbouring elements (channels). That is the gradient of the weights.

use super::simd::{Four, Isa, Vector};

/// `C[i, j] (+)= Σ_s Σ_{l < segment length} A[rows[i] + segments[s] + l] · B[k, j]`, where `k`
/// counts through the segments.
#[derive(Clone, Copy)]
pub struct Inner<'a, T> {
    /// The left operand.
    pub a: *const T,
    /// Where each row of the product begins in it.
    pub rows: &'a [usize],
    /// Offsets of the segments of the sum.
    pub segments: &'a [usize],
    /// Their common length.
    pub length: usize,
    /// The right operand: row `k` begins at `k · b_stride`.
    pub b: *const T,
    /// Its row stride.
    pub b_stride: usize,
    /// The output.
    pub c: *mut T,
    /// Where each row of the product begins in it.
    pub c_rows: &'a [usize],
    /// Columns, at most [`Kernels::width`].
    pub columns: usize,
    /// Whether to add to the output instead of overwriting it.
    pub add: bool,
}

/// `C[i, j] (+)= Σ_k A[terms[k] + i] · B[k, j]` for `i < rows`.
#[derive(Clone, Copy)]
pub struct Outer<'a, T> {
    /// The left operand.
    pub a: *const T,
    /// Where each term of the sum begins in it.
    pub terms: &'a [usize],
    /// Rows of the product: neighbouring elements of the left operand.
    pub rows: usize,
    /// The right operand: row `k` begins at `k · b_stride`.
    pub b: *const T,
    /// Its row stride.
    pub b_stride: usize,
    /// The output: row `i` begins at `i · c_stride`.
    pub c: *mut T,
    /// Its row stride.
    pub c_stride: usize,
    /// Columns, at most [`Kernels::width`].
    pub columns: usize,
    /// Whether to add to the output instead of overwriting it.
    pub add: bool,
}

/// Terms of [`Outer`] summed at a time: their rows of the right operand stay in the first-level
/// cache while the tiles go down the rows of the left one.
const TERMS: usize = 64;

/// The loops of one instruction set.
pub struct Kernels<T: 'static> {
    /// Which one.
    pub isa: Isa,
    /// Elements of a vector.
    pub lanes: usize,
    /// The most columns that one call computes.
    pub width: usize,
    inner: unsafe fn(&Inner<'_, T>),
    outer: unsafe fn(&Outer<'_, T>),
}

impl<T> Kernels<T> {
    /// A product summed along contiguous segments of rows.
    ///
    /// # Safety
    /// Everything that the offsets, strides and sizes reach must be valid, and the output must
    /// overlap nothing.
    pub unsafe fn inner(&self, args: &Inner<'_, T>) {
        debug_assert!(args.columns <= self.width);
        unsafe { (self.inner)(args) }
    }

    /// A product summed over addresses.
    ///
    /// # Safety
    /// As for [`inner`](Kernels::inner).
    pub unsafe fn outer(&self, args: &Outer<'_, T>) {
        debug_assert!(args.columns <= self.width);
        for (part, terms) in args.terms.chunks(TERMS).enumerate() {
            let skipped = part * TERMS * args.b_stride;
            unsafe {
                (self.outer)(&Outer {
                    terms,
                    b: args.b.add(skipped),
                    add: args.add || part > 0,
                    ..*args
                });
            }
        }
    }
}

/// Loads `NV` vectors; of the last one only `tail` lanes, unless `tail` is 0.
#[inline(always)]
unsafe fn load<V: Vector, const NV: usize>(from: *const V::Element, tail: usize) -> [V; NV] {
    unsafe {
        let mut out = [V::zero(); NV];
        for (v, out) in out.iter_mut().enumerate() {
            let from = from.add(v * V::LANES);
            *out = if v + 1 == NV && tail != 0 {
                V::load_first(from, tail)
            } else {
                V::load(from)
            };
        }
        out
    }
}

/// Writes a tile, adding what is there if `add`.
#[inline(always)]
unsafe fn write<V: Vector, const MR: usize, const NV: usize>(
    sums: [[V; NV]; MR],
    c: [*mut V::Element; MR],
    tail: usize,
    add: bool,
) {
    unsafe {
        for (mut row, c) in sums.into_iter().zip(c) {
            if add {
                let old = load::<V, NV>(c, tail);
                for v in 0..NV {
                    row[v] = row[v].add(old[v]);
                }
            }
            for (v, x) in row.into_iter().enumerate() {
                let c = c.add(v * V::LANES);
                if v + 1 == NV && tail != 0 {
                    x.store_first(c, tail);
                } else {
                    x.store(c);
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn inner_tile<V: Vector, const MR: usize, const NV: usize>(
    args: &Inner<'_, V::Element>,
    first: usize,
    tail: usize,
) {
    unsafe {
        let mut sums = [[V::zero(); NV]; MR];
        let rows: [usize; MR] = std::array::from_fn(|i| *args.rows.get_unchecked(first + i));
        let mut b = args.b;
        for &segment in args.segments {
            let a: [*const V::Element; MR] = std::array::from_fn(|i| args.a.add(rows[i] + segment));
            for l in 0..args.length {
                let right = load::<V, NV>(b, tail);
                b = b.add(args.b_stride);
                for i in 0..MR {
                    let left = V::splat(*a[i].add(l));
                    for v in 0..NV {
                        sums[i][v] = left.mul_add(right[v], sums[i][v]);
                    }
                }
            }
        }
        let c = std::array::from_fn(|i| args.c.add(*args.c_rows.get_unchecked(first + i)));
        write(sums, c, tail, args.add);
    }
}

#[inline(always)]
unsafe fn outer_tile<V: Vector, const MR: usize, const NV: usize>(
    args: &Outer<'_, V::Element>,
    first: usize,
    tail: usize,
) {
    unsafe {
        let mut sums = [[V::zero(); NV]; MR];
        let mut b = args.b;
        for &term in args.terms {
            let a = args.a.add(term + first);
            let right = load::<V, NV>(b, tail);
            b = b.add(args.b_stride);
            for (i, sums) in sums.iter_mut().enumerate() {
                let left = V::splat(*a.add(i));
                for v in 0..NV {
                    sums[v] = left.mul_add(right[v], sums[v]);
                }
            }
        }
        let c = std::array::from_fn(|i| args.c.add((first + i) * args.c_stride));
        write(sums, c, tail, args.add);
    }
}

/// Covers `rows` rows with tiles of `$mr`, then 4, then 1.
macro_rules! cover {
    ($tile:ident, $v:ty, $mr:literal, $nv:literal, $args:expr, $rows:expr, $tail:expr) => {{
        let (args, rows, tail) = ($args, $rows, $tail);
        let mut i = 0;
        while i + $mr <= rows {
            $tile::<$v, $mr, $nv>(args, i, tail);
            i += $mr;
        }
        while i + 4 <= rows {
            $tile::<$v, 4, $nv>(args, i, tail);
            i += 4;
        }
        while i < rows {
            $tile::<$v, 1, $nv>(args, i, tail);
            i += 1;
        }
    }};
}

/// The loops for one instruction set and type. `$nv => $mr` says how many rows fit into the
/// registers beside so many vectors of columns.
macro_rules! kernels {
    ($module:ident, $isa:expr, $v:ty, $t:ty, $features:meta, [$($nv:literal => $mr:literal),*]) => {
        pub mod $module {
            use super::*;

            #[$features]
            unsafe fn inner(args: &Inner<'_, $t>) {
                const LANES: usize = <$v as Vector>::LANES;
                let tail = args.columns % LANES;
                unsafe {
                    match (args.columns.div_ceil(LANES), tail) {
                        $(
                            ($nv, 0) => cover!(inner_tile, $v, $mr, $nv, args, args.rows.len(), 0),
                            ($nv, _) => cover!(inner_tile, $v, $mr, $nv, args, args.rows.len(), tail),
                        )*
                        _ => {}
                    }
                }
            }

            #[$features]
            unsafe fn outer(args: &Outer<'_, $t>) {
                const LANES: usize = <$v as Vector>::LANES;
                let tail = args.columns % LANES;
                unsafe {
                    match (args.columns.div_ceil(LANES), tail) {
                        $(
                            ($nv, 0) => cover!(outer_tile, $v, $mr, $nv, args, args.rows, 0),
                            ($nv, _) => cover!(outer_tile, $v, $mr, $nv, args, args.rows, tail),
                        )*
                        _ => {}
                    }
                }
            }

            pub static KERNELS: Kernels<$t> = Kernels {
                isa: $isa,
                lanes: <$v as Vector>::LANES,
                width: <$v as Vector>::LANES * [$($nv),*].len(),
                inner,
                outer,
            };
        }
    };
}

kernels!(portable_f32, Isa::Portable, Four<f32>, f32, inline, [1 => 4, 2 => 4]);
kernels!(portable_f64, Isa::Portable, Four<f64>, f64, inline, [1 => 4]);

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::*;
    use std::arch::x86_64::*;

    kernels!(avx2_f32, Isa::Avx2, __m256, f32, target_feature(enable = "avx2,fma"), [1 => 12, 2 => 6]);
    kernels!(avx2_f64, Isa::Avx2, __m256d, f64, target_feature(enable = "avx2,fma"), [1 => 12, 2 => 6]);
    kernels!(avx512_f32, Isa::Avx512, __m512, f32, target_feature(enable = "avx512f,avx512dq"),
        [1 => 12, 2 => 12, 3 => 8, 4 => 6]);
    kernels!(avx512_f64, Isa::Avx512, __m512d, f64, target_feature(enable = "avx512f,avx512dq"),
        [1 => 12, 2 => 12, 3 => 8, 4 => 6]);
}

#[cfg(target_arch = "aarch64")]
mod arm {
    use super::*;
    use std::arch::aarch64::*;

    kernels!(neon_f32, Isa::Neon, float32x4_t, f32, inline, [1 => 12, 2 => 12, 3 => 8, 4 => 6]);
    kernels!(neon_f64, Isa::Neon, float64x2_t, f64, inline, [1 => 12, 2 => 12, 3 => 8, 4 => 6]);
}

macro_rules! choose {
    ($name:ident, $t:ty, $portable:ident, $neon:ident, $avx2:ident, $avx512:ident) => {
        /// The loops of an instruction set, which must be available.
        pub fn $name(isa: Isa) -> &'static Kernels<$t> {
            match isa {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 => &x86::$avx512::KERNELS,
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => &x86::$avx2::KERNELS,
                #[cfg(target_arch = "aarch64")]
                Isa::Neon => &arm::$neon::KERNELS,
                _ => &$portable::KERNELS,
            }
        }
    };
}
choose!(for_f32, f32, portable_f32, neon_f32, avx2_f32, avx512_f32);
choose!(for_f64, f64, portable_f64, neon_f64, avx2_f64, avx512_f64);
