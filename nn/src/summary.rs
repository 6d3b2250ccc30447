//! What a network consists of: its layers, their outputs, parameters and multiply-adds.

use crate::module::{Module, Pass};
use engine::{Float, ParamId, Params, Shape, Tensor, Var};
use std::fmt;

/// The layers of a network in the order they run.
///
/// Found by watching an evaluation pass on one image of zeros, so a layer needs no code for it.
///
/// ```
/// use engine::Params;
/// use nn::{Build, Scope, Sequential, Summary, layers::{Conv2d, Flatten, Linear}};
/// let mut params = Params::<f32>::new();
/// let net = Sequential::new()
///     .add("conv", Conv2d::new(1, 8, 3).padding(1))
///     .add("flat", Flatten)
///     .add("fc", Linear::new(8 * 6 * 6, 10))
///     .build(&mut Scope::root(&mut params, 0));
/// let summary = Summary::of(&net, &params, [6, 6, 1]);
/// assert_eq!(summary.rows[0].multiply_adds, 6 * 6 * 9 * 8);
/// assert_eq!(summary.parameters(), params.count());
/// println!("{summary}");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// One row per layer.
    pub rows: Vec<Row>,
}

/// One layer of a [`Summary`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The path of names, such as `block1.conv2`.
    pub name: String,
    /// The shape of the output for one input, without the axis of the batch.
    pub output: Shape,
    /// The number of learned numbers.
    pub parameters: usize,
    /// Multiplications with an element of a weight, per input; those of convolutions and linear
    /// layers, which are all that matter.
    pub multiply_adds: usize,
}

impl Summary {
    /// Watches `module` compute one input of shape `input`, such as `[28, 28, 1]`.
    ///
    /// # Panics
    /// If the module is built for another shape.
    pub fn of<T: Float>(
        module: &(impl Module<T> + ?Sized),
        params: &Params<T>,
        input: impl Into<Shape>,
    ) -> Self {
        let input: Shape = input.into();
        let batch_of_one: Shape = std::iter::once(1).chain(input.iter().copied()).collect();
        let x = Var::constant(Tensor::zeros(batch_of_one));
        let mut pass = Pass::traced(params);
        module.forward(&mut pass, &x);
        let rows = pass.into_trace().unwrap_or_default().rows;
        Summary { rows }
    }

    /// The number of learned numbers of all layers.
    pub fn parameters(&self) -> usize {
        self.rows.iter().map(|row| row.parameters).sum()
    }

    /// The multiply-adds of all layers, per input.
    pub fn multiply_adds(&self) -> usize {
        self.rows.iter().map(|row| row.multiply_adds).sum()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells = |row: &Row| {
            let (parameters, work) = (row.parameters, row.multiply_adds);
            let output = row.output.to_string();
            [row.name.clone(), output, grouped(parameters), grouped(work)]
        };
        let header = ["layer", "output", "parameters", "multiply-adds"].map(String::from);
        let (parameters, work) = (grouped(self.parameters()), grouped(self.multiply_adds()));
        let total = ["total".into(), String::new(), parameters, work];
        let mut table = vec![header];
        table.extend(self.rows.iter().map(cells));
        table.push(total);
        let width = |column: usize| table.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let [a, b, c, d] = [0, 1, 2, 3].map(width);
        for (i, [name, output, parameters, work]) in table.iter().enumerate() {
            if i == 1 || i == table.len() - 1 {
                writeln!(f, "{}", "-".repeat(a + b + c + d + 6))?;
            }
            let end = if i == table.len() - 1 { "" } else { "\n" };
            write!(
                f,
                "{name:a$}  {output:b$}  {parameters:>c$}  {work:>d$}{end}"
            )?;
        }
        Ok(())
    }
}

/// A number with its digits in groups of three.
fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// What a traced pass notes.
#[derive(Default)]
pub(crate) struct Trace {
    path: Vec<String>,
    rows: Vec<Row>,
    /// The parameters that the innermost layer has fetched.
    used: Vec<ParamId>,
}

/// What the layer around another one had noted before.
pub(crate) struct Outer {
    used: Vec<ParamId>,
    rows: usize,
}

impl Trace {
    pub(crate) fn uses(&mut self, id: ParamId) {
        if !self.used.contains(&id) {
            self.used.push(id);
        }
    }

    pub(crate) fn enter(&mut self, name: &str) -> Outer {
        self.path.push(name.to_string());
        Outer {
            used: std::mem::take(&mut self.used),
            rows: self.rows.len(),
        }
    }

    pub(crate) fn leave<T: Float>(&mut self, outer: Outer, params: &Params<T>, output: Shape) {
        let used = std::mem::replace(&mut self.used, outer.used);
        // A container is shown by its parts alone.
        if self.rows.len() == outer.rows || !used.is_empty() {
            let sizes = used.iter().map(|&id| params.param(id).shape());
            self.rows.push(Row {
                name: self.path.join("."),
                output: output[1..].into(),
                parameters: sizes.clone().map(|s| s.elements()).sum(),
                // Every element of a weight is used once at each place of the output.
                multiply_adds: sizes
                    .filter(|s| s.rank() > 1)
                    .map(|s| s.elements() * output.rows())
                    .sum(),
            });
        }
        self.path.pop();
    }
}
