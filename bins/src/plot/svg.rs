//! As much of SVG as the pictures need: rounded numbers, escaped text, paths, groups.

use std::fmt::{self, Write};

/// Colours of the classes and series. The first eight are those of Okabe and Ito (2008, "Color
/// universal design"), yellow and black moved a little to show as dots and as ink; violet and brown
/// were chosen to stay apart from them in normal vision, deuteranopia and protanopia.
const PALETTE: [&str; 10] = [
    "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#e3d000", "#2b2b2b",
    "#7a3ff2", "#7f3b1c",
];
/// Members of the palette too light for white letters.
const LIGHT: [usize; 4] = [1, 4, 5, 6];

pub(super) const BANNER: &str =
    r##"font-size="18" font-weight="600" fill="#222" text-anchor="middle""##;
const TITLE: &str = r##"font-weight="600" fill="#222" text-anchor="middle""##;
const SUBTITLE: &str = r##"fill="#666" text-anchor="middle""##;
/// A name beside a swatch.
pub(super) const LEGEND: &str = r##"font-size="11" fill="#444""##;
/// A remark at the bottom right of a panel.
pub(super) const NOTE: &str = r##"font-size="9.5" fill="#888" text-anchor="end""##;

/// The colour of a class or series.
pub(super) fn colour(index: usize) -> &'static str {
    PALETTE[index % PALETTE.len()]
}

/// A length in px, written with one decimal at most.
pub(super) struct Px(pub f64);

impl fmt::Display for Px {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_assert!(self.0.is_finite(), "a length of {} px", self.0);
        let tenths = (self.0 * 10.0).round() as i64;
        let sign = if tenths < 0 { "-" } else { "" };
        let (whole, rest) = (tenths.unsigned_abs() / 10, tenths.unsigned_abs() % 10);
        match rest {
            0 => write!(f, "{sign}{whole}"),
            _ => write!(f, "{sign}{whole}.{rest}"),
        }
    }
}

/// The `d` attribute of a path.
#[derive(Clone, Default)]
pub(super) struct Path(String);

impl Path {
    pub(super) fn move_to(&mut self, at: [f64; 2]) {
        self.step('M', at);
    }

    pub(super) fn line_to(&mut self, at: [f64; 2]) {
        self.step('L', at);
    }

    /// A line without length: with round caps, a disc as wide as the stroke.
    pub(super) fn dot(&mut self, at: [f64; 2]) {
        self.move_to(at);
        self.0.push_str("h0");
    }

    pub(super) fn line(&mut self, from: [f64; 2], to: [f64; 2]) {
        self.move_to(from);
        self.line_to(to);
    }

    /// A line from point to point.
    pub(super) fn through(&mut self, points: &[[f64; 2]]) {
        for (i, &at) in points.iter().enumerate() {
            match i {
                0 => self.move_to(at),
                _ => self.line_to(at),
            }
        }
    }

    pub(super) fn close(&mut self) {
        self.0.push('z');
    }

    fn step(&mut self, command: char, [x, y]: [f64; 2]) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "{command}{} {}", Px(x), Px(y));
    }
}

/// A picture in the making. Angles and heights of the data grow upwards, `y` grows downwards.
pub(super) struct Svg(String);

impl Svg {
    pub(super) fn new(width: f64, height: f64) -> Self {
        let (w, h) = (Px(width), Px(height));
        Svg(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" \
             viewBox=\"0 0 {w} {h}\" font-family=\"Helvetica, Arial, 'DejaVu Sans', sans-serif\">\n\
             <rect width=\"{w}\" height=\"{h}\" fill=\"#fff\"/>\n"
        ))
    }

    pub(super) fn finish(mut self) -> String {
        self.0.push_str("</svg>\n");
        self.0
    }

    /// Moves the origin until [`Svg::close_group`].
    pub(super) fn open_group(&mut self, [x, y]: [f64; 2]) {
        let (x, y) = (Px(x), Px(y));
        self.push(format_args!("<g transform=\"translate({x} {y})\">\n"));
    }

    pub(super) fn close_group(&mut self) {
        self.0.push_str("</g>\n");
    }

    /// `style` is a list of attributes. An empty path is not written.
    pub(super) fn path(&mut self, path: &Path, style: &str) {
        if !path.0.is_empty() {
            self.push(format_args!("<path {style} d=\"{}\"/>\n", path.0));
        }
    }

    pub(super) fn circle(&mut self, [x, y]: [f64; 2], radius: f64, style: &str) {
        let (x, y, r) = (Px(x), Px(y), Px(radius));
        self.push(format_args!(
            "<circle cx=\"{x}\" cy=\"{y}\" r=\"{r}\" {style}/>\n"
        ));
    }

    /// `at` is on the base line, at the end that the style's `text-anchor` names.
    pub(super) fn text(&mut self, [x, y]: [f64; 2], style: &str, text: &str) {
        let (x, y) = (Px(x), Px(y));
        self.push(format_args!("<text x=\"{x}\" y=\"{y}\" {style}>"));
        self.escaped(text);
        self.0.push_str("</text>\n");
    }

    /// The two lines at the top of a panel. A long one, such as a loss with all its settings, is
    /// written smaller.
    pub(super) fn heading(&mut self, width: f64, title: &str, subtitle: &str) {
        // Semi-bold letters are about a tenth wider.
        for (y, text, style, wider, largest) in [
            (14.0, title, TITLE, 1.1, 15.0),
            (31.0, subtitle, SUBTITLE, 1.0, 11.0),
        ] {
            let fitting = width / text_width(text, wider);
            let style = format!(r#"font-size="{}" {style}"#, Px(fitting.clamp(7.0, largest)));
            if !text.is_empty() {
                self.text([width / 2.0, y], &style, text);
            }
        }
    }

    /// Swatches and names from the left at base line `y`, broken to fit `width`; the height of all.
    pub(super) fn legend<'a>(
        &mut self,
        y: f64,
        width: f64,
        names: impl Iterator<Item = &'a str>,
    ) -> f64 {
        let (mut x, mut height) = (0.0, 0.0);
        for (i, name) in names.enumerate().filter(|(_, name)| !name.is_empty()) {
            let room = 20.0 + text_width(name, 11.0) + 14.0;
            if height == 0.0 || x + room > width + 14.0 {
                (x, height) = (0.0, height + 16.0);
            }
            let base = y + height - 16.0;
            let mut swatch = Path::default();
            swatch.line([x, base - 4.0], [x + 14.0, base - 4.0]);
            let style = format!(r#"stroke="{}" stroke-width="3""#, colour(i));
            self.path(&swatch, &style);
            self.text([x + 20.0, base], LEGEND, name);
            x += room;
        }
        height
    }

    /// A name on a pill in the colour of its class, around the point `at`.
    pub(super) fn badge(&mut self, at: [f64; 2], class: usize, name: &str) {
        let name = shortened(name);
        let half = badge_half_width(&name);
        let ink = match LIGHT.contains(&(class % PALETTE.len())) {
            true => "#111",
            false => "#fff",
        };
        self.push(format_args!(
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"16\" rx=\"8\" fill=\"{}\" stroke=\"#fff\"/>\n",
            Px(at[0] - half),
            Px(at[1] - 8.0),
            Px(2.0 * half),
            colour(class)
        ));
        let style =
            format!(r#"font-size="11" font-weight="600" fill="{ink}" text-anchor="middle""#);
        self.text([at[0], at[1] + 4.0], &style, &name);
    }

    fn escaped(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '\t' | '\n' | '\r' => self.0.push(' '),
                // XML has no way to write these.
                '\0'..' ' | '\u{fffe}' | '\u{ffff}' => self.0.push('\u{fffd}'),
                c => self.0.push(c),
            }
        }
    }

    fn push(&mut self, args: fmt::Arguments) {
        // Writing to a string cannot fail.
        let _ = self.0.write_fmt(args);
    }
}

/// Half the width of the badge of a name, px.
pub(super) fn badge_half_width(name: &str) -> f64 {
    (text_width(&shortened(name), 11.0) / 2.0 + 5.0).max(8.0)
}

/// A name of a class, cut to fit beside a scatter.
fn shortened(name: &str) -> String {
    const LONGEST: usize = 12;
    match name.chars().count() {
        0..=LONGEST => name.to_owned(),
        _ => name.chars().take(LONGEST - 1).chain(['…']).collect(),
    }
}

/// What a text takes in an average sans-serif font, px.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * 0.58
}
