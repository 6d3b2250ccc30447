//! Margins that rise while training begins.

use engine::rng::Key;
use engine::{Params, Tensor, Var};
use losses::{Criterion, Error, LOSSES, Spec};
use nn::{Pass, Scope};

const LABELS: [usize; 6] = [0, 1, 2, 3, 0, 2];

fn spec(text: &str) -> Spec {
    text.parse().unwrap()
}

/// The loss of always the same embeddings and class weights after `warm` has prepared it.
fn loss(text: &str, warm: impl FnOnce(&mut Criterion<f64>)) -> f64 {
    let mut params = Params::new();
    let root = &mut Scope::root(&mut params, 7);
    let mut criterion = Criterion::new(&spec(text), root, 4, 8).unwrap();
    warm(&mut criterion);
    let mut rng = Key::new(5).rng();
    let embeddings = Var::constant(Tensor::from_fn([6, 8], |_| rng.normal()));
    let outcome = criterion.forward(&mut Pass::eval(&params), &embeddings, &LABELS);
    outcome.unwrap().loss.value().item()
}

fn plain(text: &str) -> f64 {
    loss(text, |_| {})
}

fn at(text: &str, step: u64) -> f64 {
    loss(text, |criterion| {
        criterion.warm_margins(10).unwrap();
        criterion.set_step(step);
    })
}

#[test]
fn a_margin_rises_along_a_line_and_stays() {
    let cosface = "cosface:s=16,m=0.4";
    assert_eq!(at(cosface, 0), plain("normface:s=16"));
    for (step, m) in [(1, 0.04), (5, 0.2), (10, 0.4), (11, 0.4), (u64::MAX, 0.4)] {
        let (found, expected) = (at(cosface, step), plain(&format!("cosface:s=16,m={m}")));
        approx::assert_relative_eq!(found, expected, max_relative = 1e-14);
    }
    // Any step may follow any other, as after a resume.
    let back = loss(cosface, |criterion| {
        criterion.warm_margins(10).unwrap();
        [12, 3, 11, 5]
            .into_iter()
            .for_each(|step| criterion.set_step(step));
    });
    assert_eq!(back, at(cosface, 5));
    let none = loss(cosface, |criterion| criterion.warm_margins(0).unwrap());
    assert_eq!(none, plain(cosface));
}

#[test]
fn every_kind_of_margin_begins_where_it_is_none() {
    let none = |text: &str| spec(text).with_margins(0.0).to_string();
    assert_eq!(
        none("combined:m1=2,m2=0.3,m3=0.1"),
        "combined:m1=1,m2=0,m3=0"
    );
    assert_eq!(none("magface"), "magface:l_m=0,u_m=0");
    assert_eq!(none("so-softmax"), "so-softmax:m=0.5");
    assert_eq!(
        none("so-softmax:lambda_p=32,lambda_n=8"),
        "so-softmax:lambda_p=32,lambda_n=8,m=0.4"
    );
    assert_eq!(
        none("cs-softmax:form=d,lambda=0.25"),
        "cs-softmax:form=d,lambda=0.25,m=0.4"
    );
    assert_eq!(
        none("arcface:m=0.5 + 0.1*center"),
        "arcface:m=0 + 0.1*center"
    );
    // Where the margin begins is not known before the scales are.
    for undecided in ["so-softmax:lambda_p=auto", "so-softmax:lambda_n=auto"] {
        assert!(spec(undecided).has_margins());
        assert_eq!(none(undecided), undecided);
    }
    let half = spec("arcface:s=auto,m=0.5 + triplet")
        .with_margins(0.5)
        .to_string();
    assert_eq!(half, "arcface:s=auto,m=0.25 + triplet");
}

/// Where less slack is more margin, a warm-up from 0 would begin with the hardest.
#[test]
fn no_loss_becomes_easier_while_its_margins_rise() {
    let mut tried = Vec::new();
    for info in LOSSES.iter().filter(|info| spec(info.name).has_margins()) {
        let [none, half, whole] = [0, 5, 10].map(|step| at(info.name, step));
        assert!(
            none < half && half < whole,
            "{}: {none} {half} {whole}",
            info.name
        );
        assert_eq!(whole, plain(info.name), "{}", info.name);
        tried.push(info.name);
    }
    for name in [
        "arcface",
        "cosface",
        "combined",
        "so-softmax",
        "cs-softmax",
        "circle",
        "magface",
    ] {
        assert!(tried.contains(&name), "{name} is missing in {tried:?}");
    }
    let d = "cs-softmax:form=d";
    assert!(at(d, 0) < at(d, 5) && at(d, 5) < at(d, 10));
}

#[test]
fn losses_without_a_margin_say_so() {
    for text in [
        "softmax",
        "sphereface",
        "triplet + 0.1*center",
        "cosface:m=0",
        "sml-joint",
    ] {
        let mut params = Params::<f32>::new();
        let root = &mut Scope::root(&mut params, 0);
        let mut criterion = Criterion::new(&spec(text), root, 4, 8).unwrap();
        let error = criterion.warm_margins(10).unwrap_err();
        assert!(matches!(error, Error::NoMargin { .. }), "{error}");
        let error = error.to_string();
        assert!(
            [
                "arcface",
                "margins of triplet, contrastive",
                &format!("`{text}`")
            ]
            .iter()
            .all(|part| error.contains(part)),
            "{error}"
        );
    }
}
