//! What each loss must satisfy by its mathematics, beside having the right gradient.

mod shared;

use approx::{assert_abs_diff_eq, assert_relative_eq};
use engine::rng::{Key, Rng};
use engine::{Op, Tensor};
use losses::class::{cosface::CosFace, normface::NormFace, so_softmax};
use losses::class::{cs_softmax::CsLinear, so_softmax::SoMargin};
use losses::frame::{ClassSoftmax, Margin, Softmax};
use losses::sml::{Form, SoftMargin};
use losses::{Spec, Tensors, evaluate};

fn rng(name: &str) -> Rng {
    Key::new(5).named(name).rng()
}

/// The loss of one row of cosines with its gradient.
fn row<M: Margin>(margin: M, c: &[f64], y: usize) -> (f64, Vec<f64>) {
    let op = ClassSoftmax {
        margin,
        form: Softmax { smoothing: 0.0 },
        labels: [y].into(),
    };
    let (loss, gradient) = Op::<1>::forward(&op, [&Tensor::new([1, c.len()], c)]).unwrap();
    (loss.item(), gradient.data().to_vec())
}

fn so(lambda_p: f64, lambda_n: f64, m: f64) -> SoMargin {
    SoMargin {
        lambda_p,
        lambda_n,
        m,
        one_sided: false,
    }
}

fn random_row(rng: &mut Rng, classes: usize, low: f64) -> Vec<f64> {
    (0..classes).map(|_| rng.range(low, 1.0)).collect()
}

/// −ln(e^t / (e^t + Σ e^o)), as the textbook writes it.
fn cross_entropy(target: f64, others: impl Iterator<Item = f64>) -> f64 {
    (target.exp() + others.map(f64::exp).sum::<f64>()).ln() - target
}

#[test]
fn so_softmax_is_its_formula() {
    let mut rng = rng("formula");
    for _ in 0..50 {
        let c = random_row(&mut rng, 6, -1.0);
        let (lp, ln, m) = (16.0, 24.0, 0.4);
        let expected = cross_entropy(
            lp * (m * m - (1.0 - c[2]).powi(2)),
            (0..6)
                .filter(|&j| j != 2)
                .map(|j| ln * (c[j] * c[j] - m * m)),
        );
        assert_relative_eq!(row(so(lp, ln, m), &c, 2).0, expected, max_relative = 1e-12);
    }
}

#[test]
fn so_softmax_has_its_least_value_at_the_goals_and_nothing_pulls_there() {
    let mut c = vec![0.0; 10];
    c[3] = 1.0;
    let (loss, gradient) = row(so(32.0, 32.0, 0.3), &c, 3);
    assert_relative_eq!(
        loss,
        so_softmax::least_loss(10, 64.0 * 0.09),
        max_relative = 1e-12
    );
    assert_abs_diff_eq!(loss, 0.028, epsilon = 5e-4);
    assert!(gradient.iter().all(|&g| g == 0.0), "{gradient:?}");
    let mut rng = rng("least");
    for _ in 0..200 {
        assert!(row(so(32.0, 32.0, 0.3), &random_row(&mut rng, 10, -1.0), 3).0 > loss);
    }
}

#[test]
fn so_softmax_is_jointly_convex_in_the_similarities() {
    let mut rng = rng("convex");
    for _ in 0..2000 {
        let (a, b) = (random_row(&mut rng, 5, -1.0), random_row(&mut rng, 5, -1.0));
        let t = rng.uniform();
        let between: Vec<f64> = a
            .iter()
            .zip(&b)
            .map(|(a, b)| t * a + (1.0 - t) * b)
            .collect();
        let loss = |c: &[f64]| row(so(20.0, 8.0, 0.3), c, 0).0;
        assert!(loss(&between) <= t * loss(&a) + (1.0 - t) * loss(&b) + 1e-12);
    }
}

/// Circle loss at class level with weights α = [1 + m − c_y]₊ and [c_j + m]₊: the same values as
/// SO-softmax where no weight is cut off; its gradients, with α detached, are other ones.
#[test]
fn so_softmax_is_circle_loss_without_its_stopped_gradients() {
    let mut rng = rng("circle");
    let (gamma, m) = (32.0, 0.25);
    for _ in 0..200 {
        let c = random_row(&mut rng, 5, -m);
        let exponents: Vec<f64> = c.iter().map(|c| gamma * (c + m) * (c - m)).collect();
        let positive = gamma * (1.0 + m - c[0]) * (c[0] - (1.0 - m));
        let circle = cross_entropy(positive, exponents[1..].iter().copied());
        let (loss, gradient) = row(so(gamma, gamma, m), &c, 0);
        assert_relative_eq!(loss, circle, max_relative = 1e-10);
        // p_j from the loss: 1 − p_y = 1 − e^−L.
        let z: f64 = positive.exp() + exponents[1..].iter().map(|e| e.exp()).sum::<f64>();
        for j in 1..5 {
            let detached = exponents[j].exp() / z * gamma * (c[j] + m);
            let difference = exponents[j].exp() / z * gamma * (c[j] - m);
            assert_abs_diff_eq!(gradient[j], detached + difference, epsilon = 1e-9);
        }
    }
}

#[test]
fn so_softmax_becomes_a_squared_error_as_its_scales_vanish() {
    let mut rng = rng("limit");
    let (lambda, m, classes) = (1e-5, 0.3, 6);
    let c = random_row(&mut rng, classes, -1.0);
    let n = classes as f64;
    let squares: f64 = c[1..].iter().map(|c| c * c - m * m).sum();
    let first_order = (1.0 - 1.0 / n) * ((1.0 - c[0]).powi(2) - m * m) + squares / n;
    let (loss, _) = row(so(lambda, lambda, m), &c, 0);
    assert_abs_diff_eq!((loss - n.ln()) / lambda, first_order, epsilon = 1e-4);
}

#[test]
fn one_sided_so_softmax_leaves_negative_similarities_alone() {
    let one_sided = SoMargin {
        one_sided: true,
        ..so(32.0, 32.0, 0.3)
    };
    let (loss, gradient) = row(one_sided.clone(), &[0.6, -0.9, 0.2], 0);
    assert_eq!(gradient[1], 0.0);
    assert_eq!(loss, row(one_sided, &[0.6, 0.0, 0.2], 0).0);
}

#[test]
fn cs_softmax_contains_cosface_and_normface() {
    let mut rng = rng("cs");
    for _ in 0..20 {
        let c = random_row(&mut rng, 5, -1.0);
        let (s, m) = (30.0, 0.35);
        let cs = |m, lambda| row(CsLinear { s, m, lambda }, &c, 1);
        assert_eq!(cs(m, 1.0), row(CosFace { s, m }, &c, 1));
        assert_eq!(cs(0.0, 1.0), row(NormFace { s }, &c, 1));
        // ∂L/∂c_j = λ s p_j
        let others = [0, 2, 3, 4].map(|j| (1.2 * s * c[j]).exp());
        let z = (s * (c[1] - m)).exp() + others.iter().sum::<f64>();
        let (_, gradient) = cs(m, 1.2);
        for (j, e) in [0, 2, 3, 4].into_iter().zip(others) {
            assert_relative_eq!(gradient[j], 1.2 * s * e / z, max_relative = 1e-9);
        }
    }
}

fn sml(form: Form, labels: &[usize], c: &Tensor<f64>) -> (Vec<f64>, Vec<f64>) {
    let op = SoftMargin {
        form,
        labels: labels.into(),
        kappa: 1.0,
    };
    let (terms, saved) = op.forward([c]).unwrap();
    let [dc] = op.backward(saved, Tensor::full(terms.shape(), 1.0), [true]);
    (terms.data().to_vec(), dc.unwrap().data().to_vec())
}

#[test]
fn sml_is_ln_2_where_both_distances_are_equal() {
    let equal = Tensor::full([3, 3], 0.3);
    for form in [Form::Class, Form::Sample, Form::Pair, Form::Batch] {
        for term in sml(form, &[0, 1, 1], &equal).0 {
            assert_relative_eq!(term, 2.0_f64.ln(), max_relative = 1e-15);
        }
    }
}

#[test]
fn sml_of_a_batch_of_one_class_is_zero_unless_by_samples() {
    let c = Tensor::new([2, 3], &[0.9, 0.1, 0.2, 0.8, 0.3, 0.1]);
    for form in [Form::Class, Form::Batch] {
        assert_eq!(sml(form, &[0, 0], &c), (vec![0.0], vec![0.0; 6]));
    }
    let square = Tensor::new([2, 2], &[1.0, 0.1, 0.1, 1.0]);
    assert_eq!(sml(Form::Pair, &[0, 0], &square).0, [0.0]);
    assert!(
        sml(Form::Sample, &[0, 0], &c)
            .0
            .iter()
            .all(|&term| term > 0.0)
    );
}

#[test]
fn sml_pulls_at_the_selected_pairs_alone_and_at_the_first_of_equals() {
    // Class 0: farthest sample 1, nearest stranger 2. Class 1: only sample 2; strangers 0 and 1
    // tie.
    let c = Tensor::new([3, 2], &[0.9, 0.2, 0.5, 0.2, 0.4, 0.7]);
    let (terms, dc) = sml(Form::Class, &[0, 0, 1], &c);
    assert_eq!(terms.len(), 2);
    let touched: Vec<_> = (0..6).filter(|&at| dc[at] != 0.0).collect();
    assert_eq!(touched, [1, 2, 4, 5]);
    let sigma = 1.0 / (1.0 + (-(1.0_f64.sqrt() - 1.2_f64.sqrt())).exp());
    assert_relative_eq!(dc[2], -sigma / 1.0, max_relative = 1e-12);
    assert_relative_eq!(dc[4], sigma / 1.2_f64.sqrt(), max_relative = 1e-12);
}

/// Two farthest samples and two nearest strangers at the same distance.
#[test]
fn of_equals_sml_takes_the_first() {
    let c = Tensor::new([4, 2], &[0.5, 0.2, 0.5, 0.2, 0.4, 0.7, 0.4, 0.7]);
    for form in [Form::Class, Form::Batch] {
        let (_, dc) = sml(form, &[0, 0, 1, 1], &c);
        assert!(dc[0] != 0.0 && dc[2] == 0.0, "{form:?}: within, {dc:?}");
        assert!(dc[4] != 0.0 && dc[6] == 0.0, "{form:?}: between, {dc:?}");
    }
}

/// Points of length 1 in the plane, at these angles in degrees.
fn directions(angles: &[f64]) -> Tensor<f64> {
    let turns: Vec<f64> = angles
        .iter()
        .flat_map(|a| [a.to_radians().cos(), a.to_radians().sin()])
        .collect();
    Tensor::new([angles.len(), 2], &turns)
}

/// Hermans et al. 2017 with soft margin, on samples and class weights together, written as loops.
#[test]
fn sml_by_pairs_is_batch_hard_triplet_loss_with_soft_margin() {
    let (x, w) = ([10.0, 35.0, 80.0, 130.0], [20.0, 100.0, 300.0]);
    let labels = [0, 0, 1, 1];
    let points: Vec<(f64, usize)> = x
        .into_iter()
        .zip(labels)
        .chain([(w[0], 0), (w[1], 1)])
        .collect();
    let chord = |a: f64, b: f64| 2.0 * ((a - b).to_radians() / 2.0).sin().abs();
    let mut sum = 0.0;
    for (i, &(a, y)) in points.iter().enumerate() {
        let others = points
            .iter()
            .enumerate()
            .filter(|&(j, _)| j != i)
            .map(|(_, p)| p);
        let (same, other): (Vec<(f64, usize)>, Vec<_>) = others.partition(|p| p.1 == y);
        let far = same.iter().map(|p| chord(a, p.0)).fold(0.0, f64::max);
        let near = other.iter().map(|p| chord(a, p.0)).fold(9.0, f64::min);
        sum += (far - near).exp().ln_1p();
    }
    let inputs = Tensors::from([
        ("embeddings".into(), directions(&x)),
        ("weight".into(), directions(&w)),
    ]);
    let spec: Spec = "sml:form=pair".parse().unwrap();
    let out = evaluate(&spec, &inputs, &labels.map(|y| y as i64)).unwrap();
    assert_relative_eq!(
        out["loss"].item(),
        sum / points.len() as f64,
        max_relative = 1e-12
    );
}

const DIM: usize = 5;

/// Six samples of four classes, and as many tensors as the loss needs.
fn random_inputs(spec: &Spec, seed: u64) -> (Tensors<f64>, Vec<i64>) {
    let mut rng = Key::new(seed).rng();
    let mut normal = |n: usize| (0..n * DIM).map(|_| rng.normal()).collect::<Vec<_>>();
    let (x, weight) = (normal(6), normal(4));
    let inputs = shared::inputs(spec, 4, DIM, &x, &weight);
    (inputs, vec![0, 1, 2, 3, 1, 0])
}

/// Of which the value is a length or a count, not a vector.
fn is_vectors(x: &Tensor<f64>) -> bool {
    x.shape().rank() > 1 && x.shape().last() == DIM
}

/// Whatever turns all vectors alike, class weights, centres and memory included, leaves every
/// loss as it is.
#[test]
fn rotating_everything_changes_no_loss() {
    // A reflection at a random plane is orthogonal.
    let v = [0.3, -0.8, 0.1, 0.5, 0.4];
    let square: f64 = v.iter().map(|v| v * v).sum();
    let reflected = |x: &Tensor<f64>| {
        if !is_vectors(x) {
            return x.clone();
        }
        let rows = x.data().chunks(DIM).flat_map(|row| {
            let along: f64 = row.iter().zip(v).map(|(x, v)| x * v).sum();
            row.iter()
                .zip(v)
                .map(move |(x, v)| x - 2.0 * along / square * v)
                .collect::<Vec<_>>()
        });
        Tensor::new(x.shape(), &rows.collect::<Vec<_>>())
    };
    for spec in shared::specs() {
        let (inputs, labels) = random_inputs(&spec, 1);
        let turned: Tensors<f64> = inputs
            .iter()
            .map(|(k, x)| (k.clone(), reflected(x)))
            .collect();
        let loss = |inputs| evaluate(&spec, inputs, &labels).unwrap()["loss"].item();
        assert_relative_eq!(loss(&inputs), loss(&turned), max_relative = 1e-10);
    }
}

/// Losses to which lengths matter, and that of class weights. The others see angles alone.
const OF_LENGTHS: [&str; 14] = [
    "softmax",
    "focal",
    "virtual-softmax",
    "l-softmax",
    "sphereface",
    "adaface",
    "magface",
    "gaussian",
    "n-pair",
    "contrastive",
    "triplet",
    "lifted",
    "center",
    "ring",
];

/// `L(a x) = L(x)`, and hence `⟨x, ∂L/∂x⟩ = 0` for every embedding and every class weight.
#[test]
fn lengths_do_not_matter_to_losses_of_angles() {
    for spec in shared::specs() {
        if OF_LENGTHS.contains(&spec.terms()[0].info().name) {
            continue;
        }
        let (inputs, labels) = random_inputs(&spec, 2);
        let mut longer = inputs.clone();
        for x in longer.values_mut().filter(|x| is_vectors(x)) {
            for (i, row) in x.data_mut().chunks_mut(DIM).enumerate() {
                row.iter_mut().for_each(|x| *x *= 0.5 + i as f64);
            }
        }
        let out = evaluate(&spec, &inputs, &labels).unwrap();
        let scaled = evaluate(&spec, &longer, &labels).unwrap();
        assert_relative_eq!(
            out["loss"].item(),
            scaled["loss"].item(),
            max_relative = 1e-10
        );
        for (name, x) in inputs.iter().filter(|(_, x)| is_vectors(x)) {
            let Some(g) = out.get(&format!("grad_{name}")) else {
                continue; // state
            };
            assert!(
                g.data().iter().any(|g| g.abs() > 1e-9),
                "{spec}: no gradient of {name}"
            );
            for (x, g) in x.data().chunks(DIM).zip(g.data().chunks(DIM)) {
                let along: f64 = x.iter().zip(g).map(|(x, g)| x * g).sum();
                assert_abs_diff_eq!(along, 0.0, epsilon = 1e-10);
            }
        }
    }
}

#[test]
fn embeddings_have_a_gradient() {
    for spec in shared::specs() {
        let (inputs, labels) = random_inputs(&spec, 2);
        let out = evaluate(&spec, &inputs, &labels).unwrap();
        let g = out["grad_embeddings"].data();
        // A loss may be satisfied: 0, without a gradient.
        let is_pulled = g.iter().any(|g| g.abs() > 1e-9);
        assert!(
            is_pulled || out["loss"].item() == 0.0,
            "{spec}: no gradient"
        );
    }
}

/// Two specs with the same value and the same gradients, on the same tensors.
fn assert_same(first: &str, second: &str) {
    for seed in 0..3 {
        let spec: Spec = first.parse().unwrap();
        let other: Spec = second.parse().unwrap();
        let (inputs, labels) = random_inputs(&spec, seed);
        let (mut others, _) = random_inputs(&other, seed);
        // The one weight of a class stands under another name where there may be several.
        let weight = |inputs: &Tensors<f64>| {
            let found = inputs.iter().find(|(name, _)| name.ends_with("weight"));
            found.map(|(name, x)| (name.clone(), x.clone()))
        };
        if let (Some((_, w)), Some((name, to))) = (weight(&inputs), weight(&others)) {
            others.insert(name, w.reshape(to.shape()));
        }
        let a = evaluate(&spec, &inputs, &labels).unwrap();
        let b = evaluate(&other, &others, &labels).unwrap();
        assert_relative_eq!(a["loss"].item(), b["loss"].item(), max_relative = 1e-9);
        let pairs = a["grad_embeddings"]
            .data()
            .iter()
            .zip(b["grad_embeddings"].data());
        for (x, y) in pairs {
            assert_abs_diff_eq!(x, y, epsilon = 1e-9);
        }
    }
}

#[test]
fn special_cases_are_other_losses() {
    for (first, second) in [
        (
            "softmax:smoothing=0.15,spread=others",
            "softmax:smoothing=0.2",
        ),
        ("focal:gamma=0", "softmax"),
        ("normface:learned=true,s=12", "normface:s=12"),
        ("combined:s=16,preset=cosface", "cosface:s=16,m=0.4"),
        ("subcenter-arcface:k=1,s=16", "arcface:s=16"),
        ("mv-softmax:s=16,m=0.3,t=0", "cosface:s=16,m=0.3"),
        (
            "mv-softmax:s=16,m=0.3,t=0,target=angle,form=fixed",
            "arcface:s=16,m=0.3",
        ),
        ("elasticface:s=16,sigma=0,m=0.4", "arcface:s=16,m=0.4"),
        (
            "elasticface:s=16,sigma=0,m=0.4,form=cos,sorted=true",
            "cosface:s=16,m=0.4",
        ),
        (
            "magface:s=16,l_m=0.4,u_m=0.4,lambda=0",
            "arcface:s=16,m=0.4",
        ),
        ("adaface:s=16,m=0.3,h=1e-15", "cosface:s=16,m=0.3"),
        (
            "so-softmax:lambda_p=16,lambda_n=16",
            "cs-softmax:form=d,s=16,m=0.3,lambda=1",
        ),
        ("proxy-nca:form=common,scale=4", "normface:s=8"),
        (
            "soft-triple:k=1,tau=0,lambda=16,delta=0.1",
            "cosface:s=16,m=0.1",
        ),
        (
            "triplet:mining=semi-hard,distance=unit,soft=true",
            "triplet:mining=semi-hard,distance=unit,soft=true,memory=9",
        ),
    ] {
        assert_same(first, second);
    }
    let scale = losses::adacos_scale(4);
    assert_same("adacos:form=fixed", &format!("normface:s={scale}"));
}

#[test]
fn l_softmax_is_softmax_without_a_multiple() {
    let spec: Spec = "l-softmax:m=1,lambda=0".parse().unwrap();
    let (mut inputs, labels) = random_inputs(&spec, 4);
    let ours = evaluate(&spec, &inputs, &labels).unwrap();
    inputs.insert("bias".into(), Tensor::zeros([4]));
    let softmax = evaluate(&"softmax".parse().unwrap(), &inputs, &labels).unwrap();
    assert_relative_eq!(
        ours["loss"].item(),
        softmax["loss"].item(),
        max_relative = 1e-12
    );
}

#[test]
fn the_combined_margin_contains_the_three() {
    use losses::class::{arcface::ArcFace, combined::Combined, sphereface::SpherePsi};
    let combined = |m1, m2, m3| Combined { s: 1.0, m1, m2, m3 };
    for i in 1..100 {
        let c = f64::from(i) / 50.0 - 1.0;
        let same = |a: (f64, f64), b: (f64, f64)| {
            assert_relative_eq!(a.0, b.0, max_relative = 1e-9, epsilon = 1e-12);
            assert_relative_eq!(a.1, b.1, max_relative = 1e-6, epsilon = 1e-9);
        };
        if c.acos() + 0.5 < std::f64::consts::PI {
            same(
                combined(1.0, 0.5, 0.0).positive(c),
                ArcFace { s: 1.0, m: 0.5 }.positive(c),
            );
        }
        same(
            combined(1.0, 0.0, 0.4).positive(c),
            CosFace { s: 1.0, m: 0.4 }.positive(c),
        );
        let psi = SpherePsi { m: 4, lambda: 0.0 };
        same(combined(4.0, 0.0, 0.0).positive(c), psi.positive(c));
        // All of them at once, and still falling with the angle.
        let (below, above) = (
            combined(1.35, 0.3, 0.2).positive(c),
            combined(1.35, 0.3, 0.2).positive(c + 0.01),
        );
        assert!(below.0 < above.0 && below.1 >= 0.0);
    }
}

/// The straight form passes back s where the derivative is s sin(θ + m)/sin θ.
#[test]
fn straight_arcface_has_the_value_and_not_the_gradient_of_arcface() {
    use losses::class::arcface::{ArcFace, StraightArcFace};
    let (s, m) = (16.0, 0.5);
    for c in [0.9_f64, 0.5, -0.6] {
        let (exact, straight) = (
            ArcFace { s, m }.positive(c),
            StraightArcFace { s, m }.positive(c),
        );
        assert_relative_eq!(exact.0, straight.0, max_relative = 1e-12);
        assert_eq!(straight.1, s);
        assert!((exact.1 - s).abs() > 0.1 * s);
    }
}

#[test]
fn virtual_softmax_is_never_below_ln_2() {
    let spec: Spec = "virtual-softmax".parse().unwrap();
    for seed in 0..5 {
        let (inputs, labels) = random_inputs(&spec, seed);
        let out = evaluate(&spec, &inputs, &labels).unwrap();
        assert!(
            out["loss_per_sample"]
                .data()
                .iter()
                .all(|&l| l > 2.0_f64.ln())
        );
    }
}

/// Where each anchor has one positive: supervised contrast is NT-Xent, and mining with a margin of
/// 2 keeps all pairs.
#[test]
fn batches_of_two_views_make_losses_alike() {
    for (first, second) in [
        ("supcon:t=0.3", "nt-xent:t=0.3"),
        (
            "multi-similarity:epsilon=2",
            "multi-similarity:unmined=true",
        ),
    ] {
        let [first, second]: [Spec; 2] = [first, second].map(|spec| spec.parse().unwrap());
        let (inputs, _) = random_inputs(&first, 6);
        let views = [0, 1, 2, 0, 1, 2];
        let [a, b] = [first, second].map(|spec| evaluate(&spec, &inputs, &views).unwrap());
        assert_relative_eq!(a["loss"].item(), b["loss"].item(), max_relative = 1e-12);
    }
}

/// Label smoothing in the frame is cross-entropy with the smoothed target.
#[test]
fn smoothing_spreads_the_target() {
    let spec: Spec = "normface:s=8,smoothing=0.2".parse().unwrap();
    let (inputs, labels) = random_inputs(&spec, 3);
    let out = evaluate(&spec, &inputs, &labels).unwrap();
    let cosines = out["logits"].data();
    for (i, &y) in labels.iter().enumerate() {
        let z: Vec<f64> = cosines[4 * i..4 * i + 4].iter().map(|c| 8.0 * c).collect();
        let lse = z.iter().map(|z| z.exp()).sum::<f64>().ln();
        let q = |j| if j == y as usize { 0.85 } else { 0.05 };
        let expected: f64 = (0..4).map(|j| q(j) * (lse - z[j])).sum();
        assert_relative_eq!(
            out["loss_per_sample"].data()[i],
            expected,
            max_relative = 1e-12
        );
    }
}

#[test]
fn so_softmax_works_on_the_worse_similarity_and_cosface_on_both_alike() {
    for c in [[0.5, 0.2], [0.7, 0.4], [0.9, 0.6]] {
        let (_, g) = row(CosFace { s: 30.0, m: 0.35 }, &c, 0);
        assert_abs_diff_eq!(g[0], -24.53, epsilon = 0.01);
        assert_abs_diff_eq!(g[1], 24.53, epsilon = 0.01);
    }
    for (c, expected) in [
        ([0.5, 0.2], [-31.1, 12.4]),
        ([0.7, 0.4], [-17.4, 23.1]),
        ([0.9, 0.6], [-6.4, 38.3]),
    ] {
        let (_, g) = row(so(32.0, 32.0, 0.3), &c, 0);
        assert_abs_diff_eq!(g[0], expected[0], epsilon = 0.06);
        assert_abs_diff_eq!(g[1], expected[1], epsilon = 0.06);
    }
}
