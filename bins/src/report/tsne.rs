//! A map of points in many dimensions: t-SNE (van der Maaten and Hinton, 2008).
//!
//! Neighbours in the map are neighbours in space; distances between groups, and their sizes, say
//! little. The exact algorithm, with time and memory in the square of the number of points, for a
//! few thousand. Similarities in space are a matrix product; the start is the plane of the two
//! largest principal components, shrunk (Kobak and Berens, 2019), so that the map is a function of
//! the points alone.
//!
//! With p the similarities in space and w = 1/(1 + |y_i - y_j|²), q = w / Σw, the map minimises
//! KL(p ‖ q) = Σ p log(p/q), whose gradient is
//!
//! ```text
//! dKL/dy_i = 4 Σ_j (p_ij - q_ij) w_ij (y_i - y_j)
//! ```

use anyhow::Result;
use data::metrics::Embeddings;
use data::metrics::scores::{Pairwise, Scores, Similarity};
use engine::{par, rng::Key};

/// How many neighbours a point cares for, roughly.
const PERPLEXITY: f64 = 30.0;
/// Steps in all.
const STEPS: usize = 750;
/// The first steps, in which similarities in space are exaggerated so that groups form.
const EARLY: usize = 250;
const EXAGGERATION: f32 = 12.0;
/// Sums are in as many parts as a vector register holds, in a fixed order.
const LANES: usize = 8;

/// Places in the plane for the rows, by the angles between them.
///
/// # Errors
/// If a number is not finite.
pub fn tsne(rows: Embeddings<'_>) -> Result<Vec<[f32; 2]>> {
    if rows.len() < 4 {
        return Ok((0..rows.len()).map(|i| [i as f32, 0.0]).collect());
    }
    let similarities = similarities(rows, PERPLEXITY.min((rows.len() - 1) as f64 / 3.0));
    Ok(descend(&similarities, start(rows)))
}

/// A symmetric matrix of rows padded with zeros to whole lanes.
struct Similarities {
    values: Vec<f32>,
    count: usize,
    stride: usize,
}

impl Similarities {
    fn row(&self, i: usize) -> &[f32] {
        &self.values[i * self.stride..(i + 1) * self.stride]
    }
}

/// The joint probabilities p, which sum to 1.
fn similarities(rows: Embeddings<'_>, perplexity: f64) -> Similarities {
    let count = rows.len();
    let all: Vec<usize> = (0..count).collect();
    let cosines = Pairwise::among(rows, Similarity::Cosine).block(&all, &all);
    let conditional = par::map(count, |i| {
        let row = &cosines.data()[i * count..(i + 1) * count];
        // |a - b|² of unit vectors.
        let squares: Vec<f64> = row.iter().map(|&c| 2.0 - 2.0 * f64::from(c)).collect();
        neighbourhood(&squares, i, perplexity.ln())
    });
    let stride = count.next_multiple_of(LANES);
    let mut values = vec![0.0; count * stride];
    par::chunks(&mut values, stride, |start, row| {
        let i = start / stride;
        for (j, p) in row[..count].iter_mut().enumerate() {
            *p = ((conditional[i][j] + conditional[j][i]) / (2 * count) as f64) as f32;
        }
    });
    Similarities {
        values,
        count,
        stride,
    }
}

/// Probabilities of all others to be chosen as the neighbour of point `own`, by a Gaussian as wide
/// as makes their entropy `entropy` nats.
fn neighbourhood(squares: &[f64], own: usize, entropy: f64) -> Vec<f64> {
    let others = || (0..squares.len()).filter(|&j| j != own);
    let nearest = others().map(|j| squares[j]).fold(f64::INFINITY, f64::min);
    let weights = |beta: f64| -> Vec<f64> {
        let weight = |j: usize| match j == own {
            true => 0.0,
            false => (-beta * (squares[j] - nearest)).exp(),
        };
        (0..squares.len()).map(weight).collect()
    };
    let (mut low, mut high, mut beta) = (0.0, f64::INFINITY, 1.0);
    for _ in 0..64 {
        let weights = weights(beta);
        let sum: f64 = weights.iter().sum();
        let mean: f64 = others()
            .map(|j| weights[j] * (squares[j] - nearest))
            .sum::<f64>()
            / sum;
        // H = ln Σw + β E[d² - nearest]
        let found = sum.ln() + beta * mean;
        if (found - entropy).abs() < 1e-6 {
            break;
        }
        match found > entropy {
            true => low = beta,
            false => high = beta,
        }
        beta = match high.is_finite() {
            true => 0.5 * (low + high),
            false => 2.0 * beta,
        };
    }
    let weights = weights(beta);
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|w| w / sum).collect()
}

/// The two largest principal components of the unit vectors, with a deviation of 1e-4 along the
/// first.
fn start(rows: Embeddings<'_>) -> [Vec<f32>; 2] {
    let (count, dim) = (rows.len(), rows.dim());
    let mut centred: Vec<Vec<f64>> = (0..count)
        .map(|i| {
            let row: Vec<f64> = rows.row(i).iter().map(|&x| f64::from(x)).collect();
            let length = dot(&row, &row).sqrt().max(f64::MIN_POSITIVE);
            row.iter().map(|x| x / length).collect()
        })
        .collect();
    for k in 0..dim {
        let mean = centred.iter().map(|row| row[k]).sum::<f64>() / count as f64;
        centred.iter_mut().for_each(|row| row[k] -= mean);
    }
    let mut found: Vec<Vec<f64>> = Vec::new();
    for component in 0..2 {
        let mut rng = Key::new(0).named("principal component").at(component).rng();
        let mut axis: Vec<f64> = (0..dim).map(|_| rng.normal()).collect();
        // The power method: a rough axis is good enough for a start.
        for _ in 0..50 {
            for other in &found {
                let along = dot(&axis, other);
                axis.iter_mut()
                    .zip(other)
                    .for_each(|(a, o)| *a -= along * o);
            }
            let length = dot(&axis, &axis).sqrt().max(f64::MIN_POSITIVE);
            axis.iter_mut().for_each(|a| *a /= length);
            let unit = axis.clone();
            axis.fill(0.0);
            for row in &centred {
                let along = dot(row, &unit);
                axis.iter_mut().zip(row).for_each(|(a, x)| *a += along * x);
            }
            if dot(&axis, &axis) < 1e-24 {
                axis = unit;
                break;
            }
        }
        let length = dot(&axis, &axis).sqrt().max(f64::MIN_POSITIVE);
        axis.iter_mut().for_each(|a| *a /= length);
        found.push(axis);
    }
    let along = |axis: &[f64]| {
        centred
            .iter()
            .map(|row| dot(row, axis))
            .collect::<Vec<f64>>()
    };
    let places = [along(&found[0]), along(&found[1])];
    let deviation = (dot(&places[0], &places[0]) / count as f64).sqrt();
    let scale = 1e-4 / deviation.max(1e-12);
    // Points that coincide would stay together for ever.
    let mut rng = Key::new(0).named("start").rng();
    places.map(|side| {
        let place = |x: f64| (x * scale + 1e-6 * rng.normal()) as f32;
        side.into_iter().map(place).collect()
    })
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// What a point feels: attraction and repulsion before it is divided by Σw, and its share of Σw.
#[derive(Clone, Copy, Default)]
struct Force {
    pull: [f32; 2],
    push: [f32; 2],
    sum: f32,
}

/// Gradient descent with momentum and a gain for each coordinate (Jacobs, 1988), as in the authors'
/// programs.
fn descend(similarities: &Similarities, [mut x, mut y]: [Vec<f32>; 2]) -> Vec<[f32; 2]> {
    let (count, stride) = (similarities.count, similarities.stride);
    // Padding stays at the origin; its similarities are 0, and `force` takes back its weight.
    x.resize(stride, 0.0);
    y.resize(stride, 0.0);
    let rate = (count as f32 / EXAGGERATION).max(50.0);
    let mut speed = vec![[0.0f32; 2]; count];
    let mut gain = vec![[1.0f32; 2]; count];
    for step in 0..STEPS {
        let (exaggeration, momentum) = match step < EARLY {
            true => (EXAGGERATION, 0.5),
            false => (1.0, 0.8),
        };
        let gradient = gradient(similarities, &x, &y, exaggeration);
        for (i, gradient) in gradient.iter().enumerate() {
            for (side, place) in [&mut x[i], &mut y[i]].into_iter().enumerate() {
                let (g, v, gain) = (gradient[side], &mut speed[i][side], &mut gain[i][side]);
                *gain = match g * *v < 0.0 {
                    true => *gain + 0.2,
                    false => (*gain * 0.8).max(0.01),
                };
                *v = momentum * *v - rate * *gain * g;
                *place += *v;
            }
        }
    }
    x.into_iter()
        .zip(y)
        .take(count)
        .map(|(x, y)| [x, y])
        .collect()
}

/// The gradient of KL, with p multiplied by `exaggeration`.
fn gradient(similarities: &Similarities, x: &[f32], y: &[f32], exaggeration: f32) -> Vec<[f32; 2]> {
    let forces = par::map(similarities.count, |i| force(similarities, x, y, i));
    let sum: f64 = forces.iter().map(|f| f64::from(f.sum)).sum();
    let push = (1.0 / sum) as f32;
    let of =
        |f: &Force| [0, 1].map(|side| 4.0 * (exaggeration * f.pull[side] - push * f.push[side]));
    forces.iter().map(of).collect()
}

fn force(similarities: &Similarities, x: &[f32], y: &[f32], i: usize) -> Force {
    let (own_x, own_y) = (x[i], y[i]);
    let mut pull = [[0.0f32; LANES]; 2];
    let mut push = [[0.0f32; LANES]; 2];
    let mut sum = [0.0f32; LANES];
    let blocks = similarities.row(i).as_chunks::<LANES>().0.iter();
    let places = x
        .as_chunks::<LANES>()
        .0
        .iter()
        .zip(y.as_chunks::<LANES>().0);
    for (p, (x, y)) in blocks.zip(places) {
        for lane in 0..LANES {
            let (dx, dy) = (own_x - x[lane], own_y - y[lane]);
            let w = 1.0 / (1.0 + dx * dx + dy * dy);
            let (pw, ww) = (p[lane] * w, w * w);
            pull[0][lane] += pw * dx;
            pull[1][lane] += pw * dy;
            push[0][lane] += ww * dx;
            push[1][lane] += ww * dy;
            sum[lane] += w;
        }
    }
    let total = |lanes: [f32; LANES]| lanes.iter().sum::<f32>();
    // The point itself, and the padding, which stands at the origin.
    let padding = (similarities.stride - similarities.count) as f32;
    let w = 1.0 / (1.0 + own_x * own_x + own_y * own_y);
    Force {
        pull: pull.map(total),
        push: [
            total(push[0]) - padding * w * w * own_x,
            total(push[1]) - padding * w * w * own_y,
        ],
        sum: total(sum) - 1.0 - padding * w,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four groups of points around four directions in ten dimensions.
    fn groups(each: usize) -> (Vec<f32>, Vec<usize>) {
        let mut rng = Key::new(5).rng();
        let labels: Vec<usize> = (0..4 * each).map(|i| i % 4).collect();
        let values = labels.iter().flat_map(|&group| {
            let number = |k: usize| f64::from(u8::from(k == 2 * group)) + 0.12 * rng.normal();
            (0..10).map(number).map(|x| x as f32).collect::<Vec<_>>()
        });
        (values.collect(), labels)
    }

    fn divergence(similarities: &Similarities, x: &[f64], y: &[f64]) -> f64 {
        let n = similarities.count;
        let pairs = || {
            (0..n)
                .flat_map(|i| (0..n).map(move |j| (i, j)))
                .filter(|(i, j)| i != j)
        };
        let w =
            |(i, j): (usize, usize)| 1.0 / (1.0 + (x[i] - x[j]).powi(2) + (y[i] - y[j]).powi(2));
        let sum: f64 = pairs().map(w).sum();
        let term = |pair: (usize, usize)| {
            let p = f64::from(similarities.row(pair.0)[pair.1]);
            if p > 0.0 {
                p * (p * sum / w(pair)).ln()
            } else {
                0.0
            }
        };
        pairs().map(term).sum()
    }

    #[test]
    fn the_gradient_is_that_of_the_divergence() {
        let (values, _) = groups(3);
        let rows = Embeddings::new(&values, 10).unwrap();
        let similarities = similarities(rows, 3.0);
        let mut rng = Key::new(2).rng();
        let mut draw = || (0..12).map(|_| rng.normal()).collect::<Vec<f64>>();
        let (mut x, y) = (draw(), draw());
        let padded = |side: &[f64]| {
            let mut side: Vec<f32> = side.iter().map(|&v| v as f32).collect();
            side.resize(similarities.stride, 0.0);
            side
        };
        let found = gradient(&similarities, &padded(&x), &padded(&y), 1.0);
        for i in 0..12 {
            let at = x[i];
            let mut value = |to: f64| {
                x[i] = to;
                divergence(&similarities, &x, &y)
            };
            let difference = (value(at + 1e-5) - value(at - 1e-5)) / 2e-5;
            x[i] = at;
            let gradient = f64::from(found[i][0]);
            assert!(
                (gradient - difference).abs() < 1e-5,
                "{i}: {gradient} {difference}"
            );
        }
    }

    #[test]
    fn similarities_are_symmetric_sum_to_one_and_have_the_perplexity() {
        let (values, _) = groups(10);
        let rows = Embeddings::new(&values, 10).unwrap();
        let all = similarities(rows, 7.0);
        let sum: f64 = all.values.iter().map(|&p| f64::from(p)).sum();
        assert!((sum - 1.0).abs() < 1e-5);
        assert!((0..40).all(|i| (0..40).all(|j| all.row(i)[j] == all.row(j)[i])));
        let squares: Vec<f64> = (0..40).map(|j| f64::from(j) / 10.0).collect();
        let p = neighbourhood(&squares, 3, 7f64.ln());
        let entropy: f64 = p.iter().filter(|p| **p > 0.0).map(|p| -p * p.ln()).sum();
        assert!((entropy.exp() - 7.0).abs() < 1e-3, "{}", entropy.exp());
        assert_eq!(p[3], 0.0);
    }

    #[test]
    fn groups_stay_together_and_apart_on_any_number_of_threads() {
        let (values, labels) = groups(30);
        let rows = Embeddings::new(&values, 10).unwrap();
        let map = tsne(rows).unwrap();
        let square = |a: [f32; 2], b: [f32; 2]| (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2);
        for (i, &at) in map.iter().enumerate() {
            let mut others: Vec<usize> = (0..map.len()).filter(|&j| j != i).collect();
            others.sort_by(|&a, &b| square(at, map[a]).total_cmp(&square(at, map[b])));
            let same = others[..20]
                .iter()
                .filter(|&&j| labels[j] == labels[i])
                .count();
            assert!(
                same >= 19,
                "{same} of the 20 nearest of point {i} are of its group"
            );
        }
        let bits = |map: Vec<[f32; 2]>| {
            map.into_iter()
                .flatten()
                .map(f32::to_bits)
                .collect::<Vec<_>>()
        };
        let again = par::with_threads(3, || tsne(rows).unwrap());
        assert_eq!(bits(map), bits(again));
    }

    #[test]
    fn few_and_equal_points_have_places_too() {
        for count in [0, 1, 3, 4, 9] {
            let values = vec![0.5; count * 3];
            let map = tsne(Embeddings::new(&values, 3).unwrap()).unwrap();
            assert_eq!(map.len(), count);
            assert!(map.iter().flatten().all(|v| v.is_finite()));
        }
    }
}
