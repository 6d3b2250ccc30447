//! 2-D embeddings: the toy figure of Wen et al. (2016, "A discriminative feature learning approach
//! for deep face recognition", figure 2), and of ArcFace (Deng et al. 2019, figure 3) on the circle.

use std::f64::consts::{PI, TAU};

use super::axes::ticks;
use super::cloud::{Cloud, draw_dots};
use super::svg::{Path, Svg, badge_half_width, colour};
use super::{Cell, Features, HEADING, PlotError, Scatter};

/// Radius of the unit circle as a part of the disc that is free for the drawing: the histograms
/// need room outside.
const CIRCLE: f64 = 0.7;
/// Bins of the histogram of directions, one degree each.
const BINS: usize = 360;

pub(super) fn draw(svg: &mut Svg, scatter: &Scatter<2>, cell: Cell) -> Result<(), PlotError> {
    let cloud = Cloud::new(scatter, cell)?;
    svg.heading(cell.width, scatter.title, scatter.subtitle);
    let half = cell.width / 2.0;
    // Names stand on a ring around the disc.
    let badge = scatter.classes.iter().map(|name| badge_half_width(name));
    let ring = half - badge.fold(0.0, f64::max) - 1.0;
    let disc = ring - 14.0;

    svg.open_group([half, HEADING + half]);
    let reach = match scatter.features {
        Features::Raw => {
            axes(svg, half);
            disc
        }
        Features::Unit => {
            let circle = CIRCLE * disc;
            svg.circle([0.0, 0.0], circle, r##"fill="none" stroke="#bbb""##);
            directions(svg, &cloud, circle, disc);
            circle
        }
    };
    let dots: Vec<Vec<_>> = cloud
        .dots
        .iter()
        .map(|dots| dots.iter().map(|&[x, y]| [x * reach, -y * reach]).collect())
        .collect();
    rays(svg, &cloud, reach, scatter.weights.is_empty());
    draw_dots(svg, &dots, cell.dot, 0.45);
    if scatter.features == Features::Raw {
        lengths(svg, disc, cloud.radius);
    }
    names(svg, &cloud, scatter, disc, ring);
    svg.close_group();
    cloud.note_lost(svg, cell);
    Ok(())
}

/// Light axes through the origin.
fn axes(svg: &mut Svg, half: f64) {
    let mut path = Path::default();
    path.line([-half, 0.0], [half, 0.0]);
    path.line([0.0, -half], [0.0, half]);
    svg.path(&path, r##"stroke="#ddd""##);
}

/// Round lengths along the axes, with a white halo to be read over dots.
fn lengths(svg: &mut Svg, disc: f64, radius: f64) {
    let style =
        r##"font-size="9" fill="#777" stroke="#fff" stroke-width="2.5" paint-order="stroke""##;
    let mut marks = Path::default();
    for (value, text) in ticks(-radius, radius, 5) {
        let at = value / radius * disc;
        if value != 0.0 {
            marks.line([at, -3.0], [at, 3.0]);
            marks.line([-3.0, -at], [3.0, -at]);
            svg.text(
                [at, 14.0],
                &format!(r#"{style} text-anchor="middle""#),
                &text,
            );
            svg.text(
                [-6.0, 3.0 - at],
                &format!(r#"{style} text-anchor="end""#),
                &text,
            );
        }
    }
    svg.path(&marks, r##"stroke="#999""##);
}

/// Straight lines from the origin along the class directions.
fn rays(svg: &mut Svg, cloud: &Cloud<2>, reach: f64, of_means: bool) {
    let dashes = if of_means {
        r#" stroke-dasharray="5 3""#
    } else {
        ""
    };
    for (class, ray) in cloud.rays.iter().enumerate() {
        let mut path = Path::default();
        if let Some([x, y]) = ray {
            path.line([0.0, 0.0], [x * reach, -y * reach]);
        }
        let style = format!(r#"stroke="{}" stroke-width="1.4"{dashes}"#, colour(class));
        svg.path(&path, &style);
    }
}

/// For each class the histogram of its directions, standing on the circle and reaching to the rim
/// of the disc where the fullest bin of all classes is.
fn directions(svg: &mut Svg, cloud: &Cloud<2>, circle: f64, disc: f64) {
    let counts: Vec<_> = cloud.points.iter().map(|p| count_directions(p)).collect();
    let most = counts.iter().flatten().copied().max().unwrap_or(0).max(1);
    for (class, counts) in counts.iter().enumerate() {
        let mut path = Path::default();
        for (bin, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let height = count as f64 / most as f64;
            let outer = circle + 3.0 + (disc - circle - 3.0) * height;
            let edge = |step: usize| (bin + step) as f64 / BINS as f64 * TAU - PI;
            path.move_to(polar(circle + 3.0, edge(0)));
            path.line_to(polar(outer, edge(0)));
            path.line_to(polar(outer, edge(1)));
            path.line_to(polar(circle + 3.0, edge(1)));
            path.close();
        }
        svg.path(
            &path,
            &format!(r#"fill="{}" fill-opacity="0.6""#, colour(class)),
        );
    }
}

/// How many points have each direction; the first bin begins at the negative `x` axis.
fn count_directions(points: &[[f64; 2]]) -> [usize; BINS] {
    let mut counts = [0; BINS];
    for &[x, y] in points {
        let turn = (y.atan2(x) + PI) / TAU;
        counts[(turn * BINS as f64) as usize % BINS] += 1;
    }
    counts
}

/// The names of the classes on the ring, moved apart where directions are close. A line leads on
/// from the ray, or from the rim of the disc to a name that was moved.
fn names(svg: &mut Svg, cloud: &Cloud<2>, scatter: &Scatter<2>, disc: f64, ring: f64) {
    let mut angles: Vec<(usize, f64)> = cloud
        .rays
        .iter()
        .enumerate()
        .filter_map(|(class, ray)| ray.map(|[x, y]| (class, y.atan2(x))))
        .collect();
    angles.sort_by(|a, b| a.1.total_cmp(&b.1));
    let wanted: Vec<f64> = angles.iter().map(|&(_, angle)| angle).collect();
    let placed = spread(&wanted, 18.0 / ring);
    for (&(class, angle), &moved) in angles.iter().zip(&placed) {
        if scatter.features == Features::Raw || (moved - angle).abs() * ring > 4.0 {
            let mut leader = Path::default();
            leader.line(polar(disc, angle), polar(ring, moved));
            svg.path(&leader, &format!(r#"stroke="{}""#, colour(class)));
        }
    }
    for (&(class, _), &angle) in angles.iter().zip(&placed) {
        svg.badge(polar(ring, angle), class, scatter.classes[class]);
    }
}

/// Moves sorted angles apart until neighbours on the circle are `gap` radians from each other, or
/// equally far where there is no room for that.
fn spread(angles: &[f64], gap: f64) -> Vec<f64> {
    let n = angles.len();
    let gap = gap.min(TAU / n.max(1) as f64);
    let mut placed = angles.to_vec();
    // Overlaps diffuse outwards: rounds grow with the square of the number of names. 2,000 are
    // plenty for the few dozen that fit.
    for _ in 0..2000 {
        for i in 0..n {
            let next = (i + 1) % n;
            let turn = if next == 0 { TAU } else { 0.0 };
            let short = gap - (placed[next] + turn - placed[i]);
            if short > 0.0 && n > 1 {
                placed[i] -= short / 2.0;
                placed[next] += short / 2.0;
            }
        }
    }
    placed
}

fn polar(radius: f64, angle: f64) -> [f64; 2] {
    [radius * angle.cos(), -radius * angle.sin()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spread_no_further_than_needed() {
        assert_eq!(spread(&[-1.0, 0.0, 1.0], 0.5), [-1.0, 0.0, 1.0]);
        for angles in [vec![0.1; 7], vec![-3.1, -3.1, 0.0, 3.1, 3.1], vec![0.0; 40]] {
            let gap = 0.3_f64.min(TAU / angles.len() as f64);
            let placed = spread(&angles, 0.3);
            let around = placed[0] + TAU - placed[placed.len() - 1];
            let gaps = placed.windows(2).map(|w| w[1] - w[0]).chain([around]);
            let least = gaps.fold(f64::INFINITY, f64::min);
            assert!(
                least > 0.8 * gap,
                "{least} of {gap} between {}",
                angles.len()
            );
        }
        assert!(spread(&[], 0.3).is_empty());
        assert_eq!(spread(&[2.0], 0.3), [2.0]);
    }

    #[test]
    fn directions_are_counted_in_degrees() {
        let counts = count_directions(&[[1.0, 1e-3], [2.0, 0.01], [0.01, 1.0], [-1.0, 0.0]]);
        assert_eq!((counts[180], counts[269]), (2, 1));
        assert_eq!(counts.iter().sum::<usize>(), 4, "the seam is in a bin, too");
    }
}
