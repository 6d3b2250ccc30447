//! What a run has come to, as one HTML file that opens offline.
//!
//! | file | what it adds |
//! |---|---|
//! | [`finished`] | what the run directory says: configuration, environment, epochs, figures |
//! | [`tested`] | the test part, or a sample of it, embedded once more |
//! | [`page`] | the HTML around everything |
//! | [`curves`] | the epochs |
//! | `classes`, `pairs`, `ranks` | what was asked, answered: confusions; ROC and DET; CMC and galleries |
//! | `map`, [`tsne`] | the embeddings in the plane |
//! | `thumbnails` | the pictures |
//! | [`comparison`], [`significance`] | several runs side by side |
//!
//! The figures at the top are those that the run itself has left, of the whole test part. Charts
//! and pictures are of the examples that were embedded again, and say which these are.

mod classes;
pub mod comparison;
pub mod curves;
pub mod finished;
mod map;
pub mod markdown;
pub mod page;
mod pairs;
mod ranks;
pub mod significance;
pub mod tested;
mod thumbnails;
pub mod tsne;

use crate::figures;
use crate::html::escape;
use crate::progress::short;
use crate::run_dir::slug;
use anyhow::Result;
use finished::{Finished, Judgement};
use page::{Page, folded, note, paragraph, table};
use pairs::Pairs;
use tested::Tested;
use thumbnails::Sheet;

/// The report of a run; `tested` or why the test part is not shown.
///
/// # Errors
/// If a picture cannot be read, or an embedding is not finite.
pub fn html(run: &Finished, tested: Result<&Tested, &str>) -> Result<String> {
    let mut page = Page::new(&title(run), lead(run));
    let mut overview = headline(run);
    match tested {
        Ok(tested) => overview += &agreement(run, tested),
        Err(why) => {
            overview += &format!(
                "<p class=\"warning\">Without charts and pictures of the test part: {}</p>\n",
                escape(why)
            );
        }
    }
    page.section("figures", "Figures", overview + &judged(run));
    page.section("curves", "Training", curves::charts_of(run)?);
    if let Ok(tested) = tested {
        show(&mut page, tested)?;
    }
    page.section("plots", "Plots of the run", own_plots(run));
    page.section("settings", "Settings", settings(run));
    Ok(page.finish())
}

/// Everything that is drawn from embeddings.
fn show(page: &mut Page, tested: &Tested) -> Result<()> {
    // Points of the map are small and many; what is looked at closely is larger.
    let mut points = Sheet::new("point", 40);
    let mut shown = Sheet::new("shown", 96);
    if let Some(pairs) = Pairs::of(tested)? {
        let drawn = pairs.histograms(tested)? + &pairs.curves()?;
        page.section("cosines", "Cosines", drawn);
        let worst = pairs.worst(tested, &mut shown);
        page.section("pairs", "Worst pairs", worst);
    }
    page.section("confusion", "Confusion", classes::confusion(tested));
    page.section("worst", "Worst cases", classes::worst(tested, &mut shown));
    page.section("ranks", "Galleries", ranks::ranks(tested, &mut shown)?);
    page.section("map", "Map", map::map(tested, &mut points)?);
    page.style(points.style(tested, 96)?);
    page.style(shown.style(tested, 88)?);
    Ok(())
}

/// The recipe and the loss.
fn title(run: &Finished) -> String {
    let config = &run.config;
    match config.recipe.as_str() {
        "" => slug(&config.loss),
        recipe => format!("{recipe}, {}", slug(&config.loss)),
    }
}

/// What was trained, in a line or two.
fn lead(run: &Finished) -> String {
    let config = &run.config;
    let parameters = run.parameters.map(|n| format!(", {n} parameters"));
    let time = run.seconds().map(short);
    let line = format!(
        "{}: {}{}, embedding of {}; loss {}; {} of {} epochs{}; seed {}",
        run.name(),
        config.model.name,
        parameters.unwrap_or_default(),
        config.model.embed_dim,
        config.loss,
        run.history.epochs(),
        config.epochs,
        time.map_or(String::new(), |time| format!(" in {time}")),
        config.seed
    );
    paragraph(&line)
}

fn tile(main: bool, name: &str, value: &str) -> String {
    let class = if main { "tile main" } else { "tile" };
    let (name, value) = (escape(name), escape(value));
    format!("<div class=\"{class}\"><b>{value}</b><span>{name}</span></div>\n")
}

/// The figures that count, and what the weights were selected on.
fn headline(run: &Finished) -> String {
    let summary = run.config.protocol().summary();
    let Some(test) = run.test() else {
        let best = run.best().map(|best| {
            let name = format!(
                "validation {}, epoch {}",
                figures::label(best.key),
                best.epoch
            );
            let tiles = tile(true, &name, &figures::shown(best.key, best.value));
            let words = "The run has left no figures of the test part. The best epoch was selected \
                         on the validation part by this very figure, so it flatters.";
            format!("<div class=\"tiles\">\n{tiles}</div>\n{}", paragraph(words))
        });
        return best.unwrap_or_else(|| paragraph("The run has left no figures."));
    };
    let present = summary
        .iter()
        .filter_map(|&key| Some((key, test.figures.get(key)?)));
    let tiles = present.enumerate().map(|(i, (key, value))| {
        let name = match i {
            0 => format!("test {}", figures::label(key)),
            _ => figures::label(key),
        };
        tile(i == 0, &name, &figures::shown(key, value))
    });
    let tiles: String = tiles.collect();
    let selected = format!(
        "{} test examples, judged by {}; {}.",
        test.figures.images,
        test.protocol,
        selection(test)
    );
    format!(
        "<div class=\"tiles\">\n{tiles}</div>\n{}",
        paragraph(&selected)
    )
}

/// Which weights, and what they were chosen by.
fn selection(judged: &Judgement) -> String {
    let weights = match judged.weights.as_deref() {
        // A path says less than its end.
        Some(path) if path.contains(['/', '\\']) => {
            let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
            let part = match name.starts_with("best") {
                true => "selected on: validation",
                false => "selected on: nothing",
            };
            return format!("weights {name}, {part}");
        }
        Some(weights) => format!("weights of the {weights}"),
        None => "weights unknown".into(),
    };
    let selected = judged.selected_on.as_deref().unwrap_or("unknown");
    format!("{weights}, selected on: {selected}")
}

/// Whether the embeddings that are shown are those that the run has judged.
fn agreement(run: &Finished, tested: &Tested) -> String {
    let now = tested.protocol.headline(&tested.evaluation.figures);
    let was = run
        .test()
        .and_then(|test| tested.protocol.headline(&test.figures));
    let extent = format!("Charts and pictures are of {}.", tested.extent());
    match (now, was) {
        (Some((key, now)), Some((other, was)))
            if key == other && tested.len() == tested.whole && (now - was).abs() > 1e-6 =>
        {
            let text = format!(
                "{extent} Embedded again they make {} {}, but the run found {}: its weights or its \
                 data are no longer what they were.",
                figures::label(key),
                figures::shown(key, now),
                figures::shown(key, was)
            );
            format!("<p class=\"warning\">{}</p>\n", escape(&text))
        }
        (Some((key, now)), _) if tested.len() < tested.whole => paragraph(&format!(
            "{extent} They alone make {} {}; among fewer there is less to mistake, so charts may look \
             a little better than the figures of the whole.",
            figures::label(key),
            figures::shown(key, now)
        )),
        _ => paragraph(&extent),
    }
}

/// All figures that there are, with what they are of.
fn judged(run: &Finished) -> String {
    let mut out = String::new();
    if let Some(best) = run.best() {
        let last = run
            .history
            .validation(best.key)
            .and_then(|column| column.last().copied());
        out += &paragraph(&format!(
            "Validation {}: {} after the last epoch; at best {} after epoch {}, which is what \
             ckpt/best.safetensors was selected on.",
            figures::label(best.key),
            last.map_or("–".into(), |(_, value)| figures::shown(best.key, value)),
            figures::shown(best.key, best.value),
            best.epoch
        ));
    }
    for judged in &run.judged {
        let what = match (&judged.data, &judged.part) {
            (Some(data), _) => data.clone(),
            (None, Some(part)) => format!("{part} part"),
            (None, None) => "the run's data".into(),
        };
        let mirrored = if judged.flip {
            ", with mirror images"
        } else {
            ""
        };
        let heading = format!(
            "eval/{}: {what}, {}, {} examples; {}{mirrored}",
            judged.file,
            judged.protocol,
            judged.figures.images,
            selection(judged)
        );
        let head = ["figure", "value"].map(String::from).to_vec();
        let rows = judged.figures.iter();
        let rows = rows.map(|(key, value)| vec![figures::label(key), figures::shown(key, value)]);
        let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
        out += &format!(
            "<details><summary>{}</summary>{}</details>\n",
            escape(&heading),
            table(&rows)
        );
    }
    out
}

/// Pictures that the run has left and that are not drawn anew here.
fn own_plots(run: &Finished) -> String {
    const DRAWN: [&str; 2] = ["curves.svg", "cosines.svg"];
    let entries = run.path.join("plots").read_dir();
    let entries = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()));
    let mut files: Vec<_> = entries
        .filter(|file| file.extension().is_some_and(|e| e == "svg"))
        .filter(|file| !DRAWN.iter().any(|name| file.ends_with(name)))
        .collect();
    files.sort();
    let picture = |file: &std::path::PathBuf| {
        let content = std::fs::read(file).ok()?;
        let name = file.file_name()?.to_string_lossy();
        Some(page::image("image/svg+xml", &content, &name))
    };
    files.iter().filter_map(picture).collect()
}

/// The configuration and the environment.
fn settings(run: &Finished) -> String {
    let head = ["environment", ""].map(String::from).to_vec();
    let rows = run
        .environment
        .iter()
        .map(|(key, value)| vec![key.clone(), value.clone()]);
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    let mut out = match run.environment.is_empty() {
        true => note("The run has left no env.json."),
        false => table(&rows),
    };
    out += &folded("config.toml", &run.config.to_text());
    if let Ok(log) = std::fs::read_to_string(run.path.join("train.log")) {
        out += &folded("train.log", &log);
    }
    out
}
