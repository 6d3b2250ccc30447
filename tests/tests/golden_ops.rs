//! Single operations against values and gradients that PyTorch computed; see `golden/README.md`.

use engine::ops::{BatchNorm, Conv2d, RunningStats, Window};
use engine::{Tensor, Var};
use safetensors::SafeTensors;
use serde_json::Value;
use std::collections::BTreeSet;

/// The largest difference allowed, relative to the largest element of a tensor.
const TOLERANCE: f64 = 1e-12;

static FILE: &[u8] = include_bytes!("../golden/ops_f64.safetensors");

/// One case of the file: `max_pool2d/0`.
struct Case<'a> {
    file: &'a SafeTensors<'a>,
    about: &'a Value,
    key: &'a str,
}

impl Case<'_> {
    /// The elements of one of the case's tensors, made from their bytes, and its shape.
    fn read<T, const SIZE: usize>(
        &self,
        name: &str,
        f: fn([u8; SIZE]) -> T,
    ) -> (Vec<usize>, Vec<T>) {
        let tensor = self.file.tensor(&format!("{}/{name}", self.key));
        let tensor = tensor.unwrap_or_else(|e| panic!("{} {name}: {e}", self.key));
        let elements = tensor.data().chunks_exact(SIZE);
        let elements = elements.map(|bytes| f(bytes.try_into().expect("a whole element")));
        (tensor.shape().to_vec(), elements.collect())
    }

    fn tensor(&self, name: &str) -> Tensor<f64> {
        let (shape, elements) = self.read(name, f64::from_le_bytes);
        Tensor::new(shape.as_slice(), &elements)
    }

    fn has(&self, name: &str) -> bool {
        let name = format!("{}/{name}", self.key);
        self.file.tensor(&name).is_ok()
    }

    fn leaf(&self, name: &str) -> Var<f64> {
        Var::leaf(self.tensor(name))
    }

    fn labels(&self) -> Vec<usize> {
        let (_, labels) = self.read("labels", i64::from_le_bytes);
        labels.into_iter().map(|l| l as usize).collect()
    }

    fn number(&self, parameter: &str) -> f64 {
        let number = self.about[parameter].as_f64();
        number.unwrap_or_else(|| panic!("{}: no number {parameter}", self.key))
    }

    fn pair(&self, parameter: &str) -> [usize; 2] {
        let pair = serde_json::from_value(self.about[parameter].clone());
        pair.unwrap_or_else(|e| panic!("{} {parameter}: {e}", self.key))
    }

    fn window(&self) -> Window {
        let [kernel, stride, padding] =
            ["kernel", "stride", "padding"].map(|p| self.number(p) as usize);
        Window::square(kernel, stride, padding)
    }

    /// Holds the value and the gradients with respect to the leaves against the file's.
    fn expect(&self, y: &Var<f64>, leaves: &[(&str, &Var<f64>)]) {
        self.close("y", y.value());
        let gradients = y.backward_from(self.tensor("dy")).expect("a tracked value");
        for (name, leaf) in leaves {
            self.close(&format!("d{name}"), gradients.of(leaf).expect("a gradient"));
        }
    }

    fn close(&self, name: &str, found: &Tensor<f64>) {
        let expected = self.tensor(name);
        assert_eq!(found.shape(), expected.shape(), "{} {name}", self.key);
        let largest = expected.data().iter().fold(0.0, |m: f64, x| m.max(x.abs()));
        for (i, (found, expected)) in found.data().iter().zip(expected.data()).enumerate() {
            assert!(
                (found - expected).abs() <= TOLERANCE * largest,
                "{} {name}, element {i}: {found:e} instead of {expected:e}",
                self.key
            );
        }
    }
}

/// Runs a check on every case of an operation in the file.
fn each(op: &str, check: impl Fn(&Case<'_>)) {
    let file = SafeTensors::deserialize(FILE).expect("a safetensors file");
    let cases: Vec<Value> = cases();
    let mut found = 0;
    for about in cases.iter().filter(|about| about["op"] == op) {
        found += 1;
        let key = about["key"].as_str().expect("a key");
        check(&Case {
            file: &file,
            about,
            key,
        });
    }
    assert!(found > 0, "no case of {op}");
}

fn cases() -> Vec<Value> {
    let (_, header) = SafeTensors::read_metadata(FILE).expect("a header");
    let cases = &header.metadata().as_ref().expect("metadata")["cases"];
    serde_json::from_str(cases).expect("a list of cases")
}

/// A test for every operation of the file, named as there.
macro_rules! golden {
    ($($op:ident |$case:ident| $check:block)*) => {
        $(#[test]
        fn $op() {
            each(stringify!($op), |$case| $check);
        })*

        #[test]
        fn every_operation_of_the_file_is_tested() {
            let in_file: Vec<Value> = cases();
            let in_file: BTreeSet<_> = in_file.iter().filter_map(|c| c["op"].as_str()).collect();
            let tested = BTreeSet::from([$(stringify!($op)),*]);
            assert_eq!(in_file, tested);
        }
    };
}

golden! {
    conv2d |case| {
        let [x, w] = ["x", "w"].map(|name| case.leaf(name));
        let settings = Conv2d {
            stride: case.pair("stride"),
            padding: case.pair("padding"),
            dilation: case.pair("dilation"),
            groups: case.number("groups") as usize,
        };
        match case.has("b").then(|| case.leaf("b")) {
            None => case.expect(&x.conv2d(&w, None, settings), &[("x", &x), ("w", &w)]),
            Some(b) => {
                let y = x.conv2d(&w, Some(&b), settings);
                case.expect(&y, &[("x", &x), ("w", &w), ("b", &b)]);
            }
        }
    }
    batch_norm |case| {
        let [x, w, b] = ["x", "w", "b"].map(|name| case.leaf(name));
        let evaluation = case.about["training"] == false;
        let settings = BatchNorm {
            epsilon: case.number("eps"),
            running: evaluation.then(|| RunningStats {
                mean: case.tensor("running_mean").data().into(),
                variance: case.tensor("running_var").data().into(),
            }),
            ..BatchNorm::default()
        };
        let y = x.batch_norm(&w, &b, settings);
        case.expect(&y, &[("x", &x), ("w", &w), ("b", &b)]);
    }
    max_pool2d |case| {
        let x = case.leaf("x");
        case.expect(&x.max_pool2d(case.window()), &[("x", &x)]);
    }
    avg_pool2d |case| {
        let x = case.leaf("x");
        let count_padding = case.about["count_include_pad"] == true;
        case.expect(&x.avg_pool2d(case.window(), count_padding), &[("x", &x)]);
    }
    gelu |case| {
        let x = case.leaf("x");
        case.expect(&x.gelu(), &[("x", &x)]);
    }
    softplus |case| {
        assert_eq!(case.number("beta"), 1.0);
        let x = case.leaf("x");
        case.expect(&x.softplus(), &[("x", &x)]);
    }
    prelu |case| {
        let [x, w] = ["x", "w"].map(|name| case.leaf(name));
        case.expect(&x.prelu(&w), &[("x", &x), ("w", &w)]);
    }
    log_softmax |case| {
        assert_eq!(case.number("axis"), -1.0);
        let x = case.leaf("x");
        case.expect(&x.log_softmax(), &[("x", &x)]);
    }
    cross_entropy |case| {
        let x = case.leaf("x");
        let losses = x.cross_entropy(case.labels(), case.number("smoothing"));
        case.close("y_per_sample", losses.value());
        case.expect(&losses.mean(), &[("x", &x)]);
    }
    cdist |case| {
        let [x, w] = ["x", "w"].map(|name| case.leaf(name));
        case.expect(&x.pairwise_distance(&w), &[("x", &x), ("w", &w)]);
    }
    cosine_similarity |case| {
        let [x, w] = ["x", "w"].map(|name| case.leaf(name));
        case.expect(&x.pairwise_cosine(&w), &[("x", &x), ("w", &w)]);
    }
    normalize |case| {
        assert_eq!((case.number("axis"), case.number("eps")), (-1.0, 1e-12));
        let x = case.leaf("x");
        case.expect(&x.l2_normalize(), &[("x", &x)]);
    }
}
