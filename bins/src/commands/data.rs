//! `hypersphere data`: what a data set holds, as a manifest, or made up.

use crate::cli::data::{Bad, Convert, Data, Inspect, Synth, SynthDifficulty, SynthKind};
use crate::source::DataError;
use anyhow::{Context, Result, bail};
use data::Unreadable;
use data::formats::{self, Content, FORMATS, Guess};
use data::inspect::{self, Inspection, Severity};
use data::synth::{Difficulty, Kind, Plan};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use std::path::Path;

/// Inspects, converts or draws.
///
/// # Errors
/// If the data cannot be read, breaks training, or cannot be written.
pub fn run(command: &Data) -> Result<()> {
    match command {
        Data::Inspect(options) => inspect(options),
        Data::Convert(options) => convert(options),
        Data::Synth(options) => synth(options),
        Data::Formats => {
            for format in FORMATS {
                println!("{:<16} {}", format.name, format.about);
            }
            Ok(())
        }
    }
}

/// What the path holds: as it says it, or as it looks.
fn understood(path: &Path, format: Option<&str>) -> Result<(Guess, Content)> {
    let guess = match format {
        None => formats::guess(path)?,
        Some(name) => Guess {
            format: formats::format(name)?,
            root: path.into(),
            reasons: vec!["it was asked for".into()],
        },
    };
    let content = guess.read()?;
    Ok((guess, content))
}

/// Identities and pictures of each on a contact sheet.
const SHEET: [usize; 2] = [12, 10];

fn inspect(options: &Inspect) -> Result<()> {
    let (guess, content) = understood(&options.path, options.format.as_deref())?;
    let unreadable = match options.bad {
        Bad::Error => Unreadable::Refuse,
        Bad::Skip => Unreadable::Skip,
    };
    let found = inspect::inspect(&content, guess.format.task, unreadable);
    if options.json {
        println!(
            "{}",
            serde_json::to_string_pretty(&as_json(&guess, &found))?
        );
    } else {
        print(&guess, &found);
    }
    if let Some(path) = &options.output {
        let [rows, columns] = SHEET;
        let sheet = inspect::sheet(&content, rows, columns);
        sheet
            .save(path)
            .with_context(|| path.display().to_string())?;
        if !options.json {
            println!("\ncontact sheet: {}", path.display());
        }
    }
    if found.is_broken() {
        let broken = found
            .problems
            .iter()
            .filter(|p| p.severity == Severity::Breaks);
        let list: Vec<&str> = broken.map(|p| p.what.as_str()).collect();
        bail!(DataError(format!(
            "{}: this breaks training: {}",
            options.path.display(),
            list.join("; ")
        )));
    }
    Ok(())
}

fn print(guess: &Guess, found: &Inspection) {
    println!("{}: {}", guess.root.display(), guess.format.about);
    println!("  known by {}", guess.reasons.join("; "));
    println!(
        "\n{:<12} {:>8} {:>11} {:>8}",
        "part", "images", "identities", "cameras"
    );
    for part in &found.parts {
        let cameras = match part.cameras {
            0 => "-".to_string(),
            n => n.to_string(),
        };
        println!(
            "{:<12} {:>8} {:>11} {:>8}",
            part.part, part.images, part.identities, cameras
        );
    }
    if !found.counts.is_empty() {
        println!(
            "\n{:<32} {:>8} {:>8}",
            "against the official table", "official", "found"
        );
        for count in &found.counts {
            let differs = if count.official == count.found {
                ""
            } else {
                "  differs"
            };
            println!(
                "{:<32} {:>8} {:>8}{differs}",
                count.what, count.official, count.found
            );
        }
    }
    println!(
        "\nreadable files: {}, passed over: {}",
        found.readable, found.ignored
    );
    if let Some(sizes) = &found.sizes {
        let text = |[width, height]: [usize; 2]| format!("{width} x {height}");
        match sizes.different {
            1 => println!("sizes: all {}", text(sizes.median)),
            n => println!(
                "sizes: {n} different, from {} over {} to {}",
                text(sizes.smallest),
                text(sizes.median),
                text(sizes.largest)
            ),
        }
    }
    if let Some(colours) = &found.colours {
        let text = |c: [f64; 3]| c.map(|x| format!("{x:.3}")).join(" ");
        println!(
            "colours: mean {}, deviation {}; {} pictures are grey",
            text(colours.mean),
            text(colours.deviation),
            colours.grey
        );
    }
    if found.problems.is_empty() {
        println!("\nno problems");
    }
    for problem in &found.problems {
        println!("\n{}: {}", severity(problem.severity), problem.what);
        problem
            .examples
            .iter()
            .for_each(|case| println!("    {case}"));
    }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Breaks => "breaks training",
        Severity::Misleads => "misleads",
        Severity::Note => "note",
    }
}

fn as_json(guess: &Guess, found: &Inspection) -> Value {
    let parts = found.parts.iter().map(|p| {
        json!({ "part": p.part, "images": p.images, "identities": p.identities, "cameras": p.cameras })
    });
    let counts = found
        .counts
        .iter()
        .map(|c| json!({ "what": c.what, "official": c.official, "found": c.found }));
    let problems = found.problems.iter().map(
        |p| json!({ "severity": severity(p.severity), "what": p.what, "examples": p.examples }),
    );
    let sizes = found.sizes.map(|s| {
        json!({
            "smallest": s.smallest,
            "median": s.median,
            "largest": s.largest,
            "different": s.different,
        })
    });
    let colours = found
        .colours
        .map(|c| json!({ "mean": c.mean, "deviation": c.deviation, "grey": c.grey }));
    json!({
        "format": guess.format.name,
        "root": guess.root,
        "reasons": guess.reasons,
        "name": found.name,
        "parts": parts.collect::<Vec<_>>(),
        "counts": counts.collect::<Vec<_>>(),
        "ignored": found.ignored,
        "readable": found.readable,
        "sizes": sizes,
        "colours": colours,
        "problems": problems.collect::<Vec<_>>(),
        "breaks_training": found.is_broken(),
    })
}

fn convert(options: &Convert) -> Result<()> {
    let (guess, content) = understood(&options.path, options.format.as_deref())?;
    let manifest = formats::convert(&content, &options.output, options.copy)?;
    println!(
        "{}: {} entries from {} ({})",
        options.output.display(),
        manifest.entries.len(),
        guess.root.display(),
        guess.format.name
    );
    Ok(())
}

fn synth(options: &Synth) -> Result<()> {
    let plan = plan(options);
    options.threads.set()?;
    // Drawn on a terminal only.
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5));
    let look =
        ProgressStyle::with_template("{bar:28.cyan/blue} {pos} of {len} pictures, {eta} left");
    bar.set_style(look.expect("a valid template").progress_chars("━━╌"));
    let written = plan.write(&options.output, |_, all| {
        bar.set_length(all as u64);
        bar.inc(1);
    })?;
    bar.finish_and_clear();
    println!(
        "{}: {} training pictures, {} queries, a gallery of {} ({} distractors, {} junk)",
        options.output.display(),
        written.train,
        written.query,
        written.gallery,
        written.distractors,
        written.junk
    );
    Ok(())
}

fn plan(options: &Synth) -> Plan {
    let kind = match options.kind {
        SynthKind::Reid => Kind::People,
        SynthKind::Vehicles => Kind::Vehicles,
    };
    let usual = Plan::new(kind);
    Plan {
        kind,
        identities: options.identities,
        cameras: options.cameras.unwrap_or(usual.cameras),
        images_per_camera: options.images_per_camera,
        seed: options.seed,
        difficulty: match options.difficulty {
            SynthDifficulty::Easy => Difficulty::Easy,
            SynthDifficulty::Normal => Difficulty::Normal,
            SynthDifficulty::Hard => Difficulty::Hard,
        },
    }
}
