//! Vectors of floats, one implementation per instruction set, and the choice between them.
//!
//! A kernel is written once, over [`Vector`], as an `#[inline(always)]` function. A thin wrapper
//! with `#[target_feature]` instantiates it for each instruction set, and [`Isa::active`] says at
//! run time which wrapper to call. `HYPERSPHERE_ISA` (`avx512`, `avx2`, `neon`, `portable`) forces
//! one, so that the tests can run each.

use std::mem::MaybeUninit;
use std::sync::OnceLock;

/// An instruction set that kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// What the compiler makes of plain loops for any processor of the architecture.
    Portable,
    /// 128-bit vectors with fused multiply-add, on every 64-bit Arm.
    Neon,
    /// 256-bit vectors with fused multiply-add.
    Avx2,
    /// 512-bit vectors.
    Avx512,
}

impl Isa {
    /// All of them, the widest first.
    pub const ALL: [Isa; 4] = [Isa::Avx512, Isa::Avx2, Isa::Neon, Isa::Portable];

    /// Its name, as `HYPERSPHERE_ISA` has it.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            Isa::Neon => "neon",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
        }
    }

    /// Whether this processor has it.
    pub fn is_available(self) -> bool {
        match self {
            Isa::Portable => true,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => true,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                // All of them: the server processors that have the first have the others.
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("fma")
            }
            #[allow(unreachable_patterns)]
            _ => false,
        }
    }

    /// The one in use: the widest there is, unless `HYPERSPHERE_ISA` names another.
    ///
    /// # Panics
    /// If `HYPERSPHERE_ISA` names one that does not exist or that this processor lacks.
    pub fn active() -> Isa {
        static ACTIVE: OnceLock<Isa> = OnceLock::new();
        *ACTIVE.get_or_init(|| {
            let Ok(name) = std::env::var("HYPERSPHERE_ISA") else {
                let widest = Isa::ALL.into_iter().find(|i| i.is_available());
                return widest.unwrap_or(Isa::Portable);
            };
            let wanted = Isa::ALL.into_iter().find(|i| i.name() == name);
            match wanted {
                Some(isa) if isa.is_available() => isa,
                Some(_) => panic!("HYPERSPHERE_ISA={name}: this processor does not have it"),
                None => panic!("HYPERSPHERE_ISA={name}: expected avx512, avx2, neon or portable"),
            }
        })
    }
}

/// Compiles a function once for each instruction set, and calls the one in use. For plain loops
/// that the compiler vectorises by itself; the same operations in the same order, so the bits do
/// not depend on the instruction set.
///
/// What the loop calls must be inlined, or it is compiled without the instruction set: methods
/// and functions marked `#[inline(always)]`, and small closures.
macro_rules! per_isa {
    ($(#[$meta:meta])* $vis:vis fn $name:ident<$($g:ident: $bound:path),*>(
        $($arg:ident: $type:ty),* $(,)?
    ) $body:block) => {
        $(#[$meta])*
        $vis fn $name<$($g: $bound),*>($($arg: $type),*) {
            #[inline(always)]
            fn plain<$($g: $bound),*>($($arg: $type),*) $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,fma")]
            fn avx512<$($g: $bound),*>($($arg: $type),*) {
                plain($($arg),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2<$($g: $bound),*>($($arg: $type),*) {
                plain($($arg),*)
            }

            match $crate::kernels::simd::Isa::active() {
                // SAFETY: the active instruction set is available.
                #[cfg(target_arch = "x86_64")]
                $crate::kernels::simd::Isa::Avx512 => unsafe { avx512($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::kernels::simd::Isa::Avx2 => unsafe { avx2($($arg),*) },
                _ => plain($($arg),*),
            }
        }
    };
}
pub(crate) use per_isa;

/// A register full of numbers.
///
/// # Safety
/// Every function must only be called where the instruction set is available, and pointers must
/// be valid for `LANES` elements (or the number given).
pub unsafe trait Vector: Copy {
    /// What it holds.
    type Element: Copy;
    /// How many, at most [`WIDEST`].
    const LANES: usize;
    /// All lanes zero.
    unsafe fn zero() -> Self;
    /// All lanes the same.
    unsafe fn splat(x: Self::Element) -> Self;
    /// From unaligned memory.
    unsafe fn load(from: *const Self::Element) -> Self;
    /// To unaligned memory.
    unsafe fn store(self, to: *mut Self::Element);
    /// `self · a + b`, rounded once where the processor can.
    unsafe fn mul_add(self, a: Self, b: Self) -> Self;
    /// `self + a`.
    unsafe fn add(self, a: Self) -> Self;
    /// `self − a`.
    unsafe fn sub(self, a: Self) -> Self;
    /// `self · a`.
    unsafe fn mul(self, a: Self) -> Self;

    /// The first `n < LANES` lanes from memory, the others zero. By way of the stack, unless the
    /// instruction set has masks.
    #[inline(always)]
    unsafe fn load_first(from: *const Self::Element, n: usize) -> Self {
        let mut lanes = MaybeUninit::<[Self::Element; WIDEST]>::uninit();
        let lanes = lanes.as_mut_ptr().cast::<Self::Element>();
        unsafe {
            Self::zero().store(lanes);
            lanes.copy_from_nonoverlapping(from, n);
            Self::load(lanes)
        }
    }

    /// The first `n < LANES` lanes to memory.
    #[inline(always)]
    unsafe fn store_first(self, to: *mut Self::Element, n: usize) {
        let mut lanes = MaybeUninit::<[Self::Element; WIDEST]>::uninit();
        let lanes = lanes.as_mut_ptr().cast::<Self::Element>();
        unsafe {
            self.store(lanes);
            to.copy_from_nonoverlapping(lanes, n);
        }
    }
}

/// The most lanes of any vector.
const WIDEST: usize = 16;

/// Four numbers that the compiler turns into whatever vectors the target has by default.
#[derive(Clone, Copy)]
pub struct Four<T>([T; 4]);

macro_rules! four {
    ($t:ty) => {
        impl Four<$t> {
            #[inline(always)]
            fn zip(self, a: Self, f: impl Fn($t, $t) -> $t) -> Self {
                Four(std::array::from_fn(|i| f(self.0[i], a.0[i])))
            }
        }

        // SAFETY: plain Rust on the pointers that the caller vouches for.
        unsafe impl Vector for Four<$t> {
            type Element = $t;
            const LANES: usize = 4;
            #[inline(always)]
            unsafe fn zero() -> Self {
                Four([0.0; 4])
            }
            #[inline(always)]
            unsafe fn splat(x: $t) -> Self {
                Four([x; 4])
            }
            #[inline(always)]
            unsafe fn load(from: *const $t) -> Self {
                Four(unsafe { from.cast::<[$t; 4]>().read_unaligned() })
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $t) {
                unsafe { to.cast::<[$t; 4]>().write_unaligned(self.0) }
            }
            #[inline(always)]
            unsafe fn mul_add(self, a: Self, b: Self) -> Self {
                // Rounded twice: fused, it would be a slow library call where no instruction is.
                let lane = |i: usize| self.0[i] * a.0[i] + b.0[i];
                Four(std::array::from_fn(lane))
            }
            #[inline(always)]
            unsafe fn add(self, a: Self) -> Self {
                self.zip(a, |x, y| x + y)
            }
            #[inline(always)]
            unsafe fn sub(self, a: Self) -> Self {
                self.zip(a, |x, y| x - y)
            }
            #[inline(always)]
            unsafe fn mul(self, a: Self) -> Self {
                self.zip(a, |x, y| x * y)
            }
        }
    };
}
four!(f32);
four!(f64);

/// A register of the processor as a [`Vector`]: its intrinsics by name, and what loads and stores
/// its first `n` lanes if the instruction set has masks.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! vector {
    ($v:ty, $t:ty, $lanes:literal, $splat:ident $load:ident $store:ident $add:ident $sub:ident
     $mul:ident, |$x:ident, $a:ident, $b:ident| $mul_add:expr
     $(, |$from:ident, $n:ident| $load_first:expr,
        |$y:ident, $to:ident, $m:ident| $store_first:expr)?) => {
        // SAFETY: the instruction set and the pointers are the caller's to vouch for.
        unsafe impl Vector for $v {
            type Element = $t;
            const LANES: usize = $lanes;
            #[inline(always)]
            unsafe fn zero() -> Self {
                unsafe { $splat(0.0) }
            }
            #[inline(always)]
            unsafe fn splat(x: $t) -> Self {
                unsafe { $splat(x) }
            }
            #[inline(always)]
            unsafe fn load(from: *const $t) -> Self {
                unsafe { $load(from) }
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $t) {
                unsafe { $store(to, self) }
            }
            #[inline(always)]
            unsafe fn mul_add(self, $a: Self, $b: Self) -> Self {
                let $x = self;
                unsafe { $mul_add }
            }
            #[inline(always)]
            unsafe fn add(self, a: Self) -> Self {
                unsafe { $add(self, a) }
            }
            #[inline(always)]
            unsafe fn sub(self, a: Self) -> Self {
                unsafe { $sub(self, a) }
            }
            #[inline(always)]
            unsafe fn mul(self, a: Self) -> Self {
                unsafe { $mul(self, a) }
            }
            $(
                #[inline(always)]
                unsafe fn load_first($from: *const $t, $n: usize) -> Self {
                    unsafe { $load_first }
                }
                #[inline(always)]
                unsafe fn store_first(self, $to: *mut $t, $m: usize) {
                    let $y = self;
                    unsafe { $store_first }
                }
            )?
        }
    };
}

#[cfg(target_arch = "x86_64")]
pub mod x86 {
    //! AVX2 and AVX-512.
    use super::Vector;
    use std::arch::x86_64::*;

    static ONES: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

    /// The mask of the first `n` 32-bit lanes.
    #[inline(always)]
    unsafe fn first(n: usize) -> __m256i {
        unsafe { _mm256_loadu_si256(ONES.as_ptr().add(8 - n).cast()) }
    }

    vector!(__m256, f32, 8,
        _mm256_set1_ps _mm256_loadu_ps _mm256_storeu_ps _mm256_add_ps _mm256_sub_ps _mm256_mul_ps,
        |x, a, b| _mm256_fmadd_ps(x, a, b),
        |from, n| _mm256_maskload_ps(from, first(n)),
        |x, to, n| _mm256_maskstore_ps(to, first(n), x));
    vector!(__m256d, f64, 4,
        _mm256_set1_pd _mm256_loadu_pd _mm256_storeu_pd _mm256_add_pd _mm256_sub_pd _mm256_mul_pd,
        |x, a, b| _mm256_fmadd_pd(x, a, b),
        |from, n| _mm256_maskload_pd(from, first(2 * n)),
        |x, to, n| _mm256_maskstore_pd(to, first(2 * n), x));
    vector!(__m512, f32, 16,
        _mm512_set1_ps _mm512_loadu_ps _mm512_storeu_ps _mm512_add_ps _mm512_sub_ps _mm512_mul_ps,
        |x, a, b| _mm512_fmadd_ps(x, a, b),
        |from, n| _mm512_maskz_loadu_ps((1 << n) - 1, from),
        |x, to, n| _mm512_mask_storeu_ps(to, (1 << n) - 1, x));
    vector!(__m512d, f64, 8,
        _mm512_set1_pd _mm512_loadu_pd _mm512_storeu_pd _mm512_add_pd _mm512_sub_pd _mm512_mul_pd,
        |x, a, b| _mm512_fmadd_pd(x, a, b),
        |from, n| _mm512_maskz_loadu_pd((1 << n) - 1, from),
        |x, to, n| _mm512_mask_storeu_pd(to, (1 << n) - 1, x));
}

#[cfg(target_arch = "aarch64")]
pub mod arm {
    //! Neon.
    use super::Vector;
    use std::arch::aarch64::*;

    vector!(float32x4_t, f32, 4,
        vdupq_n_f32 vld1q_f32 vst1q_f32 vaddq_f32 vsubq_f32 vmulq_f32,
        |x, a, b| vfmaq_f32(b, x, a));
    vector!(float64x2_t, f64, 2,
        vdupq_n_f64 vld1q_f64 vst1q_f64 vaddq_f64 vsubq_f64 vmulq_f64,
        |x, a, b| vfmaq_f64(b, x, a));
}
