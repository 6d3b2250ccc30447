//! 3-D embeddings around a wire sphere: a parallel projection from a fixed direction, far things
//! first.

use std::f64::consts::TAU;

use super::cloud::{Cloud, draw_dots};
use super::svg::{Path, Svg, badge_half_width, colour};
use super::{Cell, HEADING, PlotError, Scatter};

/// The eye's longitude and latitude, radians.
const EYE: (f64, f64) = (0.9, 0.4);
/// Slices of the ball by depth, far to near. Dots of one slice are painted together.
const SLICES: usize = 12;

/// Right, up and towards the eye, each in `[-1, 1]` for a point of the unit ball.
type Seen = [f64; 3];

pub(super) fn draw(svg: &mut Svg, scatter: &Scatter<3>, cell: Cell) -> Result<(), PlotError> {
    let cloud = Cloud::new(scatter, cell)?;
    svg.heading(cell.width, scatter.title, scatter.subtitle);
    let half = cell.width / 2.0;
    let badge = scatter.classes.iter().map(|name| badge_half_width(name));
    let radius = half - 2.0 * badge.fold(0.0, f64::max) - 4.0;
    let place = |[x, y, _]: Seen| [x * radius, -y * radius];

    // Names are over everything, near ones over far ones.
    let mut tips: Vec<(usize, Seen)> = cloud
        .rays
        .iter()
        .enumerate()
        .filter_map(|(class, ray)| ray.map(|ray| (class, seen(ray))))
        .collect();
    tips.sort_by(|a, b| a.1[2].total_cmp(&b.1[2]));
    let nearer = tips.partition_point(|(_, tip)| tip[2] < 0.0);
    let (far, near) = tips.split_at(nearer);

    svg.open_group([half, HEADING + half]);
    svg.circle([0.0, 0.0], radius, r##"fill="#f8f8fa" stroke="#aaa""##);
    let [front, back] = wires(radius);
    svg.path(
        &back,
        r##"fill="none" stroke="#e2e2e6" stroke-width="0.8""##,
    );
    for &(class, tip) in far {
        arrow(svg, class, place(tip), 0.45);
    }
    slices(svg, &cloud, place, 0..SLICES / 2, cell.dot);
    svg.path(
        &front,
        r##"fill="none" stroke="#c4c4cc" stroke-width="0.8""##,
    );
    for &(class, tip) in near {
        arrow(svg, class, place(tip), 1.0);
    }
    slices(svg, &cloud, place, SLICES / 2..SLICES, cell.dot);
    for &(class, tip) in &tips {
        name(svg, class, place(tip), scatter.classes[class]);
    }
    svg.close_group();
    cloud.note_lost(svg, cell);
    Ok(())
}

/// A point of the unit ball from the eye.
fn seen([x, y, z]: [f64; 3]) -> Seen {
    let ((sin, cos), (sin_up, cos_up)) = (EYE.0.sin_cos(), EYE.1.sin_cos());
    let (right, ahead) = (cos * y - sin * x, cos * x + sin * y);
    [
        right,
        cos_up * z - sin_up * ahead,
        cos_up * ahead + sin_up * z,
    ]
}

/// Circles of longitude and latitude every 30 degrees: the parts before and behind the centre.
fn wires(radius: f64) -> [Path; 2] {
    const STEPS: usize = 72;
    let turn = |i: usize, n: usize| i as f64 / n as f64 * TAU;
    let on_sphere = |longitude: f64, latitude: f64| {
        let ((s, c), (s_up, c_up)) = (longitude.sin_cos(), latitude.sin_cos());
        [c * c_up, s * c_up, s_up]
    };
    let longitudes = (0..6).map(|i| {
        let circle = (0..=STEPS).map(move |k| on_sphere(turn(i, 12), turn(k, STEPS)));
        circle.collect::<Vec<_>>()
    });
    let latitudes = (0..5).map(|i| {
        let latitude = turn(i, 12) - TAU / 6.0;
        let circle = (0..=STEPS).map(move |k| on_sphere(turn(k, STEPS), latitude));
        circle.collect::<Vec<_>>()
    });

    let mut halves = [Path::default(), Path::default()];
    for circle in longitudes.chain(latitudes) {
        let mut last = None;
        for pair in circle.windows(2) {
            let (a, b) = (seen(pair[0]), seen(pair[1]));
            let side = usize::from(a[2] + b[2] < 0.0);
            if last != Some(side) {
                halves[side].move_to([a[0] * radius, -a[1] * radius]);
            }
            halves[side].line_to([b[0] * radius, -b[1] * radius]);
            last = Some(side);
        }
    }
    halves
}

/// The dots of some slices; far ones are smaller and paler.
fn slices(
    svg: &mut Svg,
    cloud: &Cloud<3>,
    place: impl Fn(Seen) -> [f64; 2],
    range: std::ops::Range<usize>,
    size: f64,
) {
    let slice_of = |seen: Seen| (((seen[2] + 1.0) / 2.0 * SLICES as f64) as usize).min(SLICES - 1);
    let all: Vec<Vec<Seen>> = cloud
        .dots
        .iter()
        .map(|dots| dots.iter().map(|&dot| seen(dot)).collect())
        .collect();
    for slice in range {
        let dots: Vec<Vec<_>> = all
            .iter()
            .map(|dots| {
                let here = dots.iter().filter(|&&dot| slice_of(dot) == slice);
                here.map(|&dot| place(dot)).collect()
            })
            .collect();
        let nearness = slice as f64 / (SLICES - 1) as f64;
        let size = size * (0.7 + 0.3 * nearness);
        draw_dots(svg, &dots, size, 0.15 + 0.35 * nearness);
    }
}

/// A line from the centre with a head.
fn arrow(svg: &mut Svg, class: usize, tip: [f64; 2], opacity: f64) {
    let length = tip[0].hypot(tip[1]);
    let mut shaft = Path::default();
    shaft.line([0.0, 0.0], tip);
    let style = format!(
        r#"stroke="{}" stroke-width="1.6" stroke-opacity="{opacity}""#,
        colour(class)
    );
    svg.path(&shaft, &style);
    // An arrow towards the eye is too short for a head.
    if length > 8.0 {
        let along = tip.map(|x| x / length);
        let barb = |side: f64| {
            [
                tip[0] - 8.0 * along[0] + 3.5 * side * along[1],
                tip[1] - 8.0 * along[1] - 3.5 * side * along[0],
            ]
        };
        let mut head = Path::default();
        head.move_to(tip);
        head.line_to(barb(1.0));
        head.line_to(barb(-1.0));
        head.close();
        let style = format!(r#"fill="{}" fill-opacity="{opacity}""#, colour(class));
        svg.path(&head, &style);
    }
}

/// The name of a class, a little beyond the tip of its arrow.
fn name(svg: &mut Svg, class: usize, tip: [f64; 2], name: &str) {
    let length = tip[0].hypot(tip[1]);
    let beyond = match length > 1.0 {
        true => tip.map(|x| x + x / length * (badge_half_width(name) + 4.0)),
        false => [tip[0], tip[1] - 14.0],
    };
    svg.badge(beyond, class, name);
}
