//! What the readers share: folders in order, lists of lines, names taken apart.

use crate::error::{Error, Result};
use crate::manifest::Count;
use crate::metrics::retrieval::JUNK_LABEL;
use std::fs;
use std::path::Path;

/// Files of a kind below a folder.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Paths from the root, with `/`, in byte order.
    pub(super) images: Vec<String>,
    /// Files of other kinds.
    pub(super) ignored: usize,
}

/// Folders within folders, at most: a link that leads back up ends here.
const DEEPEST: usize = 16;

/// What a file is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// JPEG, PNG, PGM, PPM, PBM, BMP, WebP.
    Picture,
    /// WAV.
    Recording,
}

impl Kind {
    fn is_of(self, name: &str) -> bool {
        match self {
            Kind::Picture => is_image(name),
            Kind::Recording => name.to_ascii_lowercase().ends_with(".wav"),
        }
    }
}

/// The files of a kind in a folder and all folders below it, as paths from the folder with `/`
/// between names, in byte order. What is hidden, or of another kind, is passed over.
///
/// # Errors
/// [`Error::Io`] if a folder cannot be read; [`Error::Invalid`] for a name that is not UTF-8.
pub fn files(root: impl AsRef<Path>, kind: Kind) -> Result<Vec<String>> {
    let mut listing = Listing::default();
    walk(root.as_ref(), "", DEEPEST, kind, &mut listing)?;
    listing.images.sort_unstable();
    Ok(listing.images)
}

/// The images in `root/folder`, and in the folders below it if `deep`.
pub(super) fn images(root: &Path, folder: &str, deep: bool) -> Result<Listing> {
    let mut listing = Listing::default();
    let deeper = if deep { DEEPEST } else { 0 };
    walk(root, folder, deeper, Kind::Picture, &mut listing)?;
    listing.images.sort_unstable();
    Ok(listing)
}

fn walk(root: &Path, folder: &str, deeper: usize, kind: Kind, listing: &mut Listing) -> Result<()> {
    for (name, is_folder) in entries(root, folder)? {
        // What starts with a dot belongs to a system, not to a data set.
        if name.starts_with('.') {
            continue;
        }
        let path = join(folder, &name);
        match (is_folder, deeper) {
            (true, 0) => {}
            (true, _) => walk(root, &path, deeper - 1, kind, listing)?,
            (false, _) if kind.is_of(&name) => listing.images.push(path),
            (false, _) => listing.ignored += 1,
        }
    }
    Ok(())
}

/// The folders in `root/folder`, in byte order.
pub(super) fn folders(root: &Path, folder: &str) -> Result<Vec<String>> {
    let all = entries(root, folder)?.into_iter();
    let named = all.filter(|(name, is_folder)| *is_folder && !name.starts_with('.'));
    Ok(named.map(|(name, _)| name).collect())
}

/// Names in a folder, in byte order, and whether they are folders themselves.
pub(super) fn entries(root: &Path, folder: &str) -> Result<Vec<(String, bool)>> {
    let path = root.join(folder);
    let refuse = |e| Error::io(&path, e);
    let mut found = Vec::new();
    for entry in fs::read_dir(&path).map_err(refuse)? {
        let entry = entry.map_err(refuse)?;
        let Ok(name) = entry.file_name().into_string() else {
            return Err(Error::invalid(
                format!("a name in {}", path.display()),
                "a name in UTF-8",
                entry.file_name().to_string_lossy(),
                "rename the file",
            ));
        };
        // Follows links, as data sets are often linked together.
        let is_folder = fs::metadata(entry.path()).map_err(refuse)?.is_dir();
        found.push((name, is_folder));
    }
    found.sort_unstable();
    Ok(found)
}

pub(super) fn join(folder: &str, name: &str) -> String {
    match folder {
        "" => name.to_string(),
        _ => format!("{folder}/{name}"),
    }
}

/// The part of a path behind the last `/`.
pub(super) fn basename(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn is_image(name: &str) -> bool {
    const KINDS: [&str; 8] = ["jpg", "jpeg", "png", "pgm", "ppm", "pbm", "bmp", "webp"];
    let kind = name
        .rsplit_once('.')
        .map(|(_, kind)| kind.to_ascii_lowercase());
    kind.is_some_and(|kind| KINDS.contains(&kind.as_str()))
}

/// The lines of a text file with their numbers from 1, but for blank ones. Names written on
/// other systems may not be UTF-8: what is not becomes a replacement character.
pub(super) fn lines(path: &Path) -> Result<Vec<(u64, String)>> {
    let bytes = fs::read(path).map_err(|e| Error::io(path, e))?;
    let text = String::from_utf8_lossy(&bytes);
    let numbered = (1..).zip(text.lines().map(|line| line.trim_end().to_string()));
    Ok(numbered
        .filter(|(_, line)| !line.trim().is_empty())
        .collect())
}

/// An error about one line of a list.
pub(super) fn bad_line(path: &Path, line: u64, expected: &str, found: &str) -> Error {
    Error::Line {
        file: path.display().to_string(),
        line,
        expected: expected.into(),
        found: format!("{found:?}"),
        hint: "use the file as its authors published it".into(),
    }
}

/// An error about the name of an image.
pub(super) fn bad_name(path: &str, pattern: &str) -> Error {
    Error::invalid(
        format!("name of {path}"),
        format!("a name like {pattern}"),
        basename(path),
        "remove the file from the folder, or choose the layout it belongs to",
    )
}

/// A count of the official table.
pub(super) fn count(what: &str, official: usize, found: usize) -> Count {
    Count {
        what: what.into(),
        official,
        found,
    }
}

/// A text that is taken apart from its start.
#[derive(Clone, Copy)]
pub(super) struct Scan<'a>(pub(super) &'a str);

impl<'a> Scan<'a> {
    /// Takes `text`, if it comes next.
    pub(super) fn literal(&mut self, text: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(text)?;
        Some(())
    }

    /// Takes decimal digits: as many as there are, which must be at least `least` and at most
    /// `most`.
    pub(super) fn digits(&mut self, least: usize, most: usize) -> Option<&'a str> {
        let end = self
            .0
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(self.0.len());
        let (digits, rest) = self.0.split_at(end);
        self.0 = rest;
        (least..=most).contains(&end).then_some(digits)
    }

    /// Takes digits as a number.
    pub(super) fn number(&mut self, least: usize, most: usize) -> Option<u32> {
        self.digits(least, most)?.parse().ok()
    }

    /// Takes an identity: digits, or the label of junk.
    pub(super) fn identity(&mut self, least: usize, most: usize) -> Option<&'a str> {
        match self.0.strip_prefix(JUNK_LABEL) {
            Some(rest) if !rest.starts_with(|c: char| c.is_ascii_digit()) => {
                self.0 = rest;
                Some(JUNK_LABEL)
            }
            _ => self.digits(least, most),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::manifest::Survey;

    /// Writes empty files, with the folders they need.
    pub(in crate::formats) fn touch<P: AsRef<str>>(
        root: &Path,
        paths: impl IntoIterator<Item = P>,
    ) {
        for path in paths {
            write(root, path.as_ref(), "");
        }
    }

    /// The paths of all entries.
    pub(in crate::formats) fn paths(survey: &Survey) -> Vec<&str> {
        let entries = survey.manifest.entries.iter();
        entries.map(|entry| entry.path.as_str()).collect()
    }

    /// Asserts that the error tells all these parts.
    #[track_caller]
    pub(in crate::formats) fn refused(result: Result<impl Sized>, parts: &[&str]) {
        let message = result.err().expect("an error").to_string();
        for part in parts {
            assert!(message.contains(part), "`{part}` is missing in: {message}");
        }
    }

    pub(in crate::formats) fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn images_come_in_byte_order_whatever_lies_beside_them() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        touch(
            root,
            [
                "b/2.JPG",
                "b/10.png",
                "a.jpeg",
                "b/Thumbs.db",
                "b/.x.png",
                "c/d/e.webp",
            ],
        );
        let found = images(root, "", true).unwrap();
        assert_eq!(
            found.images,
            ["a.jpeg", "b/10.png", "b/2.JPG", "c/d/e.webp"]
        );
        assert_eq!(found.ignored, 1);
        assert_eq!(files(root, Kind::Picture).unwrap(), found.images);
        touch(root, ["b/z.WAV", "b/.y.wav"]);
        assert_eq!(files(root, Kind::Recording).unwrap(), ["b/z.WAV"]);
        assert_eq!(
            images(root, "b", false).unwrap().images,
            ["b/10.png", "b/2.JPG"]
        );
        assert_eq!(folders(root, "").unwrap(), ["b", "c"]);
        let message = images(root, "z", true).unwrap_err().to_string();
        assert!(message.contains("z: cannot be read"), "{message}");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_itself_comes_to_an_end() {
        let root = tempfile::tempdir().unwrap();
        touch(root.path(), ["a/1.png"]);
        std::os::unix::fs::symlink(root.path().join("a"), root.path().join("a/again")).unwrap();
        assert_eq!(
            images(root.path(), "a", true).unwrap().images.len(),
            DEEPEST + 1
        );
    }

    #[test]
    fn names_are_taken_apart_or_refused() {
        let mut scan = Scan("0012_c3");
        assert_eq!(scan.digits(4, 4), Some("0012"));
        assert_eq!(scan.literal("_c"), Some(()));
        assert_eq!(scan.number(1, 2), Some(3));
        assert_eq!(Scan("00123").digits(4, 4), None);
        assert_eq!(Scan("x").number(1, 9), None);
        assert_eq!(Scan("-1_c").identity(4, 4), Some("-1"));
        assert_eq!(Scan("-12").identity(1, 4), None);
    }
}
