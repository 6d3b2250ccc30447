//! Rows dealt into cells, so that a search need not look at all of them: an inverted file, as in
//! J. Sivic and A. Zisserman, "Video Google", ICCV 2003, and the `IVFFlat` of faiss.
//!
//! Cells come from k-means on the rows. A query is compared with the centres of the cells first,
//! and then with the rows in the nearest of them. How many to look into is measured: rows of the
//! gallery itself are looked for, exactly and approximately.
//!
//! Considered but not taken: the graphs (HNSW) of the crates `instant-distance` and `hnsw_rs`. Both
//! insert rows from several threads under locks, so that the graph and what is found depend on
//! their timing even under one seed; and neither can hold a graph from a file to its rules before
//! it walks it. Cells are a function of rows and seed, three plain tensors in a file, and need no
//! more than the matrix product that is there.

use crate::source::DataError;
use anyhow::{Result, bail};
use data::metrics::clustering::kmeans;
use data::metrics::search::{Itself, nearest};
use data::metrics::{Embeddings, Similarity, scores::Pairwise};
use engine::par;
use engine::rng::Key;

/// Rows dealt into cells.
#[derive(Clone, Debug, PartialEq)]
pub struct Cells {
    /// `[C, D]`, each of length one.
    centres: Vec<f32>,
    /// The cell of each row.
    of_rows: Vec<usize>,
    /// The rows of each cell, in order.
    rows: Vec<Vec<u32>>,
    probes: usize,
}

/// What looking into so many cells finds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trial {
    /// Cells looked into.
    pub probes: usize,
    /// The share of the ten nearest rows that was found.
    pub recall: f64,
    /// The share of the gallery that was compared.
    pub compared: f64,
}

/// Rows below which comparing all of them takes no time that anybody could notice.
const LEAST: usize = 256;
/// Rows of each cell that k-means sees; more hardly move its centre.
const SEEN: usize = 64;
/// Rounds of k-means.
const ROUNDS: usize = 10;
/// Queries of a trial.
const QUERIES: usize = 500;
/// Neighbours of each that should be found.
const NEIGHBOURS: usize = 10;

impl Cells {
    /// Deals rows of length one into about as many cells as each cell has rows. A function of the
    /// arguments.
    ///
    /// # Errors
    /// If there are too few rows.
    pub fn new(rows: Embeddings<'_>, recall: f64, seed: u64) -> Result<(Self, Vec<Trial>)> {
        if rows.len() < LEAST {
            bail!(DataError(format!(
                "an approximate gallery: expected {LEAST} rows or more, found {}; leave \
                 --approximate out, every row is compared at once",
                rows.len()
            )));
        }
        let key = Key::new(seed).named("cells");
        let dim = rows.dim();
        let count = (rows.len() as f64).sqrt().round() as usize;
        let mut sample = key.named("sample").rng().permutation(rows.len());
        sample.truncate(SEEN * count);
        let seen: Vec<f32> = sample.iter().flat_map(|&i| rows.row(i).to_vec()).collect();
        let assigned = kmeans(Embeddings::new(&seen, dim)?, count, ROUNDS, seed)?;
        let mut centres = vec![0.0; count * dim];
        for (row, &cell) in seen.chunks_exact(dim).zip(&assigned) {
            let centre = &mut centres[cell * dim..(cell + 1) * dim];
            centre.iter_mut().zip(row).for_each(|(c, &x)| *c += x);
        }
        centres.chunks_exact_mut(dim).for_each(normalise);
        let scores = Pairwise::new(rows, Embeddings::new(&centres, dim)?, Similarity::Cosine)?;
        let found = nearest(&scores, 1, Itself::Keep);
        let of_rows = (0..rows.len()).map(|i| found.of(i)[0].1 as usize).collect();
        let mut cells = Cells::from_parts(centres, of_rows, 1, count);
        let queries = key.named("queries").rng().permutation(rows.len());
        let trials = cells.trials(rows, &queries[..QUERIES.min(rows.len())], recall)?;
        cells.probes = trials[trials.len() - 1].probes;
        Ok((cells, trials))
    }

    /// Cells of these centres `[count, D]`.
    ///
    /// # Panics
    /// If a row is in none of them.
    pub(super) fn from_parts(
        centres: Vec<f32>,
        of_rows: Vec<usize>,
        probes: usize,
        count: usize,
    ) -> Self {
        let mut rows = vec![Vec::new(); count];
        for (row, &cell) in of_rows.iter().enumerate() {
            rows[cell].push(row as u32);
        }
        Cells {
            centres,
            of_rows,
            rows,
            probes,
        }
    }

    /// The number of cells.
    pub fn count(&self) -> usize {
        self.rows.len()
    }

    /// Cells that a search looks into.
    pub fn probes(&self) -> usize {
        self.probes
    }

    pub(super) fn centres(&self) -> &[f32] {
        &self.centres
    }

    pub(super) fn of_rows(&self) -> &[usize] {
        &self.of_rows
    }

    /// Twice as many cells each time, until the recall is reached.
    fn trials(&self, rows: Embeddings<'_>, items: &[usize], recall: f64) -> Result<Vec<Trial>> {
        let queries: Vec<f32> = items.iter().flat_map(|&i| rows.row(i).to_vec()).collect();
        let queries = Embeddings::new(&queries, rows.dim())?;
        let scores = Pairwise::new(queries, rows, Similarity::Cosine)?;
        // Each query finds itself, too, which is no merit.
        let exact = nearest(&scores, NEIGHBOURS + 1, Itself::Keep);
        let mut trials: Vec<Trial> = Vec::new();
        let mut probes = 1;
        loop {
            let found = self.search(rows, queries, NEIGHBOURS + 1, probes);
            let (mut hits, mut wanted) = (0, 0);
            for (q, found) in found.iter().enumerate() {
                let others = exact.of(q).iter().filter(|n| n.1 as usize != items[q]);
                let others: Vec<f32> = others.take(NEIGHBOURS).map(|n| n.0).collect();
                let Some(&last) = others.last() else { continue };
                // Of rows that are equally alike, one is as good as another.
                let near = |n: &&(f32, u32)| n.0 >= last - 1e-6 && n.1 as usize != items[q];
                hits += found.iter().filter(near).count().min(others.len());
                wanted += others.len();
            }
            let trial = Trial {
                probes,
                recall: hits as f64 / wanted.max(1) as f64,
                compared: self.compared(queries, NEIGHBOURS + 1, probes),
            };
            trials.push(trial);
            if trial.recall >= recall || probes == self.count() {
                return Ok(trials);
            }
            probes = (2 * probes).min(self.count());
        }
    }

    /// The share of the rows that a query is compared with, on average.
    fn compared(&self, queries: Embeddings<'_>, k: usize, probes: usize) -> f64 {
        let probed = self.nearest(queries, k, probes);
        let rows = probed.iter().flatten().map(|&c| self.rows[c].len());
        let all = self.of_rows.len() * queries.len();
        rows.sum::<usize>() as f64 / all.max(1) as f64
    }

    /// The `probes` cells whose centres are nearest to each query, the nearest first, and as many
    /// more as it takes to have `k` rows.
    fn nearest(&self, queries: Embeddings<'_>, k: usize, probes: usize) -> Vec<Vec<usize>> {
        let centres = Embeddings::new(&self.centres, queries.dim()).expect("finite, of one size");
        let scores = Pairwise::new(queries, centres, Similarity::Cosine).expect("of one size");
        let ranked = nearest(&scores, self.count(), Itself::Keep);
        let cells = |q| {
            let (mut cells, mut rows) = (Vec::new(), 0);
            for &(_, cell) in ranked.of(q) {
                if cells.len() >= probes && rows >= k {
                    break;
                }
                cells.push(cell as usize);
                rows += self.rows[cell as usize].len();
            }
            cells
        };
        (0..queries.len()).map(cells).collect()
    }

    /// As [`Gallery::search`](super::Gallery::search), in the nearest `probes` cells.
    pub(super) fn search(
        &self,
        rows: Embeddings<'_>,
        queries: Embeddings<'_>,
        k: usize,
        probes: usize,
    ) -> Vec<Vec<(f32, u32)>> {
        let probed = self.nearest(queries, k, probes);
        par::map(queries.len(), |q| {
            let mut query = queries.row(q).to_vec();
            normalise(&mut query);
            let items = probed[q].iter().flat_map(|&cell| &self.rows[cell]);
            let score = |&row: &u32| (dot(&query, rows.row(row as usize)), row);
            let mut found: Vec<(f32, u32)> = items.map(score).collect();
            let before = |a: &(f32, u32), b: &(f32, u32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
            if found.len() > k {
                found.select_nth_unstable_by(k, before);
                found.truncate(k);
            }
            found.sort_unstable_by(before);
            found
        })
    }
}

/// Divides a vector by its length, unless that is 0, or 1 but for rounding: what has been
/// normalised stays as it is.
pub(super) fn normalise(row: &mut [f32]) {
    let square: f64 = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    if square > 0.0 && (square - 1.0).abs() > 1e-6 {
        let length = square.sqrt();
        row.iter_mut()
            .for_each(|x| *x = (f64::from(*x) / length) as f32);
    }
}

/// The inner product, in eight sums that the compiler keeps in one register.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    let mut sums = [0.0f32; 8];
    for (a, b) in a.iter().zip(b) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}
