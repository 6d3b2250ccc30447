//! The processor's ceilings, measured: what every other figure is a share of.

use super::simd::{Four, Isa, Vector};
use crate::par;
use std::hint::black_box;
use std::time::Instant;

/// Multiply-adds of each chain in a task.
const LENGTH: usize = 100_000;

/// `CHAINS` independent sums: enough to hide the latency of a multiply-add, few enough to stay in
/// registers.
#[inline(always)]
unsafe fn chains<V: Vector<Element = f32>, const CHAINS: usize>() -> f32 {
    unsafe {
        let (factor, term) = (V::splat(black_box(0.999)), V::splat(black_box(1e-3)));
        let mut sums = [V::splat(black_box(1.0)); CHAINS];
        for _ in 0..LENGTH {
            for sum in &mut sums {
                *sum = sum.mul_add(factor, term);
            }
        }
        let mut total = V::zero();
        for sum in sums {
            total = total.add(sum);
        }
        let mut out = [0.0; 16];
        total.store(out.as_mut_ptr());
        out[0]
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq")]
fn avx512() -> f32 {
    // SAFETY: the instruction set is enabled here.
    unsafe { chains::<std::arch::x86_64::__m512, 12>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2() -> f32 {
    // SAFETY: the instruction set is enabled here.
    unsafe { chains::<std::arch::x86_64::__m256, 12>() }
}

/// Floating-point operations per second of nothing but fused multiply-adds in registers, in f32
/// on `threads` threads with the instruction set in use: the best of several runs.
pub fn multiply_adds(threads: usize) -> f64 {
    let (run, lanes_of_chains): (fn() -> f32, usize) = match Isa::active() {
        // SAFETY: the active instruction set is available.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => (|| unsafe { avx512() }, 16 * 12),
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => (|| unsafe { avx2() }, 8 * 12),
        // SAFETY: as above.
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => (
            || unsafe { chains::<std::arch::aarch64::float32x4_t, 24>() },
            4 * 24,
        ),
        // SAFETY: plain vectors need nothing.
        _ => (|| unsafe { chains::<Four<f32>, 8>() }, 4 * 8),
    };
    let tasks = 8 * threads;
    let work = (tasks * 2 * LENGTH * lanes_of_chains) as f64;
    best(threads, || {
        par::each(tasks, |_| {
            black_box(run());
        });
    })
    .map_or(0.0, |seconds| work / seconds)
}

/// Bytes per second of `a[i] = b[i] + k·c[i]` over arrays far larger than any cache, on `threads`
/// threads, counting two reads and one write (McCalpin's triad): the best of several runs.
pub fn bandwidth(threads: usize) -> f64 {
    const ELEMENTS: usize = 1 << 24;
    let (b, c) = (vec![1.0_f32; ELEMENTS], vec![2.0_f32; ELEMENTS]);
    let mut a = vec![0.0_f32; ELEMENTS];
    let work = (3 * size_of::<f32>() * ELEMENTS) as f64;
    best(threads, || {
        par::chunks(&mut a, 1 << 16, |start, a| {
            for ((a, &b), &c) in a.iter_mut().zip(&b[start..]).zip(&c[start..]) {
                *a = b + 3.0 * c;
            }
        });
    })
    .map_or(0.0, |seconds| work / seconds)
}

/// The shortest of several runs, in seconds.
fn best(threads: usize, mut run: impl FnMut() + Send) -> Option<f64> {
    par::with_threads(threads, || {
        let mut once = || {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64()
        };
        (0..8).map(|_| once()).min_by(f64::total_cmp)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ceilings_are_plausible() {
        // From a slow single-board computer to twice what exists.
        let flops = multiply_adds(1);
        assert!((1e8..1e12).contains(&flops), "{flops:.2e}");
        let bytes = bandwidth(1);
        assert!((1e8..1e12).contains(&bytes), "{bytes:.2e}");
    }
}
