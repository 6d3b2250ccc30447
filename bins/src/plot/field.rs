//! Functions of two variables: heat maps with contour lines, and the regions of two classes.

use super::axes::{Axes, ticks};
use super::svg::{LEGEND, Path, Px, Svg, colour, text_width};
use super::{Cell, Field, Grid, PlotError, Regions, drawable};

/// Colours from nothing to the largest value: "YlGnBu" of ColorBrewer (Brewer 2013), whose
/// lightness falls evenly, so that it reads the same without colour vision and in print.
const RAMP: [[f64; 3]; 9] = [
    [255.0, 255.0, 217.0],
    [237.0, 248.0, 177.0],
    [199.0, 233.0, 180.0],
    [127.0, 205.0, 187.0],
    [65.0, 182.0, 196.0],
    [29.0, 145.0, 192.0],
    [34.0, 94.0, 168.0],
    [37.0, 52.0, 148.0],
    [8.0, 29.0, 88.0],
];
/// Shades of a heat map.
const SHADES: usize = 32;
/// Room at the left for the labels of the vertical axis, at the right for the bar of colours, px.
const LEFT: f64 = 50.0;
const RIGHT: f64 = 46.0;
/// Room below the frame, px.
const BELOW: f64 = 36.0;

pub(super) fn draw_field(svg: &mut Svg, field: &Field, cell: Cell) -> Result<(), PlotError> {
    let largest = field.grid.values(field.values, field.title)?;
    // What is zero everywhere has the lightest shade.
    let most = field.most.unwrap_or(largest);
    let most = if most > 1e-30 { most } else { 1.0 };
    let axes = open(svg, field.title, field.subtitle, &field.grid, cell);
    heat(svg, &axes, &field.grid, field.values, most);
    let mut lines = Path::default();
    for (level, _) in levels(most) {
        // A little below the round value, which plateaus have: their rounding makes no lines.
        contour(&mut lines, &axes, &field.grid, field.values, 0.999 * level);
    }
    svg.path(
        &lines,
        r##"fill="none" stroke="#fff" stroke-opacity="0.75" stroke-width="0.8""##,
    );
    if !field.boundary.is_empty() {
        let mut line = Path::default();
        contour(&mut line, &axes, &field.grid, field.boundary, 0.0);
        svg.path(&line, r##"fill="none" stroke="#fff" stroke-width="4""##);
        svg.path(
            &line,
            r##"fill="none" stroke="#d6246e" stroke-width="1.8""##,
        );
    }
    arrows(svg, &axes, field, most);
    frame(svg, &axes, &field.grid);
    bar(svg, axes.frame, most, field.unit);
    svg.close_group();
    Ok(())
}

pub(super) fn draw_regions(svg: &mut Svg, regions: &Regions, cell: Cell) -> Result<(), PlotError> {
    for lead in regions.leads {
        regions.grid.values(lead, regions.title)?;
    }
    let axes = open(svg, regions.title, regions.subtitle, &regions.grid, cell);
    let [left, top, right, bottom] = axes.frame;
    let grid = &regions.grid;
    for (class, lead) in regions.leads.iter().enumerate() {
        let mut area = Path::default();
        runs(&axes, grid, |i| lead[i] >= 0.0, &mut area);
        let style = format!(
            r#"fill="{}" fill-opacity="0.3" shape-rendering="crispEdges""#,
            colour(class)
        );
        svg.path(&area, &style);
    }
    let mut diagonal = Path::default();
    diagonal.line([left, bottom], [right, top]);
    svg.path(
        &diagonal,
        r##"fill="none" stroke="#777" stroke-dasharray="5 4""##,
    );
    for (class, lead) in regions.leads.iter().enumerate() {
        let mut line = Path::default();
        contour(&mut line, &axes, grid, lead, 0.0);
        let style = format!(r#"fill="none" stroke="{}" stroke-width="2""#, colour(class));
        svg.path(&line, &style);
    }
    frame(svg, &axes, grid);
    let names = regions.names.iter().copied();
    let legend = names.chain(["neither: the margin"]);
    swatches(svg, [left, bottom + BELOW + 10.0], legend);
    svg.close_group();
    Ok(())
}

impl Grid<'_> {
    /// The largest of the values that can be drawn.
    fn values(&self, values: &[f64], panel: &str) -> Result<f64, PlotError> {
        if values.len() != self.columns * self.rows {
            return Err(PlotError::Cells {
                panel: panel.to_owned(),
                columns: self.columns,
                rows: self.rows,
                values: values.len(),
            });
        }
        let finite = values.iter().copied().filter(|&v| drawable(v));
        finite.reduce(f64::max).ok_or_else(|| PlotError::Empty {
            panel: panel.to_owned(),
            given: values.len(),
        })
    }

    /// The middle of a cell.
    fn middle(&self, column: usize, row: usize) -> (f64, f64) {
        let at = |(low, high): (f64, f64), i: usize, n: usize| {
            low + (i as f64 + 0.5) / n as f64 * (high - low)
        };
        (at(self.x, column, self.columns), at(self.y, row, self.rows))
    }
}

/// The heading, and the axes of a square frame below it. The group is to be closed.
fn open(svg: &mut Svg, title: &str, subtitle: &str, grid: &Grid, cell: Cell) -> Axes {
    svg.heading(cell.width, title, subtitle);
    svg.open_group([LEFT, 0.0]);
    let top = 42.0;
    let side = (cell.width - LEFT - RIGHT).min(cell.height - top - BELOW - 18.0);
    Axes::fixed(grid.x, grid.y, [0.0, top, side, top + side])
}

/// The frame with ticks and labels on two sides.
fn frame(svg: &mut Svg, axes: &Axes, grid: &Grid) {
    let [left, top, right, bottom] = axes.frame;
    axes.draw_x(svg, grid.x_label);
    let mut lines = Path::default();
    lines.through(&[[left, bottom], [left, top], [right, top], [right, bottom]]);
    for (value, text) in ticks(grid.y.0, grid.y.1, 6) {
        if let Some([_, y]) = axes.place((grid.x.0, value)) {
            lines.line([left - 4.0, y], [left, y]);
            let style = r##"font-size="10" fill="#666" text-anchor="end""##;
            svg.text([left - 7.0, y + 3.5], style, &text);
        }
    }
    svg.path(&lines, r##"fill="none" stroke="#999""##);
    let (x, y) = (left - 38.0, (top + bottom) / 2.0);
    let style = format!(
        r##"font-size="10" fill="#666" text-anchor="middle" transform="rotate(-90 {} {})""##,
        Px(x),
        Px(y)
    );
    svg.text([x, y], &style, grid.y_label);
}

/// Cells in the shade of their value; those without one stay white.
fn heat(svg: &mut Svg, axes: &Axes, grid: &Grid, values: &[f64], most: f64) {
    let shade = |v: f64| ((v.max(0.0) / most * SHADES as f64) as usize).min(SHADES - 1);
    for s in 0..SHADES {
        let mut area = Path::default();
        let has = |i: usize| drawable(values[i]) && shade(values[i]) == s;
        runs(axes, grid, has, &mut area);
        let style = format!(
            r#"fill="{}" shape-rendering="crispEdges""#,
            tint((s as f64 + 0.5) / SHADES as f64)
        );
        svg.path(&area, &style);
    }
}

/// The colour at a part of the ramp.
fn tint(part: f64) -> String {
    let at = part.clamp(0.0, 1.0) * (RAMP.len() - 1) as f64;
    let below = (at as usize).min(RAMP.len() - 2);
    let rgb = [0, 1, 2].map(|k| {
        let (a, b) = (RAMP[below][k], RAMP[below + 1][k]);
        (a + (at - below as f64) * (b - a)).round() as u8
    });
    format!("#{:02x}{:02x}{:02x}", rgb[0], rgb[1], rgb[2])
}

/// Horizontal runs of cells that have something in common, as rectangles.
fn runs(axes: &Axes, grid: &Grid, has: impl Fn(usize) -> bool, path: &mut Path) {
    let [left, top, right, bottom] = axes.frame;
    let x = |column: usize| left + column as f64 / grid.columns as f64 * (right - left);
    let y = |row: usize| bottom - row as f64 / grid.rows as f64 * (bottom - top);
    for row in 0..grid.rows {
        let mut column = 0;
        while column < grid.columns {
            let first = column;
            while column < grid.columns && has(row * grid.columns + column) {
                column += 1;
            }
            if column > first {
                let (low, high) = (y(row), y(row + 1));
                path.move_to([x(first), low]);
                path.line_to([x(column), low]);
                path.line_to([x(column), high]);
                path.line_to([x(first), high]);
                path.close();
            }
            column += 1;
        }
    }
}

/// The line on which the values, at the middles of the cells, are `level`: marching squares. A
/// saddle is cut in two by the mean of its corners. A square that lacks a corner has no line.
fn contour(path: &mut Path, axes: &Axes, grid: &Grid, values: &[f64], level: f64) {
    let at = |column: usize, row: usize| values[row * grid.columns + column] - level;
    for row in 1..grid.rows {
        for column in 1..grid.columns {
            // Counter-clockwise from the lower left.
            let corners = [(1, 1), (0, 1), (0, 0), (1, 0)].map(|(c, r)| (column - c, row - r));
            let v = corners.map(|(c, r)| at(c, r));
            if v.iter().any(|&v| !drawable(v)) {
                continue;
            }
            let crossing = |a: usize| {
                let b = (a + 1) % 4;
                let crosses = (v[a] >= 0.0) != (v[b] >= 0.0);
                let (p, q) = (
                    grid.middle(corners[a].0, corners[a].1),
                    grid.middle(corners[b].0, corners[b].1),
                );
                let t = v[a] / (v[a] - v[b]);
                let between = (p.0 + t * (q.0 - p.0), p.1 + t * (q.1 - p.1));
                crosses.then(|| axes.place(between)).flatten()
            };
            let [s, e, n, w] = [0, 1, 2, 3].map(crossing);
            match (s, e, n, w) {
                (Some(s), Some(e), Some(n), Some(w)) => {
                    let middle = v.iter().sum::<f64>() >= 0.0;
                    if middle == (v[0] >= 0.0) {
                        path.line(s, e);
                        path.line(n, w);
                    } else {
                        path.line(s, w);
                        path.line(n, e);
                    }
                }
                _ => {
                    let ends: Vec<_> = [s, e, n, w].into_iter().flatten().collect();
                    if let [a, b] = ends[..] {
                        path.line(a, b);
                    }
                }
            }
        }
    }
}

/// The values of contour lines and of ticks on the bar.
fn levels(most: f64) -> Vec<(f64, String)> {
    let inside = ticks(0.0, most, 6).into_iter();
    inside.filter(|(v, _)| *v > 0.0 && *v < most).collect()
}

/// Where descent goes. The longest arrow nearly reaches the next one.
fn arrows(svg: &mut Svg, axes: &Axes, field: &Field, most: f64) {
    // They stand on a square grid.
    let in_a_row = (field.arrows.len() as f64).sqrt().max(1.0);
    let longest = 0.9 * (axes.frame[2] - axes.frame[0]) / in_a_row;
    let mut path = Path::default();
    for &[x, y, dx, dy] in field.arrows {
        let size = dx.hypot(dy);
        let (Some([x, y]), true) = (axes.place((x, y)), drawable(size)) else {
            continue;
        };
        // By the root, so that weak pulls have a direction, too.
        let length = longest * (size / most).min(1.0).sqrt();
        if length < 3.0 {
            path.dot([x, y]);
            continue;
        }
        let (ux, uy) = (dx / size, -dy / size);
        let (tail, tip) = (
            [x - ux * length / 2.0, y - uy * length / 2.0],
            [x + ux * length / 2.0, y + uy * length / 2.0],
        );
        let head = (0.35 * length).min(4.5);
        let barb = |side: f64| {
            [
                tip[0] - head * (ux + side * 0.55 * uy),
                tip[1] - head * (uy - side * 0.55 * ux),
            ]
        };
        path.line(tail, tip);
        path.through(&[barb(1.0), tip, barb(-1.0)]);
    }
    let style = r##"fill="none" stroke-linecap="round" stroke-linejoin="round""##;
    svg.path(
        &path,
        &format!(r##"{style} stroke="#fff" stroke-opacity="0.8" stroke-width="2.6""##),
    );
    svg.path(
        &path,
        &format!(r##"{style} stroke="#111" stroke-width="1""##),
    );
}

/// The shades from nothing to the largest value, beside the frame.
fn bar(svg: &mut Svg, [_, top, right, bottom]: [f64; 4], most: f64, unit: &str) {
    let (left, width) = (right + 10.0, 9.0);
    let y = |part: f64| bottom - part * (bottom - top);
    for s in 0..SHADES {
        let part = |s: usize| s as f64 / SHADES as f64;
        let mut shade = Path::default();
        shade.move_to([left, y(part(s))]);
        shade.line_to([left + width, y(part(s))]);
        shade.line_to([left + width, y(part(s + 1))]);
        shade.line_to([left, y(part(s + 1))]);
        shade.close();
        let fill = tint(part(s) + 0.5 / SHADES as f64);
        svg.path(
            &shade,
            &format!(r#"fill="{fill}" shape-rendering="crispEdges""#),
        );
    }
    let style = r##"font-size="9" fill="#666""##;
    for (value, text) in ticks(0.0, most, 6) {
        svg.text([left + width + 3.0, y(value / most) + 3.0], style, &text);
    }
    let unit_style = r##"font-size="9" fill="#666" text-anchor="middle""##;
    svg.text([left + width / 2.0, top - 5.0], unit_style, unit);
}

/// Filled squares with names, side by side; the last is empty.
fn swatches<'a>(svg: &mut Svg, [x, y]: [f64; 2], names: impl Iterator<Item = &'a str>) {
    let names: Vec<_> = names.collect();
    let mut left = x;
    for (i, name) in names.iter().enumerate() {
        let mut square = Path::default();
        square.through(&[
            [left, y],
            [left + 10.0, y],
            [left + 10.0, y - 10.0],
            [left, y - 10.0],
        ]);
        square.close();
        let style = match i + 1 == names.len() {
            true => r##"fill="#fff" stroke="#999""##.to_string(),
            false => format!(r#"fill="{0}" fill-opacity="0.3" stroke="{0}""#, colour(i)),
        };
        svg.path(&square, &style);
        svg.text([left + 15.0, y - 1.0], LEGEND, name);
        left += 15.0 + text_width(name, 11.0) + 12.0;
    }
}
