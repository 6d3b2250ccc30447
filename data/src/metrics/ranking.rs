//! Figures of one ranked list, and the definitions that disagree.
//!
//! A list is given by the ranks of its relevant items: 1-based, ascending, all of them. With R = 4
//! relevant items at ranks 1, 2, 4 and 7:
//!
//! | function | value | also computed by |
//! |---|---|---|
//! | [`average_precision`] | 0.830357 | torchreid, fast-reid, reid-strong-baseline |
//! | [`average_precision_trapezoid`] | 0.811012 | the official code of Oxford5k, Market-1501 and VeRi-776 |
//! | [`average_precision_at_r`] | 0.687500 | pytorch-metric-learning |
//! | [`average_precision_of_found`] at 5 | 0.916667 | open-metric-learning (`calc_map`) |
//! | [`r_precision`] | 0.750000 | pytorch-metric-learning |
//! | [`inverse_negative_penalty`] | 0.571429 | fast-reid |
//!
//! ```
//! use data::metrics::ranking::*;
//! let ranks = [1, 2, 4, 7];
//! let near = |x: f64, y: f64| (x - y).abs() < 5e-7;
//! assert!(near(average_precision(&ranks), 0.830357));
//! assert!(near(average_precision_trapezoid(&ranks), 0.811012));
//! assert!(near(average_precision_at_r(&ranks), 0.687500));
//! assert!(near(average_precision_of_found(&ranks, 5), 0.916667));
//! assert!(near(r_precision(&ranks), 0.750000));
//! assert!(near(inverse_negative_penalty(&ranks), 0.571429));
//! ```
//!
//! Without any relevant item all of them are NaN: there is nothing to find.

/// The mean, over the relevant items, of the precision at their ranks: the area under the
/// precision-recall curve by the rectangles to the left of each hit.
pub fn average_precision(ranks: &[usize]) -> f64 {
    precisions(ranks).sum::<f64>() / ranks.len() as f64
}

/// The area under the precision-recall curve by trapezoids: each hit counts with the mean of the
/// precision at its rank and at the rank before, which is 1 before the first rank. About a point
/// of mAP below [`average_precision`] on person re-identification.
pub fn average_precision_trapezoid(ranks: &[usize]) -> f64 {
    let before = |hits: usize, rank: usize| match rank {
        1 => 1.0,
        _ => hits as f64 / (rank - 1) as f64,
    };
    let areas = ranks.iter().enumerate().map(|(hits, &rank)| {
        let here = (hits + 1) as f64 / rank as f64;
        0.5 * (before(hits, rank) + here)
    });
    areas.sum::<f64>() / ranks.len() as f64
}

/// The average precision of a list cut after R ranks, divided by R: K. Musgrave et al., "A Metric
/// Learning Reality Check", ECCV 2020. Its mean over queries is MAP@R.
pub fn average_precision_at_r(ranks: &[usize]) -> f64 {
    let relevant = ranks.len();
    let found = within(ranks, relevant);
    precisions(found).sum::<f64>() / relevant as f64
}

/// The average precision of a list cut after `k` ranks, divided by the hits found in it; 0 if
/// there are none. It rewards finding less: one hit at rank 1 and no other makes 1.
pub fn average_precision_of_found(ranks: &[usize], k: usize) -> f64 {
    match (ranks, within(ranks, k)) {
        ([], _) => f64::NAN,
        (_, []) => 0.0,
        (_, found) => average_precision(found),
    }
}

/// The share of relevant items among the first R.
pub fn r_precision(ranks: &[usize]) -> f64 {
    precision_at(ranks, ranks.len())
}

/// The share of relevant items among the first `k`; NaN for `k` = 0.
pub fn precision_at(ranks: &[usize], k: usize) -> f64 {
    match ranks {
        [] => f64::NAN,
        _ => within(ranks, k).len() as f64 / k as f64,
    }
}

/// R divided by the rank of the last relevant item: M. Ye et al., "Deep Learning for Person
/// Re-Identification: A Survey and Outlook", TPAMI 2021. Its mean over queries is mINP: how much
/// of what a human looks through, until everything is found, is worth looking at.
pub fn inverse_negative_penalty(ranks: &[usize]) -> f64 {
    match ranks.last() {
        Some(&last) => ranks.len() as f64 / last as f64,
        None => f64::NAN,
    }
}

/// The precision at the rank of each hit.
fn precisions(ranks: &[usize]) -> impl Iterator<Item = f64> {
    let hits = ranks.iter().enumerate();
    hits.map(|(before, &rank)| (before + 1) as f64 / rank as f64)
}

fn within(ranks: &[usize], k: usize) -> &[usize] {
    &ranks[..ranks.partition_point(|&rank| rank <= k)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn perfect_lists_are_1_and_the_worst_are_small() {
        let all = [
            average_precision,
            average_precision_trapezoid,
            average_precision_at_r,
            r_precision,
            inverse_negative_penalty,
        ];
        for figure in all {
            assert_eq!(figure(&[1, 2, 3]), 1.0);
            assert!(figure(&[98, 99, 100]) <= 0.03);
            assert!(figure(&[]).is_nan());
        }
        // Only what is within the first R counts.
        assert_eq!(average_precision_at_r(&[1, 3]), 0.5);
        assert_eq!(average_precision_of_found(&[1, 99], 5), 1.0);
        assert_eq!(average_precision_of_found(&[6], 5), 0.0);
        assert!(average_precision_of_found(&[], 5).is_nan());
        assert_eq!(precision_at(&[1, 3, 9], 4), 0.5);
    }

    /// The trapezoid against its definition, rank by rank along the whole list.
    #[test]
    fn trapezoids_add_up_along_the_list() {
        let ranks = [2, 3, 7, 11];
        let (mut area, mut hits, mut recall, mut precision) = (0.0, 0.0, 0.0, 1.0);
        for rank in 1..=12 {
            hits += f64::from(u8::from(ranks.contains(&rank)));
            let (r, p) = (hits / 4.0, hits / rank as f64);
            area += (r - recall) * (precision + p) / 2.0;
            (recall, precision) = (r, p);
        }
        assert!((average_precision_trapezoid(&ranks) - area).abs() < 1e-15);
    }
}
