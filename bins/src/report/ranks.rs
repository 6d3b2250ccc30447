//! Retrieval and re-identification: how early the first right one comes, and ranked galleries.

use super::page::{charts, paragraph};
use super::tested::Tested;
use super::thumbnails::Sheet;
use crate::html::escape;
use crate::plot::{self, Curves, Scale, Series};
use crate::protocol::{Question, reid, retrieve};
use crate::source::Drawing;
use anyhow::Result;
use data::metrics::Embeddings;
use data::metrics::retrieval::{Identities, JUNK, Retrieved, Rule, Ties, evaluate_places};
use data::metrics::scores::{Pairwise, Scores, Similarity};
use std::fmt::Write;

/// Ranks of the curve.
const RANKS: usize = 50;
/// Neighbours in a gallery.
const NEIGHBOURS: usize = 10;
/// Galleries of the worst queries, and of queries evenly spread.
const WORST: usize = 8;
const SPREAD: usize = 8;

/// Queries with what they look for, as places among the tested examples.
struct Search<'a> {
    tested: &'a Tested,
    queries: Vec<usize>,
    gallery: Vec<usize>,
    ids: Vec<i64>,
    /// Empty if none is known.
    cameras: &'a [u32],
    rule: Rule,
    /// Why the figures of the protocol are others.
    remark: &'static str,
}

/// What a gallery item is to a query.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    Right,
    Wrong,
    /// Left out by the rule: takes no rank.
    Junk,
    /// The query itself: not there at all.
    Itself,
}

/// Markup of the curve and of galleries; empty where nothing is looked for.
///
/// # Errors
/// If an embedding is not finite.
pub fn ranks(tested: &Tested, sheet: &mut Sheet) -> Result<String> {
    let Some(search) = Search::of(tested) else {
        return Ok(String::new());
    };
    let [queries, gallery] = [&search.queries, &search.gallery].map(|at| {
        let row = |&i: &usize| tested.embedding(i).iter().copied();
        at.iter().flat_map(row).collect::<Vec<f32>>()
    });
    let rows = |values| Embeddings::new(values, tested.evaluation.found.dim);
    let scores = Pairwise::new(rows(&queries)?, rows(&gallery)?, Similarity::Cosine)?;
    let retrieved = search.evaluate(&scores)?;
    let matched = search.queries.len() - retrieved.unmatched();
    if matched == 0 {
        return Ok(paragraph("No query has anything to find in the gallery."));
    }
    let cmc = retrieved.cmc(RANKS.min(search.gallery.len().max(1)));
    let points = cmc.iter().enumerate();
    let points: Vec<(f64, f64)> = points
        .map(|(i, &share)| ((i + 1) as f64, 100.0 * share))
        .collect();
    let drawn = plot::curves(
        "",
        &[Curves {
            title: "CMC: queries with a right one up to this rank / %",
            x_label: "rank",
            x_scale: Scale::Linear,
            y_scale: Scale::Linear,
            series: &[Series {
                name: "",
                points: &points,
            }],
        }],
    )?;
    let caption = format!(
        "{} queries in a gallery of {}, {} of them without a match{}; among {}.{}",
        search.queries.len(),
        search.gallery.len(),
        retrieved.unmatched(),
        match search.rule {
            Rule::CrossCamera => format!(
                ", {} gallery items left out by the rule, summed over the queries",
                retrieved.dropped()
            ),
            _ => String::new(),
        },
        tested.extent(),
        search.remark
    );
    let mut out = charts(&[drawn], &caption);
    let (worst, spread) = chosen(&retrieved);
    for (heading, list) in [
        ("The worst queries", worst),
        ("Queries evenly spread", spread),
    ] {
        if list.is_empty() {
            continue;
        }
        let _ = writeln!(out, "<h3>{heading}</h3>\n<div class=\"ranks\">");
        for query in list {
            out += &search.ranking(query, &retrieved, &scores, sheet);
        }
        out += "</div>\n";
    }
    out += "<p class=\"note\"><span class=\"key right\"></span> right <span class=\"key wrong\"></span> \
            wrong <span class=\"key junk\"></span> takes no rank: junk, or the same camera. \
            Below each picture its rank and its cosine to the query.</p>\n";
    Ok(out)
}

impl<'a> Search<'a> {
    fn of(tested: &'a Tested) -> Option<Self> {
        let labels = || {
            tested
                .evaluation
                .found
                .labels
                .iter()
                .map(|&l| l as i64)
                .collect()
        };
        Some(match &tested.judged.question {
            Question::Retrieve(retrieve::Question {
                queries,
                gallery,
                rule,
                ..
            }) => Search {
                tested,
                queries: queries.clone(),
                gallery: gallery.clone(),
                ids: labels(),
                cameras: &[],
                rule: *rule,
                remark: "",
            },
            Question::Reid(reid::Question {
                queries,
                gallery,
                ids,
                cameras,
                rule,
                drawing,
            }) => Search {
                tested,
                queries: queries.clone(),
                gallery: gallery.clone(),
                ids: ids.clone(),
                cameras,
                rule: *rule,
                remark: match drawing {
                    Drawing::Nothing => "",
                    _ => {
                        " The protocol draws galleries with one image of each identity, which \
                             is harder than this one of all others."
                    }
                },
            },
            Question::Cluster => {
                let all: Vec<usize> = (0..tested.len()).collect();
                Search {
                    tested,
                    queries: all.clone(),
                    gallery: all,
                    ids: labels(),
                    cameras: &[],
                    rule: Rule::LeaveOneOut,
                    remark: "",
                }
            }
            Question::Classify | Question::Verify(_) => return None,
        })
    }

    fn evaluate(&self, scores: &impl Scores) -> Result<Retrieved> {
        let all = Identities {
            ids: &self.ids,
            cameras: self.cameras,
        };
        let places = [&*self.queries, &*self.gallery];
        Ok(evaluate_places(
            scores,
            all,
            places,
            self.rule,
            Ties::Stable,
        )?)
    }

    /// `query` and `item` are positions in the lists of queries and gallery.
    fn verdict(&self, query: usize, item: usize) -> Verdict {
        let (q, g) = (self.queries[query], self.gallery[item]);
        let same = self.ids[q] == self.ids[g];
        let camera = |i: usize| self.cameras.get(i);
        match self.rule {
            Rule::LeaveOneOut if query == item => Verdict::Itself,
            Rule::CrossCamera if self.ids[g] == JUNK || same && camera(q) == camera(g) => {
                Verdict::Junk
            }
            _ if same => Verdict::Right,
            _ => Verdict::Wrong,
        }
    }

    /// A query and its nearest gallery items.
    fn ranking(
        &self,
        query: usize,
        retrieved: &Retrieved,
        scores: &impl Scores,
        sheet: &mut Sheet,
    ) -> String {
        let all: Vec<usize> = (0..self.gallery.len()).collect();
        let block = scores.block(&[query], &all);
        let row = block.data();
        let mut order = all;
        order.sort_by(|&a, &b| row[b].total_cmp(&row[a]).then(a.cmp(&b)));
        let place = self.queries[query];
        let first = retrieved.queries[query]
            .figures
            .map(|figures| figures.first);
        let first = first.map_or("nothing to find".to_string(), |rank| {
            format!("first right: {rank}")
        });
        let mut out = format!(
            "<div class=\"ranking\"><figure>{}<figcaption>{}<br/>{first}</figcaption></figure>",
            sheet.picture(place, "query", self.tested.class(place)),
            escape(self.tested.class(place)),
        );
        let mut rank = 0;
        let items = order
            .into_iter()
            .map(|item| (item, self.verdict(query, item)));
        for (item, verdict) in items.filter(|(_, verdict)| *verdict != Verdict::Itself) {
            let (class, text) = match verdict {
                Verdict::Junk => ("junk", "–".to_string()),
                verdict => {
                    rank += 1;
                    let class = if verdict == Verdict::Right {
                        "right"
                    } else {
                        "wrong"
                    };
                    (class, rank.to_string())
                }
            };
            let place = self.gallery[item];
            let picture = sheet.picture(
                place,
                class,
                &format!("{class}: {}", self.tested.class(place)),
            );
            let _ = write!(
                out,
                "<figure>{picture}<figcaption>{text}<br/>{:.2}</figcaption></figure>",
                row[item]
            );
            if rank == NEIGHBOURS {
                break;
            }
        }
        out + "</div>\n"
    }
}

/// The queries with the lowest average precision, unless they are perfect; and queries evenly
/// spread over all that have a match.
fn chosen(retrieved: &Retrieved) -> (Vec<usize>, Vec<usize>) {
    let precision = |q: usize| retrieved.queries[q].figures.map(|f| f.average_precision);
    let matched = (0..retrieved.queries.len()).filter_map(|q| Some((q, precision(q)?)));
    let matched: Vec<(usize, f64)> = matched.collect();
    let mut worst: Vec<_> = matched
        .iter()
        .filter(|(_, precision)| *precision < 1.0)
        .collect();
    worst.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
    let count = SPREAD.min(matched.len());
    let spread = (0..count).map(|i| matched[i * matched.len() / count].0);
    (
        worst.into_iter().take(WORST).map(|(q, _)| *q).collect(),
        spread.collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use data::metrics::retrieval::evaluate;

    #[test]
    fn the_worst_come_first_and_perfect_ones_are_not_among_them() {
        let scores = [0.9, 0.1, 0.8, 0.7, 0.2, 0.6, 0.3, 0.4, 0.5];
        let scores = data::metrics::scores::Given::new(&scores, 3).unwrap();
        let found = evaluate(
            &scores,
            Identities::without_cameras(&[1, 1, 7]),
            Identities::without_cameras(&[1, 2, 1]),
            Rule::Everything,
            Ties::Stable,
        );
        // Query 0 finds both at once; query 1 at ranks 1 and 2; query 2 looks for what is not there.
        let (worst, spread) = chosen(&found.unwrap());
        assert_eq!((worst, spread), (vec![], vec![0, 1]));
    }
}
