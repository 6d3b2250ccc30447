//! Lines over a common axis: training curves, and functions such as a loss's ψ(θ).

use super::axes::Axes;
use super::svg::{Path, Svg, colour};
use super::{Cell, Curves, PlotError};

/// Series of up to this many points show them as dots.
const DOTTED: usize = 40;
/// Points per px from which on a line is shown as its range, pale, and its running mean.
const DENSE: f64 = 2.0;

pub(super) fn draw(svg: &mut Svg, curves: &Curves, cell: Cell) -> Result<(), PlotError> {
    svg.heading(cell.width, curves.title, "");
    svg.open_group([44.0, 0.0]);
    let width = cell.width - 44.0 - 8.0;
    let names = curves.series.iter().map(|series| series.name);
    let legend = svg.legend(34.0, width, names);
    let frame = [0.0, 28.0 + legend, width, cell.height - 34.0];

    let points = || curves.series.iter().flat_map(|s| s.points.iter().copied());
    let scales = [curves.x_scale, curves.y_scale];
    let axes = Axes::around(points(), scales, frame).ok_or_else(|| PlotError::Empty {
        panel: curves.title.to_owned(),
        given: points().count(),
    })?;
    axes.draw_y(svg);
    axes.draw_x(svg, curves.x_label);
    for (i, series) in curves.series.iter().enumerate() {
        let (mut range, mut line, mut dots) = (Path::default(), Path::default(), Path::default());
        let places: Vec<_> = series.points.iter().map(|&p| axes.place(p)).collect();
        for run in places.split(Option::is_none) {
            let run: Vec<_> = run.iter().copied().flatten().collect();
            if series.points.len() <= DOTTED || run.len() == 1 {
                run.iter().for_each(|&at| dots.dot(at));
            }
            if run.len() as f64 > DENSE * width {
                range.through(&by_column(&run, 0.5, extremes));
                line.through(&by_column(&run, 3.0, mean));
            } else {
                line.through(&run);
            }
        }
        let style = format!(
            r#"fill="none" stroke="{}" stroke-linejoin="round""#,
            colour(i)
        );
        svg.path(&range, &format!(r#"{style} stroke-opacity="0.3""#));
        svg.path(&line, &format!(r#"{style} stroke-width="1.6""#));
        svg.path(
            &dots,
            &format!(r#"{style} stroke-width="4" stroke-linecap="round""#),
        );
    }
    svg.close_group();
    Ok(())
}

/// What `summary` keeps of the points in each column of `width` px.
fn by_column(
    run: &[[f64; 2]],
    width: f64,
    summary: fn(&[[f64; 2]]) -> Vec<[f64; 2]>,
) -> Vec<[f64; 2]> {
    let column = |at: &[f64; 2]| (at[0] / width).floor();
    run.chunk_by(|a, b| column(a) == column(b))
        .flat_map(summary)
        .collect()
}

/// The lowest and the highest point, in their order along the line.
fn extremes(column: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let by_height = |&a: &usize, &b: &usize| column[a][1].total_cmp(&column[b][1]);
    let low = (0..column.len()).min_by(by_height);
    let high = (0..column.len()).max_by(by_height);
    let ends = [low.min(high), low.max(high)];
    ends.into_iter().flatten().map(|i| column[i]).collect()
}

fn mean(column: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let sum = column
        .iter()
        .fold([0.0; 2], |s, p| [s[0] + p[0], s[1] + p[1]]);
    vec![sum.map(|s| s / column.len() as f64)]
}
