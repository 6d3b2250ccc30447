//! `hypersphere loss plot`: what losses do to angles and cosines, as a picture.

use crate::cli::LossPlot;
use crate::config::ConfigError;
use crate::files;
use crate::plot::{self, Curves, Field, Grid, Panel, Regions, Scale, Series};
use anyhow::{Result, bail};
use losses::{Family, Profile, Response, Spec};

/// Cells of a heat map in each direction.
const CELLS: usize = 90;
/// Arrows in each direction.
const ARROWS: usize = 11;
/// The share of cells whose values are within the shades of a heat map: the derivative of an
/// angular margin has a pole, which would leave no shade for the rest.
const WITHIN: f64 = 0.98;

/// Draws losses.
///
/// # Errors
/// If a spec is none, or has nothing that depends on these cosines.
pub(super) fn run(options: &LossPlot) -> Result<()> {
    let specs: Vec<Spec> = options
        .specs
        .iter()
        .map(|text| text.parse())
        .collect::<losses::Result<_>>()?;
    let is_of_pairs = |spec: &Spec| {
        let mut terms = spec.terms().iter();
        terms.all(|term| term.info().family == Family::Pair)
    };
    let of_pairs = specs.iter().all(is_of_pairs);
    if !of_pairs && specs.iter().any(is_of_pairs) {
        bail!(ConfigError(
            "some of these losses compare samples with classes and some samples with each other; \
             draw the two kinds apart"
                .into()
        ));
    }
    let length = options.length.unwrap_or(if of_pairs { 1.0 } else { 16.0 });
    let mut drawings = Vec::new();
    for spec in &specs {
        let profile = Profile::new(spec, options.classes, length)?;
        let drawing = match of_pairs {
            true => Drawing::of_pairs(spec, &profile)?,
            false => Drawing::of_classes(spec, &profile)?,
        };
        drawings.push(drawing);
    }
    let svg = match of_pairs {
        true => pair_picture(&drawings, length)?,
        false => class_picture(&drawings, length, options.classes)?,
    };
    files::write(&options.output, svg)?;
    println!("written to {}", options.output.display());
    Ok(())
}

/// All numbers of one loss's panels.
struct Drawing {
    title: String,
    /// Over the angle or the cosine to the own class.
    first: Vec<(f64, f64)>,
    /// Whether that is the target's exponent, and not the loss.
    has_exponents: bool,
    second: Vec<(f64, f64)>,
    /// The size of the gradient over both cosines.
    pull: Vec<f64>,
    arrows: Vec<[f64; 4]>,
    /// The lead over both cosines; empty without exponents.
    boundary: Vec<f64>,
    subtitle: &'static str,
    /// The leads of both classes over both angles; or the loss, in the first.
    regions: [Vec<f64>; 2],
}

/// The middles of `n` equal parts.
fn middles(low: f64, high: f64, n: usize) -> impl Iterator<Item = f64> + Clone {
    (0..n).map(move |i| low + (i as f64 + 0.5) / n as f64 * (high - low))
}

/// `f(x, y)` at the middles of the cells, row by row from the bottom.
fn over<R>(
    n: usize,
    [low, high]: [f64; 2],
    f: impl Fn(f64, f64) -> losses::Result<R>,
) -> losses::Result<Vec<R>> {
    let mut all = Vec::with_capacity(n * n);
    for y in middles(low, high, n) {
        for x in middles(low, high, n) {
            all.push(f(x, y)?);
        }
    }
    Ok(all)
}

const NOTHING: Response = Response {
    loss: f64::NAN,
    by_own: f64::NAN,
    by_other: f64::NAN,
    exponents: None,
    lead: None,
};

impl Drawing {
    fn of_classes(spec: &Spec, profile: &Profile) -> Result<Self> {
        let scale = exponent_scale(profile);
        let (mut first, mut second, mut has_exponents) = (Vec::new(), Vec::new(), true);
        for degrees in middles(0.0, 180.0, 360) {
            let angle = degrees.to_radians();
            let at = profile.of_classes(angle.cos(), 0.0)?;
            has_exponents &= at.exponents.is_some();
            let value = at.exponents.map_or(at.loss, |[target, _]| target / scale);
            first.push((degrees, value));
            second.push((degrees, (at.by_own * angle.sin()).abs()));
        }
        let respond = |other, own| profile.of_classes(own, other);
        let field = over(CELLS, [-1.0, 1.0], respond)?;
        check_varies(spec, &field)?;
        let by_angles = |x: f64, y: f64| {
            let [one, two] = [x, y].map(|degrees| degrees.to_radians().cos());
            Ok([profile.of_classes(one, two)?, profile.of_classes(two, one)?])
        };
        let by_angles = over(CELLS, [0.0, 180.0], by_angles)?;
        let lead = |at: &Response| at.lead.unwrap_or(f64::NAN);
        let boundary: Vec<f64> = field.iter().map(lead).collect();
        let has_boundary = boundary.iter().any(|lead| lead.is_finite());
        let regions = match has_boundary {
            true => [0, 1].map(|class| by_angles.iter().map(|at| lead(&at[class])).collect()),
            false => [by_angles.iter().map(|at| at[0].loss).collect(), Vec::new()],
        };
        Ok(Drawing {
            title: shortened(spec),
            first,
            has_exponents,
            second,
            pull: pull(&field),
            arrows: arrows(respond)?,
            boundary: if has_boundary { boundary } else { Vec::new() },
            subtitle: match has_boundary {
                true => "|(∂L/∂c_y, ∂L/∂c_n)|; arrows: descent; red: both even",
                false => "|(∂L/∂c_y, ∂L/∂c_n)|; arrows: descent",
            },
            regions,
        })
    }

    fn of_pairs(spec: &Spec, profile: &Profile) -> Result<Self> {
        let respond = |other: f64, own: f64| -> losses::Result<Response> {
            Ok(profile.of_pairs(own, other)?.unwrap_or(NOTHING))
        };
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for cosine in middles(-1.0, 1.0, 360) {
            first.push((cosine, respond(0.0, cosine)?.loss));
            second.push((cosine, respond(cosine, PAIR_AT)?.loss));
        }
        let field = over(CELLS, [-1.0, 1.0], respond)?;
        check_varies(spec, &field)?;
        Ok(Drawing {
            title: shortened(spec),
            first,
            has_exponents: false,
            second,
            pull: pull(&field),
            arrows: arrows(respond)?,
            boundary: Vec::new(),
            subtitle: "|(∂L/∂c_p, ∂L/∂c_n)|; arrows: descent",
            regions: [field.iter().map(|at| at.loss).collect(), Vec::new()],
        })
    }
}

/// The text of a spec, cut to the width of a panel.
fn shortened(spec: &Spec) -> String {
    const LONGEST: usize = 48;
    let text = spec.to_string();
    match text.chars().count() {
        0..=LONGEST => text,
        _ => text.chars().take(LONGEST - 1).chain(['…']).collect(),
    }
}

/// Where the two of a class stand while a stranger moves.
const PAIR_AT: f64 = 0.5;

/// What exponents are divided by, for losses of different scales to be seen side by side: the
/// scale of the loss, by the names that scales have; the length of the embedding where that is the
/// scale.
fn exponent_scale(profile: &Profile) -> f64 {
    let term = &profile.spec().terms()[0];
    let named = |key: &&str| term.info().parameter(key).is_ok();
    let keys: &[&str] = match term.info().name {
        "circle" => &["gamma"],
        _ => &["s", "lambda_p", "scale"],
    };
    let key = keys.iter().copied().find(|key| named(key));
    let scale = key.and_then(|key| term.values().given(key));
    scale.unwrap_or(profile.length())
}

fn pull(field: &[Response]) -> Vec<f64> {
    field
        .iter()
        .map(|at| at.by_own.hypot(at.by_other))
        .collect()
}

/// Descent at the middles of a coarse grid.
fn arrows(respond: impl Fn(f64, f64) -> losses::Result<Response>) -> Result<Vec<[f64; 4]>> {
    let arrow = |x, y| {
        let at = respond(x, y)?;
        Ok([x, y, -at.by_other, -at.by_own])
    };
    Ok(over(ARROWS, [-1.0, 1.0], arrow)?)
}

/// Refuses what would be an empty picture.
fn check_varies(spec: &Spec, field: &[Response]) -> Result<(), ConfigError> {
    let losses = || {
        field
            .iter()
            .map(|at| at.loss)
            .filter(|loss| loss.is_finite())
    };
    let (low, high) = losses().fold((f64::MAX, f64::MIN), |(low, high), loss| {
        (low.min(loss), high.max(loss))
    });
    if low < high {
        return Ok(());
    }
    let hint = match spec.terms()[0].info().name {
        "sml" => "it selects among the samples of a batch; draw sml:form=sample",
        "ring" => "it is a function of the length of an embedding alone, (|x| - R)^2 / 2",
        _ => "`hypersphere loss show` has its formula",
    };
    Err(ConfigError(format!(
        "`{spec}` is {low} whatever the cosines of a sample to the class weights are: {hint}"
    )))
}

/// A value that all but the largest few do not exceed.
fn most(values: &[f64]) -> Option<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let at = (WITHIN * sorted.len() as f64) as usize;
    let most = *sorted.get(at.min(sorted.len().checked_sub(1)?))?;
    // Where nearly everything is zero, the largest value has to do.
    (most > 0.0).then_some(most)
}

fn series<'a>(drawings: &'a [Drawing], points: fn(&Drawing) -> &[(f64, f64)]) -> Vec<Series<'a>> {
    drawings
        .iter()
        .map(|d| Series {
            name: &d.title,
            points: points(d),
        })
        .collect()
}

fn class_picture(drawings: &[Drawing], length: f64, classes: usize) -> Result<String> {
    let (first, second) = (
        series(drawings, |d| &d.first),
        series(drawings, |d| &d.second),
    );
    let has_exponents = drawings.iter().all(|d| d.has_exponents);
    let own = "angle to the own class θ_y, degrees (the others at 90)";
    let curves = |title, series| {
        Panel::Curves(Curves {
            title,
            x_label: own,
            x_scale: Scale::Linear,
            y_scale: Scale::Linear,
            series,
        })
    };
    let mut panels = vec![
        curves(
            match has_exponents {
                true => "target logit ψ(θ_y) / scale",
                false => "loss",
            },
            &first,
        ),
        curves("pull on the target |∂L/∂θ_y|", &second),
    ];
    for d in drawings {
        panels.push(pull_panel(
            d,
            "c_y, cosine to the own class",
            "c_n, cosine to the others",
        ));
        let grid = Grid {
            x_label: "θ_1, angle to class 1, degrees",
            y_label: "θ_2, angle to class 2, degrees",
            x: (0.0, 180.0),
            y: (0.0, 180.0),
            columns: CELLS,
            rows: CELLS,
        };
        let [one, two] = &d.regions;
        panels.push(match two.is_empty() {
            false => Panel::Regions(Regions {
                title: "decision regions of two classes",
                subtitle: "where the loss takes a sample of a class as won",
                grid,
                leads: [one, two],
                names: ["class 1", "class 2"],
            }),
            true => Panel::Field(Field {
                title: "loss of a sample of class 1",
                subtitle: "no boundary: the two similarities are not compared",
                grid,
                values: one,
                most: most(one),
                unit: "L",
                boundary: &[],
                arrows: &[],
            }),
        });
    }
    let others = match classes {
        2 => "the other class at c_n".to_string(),
        c => format!("the {} other classes at c_n", c - 1),
    };
    let title = format!("an embedding of length {length}, {others}");
    Ok(plot::functions(&title, 2, &panels)?)
}

fn pair_picture(drawings: &[Drawing], length: f64) -> Result<String> {
    let (first, second) = (
        series(drawings, |d| &d.first),
        series(drawings, |d| &d.second),
    );
    let strangers = format!("a stranger: loss over its cosine, the pair at {PAIR_AT}");
    let curves = |title, x_label, series| {
        Panel::Curves(Curves {
            title,
            x_label,
            x_scale: Scale::Linear,
            y_scale: Scale::Linear,
            series,
        })
    };
    let (pair, stranger) = (
        "c_p, cosine of the pair",
        "c_n, cosine of a stranger to both",
    );
    let mut panels = vec![
        curves(
            "a pair: loss over its cosine, a stranger at 0",
            pair,
            &first,
        ),
        curves(&strangers, stranger, &second),
    ];
    for d in drawings {
        panels.push(pull_panel(d, pair, stranger));
        let loss = &d.regions[0];
        panels.push(Panel::Field(Field {
            title: "loss",
            subtitle: "white: no three vectors have these cosines",
            grid: cosines(pair, stranger),
            values: loss,
            most: most(loss),
            unit: "L",
            boundary: &[],
            arrows: &[],
        }));
    }
    let title = format!("a pair of one class and a stranger, of length {length}");
    Ok(plot::functions(&title, 2, &panels)?)
}

fn cosines<'a>(y_label: &'a str, x_label: &'a str) -> Grid<'a> {
    Grid {
        x_label,
        y_label,
        x: (-1.0, 1.0),
        y: (-1.0, 1.0),
        columns: CELLS,
        rows: CELLS,
    }
}

fn pull_panel<'a>(d: &'a Drawing, y_label: &'a str, x_label: &'a str) -> Panel<'a> {
    Panel::Field(Field {
        title: &d.title,
        subtitle: d.subtitle,
        grid: cosines(y_label, x_label),
        values: &d.pull,
        most: most(&d.pull),
        unit: "|∂L|",
        boundary: &d.boundary,
        arrows: &d.arrows,
    })
}
