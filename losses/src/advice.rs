//! Choosing scale and margin from the number of classes, with the reasoning as text.

use crate::info::{Parameter, Separation};
use crate::values::{Value, Values};
use std::f64::consts::{FRAC_PI_2, PI, TAU};
use std::fmt;

/// How `auto` chooses a parameter: from the values of the others and the number of classes; the
/// text says why.
pub type AutoRule = fn(&Values, usize) -> (f64, String);

/// Something worth telling the user before training starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// The loss.
    pub loss: &'static str,
    /// What it is.
    pub kind: NoteKind,
    /// The text.
    pub text: String,
}

/// What a note is.
#[derive(Clone, Debug, PartialEq)]
pub enum NoteKind {
    /// A parameter left to `auto` was chosen; the text is the reasoning.
    Chosen {
        /// The parameter.
        key: &'static str,
        /// The value it has now.
        value: f64,
    },
    /// The settings will not work well.
    Warning,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            NoteKind::Chosen { key, value } => {
                write!(f, "{}: {key} = {value}: {}", self.loss, self.text)
            }
            NoteKind::Warning => write!(f, "{}: warning: {}", self.loss, self.text),
        }
    }
}

/// ln((C − 1) P / (1 − P)): by how much the exponent of the target must exceed those of the other
/// classes, all equal, for its probability to be P.
pub fn needed_gap(classes: usize, probability: f64) -> f64 {
    ((classes as f64 - 1.0) * probability / (1.0 - probability)).ln()
}

/// The smallest scale at which a scaled cosine softmax can give its target the probability P.
///
/// The best that C classes can do at once is c_y = 1 and c_j = −1/(C − 1) (NormFace, CosFace).
/// `at_one` is Fp(1)/s: 1 without a margin, `1 − m` for CosFace, `cos m` for ArcFace. Infinite
/// if the margin leaves no gap at all.
pub fn smallest_scale(classes: usize, at_one: f64, probability: f64) -> f64 {
    let gap = reachable_gap(classes, at_one);
    if gap > 0.0 {
        needed_gap(classes, probability) / gap
    } else {
        f64::INFINITY
    }
}

fn reachable_gap(classes: usize, at_one: f64) -> f64 {
    at_one + 1.0 / (classes as f64 - 1.0)
}

/// √2 ln(C − 1), the fixed scale of AdaCos (Zhang et al. 2019).
pub fn adacos_scale(classes: usize) -> f64 {
    2.0_f64.sqrt() * (classes as f64 - 1.0).ln()
}

/// The automatic scale of a cosine softmax: enough for P = 0.999 with all classes at equal
/// angles, and not below AdaCos.
pub(crate) fn auto_scale(classes: usize, at_one: f64) -> (f64, String) {
    let at = |p| smallest_scale(classes, at_one, p);
    let adacos = adacos_scale(classes);
    // Beyond 512 f32 gains nothing; an infeasible margin has its own warning.
    let scale = at(0.999).max(adacos).ceil().clamp(1.0, 512.0);
    let reason = format!(
        "with {classes} classes at equal angles the exponents differ by at most {:.3} s, so a \
         target probability of 0.9, 0.99 or 0.999 needs s >= {:.2}, {:.2} or {:.2} (NormFace, \
         CosFace); AdaCos takes sqrt(2) ln(C-1) = {adacos:.2}",
        reachable_gap(classes, at_one),
        at(0.9),
        at(0.99),
        at(0.999),
    );
    (scale, reason)
}

/// The warnings about a scaled cosine softmax.
pub(crate) fn scale_warnings(classes: usize, at_one: f64, s: f64) -> Vec<String> {
    let gap = reachable_gap(classes, at_one);
    let bound = smallest_scale(classes, at_one, 0.9);
    let mut warnings = Vec::new();
    if gap <= 0.0 {
        warnings.push(format!(
            "with {classes} classes no arrangement satisfies this margin: even at c_y = 1 and \
             c_j = -1/(C-1) the target falls {:.3} short; take a smaller m",
            -gap
        ));
    } else if s < bound {
        warnings.push(format!(
            "s = {s} cannot give a target a probability of 0.9 with {classes} classes: \
             s >= {bound:.2} is needed, and the loss will stay high; try s=auto"
        ));
    }
    if s > 64.0 && classes < 20 {
        warnings.push(format!(
            "s = {s} with {classes} classes makes every mistake count alike and every success \
             not at all; 10 to 30 is usual"
        ));
    }
    warnings
}

/// The greatest angle that so many directions can all keep from each other.
#[derive(Clone, Debug, PartialEq)]
pub struct WidestAngle {
    /// The angle, radians. No arrangement has a greater one.
    pub angle: f64,
    /// Whether there is an arrangement that has it.
    pub is_reached: bool,
    /// Which arrangement, or what bounds it.
    pub reason: &'static str,
}

/// The greatest angle that `classes` directions in `dim` dimensions can all keep from each other,
/// where it is known; otherwise a bound that none exceeds.
///
/// | classes C, dimensions D | angle | by |
/// |---|---|---|
/// | C ≤ D + 1 | arccos(−1/(C − 1)) | the simplex |
/// | D = 2 | 2π/C | the regular polygon |
/// | D + 1 < C ≤ 2 D | π/2 | the cross-polytope (Rankin 1955) |
/// | C > 2 D | below π/2 | caps of half the angle around each direction do not overlap |
pub fn widest_angle(classes: usize, dim: usize) -> WidestAngle {
    let (c, d) = (classes.max(2) as f64, dim.max(1));
    let (angle, is_reached, reason) = match () {
        () if classes <= d + 1 => ((-1.0 / (c - 1.0)).acos(), true, "a simplex"),
        () if d == 1 => (0.0, true, "a line has two directions"),
        () if d == 2 => (TAU / c, true, "a regular polygon"),
        () if classes <= 2 * d => (FRAC_PI_2, true, "a cross-polytope"),
        () => {
            let bound = widest_by_caps(c, d).min(FRAC_PI_2);
            (bound, false, "more would not fit on the sphere")
        }
    };
    WidestAngle {
        angle,
        is_reached,
        reason,
    }
}

/// The angle at which `classes` caps of half of it cover the sphere once.
fn widest_by_caps(classes: f64, dim: usize) -> f64 {
    // A cap of angle a has the share ∫₀ᵃ sinᵈ⁻² / ∫₀^π sinᵈ⁻² of the sphere.
    const STEPS: usize = 4000;
    let power = dim as f64 - 2.0;
    let width = PI / STEPS as f64;
    let slices: Vec<f64> = (0..STEPS)
        .map(|i| ((i as f64 + 0.5) * width).sin().powf(power))
        .collect();
    let share = slices.iter().sum::<f64>() / classes;
    let mut below = 0.0;
    for (i, slice) in slices.iter().enumerate() {
        if below + slice >= share {
            return 2.0 * (i as f64 + (share - below) / slice) * width;
        }
        below += slice;
    }
    PI
}

/// The largest margin that all classes can have at once, if every embedding lies on the weight of
/// its class.
pub(crate) fn largest_margin(separation: Separation, classes: usize, dim: usize) -> f64 {
    let WidestAngle { angle, .. } = widest_angle(classes, dim);
    match separation {
        Separation::Cosine => 1.0 - angle.cos(),
        Separation::Angle => angle,
    }
}

/// How far apart the classes can be, as the beginning of a sentence about a margin.
pub(crate) fn room(classes: usize, dim: usize) -> String {
    let WidestAngle {
        angle,
        is_reached,
        reason,
    } = widest_angle(classes, dim);
    let (can, degrees) = (
        if is_reached {
            "can be"
        } else {
            "are less than"
        },
        angle.to_degrees(),
    );
    format!("{classes} directions in {dim} dimensions {can} {degrees:.1} degrees apart ({reason})")
}

/// The warning about a margin that the classes have no room for.
pub(crate) fn margin_warning(values: &Values, p: &Parameter, task: [usize; 2]) -> Option<String> {
    let (m, by, [classes, dim]) = (values.given(p.key)?, p.separation?, task);
    let largest = largest_margin(by(values), classes, dim);
    (m > largest).then(|| {
        format!(
            "{} = {m} cannot be met by all classes at once: {}, which leaves room for {} < \
             {largest:.3}; take a smaller margin or more dimensions",
            p.key,
            room(classes, dim),
            p.key
        )
    })
}

/// The automatic scale of SO-softmax, whose exponents differ by (λp + λn) m² at the optimum. If the
/// other scale is a number, this one makes up the rest; otherwise both are equal.
pub(crate) fn auto_so_scale(values: &Values, classes: usize, other: &str) -> (f64, String) {
    let m = values.number("m");
    let total = |p| needed_gap(classes, p) / (m * m);
    let (scale, share) = match values.get(other) {
        Value::Number(x) => (
            (total(0.99) - x).max(1.0),
            format!("of which {other} is {x}"),
        ),
        _ => (total(0.99) / 2.0, "divided equally".to_string()),
    };
    let reason = format!(
        "at its optimum (c_y = 1, c_j = 0) the exponents differ by (lambda_p + lambda_n) m^2, and a \
         target probability of 0.99 among {classes} classes needs lambda_p + lambda_n >= \
         ln((C-1) P/(1-P)) / m^2 = {:.1}, {share}",
        total(0.99)
    );
    (scale.ceil(), reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_are_the_published_ones() {
        let bounds = [(10, 3.96), (100, 6.72), (751, 8.81), (85_742, 13.56)];
        for (classes, s) in bounds {
            approx::assert_abs_diff_eq!(smallest_scale(classes, 1.0, 0.9), s, epsilon = 0.02);
        }
        approx::assert_abs_diff_eq!(adacos_scale(10), 3.107, epsilon = 1e-3);
        assert_eq!(smallest_scale(10, -0.2, 0.9), f64::INFINITY);
    }

    #[test]
    fn directions_have_the_angles_of_geometry() {
        let angle = |classes, dim| {
            let widest = widest_angle(classes, dim);
            (widest.angle.to_degrees(), widest.is_reached)
        };
        let near = |(found, reached): (f64, bool), degrees: f64, is_reached: bool| {
            approx::assert_abs_diff_eq!(found, degrees, epsilon = 0.05);
            assert_eq!(reached, is_reached);
        };
        near(angle(2, 5), 180.0, true);
        near(angle(4, 3), 109.47, true);
        near(angle(6, 3), 90.0, true);
        near(angle(10, 2), 36.0, true);
        near(angle(3, 1), 0.0, true);
        // The cap bound agrees with the polygon, for which it is exact.
        approx::assert_abs_diff_eq!(widest_by_caps(10.0, 2).to_degrees(), 36.0, epsilon = 1e-6);
        // Twelve directions in space: the icosahedron has 63.4 degrees.
        let (twelve, reached) = angle(12, 3);
        assert!(twelve > 63.43 && twelve < 70.0 && !reached, "{twelve}");
        assert!(angle(1_000_000, 512).0 <= 90.0 && angle(1_000_000, 16).0 < 60.0);
    }

    #[test]
    fn what_cannot_work_is_said() {
        assert!(scale_warnings(10, 1.0, 16.0).is_empty());
        assert!(scale_warnings(10, 1.0, 2.0)[0].contains("s >= 3.96"));
        assert!(scale_warnings(10, -0.2, 16.0)[0].contains("no arrangement"));
        assert!(scale_warnings(10, 1.0, 100.0)[0].contains("10 to 30"));
    }
}
