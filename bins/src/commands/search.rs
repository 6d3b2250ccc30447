//! `hypersphere search`: what of a gallery is most like some pictures.

mod page;

use super::embed::embed;
use crate::cli::embeddings::Search;
use crate::config::ConfigError;
use crate::embedder::{Embedder, Item, checkpoint_of, sha256};
use crate::features::gallery::Gallery;
use crate::features::{Features, FeaturesError, Origin};
use crate::files;
use anyhow::{Result, bail};
use page::Page;
use serde::Serialize;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// What was found for a query.
#[derive(Debug, Serialize)]
struct Answer {
    query: String,
    class: Option<String>,
    found: Vec<Neighbour>,
}

/// A row of the gallery.
#[derive(Debug, Serialize)]
struct Neighbour {
    rank: usize,
    cosine: f32,
    /// The place in the gallery, from 0.
    row: usize,
    name: Option<String>,
    class: Option<String>,
}

/// The last part of a path.
fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

/// Searches as the options say.
///
/// # Errors
/// If the gallery or its checkpoint cannot be read, or no query can.
pub fn run(options: &Search) -> Result<()> {
    options.threads.set()?;
    let gallery = Gallery::read(&options.gallery)?;
    let embedder = network(&gallery, options)?;
    let items = embedder.items(&options.images)?;
    let outcome = embed(&embedder, &items)?;
    let queries: Vec<&Item> = outcome.places.iter().map(|&i| &items[i]).collect();
    let itself = match options.others {
        true => of_same_file(gallery.features(), &queries, embedder.origin()),
        false => vec![Vec::new(); queries.len()],
    };
    let more = itself.iter().map(Vec::len).max().unwrap_or(0);
    let vectors = &outcome.features.vectors;
    let found = gallery.search(vectors, options.k + more, options.exact)?;
    let answer = |(q, found): (usize, &Vec<(f32, u32)>)| {
        let others = found
            .iter()
            .filter(|n| !itself[q].contains(&(n.1 as usize)));
        let others = others.take(options.k).enumerate();
        let neighbour = |(place, &(cosine, row)): (usize, &(f32, u32))| Neighbour {
            rank: place + 1,
            cosine,
            row: row as usize,
            name: gallery.features().names.get(row as usize).cloned(),
            class: gallery.features().class(row as usize).map(String::from),
        };
        Answer {
            query: queries[q].name.clone(),
            class: queries[q].class.clone(),
            found: others.map(neighbour).collect(),
        }
    };
    let answers: Vec<Answer> = found.iter().enumerate().map(answer).collect();
    if let Some(path) = &options.html {
        let page = Page {
            // Its own name: where it lies on this machine is nobody's business.
            title: format!("Neighbours in {}", name_of(&options.gallery)),
            answers: &answers,
            kind: embedder.kind(),
            queries_from: &embedder.origin().folder,
            gallery_from: gallery.features().origin.as_ref().map(|o| &*o.folder),
        };
        files::write(path, page.html())?;
    }
    match options.json {
        true => println!("{}", serde_json::to_string_pretty(&answers)?),
        false => answers.iter().for_each(print),
    }
    if let (Some(path), false) = (&options.html, options.json) {
        println!("{}", path.display());
    }
    Ok(())
}

fn print(answer: &Answer) {
    let class = |class: &Option<String>| class.clone().unwrap_or_default();
    let line = format!("{}  {}", answer.query, class(&answer.class));
    println!("{}", line.trim_end());
    let names: Vec<String> = answer.found.iter().map(Neighbour::shown).collect();
    let width = names.iter().map(|name| name.chars().count()).max();
    let width = width.unwrap_or(0).max("name".len());
    let line = |rank: &str, cosine: &str, name: &str, class: &str| {
        let line = format!("  {rank:>4}  {cosine:>6}  {name:<width$}  {class}");
        println!("{}", line.trim_end());
    };
    let any_class = answer.found.iter().any(|n| n.class.is_some());
    line(
        "rank",
        "cosine",
        "name",
        if any_class { "class" } else { "" },
    );
    for (n, name) in answer.found.iter().zip(&names) {
        let (rank, cosine) = (n.rank.to_string(), format!("{:.3}", n.cosine));
        line(&rank, &cosine, name, &class(&n.class));
    }
}

impl Neighbour {
    /// Its name, or else its place.
    fn shown(&self) -> String {
        let name = self.name.clone();
        name.unwrap_or_else(|| format!("row {}", self.row))
    }
}

/// The network that the gallery was made with: where it was, or where the user says it is now.
fn network(gallery: &Gallery, options: &Search) -> Result<Embedder> {
    let idx = options.gallery.display();
    let origin = gallery.features().origin.as_ref();
    let checkpoint = match (&options.checkpoint, origin) {
        (Some(what), _) => checkpoint_of(what, false)?,
        (None, Some(origin)) => origin.checkpoint.clone(),
        (None, None) => bail!(ConfigError(format!(
            "{idx}: does not say which network made it; name it with --checkpoint"
        ))),
    };
    if !checkpoint.is_file() {
        bail!(ConfigError(format!(
            "{idx}: was made with {}, which is not there; say with --checkpoint where it is now",
            checkpoint.display()
        )));
    }
    if let Some(Origin { sha256: wanted, .. }) = origin
        && *wanted != sha256(&checkpoint)?
    {
        bail!(ConfigError(format!(
            "{idx}: was not made with {} as it is now (another SHA-256), so their embeddings have \
             nothing in common; find the old file and name it with --checkpoint, or `embed` and \
             `index` again",
            checkpoint.display()
        )));
    }
    let embedder = Embedder::open(&checkpoint, origin.is_some_and(|origin| origin.flip))?;
    let (found, wanted) = (embedder.trained().net.embedding_dim, gallery.features().dim);
    if found != wanted {
        bail!(FeaturesError::Format {
            path: options.gallery.clone(),
            place: "`features`".into(),
            expected: format!("{found} numbers each, as {} makes", checkpoint.display()),
            found: wanted.to_string(),
        });
    }
    Ok(embedder)
}

/// The rows of the gallery that are of the file of each query.
fn of_same_file(gallery: &Features, queries: &[&Item], now: &Origin) -> Vec<Vec<usize>> {
    let then = gallery.origin.as_ref().unwrap_or(now);
    let mut rows: HashMap<PathBuf, Vec<usize>> = HashMap::new();
    for (row, name) in gallery.names.iter().enumerate() {
        rows.entry(then.folder.join(name)).or_default().push(row);
    }
    let of = |item: &&Item| {
        let path = now.folder.join(Path::new(&item.name));
        rows.get(&path).cloned().unwrap_or_default()
    };
    queries.iter().map(of).collect()
}
