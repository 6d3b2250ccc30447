//! A [`Board`] on a terminal of any size.

use super::board::{Board, Curve};
use crate::figures;
use crate::progress::short;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::symbols::{self, Marker};
use ratatui::text::{Line, Text};
use ratatui::widgets::{
    Axis, Block, Borders, Chart, Dataset, GraphType, LineGauge, Paragraph, Row, Table,
};

/// From this size on there is room for everything.
const WHOLE: [u16; 2] = [60, 20];

/// What stands where nothing is known yet.
const NONE: &str = "–";

/// Draws all of it.
pub fn draw(frame: &mut Frame<'_>, board: &Board) {
    let area = frame.area();
    let is_whole = area.width >= WHOLE[0] && area.height >= WHOLE[1];
    let terms = board.row.iter().flat_map(|row| &row.health);
    let terms = terms.map(|health| health.terms.len()).sum::<usize>();
    let [below, said] = match is_whole {
        // A heading each; four rows of figures, beside a heading and a row for each term.
        true => [1 + (terms + 1).clamp(4, 8) as u16, 4],
        false => [1, 0],
    };
    let [head, gauges, charts, below, said, foot] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(2),
        Constraint::Fill(1),
        Constraint::Length(below),
        Constraint::Length(said),
        Constraint::Length(1),
    ])
    .areas(area);
    header(frame, head, board);
    progress(frame, gauges, board);
    let headline = board.training.protocol.summary()[0];
    let losses = Panel {
        title: "training loss".into(),
        curve: &board.losses,
        colour: Color::Cyan,
    };
    if is_whole {
        let [left, right] = halves(charts);
        losses.draw(frame, left, board.training.steps);
        let judged = Panel {
            title: format!("validation {}", figures::title(headline)),
            curve: &board.judged,
            colour: Color::Green,
        };
        judged.draw(frame, right, board.training.steps);
        let [left, right] = halves(below);
        table_of_terms(frame, left, board);
        table_of_figures(frame, right, board);
        messages(frame, said, board);
    } else {
        losses.draw(frame, charts, board.training.steps);
        frame.render_widget(Line::from(line_of_figures(board, below.width)), below);
    }
    footer(frame, foot, board);
}

fn halves(area: Rect) -> [Rect; 2] {
    Layout::horizontal([Constraint::Fill(1); 2])
        .spacing(2)
        .areas(area)
}

/// The run, what is left, the recipe and the loss.
fn header(frame: &mut Frame<'_>, area: Rect, board: &Board) {
    let training = &board.training;
    let left = board
        .step
        .map(|(_, speed)| format!("{} left", short(speed.remaining)));
    let left = Line::from(left.unwrap_or_default()).right_aligned();
    let [first, second] = Layout::vertical([Constraint::Length(1); 2]).areas(area);
    let [run, time] = Layout::horizontal([
        Constraint::Fill(1),
        Constraint::Length(left.width() as u16 + 1),
    ])
    .areas(first);
    frame.render_widget(Line::from(training.run.as_str()).bold(), run);
    frame.render_widget(left, time);
    let loss = board
        .step
        .map_or(NONE.into(), |(step, _)| format!("{:.4}", step.loss));
    let recipe = match training.recipe.as_str() {
        "" => "own configuration",
        recipe => recipe,
    };
    let about = format!("{recipe}  loss {loss}  {}", training.loss);
    frame.render_widget(Line::from(about).dim(), second);
}

/// How much of the epoch, and of the whole, is done.
fn progress(frame: &mut Frame<'_>, area: Rect, board: &Board) {
    let known = board.step.as_ref().map(|(step, _)| step);
    let of = |done: u64, all: u64| (done as f64 / all.max(1) as f64).min(1.0);
    let (epoch, whole) = match known {
        None => (
            ("epoch".to_string(), 0.0),
            (
                "step".to_string(),
                of(board.training.done, board.training.steps),
            ),
        ),
        Some(step) => (
            (
                format!("epoch {}/{}", step.epoch, step.epochs),
                of(step.epoch_step, step.epoch_steps),
            ),
            (
                format!("step {}/{}", step.step, step.steps),
                of(step.step, step.steps),
            ),
        ),
    };
    let areas: [Rect; 2] = Layout::vertical([Constraint::Length(1); 2]).areas(area);
    for ((text, ratio), area) in [epoch, whole].into_iter().zip(areas) {
        let gauge = LineGauge::default()
            .ratio(ratio)
            .label(format!("{text:<16}{:>4.0} %", 100.0 * ratio))
            .filled_symbol(symbols::line::THICK_HORIZONTAL)
            .unfilled_symbol("╌")
            .filled_style(Style::new().fg(Color::Cyan))
            .unfilled_style(Style::new().fg(Color::DarkGray));
        frame.render_widget(gauge, area);
    }
}

/// A curve with its axes.
struct Panel<'a> {
    title: String,
    curve: &'a Curve,
    colour: Color,
}

impl Panel<'_> {
    fn draw(&self, frame: &mut Frame<'_>, area: Rect, steps: u64) {
        let points = self.curve.points();
        let last = points.last().map_or(NONE.into(), |(_, y)| number(*y));
        let block = heading(format!("{} {last}", self.title));
        let values = points.iter().map(|(_, y)| *y);
        let low = values.clone().fold(f64::INFINITY, f64::min);
        let high = values.fold(f64::NEG_INFINITY, f64::max);
        if points.is_empty() {
            frame.render_widget(Paragraph::new("nothing yet").dim().block(block), area);
            return;
        }
        // A curve of one value lies in the middle.
        let room = match high - low {
            0.0 => high.abs().max(1e-3) / 2.0,
            range => range / 20.0,
        };
        // A loss that cannot be negative has no room below 0.
        let floor = if low >= 0.0 { 0.0 } else { f64::NEG_INFINITY };
        let bounds = [(low - room).max(floor), high + room];
        let data = Dataset::default()
            .data(&points)
            .marker(Marker::Braille)
            .graph_type(GraphType::Line)
            .style(Style::new().fg(self.colour));
        let axis = |labels: [String; 2], bounds| {
            Axis::default()
                .bounds(bounds)
                .labels(labels)
                .style(Style::new().fg(Color::DarkGray))
        };
        let chart = Chart::new(vec![data])
            .block(block)
            .x_axis(axis(["0".into(), steps.to_string()], [0.0, steps as f64]))
            .y_axis(axis(bounds.map(number), bounds));
        frame.render_widget(chart, area);
    }
}

/// At least two digits that count: a whole number from 1,000 on, a power of ten below 0.1.
fn number(x: f64) -> String {
    let size = x.abs();
    if size >= 1000.0 {
        format!("{x:.0}")
    } else if size >= 10.0 {
        format!("{x:.1}")
    } else if size >= 0.1 || size == 0.0 {
        format!("{x:.3}")
    } else {
        format!("{x:.1e}")
    }
}

fn heading<'a>(title: impl Into<String>) -> Block<'a> {
    Block::new()
        .borders(Borders::TOP)
        .border_style(Style::new().fg(Color::DarkGray))
        .title(title.into() + " ")
}

/// What each term of the loss did in the last epoch.
fn table_of_terms(frame: &mut Frame<'_>, area: Rect, board: &Board) {
    let health = board.row.iter().flat_map(|row| &row.health);
    let terms = health.flat_map(|health| &health.terms).map(|term| {
        Row::new([
            term.name.clone(),
            number(term.weight),
            number(term.value),
            number(term.gradient + term.head_gradient),
        ])
    });
    let widths = [
        Constraint::Fill(1),
        Constraint::Length(7),
        Constraint::Length(8),
        Constraint::Length(8),
    ];
    let epoch = board
        .row
        .as_ref()
        .map_or(NONE.into(), |row| row.epoch.to_string());
    let table = Table::new(terms, widths)
        .header(Row::new(["term", "weight", "value", "pull"]).dim())
        .block(heading(format!("terms in epoch {epoch}")));
    frame.render_widget(table, area);
}

/// The figures of the last epoch and those of the moment, with their names.
fn figures_of(board: &Board) -> [(&'static str, String); 8] {
    let row = board.row.as_ref();
    let health = row.and_then(|row| row.health.as_ref());
    let known = |value: Option<f64>, decimals: usize| {
        value.map_or(NONE.into(), |value| format!("{value:.decimals$}"))
    };
    let step = board.step.as_ref();
    let accuracy = step.and_then(|(step, _)| step.accuracy);
    [
        ("accuracy %", known(accuracy.map(|a| 100.0 * a), 2)),
        (
            match board.training.items {
                "recordings" => "recordings/s",
                _ => "images/s",
            },
            known(step.map(|(_, speed)| speed.per_second), 0),
        ),
        ("own cosine", known(health.and_then(|h| h.cosine_same), 3)),
        (
            "other cosine",
            known(health.and_then(|h| h.cosine_different), 3),
        ),
        ("own angle °", known(health.and_then(|h| h.theta_own), 1)),
        ("rank", known(health.and_then(|h| h.effective_rank), 1)),
        (
            "gradient",
            health.map_or(NONE.into(), |h| number(h.gradient_norm)),
        ),
        ("rate", row.map_or(NONE.into(), |row| number(row.lr))),
    ]
}

/// The same in two columns.
fn table_of_figures(frame: &mut Frame<'_>, area: Rect, board: &Board) {
    let figures = figures_of(board);
    let rows = figures.chunks(2).map(|pair| {
        let cells = pair.iter().flat_map(|(name, value)| {
            [
                Text::from(*name).dim(),
                Text::from(value.clone()).right_aligned(),
            ]
        });
        Row::new(cells)
    });
    let widths = [12, 6, 12, 6].map(Constraint::Length);
    let table = Table::new(rows, widths).block(heading("figures"));
    frame.render_widget(table, area);
}

/// As many of them as a line of so many columns holds.
fn line_of_figures(board: &Board, width: u16) -> String {
    let mut line = String::new();
    for (name, value) in figures_of(board) {
        let more = format!("{name} {value}  ");
        let is_room = Line::from(line.as_str()).width() + Line::from(more.trim_end()).width();
        if value != NONE && is_room <= usize::from(width) {
            line += &more;
        }
    }
    line
}

/// The last lines of the log.
fn messages(frame: &mut Frame<'_>, area: Rect, board: &Board) {
    let block = heading("epochs and findings");
    let inside = block.inner(area);
    let mut shown: Vec<Line<'_>> = Vec::new();
    for said in board.lines().rev() {
        if shown.len() >= usize::from(inside.height) {
            break;
        }
        let is_warning = said.starts_with("warning");
        let lines = said
            .lines()
            .flat_map(|line| wrapped(line, inside.width.into()));
        let lines: Vec<Line<'_>> = lines
            .map(|line| match is_warning {
                true => Line::from(line).fg(Color::Yellow),
                false => Line::from(line),
            })
            .collect();
        shown.splice(0..0, lines);
    }
    let hidden = shown.len().saturating_sub(inside.height.into());
    frame.render_widget(Paragraph::new(shown.split_off(hidden)).block(block), area);
}

/// A line cut between words into lines of at most `width` columns, as far as words allow.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let needed = |line: &str| Line::from(line).width() + 1 + Line::from(word).width();
        match lines.last_mut() {
            Some(line) if needed(line) <= width => *line += &format!(" {word}"),
            _ => lines.push(word.into()),
        }
    }
    lines
}

/// What the keys do, or what is being waited for.
fn footer(frame: &mut Frame<'_>, area: Rect, board: &Board) {
    let line = match (board.is_stopping, board.is_judging()) {
        (true, _) => Line::from("stopping with a checkpoint (q: at once)").fg(Color::Yellow),
        (false, true) => Line::from("q: stop with a checkpoint  judging …").dim(),
        (false, false) => Line::from("q: stop with a checkpoint").dim(),
    };
    frame.render_widget(line, area);
}

#[cfg(test)]
mod tests;
