//! A pair of axes: values to places, ticks at round values, the frame.

use super::svg::{Path, Svg};
use super::{Scale, drawable};

/// Places values in a rectangle.
pub(super) struct Axes {
    /// The rectangle, px: left, top, right, bottom.
    pub(super) frame: [f64; 4],
    /// Both after the logarithm, if their scale has one.
    x: (f64, f64),
    y: (f64, f64),
    scales: [Scale; 2],
}

impl Axes {
    /// Axes on which all `values` fit; none if no value can be drawn. `scales` are those of x and y.
    pub(super) fn around(
        values: impl Iterator<Item = (f64, f64)>,
        scales: [Scale; 2],
        frame: [f64; 4],
    ) -> Option<Self> {
        let nothing = (f64::INFINITY, f64::NEG_INFINITY);
        let widen = |(low, high): (f64, f64), v: f64| (low.min(v), high.max(v));
        let (x, y) = values
            .filter_map(|(x, y)| Some((scaled(scales[0], x)?, scaled(scales[1], y)?)))
            .fold((nothing, nothing), |(xs, ys), (x, y)| {
                (widen(xs, x), widen(ys, y))
            });
        let x = proper(x)?;
        let (low, high) = proper(y)?;
        let air = 0.04 * (high - low);
        Some(Axes {
            frame,
            x,
            y: (low - air, high + air),
            scales,
        })
    }

    /// Linear axes with given ends.
    pub(super) fn fixed(x: (f64, f64), y: (f64, f64), frame: [f64; 4]) -> Self {
        Axes {
            frame,
            x,
            y,
            scales: [Scale::Linear; 2],
        }
    }

    /// Where a value stands; none if it cannot be drawn.
    pub(super) fn place(&self, (x, y): (f64, f64)) -> Option<[f64; 2]> {
        let [x, y] = [scaled(self.scales[0], x)?, scaled(self.scales[1], y)?];
        let [left, top, right, bottom] = self.frame;
        let part = |v: f64, (low, high): (f64, f64)| (v - low) / (high - low);
        Some([
            left + part(x, self.x) * (right - left),
            bottom - part(y, self.y) * (bottom - top),
        ])
    }

    /// Ticks and label below.
    pub(super) fn draw_x(&self, svg: &mut Svg, label: &str) {
        let [left, _, right, bottom] = self.frame;
        let middle = r##"font-size="10" fill="#666" text-anchor="middle""##;
        let mut lines = Path::default();
        lines.line([left, bottom], [right, bottom]);
        for (at, text) in marks(self.scales[0], self.x, 6) {
            let x = left + (at - self.x.0) / (self.x.1 - self.x.0) * (right - left);
            lines.line([x, bottom], [x, bottom + 4.0]);
            svg.text([x, bottom + 15.0], middle, &text);
        }
        svg.path(&lines, r##"stroke="#999""##);
        svg.text([(left + right) / 2.0, bottom + 30.0], middle, label);
    }

    /// Light lines across, with their values at the left.
    pub(super) fn draw_y(&self, svg: &mut Svg) {
        let [left, top, right, bottom] = self.frame;
        let mut lines = Path::default();
        for (at, text) in marks(self.scales[1], self.y, 5) {
            let y = bottom - (at - self.y.0) / (self.y.1 - self.y.0) * (bottom - top);
            lines.line([left, y], [right, y]);
            let style = r##"font-size="10" fill="#666" text-anchor="end""##;
            svg.text([left - 6.0, y + 3.5], style, &text);
        }
        svg.path(&lines, r##"stroke="#e6e6e6""##);
    }
}

/// About `count` places on an axis, after the logarithm if its scale has one, with the texts of
/// their values.
fn marks(scale: Scale, (low, high): (f64, f64), count: usize) -> Vec<(f64, String)> {
    if scale == Scale::Linear {
        return ticks(low, high, count);
    }
    // Decades if there are enough of them, else also their doubles and fives, else round values.
    let decades = low.floor() as i32..=high.ceil() as i32;
    let within = |digits: &'static [f64]| {
        let all = decades.clone();
        let all = all.flat_map(move |k| digits.iter().map(move |d| (k, d * 10_f64.powi(k))));
        let inside = all.filter(|(_, v)| (low..=high).contains(&v.log10()));
        let labelled = inside.map(|(k, v)| (v, text(v, k)));
        labelled.collect::<Vec<_>>()
    };
    let tens = within(&[1.0]);
    let values = if tens.len() >= 3 {
        let step = tens.len().div_ceil(6);
        tens.into_iter().step_by(step).collect()
    } else {
        match within(&[1.0, 2.0, 5.0]) {
            some if some.len() >= 3 => some,
            _ => ticks(10_f64.powf(low), 10_f64.powf(high), 5),
        }
    };
    let placed = values.into_iter().filter(|(v, _)| *v > 0.0);
    placed.map(|(v, text)| (v.log10(), text)).collect()
}

/// A value on the scale of its axis; none if it has no place there.
fn scaled(scale: Scale, value: f64) -> Option<f64> {
    match scale {
        Scale::Linear => drawable(value).then_some(value),
        Scale::Log => (drawable(value) && value > 0.0).then(|| value.log10()),
    }
}

/// The range, widened if it is (almost) a point; none if it is empty.
fn proper((low, high): (f64, f64)) -> Option<(f64, f64)> {
    let size = low.abs().max(high.abs());
    match high - low {
        span if span < 0.0 => None,
        span if span <= 1e-9 * size || span < 1e-30 => {
            let more = if size > 1e-29 { 0.1 * size } else { 0.5 };
            Some((low - more, high + more))
        }
        _ => Some((low, high)),
    }
}

/// About `count` round values from `low` to `high`, with their texts.
pub(super) fn ticks(low: f64, high: f64, count: usize) -> Vec<(f64, String)> {
    let rough = (high - low) / count as f64;
    let exponent = rough.log10().floor() as i32;
    let power = 10_f64.powi(exponent);
    let (step, exponent) = match rough / power {
        // Half a turn in degrees, perhaps without its ends, is divided as angles are.
        _ if (0.0..0.5).contains(&low) && (179.5..=180.0).contains(&high) => (30.0, 1),
        m if m <= 1.0 => (power, exponent),
        m if m <= 2.0 => (2.0 * power, exponent),
        m if m <= 5.0 => (5.0 * power, exponent),
        _ => (10.0 * power, exponent + 1),
    };
    // The ends themselves count as inside.
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last)
        .map(|i| (i as f64 * step, text(i as f64 * step, exponent)))
        .collect()
}

/// A value with as many decimals as a digit at `10^exponent` needs.
fn text(value: f64, exponent: i32) -> String {
    let decimals = exponent.min(0).unsigned_abs() as usize;
    let text = match decimals <= 4 && value.abs() < 1e6 {
        true => format!("{value:.decimals$}"),
        false => {
            let shown = format!("{value:.3e}");
            let (mantissa, power) = shown.split_once('e').unwrap_or((&shown, "0"));
            format!(
                "{}e{power}",
                mantissa.trim_end_matches('0').trim_end_matches('.')
            )
        }
    };
    text.replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(low: f64, high: f64) -> Vec<String> {
        ticks(low, high, 5)
            .into_iter()
            .map(|(_, text)| text)
            .collect()
    }

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(texts(-1.0, 1.0), ["−1.0", "−0.5", "0.0", "0.5", "1.0"]);
        assert_eq!(texts(0.0, 47.0), ["0", "10", "20", "30", "40"]);
        assert_eq!(texts(98.93, 99.61), ["99.0", "99.2", "99.4", "99.6"]);
        assert_eq!(texts(0.0, 4e-7)[1], "1e−7");
        assert_eq!(texts(0.0, 3e7)[1], "1e7");
        assert_eq!(texts(0.0, 180.0).len(), 7, "every 30 degrees");
    }

    #[test]
    fn a_logarithmic_axis_has_ticks_however_short_it_is() {
        for (low, high) in [
            (1e-7, 1e12),
            (0.3, 60.0),
            (1.1, 1.9),
            (2.30, 2.31),
            (5.0, 5.0),
        ] {
            let values = [(0.0, low), (1.0, high)];
            let scales = [Scale::Linear, Scale::Log];
            let axes = Axes::around(values.into_iter(), scales, [0.0, 0.0, 1.0, 1.0]).unwrap();
            let n = marks(Scale::Log, axes.y, 5).len();
            assert!((2..=12).contains(&n), "{n} ticks from {low} to {high}");
        }
    }

    #[test]
    fn extreme_ranges_stay_finite() {
        for y in [
            [0.0, 0.0],
            [1e30, 1e30],
            [-1e30, 1e30],
            [0.0, 1e-320],
            [1.0, 1.0 + 1e-15],
        ] {
            let values = y.map(|y| (3.0, y));
            let scales = [Scale::Linear; 2];
            let axes = Axes::around(values.into_iter(), scales, [0.0, 0.0, 9.0, 9.0]);
            let axes = axes.unwrap();
            for value in values {
                let at = axes.place(value).unwrap();
                assert!(
                    at.iter().all(|p| (0.0..=9.0).contains(p)),
                    "{value:?} at {at:?}"
                );
            }
            let mut texts: Vec<_> = ticks(axes.y.0, axes.y.1, 5)
                .into_iter()
                .map(|(_, text)| text)
                .collect();
            texts.dedup();
            assert!((3..=12).contains(&texts.len()), "{y:?}: {texts:?}");
        }
    }
}
