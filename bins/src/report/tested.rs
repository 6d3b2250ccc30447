//! The test part shown to the network once more, or a sample of it where it is large.

use super::finished::Finished;
use crate::dataset::Judged;
use crate::evaluation::{Embedding, Evaluation};
use crate::protocol::{Effort, Exam, Protocol, Question, reid, retrieve, verify};
use crate::source::{DataError, Drawing, Source};
use crate::weights::Trained;
use anyhow::{Context, Result, bail};
use data::{Examples, Normalise};
use engine::rng::Key;
use image::{DynamicImage, GrayImage, RgbImage};
use std::path::Path;

/// What the network of a run makes of the test part.
pub struct Tested {
    /// Embeddings, figures, names of the classes.
    pub evaluation: Evaluation,
    /// The examples with what is asked of them.
    pub judged: Judged,
    /// How they were judged.
    pub protocol: Protocol,
    /// Examples of the whole part.
    pub whole: usize,
    normalise: Normalise,
    is_sound: bool,
}

impl Tested {
    /// Embeds at most about `most` examples of the test part with the weights of the last epoch;
    /// the data is where the run found it, or in `data`.
    ///
    /// # Errors
    /// If weights or data are not there (any more), or do not belong together.
    pub fn new(run: &Finished, data: Option<&Path>, most: usize) -> Result<Self> {
        let weights = run.path.join("ckpt/last.safetensors");
        if !weights.is_file() {
            bail!(DataError(format!(
                "{} is missing, and without weights nothing can be embedded",
                weights.display()
            )));
        }
        let trained = Trained::read(&weights)?;
        let mut config = run.config.clone();
        if let Some(folder) = data {
            config.data.folder = Some(folder.to_path_buf());
        }
        let protocol = config.protocol();
        let exam = protocol.cut(Source::read(&config)?, &config)?.test;
        let whole = exam.view.len();
        let judged = Judged::new(sampled(exam, most)?)?;
        trained.check_shape(judged.loader.examples().shape())?;
        let model = trained.model();
        let evaluation = model.judge(&judged, Embedding::default(), Effort::default())?;
        Ok(Tested {
            evaluation,
            judged,
            protocol,
            whole,
            normalise: trained.normalise,
            is_sound: trained.description.sound.is_some(),
        })
    }

    /// Examples that were embedded.
    pub fn len(&self) -> usize {
        self.evaluation.found.labels.len()
    }

    /// Whether nothing was embedded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What charts are of, in words: `all 200 test images`, or of which sample.
    pub fn extent(&self) -> String {
        let what = if self.is_sound {
            "recordings"
        } else {
            "images"
        };
        match (self.len() == self.whole, self.protocol.is_open()) {
            (true, _) => format!("all {} test {what}", self.whole),
            (false, false) => format!(
                "{} of the {} test {what}, evenly spread",
                self.len(),
                self.whole
            ),
            (false, true) => format!(
                "{} of the {} test {what}, in whole classes",
                self.len(),
                self.whole
            ),
        }
    }

    /// The embedding of an example.
    pub fn embedding(&self, place: usize) -> &[f32] {
        let found = &self.evaluation.found;
        &found.embeddings[place * found.dim..][..found.dim]
    }

    /// The class of an example.
    pub fn class(&self, place: usize) -> &str {
        let label = self.evaluation.found.labels[place];
        self.evaluation
            .classes
            .get(label)
            .map_or("?", String::as_str)
    }

    /// Height and width of all examples.
    pub fn size(&self) -> [usize; 2] {
        let [height, width, _] = self.judged.loader.examples().shape();
        [height, width]
    }

    /// An example as a person sees it: the picture, or the spectrogram in shades of grey.
    ///
    /// # Errors
    /// If it cannot be read (any more).
    pub fn picture(&self, place: usize) -> Result<DynamicImage> {
        let examples = self.judged.loader.examples();
        let [height, width, channels] = examples.shape();
        let mut numbers = vec![0.0; height * width * channels];
        examples.write(place, None, &mut numbers)?;
        let bytes = match self.is_sound {
            // Two deviations below the mean of a band are black, three above it white.
            true => numbers.iter().map(|z| ((z + 2.0) * 51.0) as u8).collect(),
            false => self.normalise.bytes(&numbers),
        };
        let (w, h) = (width as u32, height as u32);
        let picture = match channels {
            3 => RgbImage::from_raw(w, h, bytes).map(DynamicImage::from),
            _ => {
                let first = bytes.into_iter().step_by(channels).collect();
                GrayImage::from_raw(w, h, first).map(DynamicImage::from)
            }
        };
        picture.context("an example has as many numbers as its shape says")
    }
}

/// An exam of about `most` examples at the most, on which the same is asked: images evenly spread
/// where the classes are known, pairs evenly spread where pairs were laid down, and otherwise whole
/// classes, so that what is looked for stays there.
///
/// # Errors
/// If too little is left to ask anything.
fn sampled(exam: Exam, most: usize) -> Result<Exam> {
    let count = exam.view.len();
    if count <= most {
        return Ok(exam);
    }
    let spread = || (0..most).map(|i| i * count / most).collect::<Vec<_>>();
    let rows = match &exam.question {
        Question::Classify => spread(),
        Question::Verify(question) => of_pairs(question, most),
        _ => whole_classes(exam.view.labels(), most).unwrap_or_else(spread),
    };
    let mut places = vec![None; count];
    for (new, &old) in rows.iter().enumerate() {
        places[old] = Some(new);
    }
    let moved = |at: &[usize]| at.iter().filter_map(|&i| places[i]).collect::<Vec<_>>();
    let view = exam.view.select(&rows);
    let question = match exam.question {
        Question::Verify(question) => {
            let pairs = question.pairs.iter().filter_map(|pair| {
                let [a, b] = pair.places;
                let places = [places[a]?, places[b]?];
                Some(crate::source::Pair { places, ..*pair })
            });
            Question::Verify(verify::Question {
                pairs: pairs.collect(),
                ..question
            })
        }
        Question::Retrieve(question) => Question::Retrieve(retrieve::Question {
            queries: moved(&question.queries),
            gallery: moved(&question.gallery),
            runs: Vec::new(),
            ..question
        }),
        Question::Reid(question) => Question::Reid(reid::Question {
            queries: moved(&question.queries),
            gallery: moved(&question.gallery),
            ids: rows.iter().map(|&i| question.ids[i]).collect(),
            cameras: rows
                .iter()
                .filter_map(|&i| question.cameras.get(i).copied())
                .collect(),
            drawing: match question.drawing {
                Drawing::PerQuery(splits) => {
                    Drawing::PerQuery(splits.iter().map(|(n, at)| (*n, moved(at))).collect())
                }
                other => other,
            },
            ..question
        }),
        question => question,
    };
    Ok(Exam {
        view,
        classes: exam.classes,
        question,
    })
}

/// The examples of every k-th pair, with the smallest k that makes them `most` or fewer.
fn of_pairs(question: &verify::Question, most: usize) -> Vec<usize> {
    let of_every = |step: usize| {
        let pairs = question.pairs.iter().step_by(step);
        let places: std::collections::BTreeSet<usize> = pairs.flat_map(|p| p.places).collect();
        places
    };
    let fits = (1..question.pairs.len())
        .map(of_every)
        .find(|places| places.len() <= most);
    fits.unwrap_or_default().into_iter().collect()
}

/// The examples of classes drawn at random, as many as fit into `most`; none if that makes less
/// than two classes.
fn whole_classes(labels: &[usize], most: usize) -> Option<Vec<usize>> {
    let mut members = vec![Vec::new(); labels.iter().max().map_or(0, |&last| last + 1)];
    for (i, &label) in labels.iter().enumerate() {
        members[label].push(i);
    }
    members.retain(|class| !class.is_empty());
    Key::new(0)
        .named("report sample")
        .rng()
        .shuffle(&mut members);
    let (mut rows, mut classes) = (Vec::new(), 0);
    for class in members {
        if rows.len() + class.len() <= most {
            rows.extend(class);
            classes += 1;
        }
    }
    rows.sort_unstable();
    (classes >= 2).then_some(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Folding, Pair, View};
    use data::metrics::retrieval::Rule;
    use data::{ImageSet, Images};
    use std::sync::Arc;

    /// 20 classes of 5 images, whose only pixel is their number.
    fn exam(question: Question) -> Exam {
        let labels: Vec<usize> = (0..100).map(|i| i / 5).collect();
        let classes: Vec<String> = (0..20).map(|c| format!("class {c}")).collect();
        let pixels = (0..100).collect();
        let set = ImageSet::new("set", [1, 1, 1], pixels, labels, classes.clone()).unwrap();
        let images = Images::new(set, Normalise::unit(1)).unwrap();
        Exam {
            view: View::new(Arc::new(images), (0..100).collect()),
            classes,
            question,
        }
    }

    fn numbers(exam: &Exam) -> Vec<usize> {
        exam.view.rows().to_vec()
    }

    #[test]
    fn a_sample_of_known_classes_is_spread() {
        let some = sampled(exam(Question::Classify), 4).unwrap();
        assert_eq!(numbers(&some), [0, 25, 50, 75]);
        assert_eq!(
            sampled(exam(Question::Classify), 100).unwrap().view.len(),
            100
        );
    }

    #[test]
    fn a_sample_of_a_gallery_keeps_classes_whole_and_everything_in_its_place() {
        let queries: Vec<usize> = (0..100).step_by(5).collect();
        let gallery: Vec<usize> = (0..100).filter(|i| i % 5 > 0).collect();
        let question = reid::Question {
            queries,
            gallery,
            ids: (0..100).map(|i| 1000 + i / 5).collect(),
            cameras: (0..100).collect(),
            rule: Rule::CrossCamera,
            drawing: Drawing::Nothing,
        };
        let some = sampled(exam(Question::Reid(question)), 33).unwrap();
        let rows = numbers(&some);
        assert_eq!(rows.len(), 30, "six whole classes");
        assert!(
            rows.chunks(5)
                .all(|class| class[0] % 5 == 0 && class[4] == class[0] + 4)
        );
        let Question::Reid(question) = &some.question else {
            panic!()
        };
        assert_eq!((question.queries.len(), question.gallery.len()), (6, 24));
        for (place, &row) in rows.iter().enumerate() {
            assert_eq!(question.ids[place], 1000 + row as i64 / 5);
            assert_eq!(question.cameras[place] as usize, row);
            assert_eq!(question.queries.contains(&place), row % 5 == 0);
            assert_eq!(some.view.labels()[place], row / 5);
        }
        // One class alone would be a gallery without anything to mistake.
        let some = sampled(exam(Question::Cluster), 9).unwrap();
        assert_eq!(numbers(&some).len(), 9);
        assert!(some.view.labels().windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn a_sample_of_pairs_has_their_images_and_no_others() {
        let pair = |i: usize| Pair {
            places: [i, (i + 1 + 5 * (i % 2)) % 100],
            same: i.is_multiple_of(2),
            fold: i / 10,
        };
        let pairs = (0..100).map(pair).collect();
        let question = Question::Verify(verify::Question {
            pairs,
            folding: Folding::Crossed,
        });
        let some = sampled(exam(question), 60).unwrap();
        let rows = numbers(&some);
        let Question::Verify(question) = &some.question else {
            panic!()
        };
        assert!(rows.len() <= 60 && question.pairs.len() >= 20);
        for found in &question.pairs {
            let [a, b] = found.places.map(|place| rows[place]);
            let was = pair(a);
            assert_eq!(
                (was.places, was.same, was.fold),
                ([a, b], found.same, found.fold)
            );
        }
    }
}
