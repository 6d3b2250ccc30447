//! What the scatters in the plane and in space have in common: choosing points, scaling them into
//! the unit ball, and the direction of each class.

use super::svg::{Path, Svg, colour};
use super::{Cell, Features, PlotError, Scatter, drawable};

/// A scatter scaled into the unit ball.
pub(super) struct Cloud<const D: usize> {
    /// The points to draw of each class.
    pub(super) dots: Vec<Vec<[f64; D]>>,
    /// All points of each class.
    pub(super) points: Vec<Vec<[f64; D]>>,
    /// The unit vector of each class; none if the class has no direction.
    pub(super) rays: Vec<Option<[f64; D]>>,
    /// The length of an embedding that reaches the surface of the ball.
    pub(super) radius: f64,
    /// Points left out for want of a place.
    pub(super) lost: usize,
}

impl<const D: usize> Cloud<D> {
    pub(super) fn new(scatter: &Scatter<D>, cell: Cell) -> Result<Self, PlotError> {
        check(scatter)?;
        let classes = scatter.classes.len();
        let mut points = vec![Vec::new(); classes];
        let (mut longest, mut lost) = (0.0_f64, 0);
        for (point, &label) in scatter.points.iter().zip(scatter.labels) {
            let point = point.map(f64::from);
            let place = match scatter.features {
                Features::Raw => point.iter().all(|&x| drawable(x)).then_some(point),
                Features::Unit => unit(point),
            };
            match place {
                Some(place) => {
                    longest = longest.max(norm(place));
                    points[label].push(place);
                }
                None => lost += 1,
            }
        }
        if lost == scatter.points.len() {
            return Err(PlotError::Empty {
                panel: scatter.title.to_owned(),
                given: lost,
            });
        }

        // All points at the origin, as a collapsed network leaves them, are a picture too.
        let radius = if longest > 0.0 { longest } else { 1.0 };
        for point in points.iter_mut().flatten() {
            *point = point.map(|x| x / radius);
        }
        let rays = match scatter.weights {
            [] => points.iter().map(|p| unit(mean(p))).collect(),
            weights => weights.iter().map(|w| unit(w.map(f64::from))).collect(),
        };
        let share = (cell.dots / classes).max(1);
        let dots = points.iter().map(|p| evenly(p, share)).collect();
        Ok(Cloud {
            dots,
            points,
            rays,
            radius,
            lost,
        })
    }

    /// Says in the lower right corner how many points are missing.
    pub(super) fn note_lost(&self, svg: &mut Svg, cell: Cell) {
        if self.lost > 0 {
            let text = format!("{} points without a place left out", self.lost);
            svg.text([cell.width, cell.height - 2.0], super::svg::NOTE, &text);
        }
    }
}

/// Draws the dots of each class, `[C][N][2]` px, half transparent.
///
/// One path of dots is painted at once, so dots of one path do not darken each other. Dealing the
/// dots of a class out to several layers keeps the look of separate translucent dots at a fraction
/// of the bytes, and painting layer by layer hides no class under the next.
pub(super) fn draw_dots(svg: &mut Svg, dots: &[Vec<[f64; 2]>], size: f64, opacity: f64) {
    const LAYERS: usize = 8;
    for layer in 0..LAYERS {
        for (class, dots) in dots.iter().enumerate() {
            let mut path = Path::default();
            for &at in dots.iter().skip(layer).step_by(LAYERS) {
                path.dot(at);
            }
            let style = format!(
                r#"stroke="{}" stroke-opacity="{opacity:.2}" stroke-width="{size:.2}" stroke-linecap="round""#,
                colour(class)
            );
            svg.path(&path, &style);
        }
    }
}

pub(super) fn norm<const D: usize>(v: [f64; D]) -> f64 {
    v.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// The vector scaled to length one; none if that has no meaning.
fn unit<const D: usize>(v: [f64; D]) -> Option<[f64; D]> {
    let length = norm(v);
    (v.iter().all(|&x| drawable(x)) && length > 0.0).then(|| v.map(|x| x / length))
}

fn mean<const D: usize>(points: &[[f64; D]]) -> [f64; D] {
    let mut sum = [0.0; D];
    for point in points {
        for (s, x) in sum.iter_mut().zip(point) {
            *s += x;
        }
    }
    sum.map(|s| s / points.len().max(1) as f64)
}

/// `count` members at equal steps, or all if there are not that many.
fn evenly<T: Copy>(all: &[T], count: usize) -> Vec<T> {
    match all.len() <= count {
        true => all.to_vec(),
        false => (0..count).map(|i| all[i * all.len() / count]).collect(),
    }
}

fn check<const D: usize>(scatter: &Scatter<D>) -> Result<(), PlotError> {
    let panel = || scatter.title.to_owned();
    let classes = scatter.classes.len();
    let (points, labels) = (scatter.points.len(), scatter.labels.len());
    if points != labels {
        return Err(PlotError::Labels {
            panel: panel(),
            points,
            labels,
        });
    }
    if let Some(index) = scatter.labels.iter().position(|&label| label >= classes) {
        return Err(PlotError::UnknownClass {
            panel: panel(),
            index,
            label: scatter.labels[index],
            classes,
        });
    }
    if ![0, classes].contains(&scatter.weights.len()) {
        return Err(PlotError::Weights {
            panel: panel(),
            weights: scatter.weights.len(),
            classes,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_spread_over_all() {
        assert_eq!(evenly(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 4), [0, 2, 5, 7]);
        assert_eq!(evenly(&[0, 1, 2], 3), [0, 1, 2]);
        assert_eq!(evenly(&[0, 1, 2], 9), [0, 1, 2]);
    }
}
