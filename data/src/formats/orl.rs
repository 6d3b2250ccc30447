//! ORL: 40 people, ten grey pictures of each.

use super::list::{self, Scan};
use crate::error::Result;
use crate::manifest::{Entry, Manifest, Split, Survey};
use std::collections::BTreeSet;
use std::path::Path;

/// Reads the ORL faces (AT&T Laboratories Cambridge): `s1/1.pgm` to `s40/10.pgm`, 92 x 112
/// pixels. There is no official split; the first `train_people` people are for training and the
/// others, never seen, for testing.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) if a folder cannot be read;
/// [`Error::Invalid`](crate::Error::Invalid) for an image that is not named like `s1/1.pgm`.
pub fn read(root: impl AsRef<Path>, train_people: u32) -> Result<Survey> {
    let root = root.as_ref();
    let mut entries = Vec::new();
    let mut ignored = 0;
    for folder in list::folders(root, "")? {
        let mut scan = Scan(&folder);
        let person = scan.literal("s").and_then(|()| scan.number(1, 2));
        let Some(person) = person.filter(|_| scan.0.is_empty()) else {
            continue;
        };
        let found = list::images(root, &folder, false)?;
        ignored += found.ignored;
        for path in found.images {
            let mut scan = Scan(list::basename(&path));
            let image = scan.number(1, 2).filter(|_| scan.0.starts_with('.'));
            let image = image.ok_or_else(|| list::bad_name(&path, "s1/1.pgm"))?;
            let split = if person <= train_people {
                Split::Train
            } else {
                Split::Test
            };
            entries.push((person, image, Entry::new(path.clone(), &folder, split)));
        }
    }
    // By number: s2 before s10.
    entries.sort_by_key(|&(person, image, _)| (person, image));
    let entries: Vec<Entry> = entries.into_iter().map(|(_, _, entry)| entry).collect();
    let people: BTreeSet<&String> = entries.iter().map(|e| &e.label).collect();
    Ok(Survey {
        counts: vec![
            list::count("images", 400, entries.len()),
            list::count("people", 40, people.len()),
        ],
        manifest: Manifest {
            name: "ORL".into(),
            root: root.into(),
            entries,
        },
        ignored,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::list::tests::touch;

    #[test]
    fn people_of_orl_are_in_order_and_apart() {
        let root = tempfile::tempdir().unwrap();
        touch(
            root.path(),
            ["s10/1.pgm", "s2/10.pgm", "s2/9.pgm", "README", "sx/1.pgm"],
        );
        let survey = read(root.path(), 5).unwrap();
        let found: Vec<_> = survey
            .manifest
            .entries
            .iter()
            .map(|e| (&e.path[..], e.split))
            .collect();
        let (train, test) = (Split::Train, Split::Test);
        assert_eq!(
            found,
            [
                ("s2/9.pgm", train),
                ("s2/10.pgm", train),
                ("s10/1.pgm", test)
            ]
        );
        assert_eq!(survey.counts[1], list::count("people", 40, 2));
        touch(root.path(), ["s3/face.pgm"]);
        assert!(
            read(root.path(), 5)
                .unwrap_err()
                .to_string()
                .contains("s3/face.pgm")
        );
    }
}
