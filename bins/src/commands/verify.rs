//! `hypersphere verify`: same or different, for two files or a list of pairs.

mod list;

use super::embed::embed;
use crate::calibration::{AtFar, Calibration, EqualError};
use crate::cli::embeddings::Verify;
use crate::cli::values::Threshold;
use crate::config::ConfigError;
use crate::embedder::{Embedder, Item, Outcome, checkpoint_of, text};
use crate::files;
use crate::progress::tell;
use crate::protocol::verify::cosine;
use crate::source::DataError;
use anyhow::{Context, Result, bail};
use data::metrics::verification::Roc;
use list::Pair;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Verifies as the options say.
///
/// # Errors
/// If a file cannot be read, or there is no such threshold.
pub fn run(options: &Verify) -> Result<()> {
    options.threads.set()?;
    let checkpoint = checkpoint_of(&options.what, options.best)?;
    let embedder = Embedder::open(&checkpoint, false)?;
    let calibration = embedder.trained().description.calibration.as_ref();
    let decision = Decision::new(options.threshold, calibration, &checkpoint)?;
    match (&options.pairs, &options.a, &options.b) {
        (Some(list), _, _) => many(&embedder, &decision, list, options),
        (None, Some(a), Some(b)) => two(&embedder, &decision, [a, b], options.json),
        _ => bail!(ConfigError(
            "name two files, or a list of pairs with --pairs".into()
        )),
    }
}

/// A threshold and what is known of it.
struct Decision<'a> {
    threshold: f32,
    /// What it stands for, in words.
    meaning: String,
    calibration: Option<&'a Calibration>,
}

impl<'a> Decision<'a> {
    fn new(
        asked: Threshold,
        calibration: Option<&'a Calibration>,
        checkpoint: &Path,
    ) -> Result<Self> {
        let file = checkpoint.display();
        let (threshold, meaning) = match (asked, calibration) {
            (Threshold::Cosine(threshold), known) => (
                threshold,
                known.map_or("nobody has measured it".into(), |c| c.far_of(threshold)),
            ),
            (_, None) => bail!(ConfigError(format!(
                "{file}: has no calibration, so no threshold is known: nothing was held out \
                 (`data.validation`), it was interrupted within an epoch, imported, or made by an \
                 older version. Give a cosine, as in --threshold 0.4; `verify --pairs` tells which \
                 one suits pairs whose truth is known"
            ))),
            (Threshold::Auto, Some(c)) => (
                c.equal.threshold,
                format!("EER, both errors at {:.2} %", 100.0 * c.equal.rate),
            ),
            (Threshold::Far(far), Some(c)) => {
                let at = c.at(far).with_context(|| {
                    let known: Vec<String> = c.at.iter().map(|at| at.far.to_string()).collect();
                    ConfigError(format!(
                        "{file}: knows no threshold for FAR {far}; expected auto{}. It was \
                         calibrated on {c}",
                        match known.as_slice() {
                            [] => String::new(),
                            known => format!(", or one of far={}", known.join(", far=")),
                        }
                    ))
                })?;
                let tar = 100.0 * at.tar;
                (at.threshold, format!("FAR {far}, TAR {tar:.2} %"))
            }
        };
        Ok(Decision {
            threshold,
            meaning,
            calibration,
        })
    }

    fn is_same(&self, cosine: f32) -> bool {
        cosine >= self.threshold
    }

    fn verdict(&self, cosine: f32) -> &'static str {
        match self.is_same(cosine) {
            true => "same",
            false => "different",
        }
    }

    /// On standard output, before what was found by it.
    fn print_json(&self, found: impl Serialize) -> Result<()> {
        let result = AsJson {
            found,
            threshold: self.threshold,
            meaning: &self.meaning,
            calibration: self.calibration,
        };
        println!("{}", serde_json::to_string_pretty(&result)?);
        Ok(())
    }

    /// What the threshold rests on.
    fn print(&self) {
        println!("threshold  {:>6.3}  {}", self.threshold, self.meaning);
        if let Some(calibration) = self.calibration {
            println!("calibrated on {calibration}");
        }
    }
}

#[derive(Serialize)]
struct AsJson<'a, T> {
    #[serde(flatten)]
    found: T,
    threshold: f32,
    meaning: &'a str,
    calibration: Option<&'a Calibration>,
}

/// What was found for two files.
#[derive(Serialize)]
struct Verdict {
    a: String,
    b: String,
    cosine: f32,
    same: bool,
}

fn two(
    embedder: &Embedder,
    decision: &Decision<'_>,
    files: [&PathBuf; 2],
    as_json: bool,
) -> Result<()> {
    let [a, b] = files.map(|path| text(path));
    let (a, b) = (a?, b?);
    let items = [&a, &b].map(|name| Item::of_file(name.clone()));
    let mut found = embedder.embed(&items, |_| {})?;
    if !found.skipped.is_empty() {
        bail!(found.skipped.swap_remove(0));
    }
    let (left, right) = found.features.vectors.split_at(found.features.dim);
    let cosine = cosine(left, right);
    if as_json {
        let same = decision.is_same(cosine);
        return decision.print_json(Verdict { a, b, cosine, same });
    }
    println!("{}", decision.verdict(cosine));
    println!("cosine     {cosine:>6.3}");
    decision.print();
    Ok(())
}

/// A pair and its cosine.
struct Judged<'a> {
    pair: &'a Pair,
    cosine: f32,
}

fn many(embedder: &Embedder, decision: &Decision<'_>, list: &Path, options: &Verify) -> Result<()> {
    let pairs = list::read(list)?;
    let beside = list.parent().unwrap_or(Path::new(""));
    let folder = options.data.as_deref().unwrap_or(beside);
    // Each file once, in a fixed order.
    let files = pairs.iter().flat_map(|pair| &pair.files);
    let mut places: BTreeMap<&str, usize> = files.map(|file| (file.as_str(), 0)).collect();
    let item = |file: &&str| Ok(Item::of_file(text(&folder.join(file))?));
    let items = places.keys().map(item).collect::<Result<Vec<_>>>()?;
    for (number, place) in places.values_mut().enumerate() {
        *place = number;
    }
    let outcome = embed(embedder, &items).with_context(|| {
        format!(
            "{}: its paths start from {}, or from another folder with --data DIR",
            list.display(),
            match folder.as_os_str().is_empty() {
                true => "the working directory".into(),
                false => folder.display().to_string(),
            }
        )
    })?;
    let judged = judge(&pairs, &places, &outcome);
    if judged.is_empty() {
        bail!(DataError(format!(
            "{}: of no pair can both files be read",
            list.display()
        )));
    }
    let left_out = pairs.len() - judged.len();
    if left_out > 0 {
        tell(format_args!(
            "warning: {left_out} of {} pairs left out",
            pairs.len()
        ));
    }
    if let Some(path) = &options.output {
        files::write(path, table(&judged, decision)?)?;
    }
    let summary = Summary::of(&judged, left_out, decision)?;
    if options.json {
        return decision.print_json(summary);
    }
    // Without the truth the verdicts are all there is to tell.
    if summary.truth.is_none() && options.output.is_none() {
        for Judged { pair, cosine } in &judged {
            let [a, b] = &pair.files;
            println!("{:<9}  {cosine:>6.3}  {a}  {b}", decision.verdict(*cosine));
        }
    }
    summary.print();
    decision.print();
    Ok(())
}

/// The pairs of which both files could be read.
fn judge<'a>(
    pairs: &'a [Pair],
    places: &BTreeMap<&str, usize>,
    outcome: &Outcome,
) -> Vec<Judged<'a>> {
    let row = |file: &String| {
        let row = outcome.places.binary_search(places.get(file.as_str())?);
        let dim = outcome.features.dim;
        Some(&outcome.features.vectors[row.ok()? * dim..][..dim])
    };
    let judged = pairs.iter().filter_map(|pair| {
        let [a, b] = &pair.files;
        let cosine = cosine(row(a)?, row(b)?);
        Some(Judged { pair, cosine })
    });
    judged.collect()
}

fn table(judged: &[Judged<'_>], decision: &Decision<'_>) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["a", "b", "cosine", "verdict", "same"])?;
    for Judged { pair, cosine } in judged {
        let [a, b] = &pair.files;
        let same = pair.same.map_or("", |same| if same { "1" } else { "0" });
        let cosine_text = cosine.to_string();
        writer.write_record([a, b, &cosine_text, decision.verdict(*cosine), same])?;
    }
    Ok(writer.into_inner()?)
}

/// What the verdicts come to.
#[derive(Serialize)]
struct Summary {
    pairs: usize,
    left_out: usize,
    accepted: usize,
    /// Against the truth, if it is known of all pairs and they are of both kinds.
    truth: Option<Truth>,
}

#[derive(Serialize)]
struct Truth {
    same: usize,
    different: usize,
    /// The share of right verdicts.
    accuracy: f64,
    false_accepts: usize,
    false_rejects: usize,
    auc: f64,
    /// What a calibration on these pairs themselves would say.
    equal: EqualError,
    at: Vec<AtFar>,
}

impl Summary {
    fn of(judged: &[Judged<'_>], left_out: usize, decision: &Decision<'_>) -> Result<Self> {
        let accepts = |j: &&Judged<'_>| decision.is_same(j.cosine);
        let accepted = judged.iter().filter(accepts).count();
        let same: Option<Vec<bool>> = judged.iter().map(|j| j.pair.same).collect();
        let both = |same: &Vec<bool>| same.contains(&true) && same.contains(&false);
        let Some(same) = same.filter(both) else {
            return Ok(Summary {
                pairs: judged.len(),
                left_out,
                accepted,
                truth: None,
            });
        };
        let cosines: Vec<f32> = judged.iter().map(|j| j.cosine).collect();
        let roc = Roc::new(&cosines, &same)?;
        let wrong = |kind: bool| {
            let pairs = cosines.iter().zip(&same);
            let wrong = pairs.filter(|&(&c, &s)| s == kind && decision.is_same(c) != kind);
            wrong.count()
        };
        let (false_accepts, false_rejects) = (wrong(false), wrong(true));
        let own = Calibration::of_roc(&roc, "pairs of a list".into(), 0);
        Ok(Summary {
            pairs: judged.len(),
            left_out,
            accepted,
            truth: Some(Truth {
                same: roc.positives(),
                different: roc.negatives(),
                accuracy: 1.0 - (false_accepts + false_rejects) as f64 / same.len() as f64,
                false_accepts,
                false_rejects,
                auc: roc.auc(),
                equal: own.equal,
                at: own.at,
            }),
        })
    }

    fn print(&self) {
        println!(
            "pairs      {}, of which {} are called the same",
            self.pairs, self.accepted
        );
        let Some(truth) = &self.truth else {
            return;
        };
        let share = |part: usize, of: usize| 100.0 * part as f64 / of as f64;
        let (fa, fr) = (truth.false_accepts, truth.false_rejects);
        println!("accuracy   {:.2} %", 100.0 * truth.accuracy);
        println!(
            "FAR        {:.2} % ({fa} of {} different pairs called the same)",
            share(fa, truth.different),
            truth.different
        );
        println!(
            "FRR        {:.2} % ({fr} of {} same pairs called different)",
            share(fr, truth.same),
            truth.same
        );
        let own = &truth.equal;
        println!(
            "AUC        {:.2} %; on these pairs both errors are {:.2} % at {:.3}",
            100.0 * truth.auc,
            100.0 * own.rate,
            own.threshold
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_counts_each_kind_of_error() {
        let pair = |same| Pair {
            files: ["a".into(), "b".into()],
            same,
        };
        let scored = |pairs: &[(f32, Option<bool>)]| {
            let decision = Decision {
                threshold: 0.5,
                meaning: String::new(),
                calibration: None,
            };
            let pairs: Vec<_> = pairs.iter().map(|&(c, same)| (c, pair(same))).collect();
            let judged = pairs.iter().map(|(cosine, pair)| Judged {
                pair,
                cosine: *cosine,
            });
            Summary::of(&judged.collect::<Vec<_>>(), 0, &decision).unwrap()
        };
        let [yes, no] = [Some(true), Some(false)];
        // One same pair of four is refused, two different ones of three are accepted.
        let known = [(0.9, yes), (0.5, yes), (0.7, yes), (0.4, yes)];
        let unlike = [(0.8, no), (0.6, no), (0.1, no)];
        let summary = scored(&[&known[..], &unlike].concat());
        let truth = summary.truth.unwrap();
        assert_eq!(summary.accepted, 5);
        assert_eq!((truth.same, truth.different), (4, 3));
        assert_eq!((truth.false_accepts, truth.false_rejects), (2, 1));
        assert!((truth.accuracy - 4.0 / 7.0).abs() < 1e-12);
        // Of 12 comparisons of a same pair with a different one, 7 are right.
        assert!((truth.auc - 7.0 / 12.0).abs() < 1e-12);
        // Without all of the truth there is nothing to count.
        assert!(scored(&[(0.9, yes), (0.2, None)]).truth.is_none());
        assert!(scored(&[(0.9, yes), (0.2, yes)]).truth.is_none());
    }
}
