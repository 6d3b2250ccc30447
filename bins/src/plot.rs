//! The pictures of the program: pure functions from plain data to the text of an SVG file.
//!
//! | picture | function | panel |
//! |---|---|---|
//! | 2-D embeddings with class-weight rays, as in the center-loss and ArcFace papers | [`scatter_2d`] | [`Scatter<2>`](Scatter) |
//! | 3-D embeddings around a wire sphere | [`scatter_3d`] | [`Scatter<3>`](Scatter) |
//! | training curves | [`curves`] | [`Curves`] |
//! | cosines to the own class and to the others | [`histogram`] | [`Cosines`] |
//! | a function of two variables, as a heat map | [`grid`] | [`Field`] |
//! | where each of two classes is decided for | [`grid`] | [`Regions`] |
//! | any of these side by side | [`grid`] | [`Panel`] |
//!
//! The same data gives the same bytes. Every picture has a white background, so that it reads the
//! same in a light and in a dark viewer, and needs no script, style sheet, id or font file, so that
//! several can be pasted into one HTML page. Text is escaped; lengths are rounded to 0.1 px.
//!
//! Values that are not finite (or beyond ±10³⁰) are left out: a scatter says how many points it
//! lost, a curve breaks. Data that do not fit together, and a panel with nothing left to draw, are
//! a [`PlotError`].
//!
//! The SVG is written as text instead of through a plotting library: equal aspect, dots at a tenth
//! of a pixel and 14 bytes a dot are what these pictures need, and `plotters` gives whole pixels and
//! one element of 80 bytes for each dot.
//!
//! ```
//! use hypersphere::plot::{Features, Scatter, scatter_2d};
//! let svg = scatter_2d(&Scatter {
//!     title: "so-softmax",
//!     subtitle: "test accuracy 99.1 %",
//!     points: &[[3.0, 0.2], [2.5, -0.1], [-2.0, 2.2]],
//!     labels: &[0, 0, 1],
//!     weights: &[[1.0, 0.0], [-0.7, 0.7]],
//!     classes: &["zero", "one"],
//!     features: Features::Raw,
//! })?;
//! assert!(svg.starts_with("<svg"));
//! # Ok::<(), hypersphere::plot::PlotError>(())
//! ```

mod axes;
mod cloud;
mod cosines;
mod curves;
mod field;
mod plane;
mod sphere;
mod svg;
#[cfg(test)]
mod tests;

use svg::Svg;
use thiserror::Error;

/// Data that make no picture.
#[derive(Debug, Error, PartialEq)]
pub enum PlotError {
    /// A panel without a single value that can be drawn.
    #[error(
        "plot '{panel}': nothing to draw; expected at least one finite value, found none among \
         {given}: check whether the run diverged or the input is empty"
    )]
    Empty {
        /// The panel's title.
        panel: String,
        /// How many values the panel was given.
        given: usize,
    },
    /// One label for each point is needed.
    #[error("plot '{panel}': expected one label for each of {points} points, found {labels}")]
    Labels {
        /// The panel's title.
        panel: String,
        /// Points given.
        points: usize,
        /// Labels given.
        labels: usize,
    },
    /// One value for each cell is needed.
    #[error(
        "plot '{panel}': expected one value for each of {columns} x {rows} cells, found {values}"
    )]
    Cells {
        /// The panel's title.
        panel: String,
        /// Columns of the grid.
        columns: usize,
        /// Rows of the grid.
        rows: usize,
        /// Values given.
        values: usize,
    },
    /// A label that names no class.
    #[error(
        "plot '{panel}': point {index} has label {label}, but {classes} classes were named; \
         expected a label below {classes}"
    )]
    UnknownClass {
        /// The panel's title.
        panel: String,
        /// Position of the point.
        index: usize,
        /// Its label.
        label: usize,
        /// Classes given.
        classes: usize,
    },
    /// Either no class weights or one vector for each class.
    #[error(
        "plot '{panel}': expected one weight vector for each of {classes} classes, or none at all, \
         found {weights}"
    )]
    Weights {
        /// The panel's title.
        panel: String,
        /// Weight vectors given.
        weights: usize,
        /// Classes given.
        classes: usize,
    },
}

/// What of an embedding is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Features {
    /// The embedding as it is; the panel reaches to the longest one.
    Raw,
    /// Its direction: a point on the unit circle or sphere. Zero vectors have none and are left out.
    /// In the plane, the histogram of the directions of each class stands on the circle.
    Unit,
}

/// Embeddings of `N` samples of `C` classes in `D` = 2 or 3 dimensions.
///
/// A panel draws at most 10,000 points (fewer in a [`grid`]): of each class, the same number at
/// equal steps through the data.
#[derive(Clone, Copy, Debug)]
pub struct Scatter<'a, const D: usize> {
    /// Heading: the loss.
    pub title: &'a str,
    /// Second line of the heading: accuracy, mean cosines. May be empty.
    pub subtitle: &'a str,
    /// `N` embeddings. `as_chunks` makes them out of a flat `[N, D]` slice.
    pub points: &'a [[f32; D]],
    /// `N` class numbers below `C`.
    pub labels: &'a [usize],
    /// `C` class weights, of which the direction is drawn; or none, and the directions of the class
    /// means are drawn instead.
    pub weights: &'a [[f32; D]],
    /// `C` names. The palette has ten colours and starts again after the tenth class.
    pub classes: &'a [&'a str],
    /// Embeddings or directions.
    pub features: Features,
}

/// A panel of lines over a common axis: one quantity, several series.
#[derive(Clone, Copy, Debug)]
pub struct Curves<'a> {
    /// Heading: the quantity and its unit.
    pub title: &'a str,
    /// The horizontal axis: "epoch", "step", "angle / degrees".
    pub x_label: &'a str,
    /// The scale of the horizontal axis.
    pub x_scale: Scale,
    /// The scale of the vertical axis.
    pub y_scale: Scale,
    /// The lines, in the order of the legend and of the colours.
    pub series: &'a [Series<'a>],
}

/// One line.
#[derive(Clone, Copy, Debug)]
pub struct Series<'a> {
    /// Name in the legend, which leaves an empty one out.
    pub name: &'a str,
    /// Points `(x, y)` from left to right. The line breaks at a point that cannot be drawn. With
    /// more than two points per pixel, their range is drawn pale and their running mean solid.
    pub points: &'a [(f64, f64)],
}

/// How values become places on an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Equal differences are equally far apart.
    Linear,
    /// Equal ratios are equally far apart; values up to zero cannot be drawn.
    Log,
}

/// Overlapped histograms of cosines, each scaled to its own highest bin.
#[derive(Clone, Copy, Debug)]
pub struct Cosines<'a> {
    /// Heading: the loss.
    pub title: &'a str,
    /// Second line of the heading. May be empty.
    pub subtitle: &'a str,
    /// Name and values of each histogram, such as "own class" and "other classes". Rounding errors
    /// beyond ±1 count into the outermost bins.
    pub groups: &'a [(&'a str, &'a [f32])],
    /// Where a decision is made: a dashed line.
    pub threshold: Option<f64>,
}

/// A rectangle of two variables, divided into cells. Values are those at the middles of the cells,
/// row by row from the bottom.
#[derive(Clone, Copy, Debug)]
pub struct Grid<'a> {
    /// The horizontal variable with its unit.
    pub x_label: &'a str,
    /// The vertical variable with its unit.
    pub y_label: &'a str,
    /// The ends of the horizontal axis.
    pub x: (f64, f64),
    /// The ends of the vertical axis.
    pub y: (f64, f64),
    /// Cells in a row.
    pub columns: usize,
    /// Cells in a column.
    pub rows: usize,
}

/// A heat map of what is never negative, with contour lines.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// Heading: the quantity.
    pub title: &'a str,
    /// Second line of the heading. May be empty.
    pub subtitle: &'a str,
    /// Where the values are.
    pub grid: Grid<'a>,
    /// A value for each cell; what cannot be drawn stays white.
    pub values: &'a [f64],
    /// What has the darkest shade, instead of the largest value.
    pub most: Option<f64>,
    /// The unit of the values, or what they are; a few letters above the bar of shades.
    pub unit: &'a str,
    /// A value for each cell, whose zeros are drawn as a line; or none.
    pub boundary: &'a [f64],
    /// `[x, y, dx, dy]`: arrows around (x, y), as long as the root of their size relative to
    /// `most`.
    pub arrows: &'a [[f64; 4]],
}

/// Which parts of a rectangle belong to each of two classes, and which to none.
#[derive(Clone, Copy, Debug)]
pub struct Regions<'a> {
    /// Heading.
    pub title: &'a str,
    /// Second line of the heading. May be empty.
    pub subtitle: &'a str,
    /// Where the values are.
    pub grid: Grid<'a>,
    /// For each class a value for each cell: not negative where the cell belongs to it.
    pub leads: [&'a [f64]; 2],
    /// Their names.
    pub names: [&'a str; 2],
}

/// One cell of a [`grid`].
#[derive(Clone, Copy, Debug)]
pub enum Panel<'a> {
    /// Embeddings in the plane.
    Plane(Scatter<'a, 2>),
    /// Embeddings in space.
    Sphere(Scatter<'a, 3>),
    /// Training curves.
    Curves(Curves<'a>),
    /// Histograms of cosines.
    Cosines(Cosines<'a>),
    /// A heat map.
    Field(Field<'a>),
    /// The regions of two classes.
    Regions(Regions<'a>),
}

impl Panel<'_> {
    fn draw(&self, svg: &mut Svg, cell: Cell) -> Result<(), PlotError> {
        match self {
            Panel::Plane(scatter) => plane::draw(svg, scatter, cell),
            Panel::Sphere(scatter) => sphere::draw(svg, scatter, cell),
            Panel::Curves(curves) => curves::draw(svg, curves, cell),
            Panel::Cosines(cosines) => cosines::draw(svg, cosines, cell),
            Panel::Field(field) => field::draw_field(svg, field, cell),
            Panel::Regions(regions) => field::draw_regions(svg, regions, cell),
        }
    }
}

/// The toy figure of the papers: a scatter of 2-D embeddings with a ray for each class weight.
pub fn scatter_2d(scatter: &Scatter<2>) -> Result<String, PlotError> {
    figure("", 1, &[Panel::Plane(*scatter)], LARGE)
}

/// 3-D embeddings around a wire sphere, with an arrow for each class weight: a parallel projection
/// from a fixed direction, near things over far ones.
pub fn scatter_3d(scatter: &Scatter<3>) -> Result<String, PlotError> {
    figure("", 1, &[Panel::Sphere(*scatter)], LARGE)
}

/// Training curves as small multiples under a common title, up to three in a row.
pub fn curves(title: &str, panels: &[Curves]) -> Result<String, PlotError> {
    let panels: Vec<_> = panels.iter().map(|&curves| Panel::Curves(curves)).collect();
    figure(title, panels.len().min(3), &panels, WIDE)
}

/// How the cosines to the own class and to the other classes are distributed.
pub fn histogram(cosines: &Cosines) -> Result<String, PlotError> {
    figure("", 1, &[Panel::Cosines(*cosines)], WIDE)
}

/// Panels side by side under a common title, row by row, with `columns` (at least one) in a row.
pub fn grid(title: &str, columns: usize, panels: &[Panel]) -> Result<String, PlotError> {
    let dots = GRID_DOTS / panels.len().max(1);
    let cell = Cell {
        dots: dots.min(SMALL.dots),
        ..SMALL
    };
    figure(title, columns, panels, cell)
}

/// The same with larger panels, for functions with two axes.
pub fn functions(title: &str, columns: usize, panels: &[Panel]) -> Result<String, PlotError> {
    figure(title, columns, panels, FUNCTION)
}

/// The room of one panel.
#[derive(Clone, Copy)]
struct Cell {
    /// Width and height, px.
    width: f64,
    height: f64,
    /// Diameter of a dot of a scatter, px.
    dot: f64,
    /// The most dots of a scatter.
    dots: usize,
}

/// Height of the two lines of a panel's heading, px.
const HEADING: f64 = 42.0;
const LARGE: Cell = Cell {
    width: 600.0,
    height: 600.0 + HEADING,
    dot: 2.8,
    dots: 10_000,
};
const SMALL: Cell = Cell {
    width: 320.0,
    height: 320.0 + HEADING,
    dot: 2.0,
    dots: 10_000,
};
const WIDE: Cell = Cell {
    width: 400.0,
    height: 300.0,
    ..SMALL
};
const FUNCTION: Cell = Cell {
    width: 430.0,
    height: 432.0,
    ..SMALL
};
/// The most dots of all panels of a grid together: about 0.6 MB.
const GRID_DOTS: usize = 40_000;

fn figure(title: &str, columns: usize, panels: &[Panel], cell: Cell) -> Result<String, PlotError> {
    if panels.is_empty() {
        return Err(PlotError::Empty {
            panel: title.to_owned(),
            given: 0,
        });
    }
    let (margin, gap) = (16.0, 20.0);
    let columns = columns.clamp(1, panels.len());
    let rows = panels.len().div_ceil(columns);
    let top = if title.is_empty() { margin } else { 52.0 };
    let width = 2.0 * margin + columns as f64 * (cell.width + gap) - gap;
    let height = top + rows as f64 * (cell.height + gap) - gap + margin;

    let mut svg = Svg::new(width, height);
    if !title.is_empty() {
        svg.text([width / 2.0, 32.0], svg::BANNER, title);
    }
    for (i, panel) in panels.iter().enumerate() {
        let (row, column) = ((i / columns) as f64, (i % columns) as f64);
        svg.open_group([
            margin + column * (cell.width + gap),
            top + row * (cell.height + gap),
        ]);
        panel.draw(&mut svg, cell)?;
        svg.close_group();
    }
    Ok(svg.finish())
}

/// Whether a value has a place in a picture. The bound keeps sums and squares of values finite.
fn drawable(value: f64) -> bool {
    value.abs() <= 1e30
}
