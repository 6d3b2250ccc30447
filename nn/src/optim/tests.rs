use super::*;
use engine::rng::Key;
use engine::{ParamId, Var, par};

/// A parameter with the gradient put there by a real backward pass.
fn give_grad<T: Float>(params: &mut Params<T>, id: ParamId, grad: &Tensor<T>) {
    let product = &params.var(id) * &Var::constant(grad.clone());
    product.sum().backward_into(params).map(drop).unwrap();
}

type Boxed = Box<dyn Optimizer<f64>>;

fn sgd(momentum: f64, nesterov: bool, weight_decay: f64) -> Boxed {
    Box::new(Sgd::new(momentum, nesterov, weight_decay))
}

/// The numbers are PyTorch's:
///
/// ```python
/// p = torch.tensor([0.5, -1.25, 2.0], dtype=torch.float64, requires_grad=True)
/// o = torch.optim.SGD([p], lr=0.1, weight_decay=0.01)           # and so on, see the settings
/// for k in range(5):
///     p.grad = torch.tensor([0.1 * (k + 1), -0.3, 0.05 * k - 0.2], dtype=torch.float64)
///     o.step()
/// print(p.tolist())
/// ```
#[test]
fn five_steps_end_where_pytorch_ends() {
    let adam = Box::new(Adam::new([0.9, 0.999], 1e-8, 0.01));
    let adamw = Box::new(Adam::decoupled([0.8, 0.99], 1e-8, 0.01));
    let cases: [(&str, Boxed, [f64; 3]); 5] = [
        (
            "SGD(lr=0.1, weight_decay=0.01)",
            sgd(0.0, false, 0.01),
            [0.3477048450624895, -1.0940621876562184, 2.0398701549150173],
        ),
        (
            "SGD(lr=0.1, momentum=0.9, weight_decay=0.01)",
            sgd(0.9, false, 0.01),
            [0.17691846667028946, -0.8402150108937188, 2.143339265230218],
        ),
        (
            "SGD(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01)",
            sgd(0.9, true, 0.01),
            [0.057493468707169315, -0.7262098697912156, 2.16844659122892],
        ),
        (
            "Adam(lr=0.1, weight_decay=0.01)",
            adam,
            [
                0.013826974201324851,
                -0.7501415095318995,
                2.4358394377763855,
            ],
        ),
        (
            "AdamW(lr=0.1, betas=(0.8, 0.99), weight_decay=0.01)",
            adamw,
            [
                -0.0028360994290589775,
                -0.7447615046395147,
                2.4243193429462875,
            ],
        ),
    ];
    for (name, mut optimizer, expected) in cases {
        let mut params = Params::new();
        let p = params.add("p", Tensor::new([3], &[0.5, -1.25, 2.0]));
        for k in 0..5 {
            let k = f64::from(k);
            let grad = Tensor::new([3], &[0.1 * (k + 1.0), -0.3, 0.05 * k - 0.2]);
            give_grad(&mut params, p, &grad);
            optimizer.step(&mut params, 0.1);
        }
        for (found, expected) in params.value(p).data().iter().zip(expected) {
            assert!(
                (found - expected).abs() < 1e-14,
                "{name}: {found} {expected}"
            );
        }
    }
}

/// A model with a frozen parameter, one without a gradient, one without decay and one that
/// learns ten times as fast, long enough to be cut into several tasks.
fn model() -> (Params<f64>, [ParamId; 4]) {
    let mut params = Params::new();
    let names = ["plain", "frozen", "unused", "fast"];
    let ids = names.map(|name| {
        let mut rng = Key::new(1).named(name).rng();
        params.add(name, Tensor::from_fn([7, 11], |_| rng.normal()))
    });
    params.param_mut(ids[1]).trainable = false;
    params.param_mut(ids[3]).lr_mult = 10.0;
    params.param_mut(ids[3]).decay = false;
    (params, ids)
}

fn train(params: &mut Params<f64>, ids: [ParamId; 4], optimizer: &mut dyn Optimizer<f64>) {
    for step in 0..4 {
        for id in [ids[0], ids[1], ids[3]] {
            let mut rng = Key::new(9).at(step).named(params.param(id).name()).rng();
            let grad = Tensor::from_fn([7, 11], |_| rng.normal());
            if params.param(id).trainable {
                give_grad(params, id, &grad);
            }
        }
        optimizer.step(params, 0.01);
    }
}

/// The formulas of [`Sgd`] and [`Adam`], one number at a time.
fn scalar_reference(config: OptimizerConfig, p: &mut f64, grads: [f64; 4], lr: f64, decays: bool) {
    let (mut m, mut v) = (0.0, 0.0);
    for (t, mut g) in (1..).zip(grads) {
        match config {
            OptimizerConfig::Sgd {
                momentum,
                nesterov,
                weight_decay,
            } => {
                g += if decays { weight_decay * *p } else { 0.0 };
                v = momentum * v + g;
                *p -= lr * if nesterov { g + momentum * v } else { v };
            }
            OptimizerConfig::Adam {
                beta1,
                beta2,
                eps,
                weight_decay,
            }
            | OptimizerConfig::AdamW {
                beta1,
                beta2,
                eps,
                weight_decay,
            } => {
                let decay = if decays { weight_decay } else { 0.0 };
                match config {
                    OptimizerConfig::AdamW { .. } => *p -= lr * decay * *p,
                    _ => g += decay * *p,
                }
                m = beta1 * m + (1.0 - beta1) * g;
                v = beta2 * v + (1.0 - beta2) * g * g;
                let (m, v) = (m / (1.0 - beta1.powi(t)), v / (1.0 - beta2.powi(t)));
                *p -= lr * m / (v.sqrt() + eps);
            }
        }
    }
}

fn configs() -> [OptimizerConfig; 4] {
    let of = |text| serde_json::from_str(text).unwrap();
    [
        of(r#"{"kind":"sgd","weight_decay":0.1}"#),
        of(r#"{"kind":"sgd","momentum":0.8,"nesterov":true,"weight_decay":0.1}"#),
        of(r#"{"kind":"adam","weight_decay":0.1}"#),
        of(r#"{"kind":"adamw","beta1":0.8,"weight_decay":0.1}"#),
    ]
}

#[test]
fn steps_match_the_formulas_and_honour_the_settings_of_each_parameter() {
    for config in configs() {
        let (mut params, ids) = model();
        let before = ids.map(|id| params.value(id).data().to_vec());
        train(&mut params, ids, &mut *config.build());
        assert!(params.iter().all(|(_, p)| !p.has_grad()));
        for (id, before) in ids.into_iter().zip(before) {
            let param = params.param(id);
            let moved = matches!(param.name(), "plain" | "fast");
            let grads = [0, 1, 2, 3].map(|step| {
                let mut rng = Key::new(9).at(step).named(param.name()).rng();
                Tensor::<f64>::from_fn([7, 11], |_| rng.normal())
            });
            for (i, mut expected) in before.into_iter().enumerate() {
                let grads = grads.each_ref().map(|g| g.data()[i]);
                if moved {
                    let lr = 0.01 * param.lr_mult;
                    scalar_reference(config, &mut expected, grads, lr, param.decay);
                }
                let found = params.value(id).data()[i];
                let name = param.name();
                assert!((found - expected).abs() < 1e-12, "{config:?} {name} {i}");
            }
        }
    }
}

#[test]
fn the_bits_do_not_depend_on_threads_or_tasks() {
    for config in configs() {
        let run = |threads| {
            let (mut params, ids) = model();
            par::with_threads(threads, || {
                train(&mut params, ids, &mut *config.build());
            });
            params.values().to_vec()
        };
        let alone = run(1);
        assert_eq!(alone, par::with_smallest_tasks(|| run(3)), "{config:?}");
    }
}

/// Where a gradient has reached some rows, these move as if it had reached all, and the others stay
/// with their state.
#[test]
fn rows_without_a_gradient_are_left_alone() {
    const WIDTH: usize = 11;
    let steps: [&[usize]; 4] = [&[0, 2, 6], &[1, 2], &[], &[2, 3, 5, 6]];
    for config in configs() {
        let (mut params, ids) = model();
        let mut optimizer = config.build();
        for (rows, step) in steps.into_iter().zip(0..) {
            // The twin sees the same gradient, of the whole.
            let (mut twin, twin_ids) = model();
            twin.values_mut().copy_from_slice(params.values());
            let mut dense = config.build();
            let state = optimizer.state(&params);
            dense.load_state(&twin, &state).unwrap();
            let before = params.value(ids[0]).data().to_vec();

            let mut rng = Key::new(3).at(step).rng();
            let grad = Tensor::from_fn([7, WIDTH], |_| rng.normal());
            give_grad(&mut twin, twin_ids[0], &grad);
            dense.step(&mut twin, 0.01);
            let part = Var::constant(grad).try_rows(rows).unwrap();
            let product = &params.rows(ids[0], rows.into()) * &part;
            product.sum().backward_into(&mut params).map(drop).unwrap();
            par::with_smallest_tasks(|| optimizer.step(&mut params, 0.01));

            let (now, twin_now) = (params.value(ids[0]), twin.value(twin_ids[0]));
            let (kept, twin_kept) = (optimizer.state(&params), dense.state(&twin));
            for row in 0..7 {
                let at = row * WIDTH..(row + 1) * WIDTH;
                let moved = rows.contains(&row);
                let expected = if moved { twin_now.data() } else { &before };
                assert_eq!(now.data()[at.clone()], expected[at.clone()], "{config:?}");
                for (((name, kept), (_, old)), (_, new)) in kept.iter().zip(&state).zip(&twin_kept)
                {
                    if name.ends_with("/plain") && kept.shape().rank() == 2 {
                        let expected = if moved { new } else { old };
                        let expected = &expected.data()[at.clone()];
                        assert_eq!(&kept.data()[at.clone()], expected, "{name}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_saved_state_continues_with_the_same_bits() {
    for config in configs() {
        let (mut params, ids) = model();
        let mut optimizer = config.build();
        train(&mut params, ids, &mut *optimizer);
        let state = optimizer.state(&params);

        let (mut copy, copy_ids) = model();
        copy.values_mut().copy_from_slice(params.values());
        let mut resumed = config.build();
        resumed.load_state(&copy, &state).unwrap();
        train(&mut params, ids, &mut *optimizer);
        train(&mut copy, copy_ids, &mut *resumed);
        assert_eq!(params.values(), copy.values(), "{config:?}");

        let (_, rest) = state.split_last().unwrap();
        let missing = resumed.load_state(&copy, rest).unwrap_err();
        assert!(matches!(missing, StateError::Missing { .. }));
        let other = Sgd::new(0.0, false, 0.0).load_state(&copy, &state);
        assert!(matches!(other, Err(StateError::Unexpected { .. })));
        let mut reshaped = state.clone();
        let (name, tensor) = reshaped.last_mut().unwrap();
        *tensor = Tensor::zeros([77]);
        let name = name.clone();
        let error = resumed.load_state(&copy, &reshaped).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("`{name}` of the saved state has shape [77], expected [7, 11]")
        );
    }
}

#[test]
fn a_fading_moment_becomes_zero_instead_of_denormal() {
    for config in configs() {
        let mut params = Params::<f32>::new();
        let p = params.add("p", Tensor::zeros([1]));
        let mut optimizer = match config {
            OptimizerConfig::Sgd { nesterov, .. } => OptimizerConfig::Sgd {
                momentum: 0.9,
                nesterov,
                weight_decay: 0.0,
            },
            OptimizerConfig::Adam { eps, .. } | OptimizerConfig::AdamW { eps, .. } => {
                OptimizerConfig::Adam {
                    beta1: 0.9,
                    beta2: 0.9,
                    eps,
                    weight_decay: 0.0,
                }
            }
        }
        .build();
        for grad in std::iter::once(1e-18).chain(std::iter::repeat_n(0.0, 1500)) {
            give_grad(&mut params, p, &Tensor::new([1], &[grad]));
            optimizer.step(&mut params, 1.0);
            for (name, moment) in optimizer.state(&params) {
                assert!(!moment.data()[0].is_subnormal(), "{config:?} {name}");
            }
        }
    }
}

#[test]
fn decay_can_be_kept_to_matrices() {
    let mut params = Params::<f32>::new();
    let weight = params.add("weight", Tensor::zeros([2, 2]));
    let bias = params.add("bias", Tensor::zeros([2]));
    exclude_vectors_from_decay(&mut params);
    assert!(params.param(weight).decay && !params.param(bias).decay);
}

#[test]
fn configuration_is_strict() {
    let parse = serde_json::from_str::<OptimizerConfig>;
    let typo = parse(r#"{"kind":"sgd","momentm":0.9}"#).unwrap_err();
    assert!(typo.to_string().contains("momentm"), "{typo}");
    assert!(parse(r#"{"kind":"adamw","weight_decay":0.1}"#).is_ok());
    let bad = parse(r#"{"kind":"sgd","momentum":1.5}"#).unwrap();
    assert!(bad.validate().unwrap_err().contains("not 1.5"));
    let bad = parse(r#"{"kind":"sgd","momentum":0,"nesterov":true}"#).unwrap();
    assert!(bad.validate().is_err());
    assert!(configs().iter().all(|c| c.validate().is_ok()));
}
