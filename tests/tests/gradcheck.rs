//! Gradients across crates. The tables of the engine, of `nn` and of `losses` are checked by the
//! tests of those crates; here are the two things that need more than one crate: a whole network
//! with its loss, and an operation that somebody adds outside of the engine.

use engine::gradcheck::{Case, Gen, Kind, check_params};
use engine::rng::Key;
use engine::{Float, Op, Params, Result, Tensor, Var, apply, register};
use losses::Criterion;
use nn::layers::{Activation, AvgPool2d, BatchNorm, Conv2d, Dropout, Flatten, Linear};
use nn::{Build, Module, Pass, Scope, Sequential};

/// Softsign, `y = x / (1 + |x|)`; `dy/dx = (1 − |y|)²`.
///
/// All that a new operation needs: a struct with its settings, forward, backward below it, and
/// cases. The gradient is that of a smooth function everywhere but for the second derivative at
/// 0, which finite differences must not straddle.
#[derive(Clone, Debug)]
struct Softsign;

impl Op<1> for Softsign {
    const NAME: &'static str = "softsign";
    type Saved<T: Float> = Tensor<T>;

    fn forward<T: Float>(&self, [x]: [&Tensor<T>; 1]) -> Result<(Tensor<T>, Tensor<T>)> {
        let y = x.map(|x| x / (T::ONE + x.abs()));
        Ok((y.clone(), y))
    }

    fn backward<T: Float>(
        &self,
        y: Tensor<T>,
        mut dy: Tensor<T>,
        _: [bool; 1],
    ) -> [Option<Tensor<T>>; 1] {
        dy.zip_assign(&y, |dy, y| {
            let rest = T::ONE - y.abs();
            dy * rest * rest
        });
        [Some(dy)]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        let small = g.away_from(&[0.0], 0.05, [3, 5]);
        let large = g.away_from(&[0.0], 0.05, [7, 2, 9]).map(|x| 4.0 * x);
        vec![
            Case::new("3x5", Softsign, [small]),
            Case::new("7x2x9, large", Softsign, [large]),
        ]
    }
}

/// The same with a mistake that is easily made: the square is forgotten.
#[derive(Clone, Debug)]
struct Careless;

impl Op<1> for Careless {
    const NAME: &'static str = "careless softsign";
    type Saved<T: Float> = Tensor<T>;

    fn forward<T: Float>(&self, x: [&Tensor<T>; 1]) -> Result<(Tensor<T>, Tensor<T>)> {
        Softsign.forward(x)
    }

    fn backward<T: Float>(
        &self,
        y: Tensor<T>,
        mut dy: Tensor<T>,
        _: [bool; 1],
    ) -> [Option<Tensor<T>>; 1] {
        dy.zip_assign(&y, |dy, y| dy * (T::ONE - y.abs()));
        [Some(dy)]
    }

    fn cases(g: &mut Gen) -> Vec<Case<Self, 1>> {
        vec![Case::new(
            "3x5",
            Careless,
            [g.away_from(&[0.0], 0.05, [3, 5])],
        )]
    }
}

register! {
    /// Operations of this crate: callable, and checked like those of the engine.
    pub static OPERATIONS = [Softsign[1], Careless[1]];
}

#[test]
fn an_operation_of_another_crate_is_registered_checked_and_used() {
    let [softsign, careless] = OPERATIONS else {
        panic!("two operations are registered")
    };
    let report = softsign.check(0);
    assert!(report.passed(), "{report}");
    assert_eq!(report.cases, 2);
    let survivors = softsign.surviving_mutants(0);
    assert!(survivors.is_empty(), "unnoticed: {survivors:#?}");

    let report = careless.check(0);
    let kinds: Vec<_> = report.failures.iter().map(|f| f.kind).collect();
    assert!(
        !report.passed() && kinds.contains(&Kind::Derivative),
        "{report}"
    );

    let x = Var::leaf(Tensor::new([3], &[-1.0, 0.0, 3.0_f32]));
    let y = apply(Softsign, [&x]).unwrap();
    assert_eq!(y.value().data(), [-0.5, 0.0, 0.75]);
    let gradients = y.sum().backward();
    assert_eq!(gradients.of(&x).unwrap().data(), [0.25, 1.0, 0.0625]);
}

/// From pixels to the loss, with respect to every parameter: those of the network, and the class
/// weights that the criterion owns.
#[test]
fn a_network_with_its_loss_has_the_gradient_of_its_value() {
    const CLASSES: usize = 3;
    // Mild scales: the error of a difference grows with the curvature.
    let losses = [
        "so-softmax:lambda_p=4,lambda_n=4,m=0.3",
        "cs-softmax:s=4,m=0.2,lambda=1.1",
        "sml-joint:s=4",
        "softmax + 0.1*center",
    ];
    for loss in losses {
        let mut params = Params::<f64>::new();
        let mut root = Scope::root(&mut params, 5);
        // Smooth pieces: a kink within a finite difference is no mistake of backward.
        let net = Sequential::new()
            .add("conv", Conv2d::new(1, 3, 3).padding(1).bias(false))
            .add("bn", BatchNorm::new(3))
            .add("act", Activation::Gelu)
            .add("pool", AvgPool2d::new(2))
            .add("flatten", Flatten)
            .add("dropout", Dropout::new(0.25))
            .add("fc", Linear::new(3 * 3 * 3, 4))
            .build(&mut root.child("backbone"));
        let spec = loss.parse().unwrap();
        let criterion = Criterion::new(&spec, &mut root, CLASSES, 4).unwrap();
        let mut g = Gen::new(5, loss);
        // Off the initial values, whose zeros and ones hide mistakes.
        let ids: Vec<_> = params.iter().map(|(id, _)| id).collect();
        for id in ids {
            let noise = g.normal(params.value(id).shape());
            params.set(id, &noise);
        }
        let labels = [0, 1, 2, 0, 1, 2, 0, 1];
        let images = g.normal([labels.len(), 6, 6, 1]);
        let report = check_params(loss, &mut params, &[images], &|params, x| {
            // Centres move in a training pass; each evaluation must find the same ones.
            let centers = params.find_buffer("head.centers").ok();
            let before = centers.map(|id| params.buffer(id));
            let mut pass = Pass::train(params, Key::new(9));
            let embeddings = net.forward(&mut pass, &x[0]);
            let outcome = criterion.forward(&mut pass, &embeddings, &labels).unwrap();
            if let (Some(id), Some(before)) = (centers, before) {
                params.set_buffer(id, before);
            }
            outcome.loss
        });
        assert!(report.passed(), "{report}");
    }
}
