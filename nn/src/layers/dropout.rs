//! Dropout.

use crate::export::{ExportError, Exporter, Value};
use crate::module::{Build, Module, Pass, Scope};
use engine::{Float, Var};

/// In training each element is zero with probability `p`, else `x / (1 − p)`; in evaluation the
/// identity. Which elements, is a function of the pass's key and of the layer's place in the
/// pass. Srivastava et al. 2014.
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    p: f64,
}

impl Dropout {
    /// Drops with probability `p`.
    ///
    /// # Panics
    /// If `p` is not in `[0, 1)`.
    pub fn new(p: f64) -> Self {
        assert!((0.0..1.0).contains(&p), "dropout with probability {p}");
        Dropout { p }
    }
}

impl<T: Float> Module<T> for Dropout {
    fn forward(&self, pass: &mut Pass<'_, T>, x: &Var<T>) -> Var<T> {
        match pass.key() {
            Some(key) => x.dropout(self.p, key),
            None => x.clone(),
        }
    }

    fn export(&self, _: &mut Exporter<'_, T>, x: Value) -> Result<Value, ExportError> {
        Ok(x)
    }
}

impl<T: Float> Build<T> for Dropout {
    type Module = Self;

    fn build(self, _: &mut Scope<'_, T>) -> Self {
        self
    }
}
