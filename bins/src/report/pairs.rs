//! Pairs of examples, same or different: how their cosines lie, the errors at every threshold, and
//! the worst of them.

use super::page::{charts, note};
use super::tested::Tested;
use super::thumbnails::Sheet;
use crate::html::escape;
use crate::plot::{self, Cosines, Curves, Scale, Series};
use crate::protocol::{Question, verify};
use crate::source::Pair;
use anyhow::Result;
use data::metrics::retrieval::JUNK;
use data::metrics::verification::{Point, Roc};
use std::fmt::Write;

/// Pictures of each kind of error.
const SHOWN: usize = 8;
/// Points of a curve.
const CORNERS: usize = 400;

/// Pairs with their cosines.
pub struct Pairs {
    pairs: Vec<Pair>,
    scores: Vec<f32>,
    roc: Roc,
    /// Whether somebody has laid the pairs down, or the protocol asks for pairs.
    asked: bool,
}

impl Pairs {
    /// The pairs of the protocol, or pairs drawn from the labels; none if the labels give none of
    /// both kinds.
    ///
    /// # Errors
    /// If an embedding is not finite.
    pub fn of(tested: &Tested) -> Result<Option<Self>> {
        let (pairs, asked) = match &tested.judged.question {
            Question::Verify(question) => {
                let tested = question.pairs.iter().filter(|p| question.tests(p));
                (tested.copied().collect(), true)
            }
            _ => (drawn(tested), false),
        };
        let both = |same| pairs.iter().any(|pair| pair.same == same);
        if !both(true) || !both(false) {
            return Ok(None);
        }
        let score = |pair: &Pair| {
            let [a, b] = pair.places;
            verify::cosine(tested.embedding(a), tested.embedding(b))
        };
        let scores: Vec<f32> = pairs.iter().map(score).collect();
        let same: Vec<bool> = pairs.iter().map(|pair| pair.same).collect();
        Ok(Some(Pairs {
            roc: Roc::new(&scores, &same)?,
            pairs,
            scores,
            asked,
        }))
    }

    /// The histograms: of the pairs, and where the classes are known, of the cosines to the class
    /// weights.
    ///
    /// # Errors
    /// If nothing can be drawn.
    pub fn histograms(&self, tested: &Tested) -> Result<String> {
        let of = |same: bool| -> Vec<f32> {
            let chosen = self.pairs.iter().zip(&self.scores);
            chosen
                .filter(|(pair, _)| pair.same == same)
                .map(|(_, &score)| score)
                .collect()
        };
        let (same, different) = (of(true), of(false));
        let threshold = f64::from(self.roc.equal_error_threshold());
        let mut drawn = vec![plot::histogram(&Cosines {
            title: "Between examples",
            subtitle: &format!(
                "both errors are {:.2} % at {threshold:.3}",
                100.0 * self.roc.equal_error_rate()
            ),
            groups: &[("same class", &same), ("different classes", &different)],
            threshold: Some(threshold),
        })?];
        let known = tested.evaluation.found.known.as_ref();
        if let Some(known) = known.filter(|known| !known.cosines.is_empty()) {
            let (own, others) = known.by_own(&tested.evaluation.found.labels);
            drawn.push(plot::histogram(&Cosines {
                title: "To the class weights",
                subtitle: "",
                groups: &[("own class", &own), ("other classes", &others)],
                threshold: None,
            })?);
        }
        let origin = if self.asked {
            "of the protocol"
        } else {
            "drawn from the labels"
        };
        let caption = format!(
            "{} same and {} different pairs {origin}, among {}. The dashed line is the threshold \
             at which as large a share of the different pairs is accepted as of the same pairs is \
             refused (EER); it was found on these pairs, so it flatters a little.",
            self.roc.positives(),
            self.roc.negatives(),
            tested.extent()
        );
        Ok(charts(&drawn, &caption))
    }

    /// The two curves of errors at every threshold, where the protocol is about pairs.
    ///
    /// # Errors
    /// If nothing can be drawn.
    pub fn curves(&self) -> Result<String> {
        if !self.asked {
            return Ok(String::new());
        }
        let corners = corners(self.roc.points());
        let rates = |y: &dyn Fn(&Point) -> f64| -> Vec<(f64, f64)> {
            let share = |p: &&Point| (100.0 * self.roc.far(p), 100.0 * y(p));
            corners.iter().map(share).collect()
        };
        let accepted = rates(&|p| self.roc.tar(p));
        let refused = rates(&|p| 1.0 - self.roc.tar(p));
        let equal = 100.0 * self.roc.equal_error_rate();
        let name = format!("EER {equal:.2} %");
        let roc = [
            Series {
                name: "accepted same pairs / %",
                points: &accepted,
            },
            Series {
                name: &name,
                points: &[(equal, 100.0 - equal)],
            },
        ];
        let det = [
            Series {
                name: "refused same pairs / %",
                points: &refused,
            },
            Series {
                name: &name,
                points: &[(equal, equal)],
            },
        ];
        let panel = |title, y_scale, series| {
            let curves = Curves {
                title,
                x_label: "accepted different pairs (FAR) / %",
                x_scale: Scale::Log,
                y_scale,
                series,
            };
            plot::curves("", &[curves])
        };
        let roc = panel("ROC", Scale::Linear, &roc[..])?;
        // Without a single error there is nothing on a logarithmic scale.
        let det = panel("DET", Scale::Log, &det[..]).ok();
        let drawn: Vec<String> = [Some(roc), det].into_iter().flatten().collect();
        let caption = format!(
            "{} different pairs: no rate below {:.3} % can be seen, and rates near it are of a few \
             pairs only.",
            self.roc.negatives(),
            100.0 / self.roc.negatives() as f64
        );
        Ok(charts(&drawn, &caption))
    }

    /// The different pairs that are most alike and the same pairs that are least, where the
    /// protocol is about pairs.
    pub fn worst(&self, tested: &Tested, sheet: &mut Sheet) -> String {
        if !self.asked {
            return String::new();
        }
        let mut order: Vec<usize> = (0..self.pairs.len()).collect();
        order.sort_by(|&a, &b| self.scores[b].total_cmp(&self.scores[a]).then(a.cmp(&b)));
        let different = order.iter().filter(|&&i| !self.pairs[i].same);
        let same = order.iter().rev().filter(|&&i| self.pairs[i].same);
        let mut out = String::new();
        let lists: [(&str, Vec<usize>); 2] = [
            (
                "Different, and yet most alike",
                different.copied().take(SHOWN).collect(),
            ),
            (
                "The same, and yet least alike",
                same.copied().take(SHOWN).collect(),
            ),
        ];
        for (heading, list) in lists {
            let _ = writeln!(out, "<h3>{heading}</h3>\n<div class=\"cases pairs\">");
            for i in list {
                let [a, b] = self.pairs[i].places;
                let names = match self.pairs[i].same {
                    true => tested.class(a).to_string(),
                    false => format!("{} | {}", tested.class(a), tested.class(b)),
                };
                let pictures =
                    [a, b].map(|place| sheet.picture(place, "wrong", tested.class(place)));
                let _ = writeln!(
                    out,
                    "<div class=\"case\"><div class=\"row\">{}</div>{} <span class=\"note\">cosine {:.3}</span></div>",
                    pictures.concat(),
                    escape(&names),
                    self.scores[i]
                );
            }
            out += "</div>\n";
        }
        let threshold = self.roc.equal_error_threshold();
        out + &note(&format!(
            "At the threshold of the EER, pairs from a cosine of {threshold:.3} are called the same."
        ))
    }
}

/// Pairs from the labels; none where they do not give both kinds. Junk and distractors of
/// re-identification have a label each, but are no one person.
fn drawn(tested: &Tested) -> Vec<Pair> {
    let is_somebody = |&i: &usize| match &tested.judged.question {
        Question::Reid(question) => {
            question.ids[i] != JUNK && tested.class(i).bytes().any(|digit| digit != b'0')
        }
        _ => true,
    };
    let kept: Vec<usize> = (0..tested.len()).filter(is_somebody).collect();
    let labels: Vec<usize> = kept
        .iter()
        .map(|&i| tested.evaluation.found.labels[i])
        .collect();
    let question = verify::Question::drawn(&labels);
    let pairs = question
        .map_or(Vec::new(), |question| question.pairs)
        .into_iter();
    let placed = pairs.map(|pair| Pair {
        places: pair.places.map(|place| kept[place]),
        ..pair
    });
    placed.collect()
}

/// The points where the curve turns, thinned out evenly if there are many.
fn corners(points: &[Point]) -> Vec<&Point> {
    let turns = |i: &usize| match (points.get(i.wrapping_sub(1)), points.get(i + 1)) {
        (Some(before), Some(after)) => {
            let here = &points[*i];
            let flat = before.same == here.same && here.same == after.same;
            let steep = before.different == here.different && here.different == after.different;
            !flat && !steep
        }
        _ => true,
    };
    let all: Vec<&Point> = (0..points.len())
        .filter(turns)
        .map(|i| &points[i])
        .collect();
    match all.len() <= CORNERS {
        true => all,
        false => (0..CORNERS)
            .map(|i| all[i * (all.len() - 1) / (CORNERS - 1)])
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_keeps_its_corners_and_its_ends() {
        let point = |same, different| Point {
            threshold: 0.0,
            same,
            different,
        };
        let points = [
            point(0, 0),
            point(1, 0),
            point(2, 0),
            point(2, 1),
            point(2, 2),
            point(3, 2),
        ];
        let kept: Vec<_> = corners(&points)
            .iter()
            .map(|p| (p.same, p.different))
            .collect();
        assert_eq!(kept, [(0, 0), (2, 0), (2, 2), (3, 2)]);
        let zigzag: Vec<Point> = (0..2001).map(|i| point(i / 2, i.div_ceil(2))).collect();
        let kept = corners(&zigzag);
        assert_eq!(kept.len(), CORNERS);
        assert_eq!((kept[0], kept[CORNERS - 1]), (&zigzag[0], &zigzag[2000]));
    }
}
