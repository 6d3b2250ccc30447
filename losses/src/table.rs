//! The table of losses. A loss is entered with one line, which also registers its operations.

use crate::center::{CenterDistance, CenterLoss};
use crate::class::{
    arcface::{ArcFace, ArcFaceLoss},
    cosface::{CosFace, CosFaceLoss},
    cs_softmax::{CsDecoupled, CsLinear, CsSoftmax, ScaleGradient},
    normface::{NormFace, NormFaceLoss},
    so_softmax::{SoMargin, SoSoftmax},
    softmax::{Identity, Softmax},
    sphereface::{SphereFace, SpherePsi},
};
use crate::error::{Error, Result, closest};
use crate::info::LossInfo;
use crate::loss::{AnyLoss, Loss};
use crate::register_margins;
use crate::sml::{Sml, SmlJoint, SoftMargin};
use crate::spec::Term;
use engine::Float;
use engine::op::Entry;

/// A loss, and the margins and operations it is made of, in the words of
/// [`register_margins!`](crate::register_margins) and with `op` for an operation.
macro_rules! losses {
    ($($loss:ty { $($form:ident $op:ty $([$n:literal])?),* })*) => {
        /// Every loss, in the order of `loss list`.
        pub static LOSSES: &[LossInfo] = &[$(<$loss as Loss>::INFO),*];

        /// The loss of a term, whose parameters are all decided.
        pub(crate) fn build<T: Float>(term: &Term) -> Box<dyn AnyLoss<T>> {
            let (name, values) = (term.info().name, term.values());
            $(if name == <$loss as Loss>::INFO.name {
                return Box::new(<$loss as Loss>::new(&values));
            })*
            unreachable!("`{name}` is in the table")
        }

        $($(register_margins!(@mark $form $op $([$n])?);)*)*

        /// The operations of the losses, whose backward is the derivative of their forward.
        pub static OPERATIONS: &[Entry] = &[$($(register_margins!(@entry $form $op $([$n])?),)*)*];
    };
}

losses! {
    Softmax { class Identity }
    NormFaceLoss { class NormFace }
    SphereFace { radial SpherePsi }
    CosFaceLoss { class CosFace }
    ArcFaceLoss { class ArcFace }
    SoSoftmax { class SoMargin }
    CsSoftmax { class CsLinear, decoupled CsDecoupled }
    Sml { op SoftMargin [1] }
    SmlJoint {}
    CenterLoss { op CenterDistance [2] }
}

engine::register! {
    /// Operations that pass back something else than the derivative of their forward, on purpose.
    /// The comparison with finite differences must fail on each; a test sees to it.
    pub static SURROGATES = [ScaleGradient[1]];
}

/// The page of the loss called `name`.
///
/// # Errors
/// [`Error::UnknownLoss`], which lists the names and the one that comes closest.
pub fn find(name: &str) -> Result<&'static LossInfo> {
    let found = LOSSES.iter().find(|info| info.name == name);
    found.ok_or_else(|| Error::UnknownLoss {
        name: name.to_string(),
        suggestion: closest(name, LOSSES.iter().map(|info| info.name)),
        known: LOSSES
            .iter()
            .map(|info| info.name)
            .collect::<Vec<_>>()
            .join(", "),
    })
}
