//! N-pair loss: each anchor must pick its positive among those of all classes of the batch.

use crate::batch::Batch;
use crate::error::Result;
use crate::info::{Family, Head, LossInfo, Parameter, Range, Status};
use crate::loss::{Loss, Part};
use crate::values::Values;
use engine::Float;
use std::collections::BTreeMap;

/// N-pair loss.
#[derive(Debug)]
pub struct NPair {
    l2: f64,
}

/// The first two samples of every class that has two, ordered by class.
fn pairs(labels: &[usize]) -> [Vec<usize>; 2] {
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (i, &y) in labels.iter().enumerate() {
        members.entry(y).or_default().push(i);
    }
    let two = |place: usize| {
        let members = members.values().filter(|members| members.len() > 1);
        members.map(|members| members[place]).collect()
    };
    [two(0), two(1)]
}

impl Loss for NPair {
    const INFO: LossInfo = LossInfo {
        name: "n-pair",
        family: Family::Pair,
        about: "softmax over inner products of anchors with one positive per class",
        formula: "a_k, p_k: the first two samples of each class of the batch that has two\n\
                  L = mean_k -ln( e^<a_k, p_k> / sum_l e^<a_k, p_l> ) + l2/4 mean_k (|a_k|^2 + |p_k|^2)\n\
                  embeddings are not normalised",
        parameters: &[Parameter::number(
            "l2",
            0.002,
            Range::from(0.0),
            "weight of the squared lengths",
        )],
        presets: &[],
        head: Head::None,
        remarks: "Further samples of a class are not used. pytorch-metric-learning has no term of lengths\n\
                  and agrees with l2=0 on batches of two samples per class. The factor 1/4 is that of\n\
                  TensorFlow's implementation.",
        source: "Sohn 2016, Improved deep metric learning with multi-class N-pair loss objective, NeurIPS",
        status: Status::Known,
    };

    fn new(values: &Values) -> Self {
        NPair {
            l2: values.number("l2"),
        }
    }

    fn forward<T: Float>(&self, batch: &Batch<'_, T>) -> Result<Vec<Part<T>>> {
        let x = batch.embeddings();
        let [anchors, positives] = pairs(batch.labels());
        let n = anchors.len();
        if n == 0 {
            let zero = x.try_sum()?.try_affine(0.0, 0.0)?;
            return Ok(Part::only(Self::INFO.name, zero));
        }
        let (a, p) = (x.try_rows(anchors)?, x.try_rows(positives)?);
        let correct: Vec<usize> = (0..n).collect();
        let picks = a.try_matmul_nt(&p)?.try_cross_entropy(correct, 0.0)?;
        let squares = a.try_square()?.try_add(&p.try_square()?)?.try_sum()?;
        Ok(vec![
            Part {
                name: "n-pair/softmax",
                weight: 1.0,
                value: picks.try_mean()?,
            },
            Part {
                name: "n-pair/lengths",
                weight: self.l2 / 4.0,
                value: squares.try_affine(1.0 / n as f64, 0.0)?,
            },
        ])
    }
}
