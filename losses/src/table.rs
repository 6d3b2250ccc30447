//! The table of losses. A loss is entered with one line, which also registers its operations.

use crate::center::{CenterDistance, CenterLoss};
use crate::class::{
    adacos::AdaCos,
    adaface::{AdaFace, Adaptive},
    arcface::{ArcFace, ArcFaceLoss, StraightArcFace},
    circle::{Circle, CircleLoss},
    combined::{Combined, CombinedLoss},
    cosface::{CosFace, CosFaceLoss},
    cs_softmax::{CsDecoupled, CsLinear, CsSoftmax, ScaleGradient},
    curricularface::{Curricular, CurricularFace},
    d_softmax::{DSoftmax, Dissected},
    elasticface::{CosineOfSample, ElasticFace},
    focal::{FocalLoss, Focus},
    gaussian::{GaussianDistance, GaussianMixture},
    l_softmax::{AngleMultiple, LSoftmax},
    magface::{AngleOfSample, MagFace},
    mv_softmax::{MisClassified, MvSoftmax},
    normface::{NormFace, NormFaceLoss},
    p2sgrad::{P2sGrad, SquaredError},
    so_softmax::{SoMargin, SoSoftmax},
    softmax::{Identity, Softmax},
    sphereface::{SphereFace, SpherePsi},
    sphereface2::{BinaryTerms, SphereFace2},
    subcenter::SubCenterArcFace,
    virtual_softmax::VirtualSoftmax,
};
use crate::error::{Error, Result, closest};
use crate::frame::{GivenTarget, Radial};
use crate::info::LossInfo;
use crate::loss::{AnyLoss, Loss};
use crate::pairs::{
    PairMatrix,
    circle::{CirclePair, PairCircle},
    contrast::{NtXent, PairEntropy, SupCon, SupervisedContrast},
    contrastive::{Contrast, Contrastive},
    lifted::{Lifted, LiftedStructure},
    margin::{Boundary, MarginLoss},
    multi_similarity::{MultiSimilarity, Similarities},
    n_pair::NPair,
    triplet::{Triplet, Triplets},
};
use crate::proxy::{
    anchor::{Anchored, ProxyAnchor},
    nca::{ProxyNca, SquaredDistance},
    soft_triple::{SoftTriple, Spread},
};
use crate::register_margins;
use crate::ring::RingLoss;
use crate::sml::{Sml, SmlJoint, SoftMargin};
use crate::spec::Term;
use engine::Float;
use engine::op::Entry;
use std::any::{Any, TypeId};

/// A loss, and the margins and operations it is made of, in the words of
/// [`register_margins!`](crate::register_margins) and with `Op` for an operation. `surrogates`
/// come last.
macro_rules! losses {
    (
        losses { $($loss:ty { $($form:ident [$n:literal] $op:ty),* })* }
        shared { $($shared_form:ident [$shared_n:literal] $shared:ty),* $(,)? }
        surrogates { $($other_form:ident [$other_n:literal] $other:ty),* $(,)? }
    ) => {
        /// Every loss, in the order of `loss list`.
        pub static LOSSES: &[LossInfo] = &[$(<$loss as Loss>::INFO),*];

        fn build_any<T: Float>(term: &Term) -> Box<dyn AnyLoss<T>> {
            let (name, values) = (term.info().name, term.values());
            $(if name == <$loss as Loss>::INFO.name {
                return Box::new(<$loss as Loss>::new(&values));
            })*
            unreachable!("`{name}` is in the table")
        }

        $($(register_margins!(@mark $form [$n] $op);)*)*
        $(register_margins!(@mark $shared_form [$shared_n] $shared);)*
        $(register_margins!(@mark $other_form [$other_n] $other);)*

        /// The operations of the losses, whose backward is the derivative of their forward.
        pub static OPERATIONS: &[Entry] = &[
            $($(register_margins!(@entry $form [$n] $op),)*)*
            $(register_margins!(@entry $shared_form [$shared_n] $shared)),*
        ];

        /// Operations that pass back something else than the derivative of their forward, on
        /// purpose. The comparison with finite differences must fail on each; a test sees to it.
        pub static SURROGATES: &[Entry] = &[
            $(register_margins!(@entry $other_form [$other_n] $other)),*
        ];
    };
}

losses! {
    losses {
        Softmax { Softmax[1] Identity }
        FocalLoss { Op[1] Focus }
        VirtualSoftmax {}
        LSoftmax { Op[1] AngleMultiple }
        SphereFace { Softmax[2] Radial<SpherePsi> }
        SphereFace2 { Separable[2] BinaryTerms }
        NormFaceLoss { Softmax[1] NormFace, Softmax[2] Radial<Identity> }
        CosFaceLoss { Softmax[1] CosFace }
        ArcFaceLoss { Softmax[1] ArcFace }
        CombinedLoss { Softmax[1] Combined }
        SubCenterArcFace {}
        AdaCos {}
        MvSoftmax { Softmax[1] MisClassified }
        CurricularFace { Softmax[1] Curricular }
        AdaFace { Softmax[2] Adaptive }
        MagFace { Softmax[2] AngleOfSample }
        ElasticFace { Softmax[2] CosineOfSample }
        CircleLoss {}
        DSoftmax { Decoupled[1] Dissected }
        P2sGrad { Separable[1] SquaredError }
        SoSoftmax { Softmax[1] SoMargin }
        GaussianMixture { Op[3] GaussianDistance }
        CsSoftmax { Softmax[1] CsLinear, Decoupled[1] CsDecoupled }
        Sml { Op[1] SoftMargin }
        SmlJoint {}
        Contrastive { Op[1] PairMatrix<Contrast> }
        Triplet { Op[1] PairMatrix<Triplets> }
        LiftedStructure { Op[1] PairMatrix<Lifted> }
        NPair {}
        MultiSimilarity { Op[1] PairMatrix<Similarities> }
        CirclePair {}
        SupCon { Op[1] PairMatrix<SupervisedContrast> }
        NtXent { Op[1] PairMatrix<PairEntropy> }
        MarginLoss { Op[1] PairMatrix<Boundary> }
        ProxyNca { Softmax[1] SquaredDistance, Ratio[1] SquaredDistance }
        ProxyAnchor { Op[1] PairMatrix<Anchored> }
        SoftTriple { Op[1] Spread }
        CenterLoss { Op[2] CenterDistance }
        RingLoss {}
    }
    shared { Softmax[2] GivenTarget }
    surrogates {
        Op[1] ScaleGradient,
        Softmax[1] StraightArcFace,
        Softmax[1] Circle,
        Op[1] PairMatrix<PairCircle>,
    }
}

/// The loss of a term, whose parameters are all decided.
///
/// The two types are named here, so that all losses are compiled in this crate and not in every
/// crate that uses a criterion.
pub(crate) fn build<T: Float>(term: &Term) -> Box<dyn AnyLoss<T>> {
    let built: Box<dyn Any> = if TypeId::of::<T>() == TypeId::of::<f32>() {
        Box::new(build_f32(term))
    } else {
        Box::new(build_f64(term))
    };
    let built = built.downcast::<Box<dyn AnyLoss<T>>>();
    *built.expect("`f32` and `f64` are the types the engine computes in")
}

fn build_f32(term: &Term) -> Box<dyn AnyLoss<f32>> {
    build_any(term)
}

fn build_f64(term: &Term) -> Box<dyn AnyLoss<f64>> {
    build_any(term)
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
