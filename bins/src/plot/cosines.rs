//! Overlapped histograms of cosines.

use super::axes::Axes;
use super::svg::{Path, Svg, colour};
use super::{Cell, Cosines, PlotError, drawable};

/// Bins from -1 to 1.
const BINS: usize = 100;

pub(super) fn draw(svg: &mut Svg, cosines: &Cosines, cell: Cell) -> Result<(), PlotError> {
    let tallies: Vec<Tally> = cosines.groups.iter().map(|(_, v)| Tally::of(v)).collect();
    if tallies.iter().all(|tally| tally.total == 0) {
        return Err(PlotError::Empty {
            panel: cosines.title.to_owned(),
            given: cosines.groups.iter().map(|(_, v)| v.len()).sum(),
        });
    }
    svg.heading(cell.width, cosines.title, cosines.subtitle);
    svg.open_group([10.0, 0.0]);
    let width = cell.width - 20.0;
    let names: Vec<String> = cosines
        .groups
        .iter()
        .zip(&tallies)
        .map(|((name, _), tally)| tally.named(name))
        .collect();
    let legend = svg.legend(50.0, width, names.iter().map(String::as_str));
    let frame = [0.0, 44.0 + legend, width, cell.height - 34.0];
    let axes = Axes::fixed((-1.0, 1.0), (0.0, 1.04), frame);
    for (i, tally) in tallies.iter().enumerate() {
        let path = tally.outline(&axes);
        let style = format!(
            r#"fill="{0}" fill-opacity="0.35" stroke="{0}" stroke-width="1.2""#,
            colour(i)
        );
        svg.path(&path, &style);
    }
    if let Some(at) = cosines.threshold {
        let ends = [axes.place((at, 0.0)), axes.place((at, 1.0))];
        let mut line = Path::default();
        line.through(&ends.into_iter().flatten().collect::<Vec<_>>());
        svg.path(&line, r##"stroke="#222" stroke-dasharray="4 3""##);
    }
    let label = "cosine (each histogram scaled to its highest bin)";
    axes.draw_x(svg, label);
    svg.close_group();
    Ok(())
}

/// The values of one group by bin.
struct Tally {
    counts: [usize; BINS],
    total: usize,
    sum: f64,
}

impl Tally {
    fn of(values: &[f32]) -> Self {
        let mut tally = Tally {
            counts: [0; BINS],
            total: 0,
            sum: 0.0,
        };
        for value in values
            .iter()
            .map(|&v| f64::from(v))
            .filter(|&v| drawable(v))
        {
            // A cast to an unsigned integer takes what is below zero to zero.
            let bin = ((value + 1.0) / 2.0 * BINS as f64) as usize;
            tally.counts[bin.min(BINS - 1)] += 1;
            tally.total += 1;
            tally.sum += value;
        }
        tally
    }

    fn named(&self, name: &str) -> String {
        match self.total {
            0 => format!("{name} (no values)"),
            n => {
                let mean = format!("{:.3}", self.sum / n as f64).replace('-', "−");
                format!("{name} (mean {mean})")
            }
        }
    }

    /// The steps of the histogram, from the first to the last bin that is not empty.
    fn outline(&self, axes: &Axes) -> Path {
        let mut path = Path::default();
        let most = self.counts.iter().copied().max().unwrap_or(0).max(1) as f64;
        let full = |&bin: &usize| self.counts[bin] > 0;
        let (Some(first), Some(last)) = ((0..BINS).find(full), (0..BINS).rfind(full)) else {
            return path;
        };
        let corner =
            |edge: usize, height: f64| axes.place((edge as f64 / BINS as f64 * 2.0 - 1.0, height));
        let mut corners = vec![corner(first, 0.0)];
        for bin in first..=last {
            let height = self.counts[bin] as f64 / most;
            corners.extend([corner(bin, height), corner(bin + 1, height)]);
        }
        corners.push(corner(last + 1, 0.0));
        path.through(&corners.into_iter().flatten().collect::<Vec<_>>());
        path.close();
        path
    }
}
