//! Two-dimensional convolution: its sizes, the ways of computing it, and the choice between them.

use super::{depthwise, direct, winograd};
use crate::float::Float;
use crate::par;
use crate::pool::Buffer;
use std::cell::Cell;
use std::ops::Range;
use std::sync::OnceLock;

/// The sizes of a convolution: images `[n, h, w, c]`, weights `[kh, kw, c/groups, o]`.
#[derive(Clone, Copy, Debug)]
pub struct Geometry {
    /// Images.
    pub n: usize,
    /// Height and width of the input.
    pub input: [usize; 2],
    /// Height and width of the output.
    pub output: [usize; 2],
    /// Channels of the input.
    pub c: usize,
    /// Channels of the output.
    pub o: usize,
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Steps between neighbouring outputs.
    pub stride: [usize; 2],
    /// Zeros added before and after each axis.
    pub padding: [usize; 2],
    /// Steps between neighbouring taps.
    pub dilation: [usize; 2],
    /// Groups of channels that do not mix.
    pub groups: usize,
}

/// The three products of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// The output.
    Forward,
    /// The gradient of the input.
    GradInput,
    /// The gradient of the weights.
    GradWeight,
}

/// The ways a convolution is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Vectorised over the channels, which do not mix.
    Depthwise,
    /// An implicit product, every multiplication of the definition.
    Direct,
    /// Fewer multiplications for 3x3 and 5x5.
    Winograd,
}

impl Algorithm {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Depthwise => "depthwise",
            Algorithm::Direct => "direct",
            Algorithm::Winograd => "winograd",
        }
    }

    /// Runs `f` with this way for every convolution that it applies to, instead of a choice by
    /// shape: to compare the two.
    ///
    /// It holds for what the calling thread asks for, `backward` included.
    pub fn forced<R>(self, f: impl FnOnce() -> R) -> R {
        /// Puts back what was before, on a panic too.
        struct Restore(Option<Algorithm>);
        impl Drop for Restore {
            fn drop(&mut self) {
                FORCED.set(self.0);
            }
        }
        let _restore = Restore(FORCED.replace(Some(self)));
        f()
    }
}

thread_local! {
    /// What [`Algorithm::forced`] asks for.
    static FORCED: Cell<Option<Algorithm>> = const { Cell::new(None) };
}

/// What `HYPERSPHERE_CONV` asks for.
fn forced_by_environment() -> Option<Algorithm> {
    static FORCED: OnceLock<Option<Algorithm>> = OnceLock::new();
    *FORCED.get_or_init(|| match std::env::var("HYPERSPHERE_CONV").as_deref() {
        Ok("direct") => Some(Algorithm::Direct),
        Ok("winograd") => Some(Algorithm::Winograd),
        Ok(other) => panic!("HYPERSPHERE_CONV={other}: expected direct or winograd"),
        Err(_) => None,
    })
}

impl Geometry {
    /// The way that a product is computed: by the shape, unless [`Algorithm::forced`] or
    /// `HYPERSPHERE_CONV` (`direct`, or `winograd` for wherever that applies) says otherwise.
    pub fn algorithm(&self, pass: Pass) -> Algorithm {
        if self.is_depthwise() {
            return Algorithm::Depthwise;
        }
        match (
            winograd::applies(self),
            FORCED.get().or_else(forced_by_environment),
        ) {
            (false, _) | (true, Some(Algorithm::Depthwise)) => Algorithm::Direct,
            (true, Some(forced)) => forced,
            (true, None) if winograd::pays(self, pass) => Algorithm::Winograd,
            (true, None) => Algorithm::Direct,
        }
    }

    /// One input and one output channel per group.
    fn is_depthwise(&self) -> bool {
        self.groups == self.c && self.groups == self.o
    }
}

/// `y = x ∗ w + bias`.
pub fn forward<T: Float>(g: &Geometry, x: &[T], w: &[T], bias: Option<&[T]>, y: &mut [T]) {
    match g.algorithm(Pass::Forward) {
        Algorithm::Depthwise => depthwise::forward(g, x, w, bias, y),
        Algorithm::Direct => direct::forward(g, x, w, bias, y),
        Algorithm::Winograd => winograd::forward(g, x, w, bias, y),
    }
}

/// `dx`, given `dy`.
pub fn grad_input<T: Float>(g: &Geometry, w: &[T], dy: &[T], dx: &mut [T]) {
    match g.algorithm(Pass::GradInput) {
        Algorithm::Depthwise => depthwise::grad_input(g, w, dy, dx),
        Algorithm::Direct => direct::grad_input(g, w, dy, dx),
        Algorithm::Winograd => winograd::grad_input(g, w, dy, dx),
    }
}

/// `dw`, given `dy`.
pub fn grad_weight<T: Float>(g: &Geometry, x: &[T], dy: &[T], dw: &mut [T]) {
    match g.algorithm(Pass::GradWeight) {
        Algorithm::Depthwise => summed_parts(g, dw, |rows, dw| {
            depthwise::add_grad_weight(g, x, dy, rows, dw);
        }),
        Algorithm::Direct => summed_parts(g, dw, |rows, dw| {
            direct::add_grad_weight(g, x, dy, rows, dw);
        }),
        Algorithm::Winograd => winograd::grad_weight(g, x, dy, dw),
    }
}

/// The largest number of partial sums of the gradient of the weights: more threads than this
/// find no work, fewer would serialise a large machine.
const PARTS: usize = 16;
/// The most elements that the partial sums take together.
const PARTIAL_ELEMENTS: usize = 1 << 24;
/// The fewest output positions that make a part.
const POSITIONS: usize = 240;

/// Sums what `add` contributes from ranges of output rows, counted through all images. Their
/// number depends on the shape alone, and they are added in order.
fn summed_parts<T: Float>(
    g: &Geometry,
    dw: &mut [T],
    add: impl Fn(Range<usize>, &mut [T]) + Sync + Send,
) {
    let rows = g.n * g.output[0];
    let parts = (PARTIAL_ELEMENTS / dw.len().max(1)).clamp(2, PARTS);
    let fewest = par::task_size(POSITIONS.div_ceil(g.output[1].max(1)), 1);
    let mut partials = par::map_ranges(rows, fewest.max(rows.div_ceil(parts)), |rows| {
        let mut partial = Buffer::filled(dw.len(), T::ZERO);
        add(rows, &mut partial);
        partial
    })
    .into_iter();
    match partials.next() {
        Some(first) => dw.copy_from_slice(&first),
        None => dw.fill(T::ZERO),
    }
    for partial in partials {
        for (sum, &term) in dw.iter_mut().zip(partial.iter()) {
            *sum += term;
        }
    }
}
