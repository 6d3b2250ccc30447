//! A folder as its names show it.

use crate::error::{Error, Result};
use crate::formats::{list, reid};
use std::path::Path;

/// What can be seen of a folder from its top.
pub(super) struct Look<'a> {
    pub(super) root: &'a Path,
    /// Names of files.
    pub(super) names: Vec<String>,
    pub(super) subfolders: Vec<String>,
}

impl<'a> Look<'a> {
    /// Names that are looked at where all of them are said to be alike.
    const SAMPLE: usize = 20;
    /// Folders that may hold data sets rather than classes, at most.
    pub(super) const FEW: usize = 8;

    pub(super) fn new(root: &'a Path) -> Result<Self> {
        let mut look = Look {
            root,
            names: Vec::new(),
            subfolders: Vec::new(),
        };
        for (name, is_folder) in list::entries(root, "")? {
            match is_folder {
                _ if name.starts_with('.') => {}
                true => look.subfolders.push(name),
                false => look.names.push(name),
            }
        }
        Ok(look)
    }

    /// All of these files.
    pub(super) fn files(&self, names: &[&str]) -> Option<Vec<String>> {
        let all = names.iter().all(|name| self.root.join(name).is_file());
        let kind = if names.len() == 1 { "file" } else { "files" };
        all.then(|| vec![format!("the {kind} {}", names.join(", "))])
    }

    /// All of these folders.
    pub(super) fn folders(&self, names: &[&str]) -> Option<Vec<String>> {
        let all = names.iter().all(|name| self.root.join(name).is_dir());
        all.then(|| vec![format!("the folders {}", names.join(", "))])
    }

    /// The first names of images directly in a folder.
    fn sample(&self, folder: &str) -> Vec<String> {
        let found = list::images(self.root, folder, false).unwrap_or_default();
        let names = found.images.iter().map(|path| list::basename(path));
        names.take(Self::SAMPLE).map(String::from).collect()
    }

    /// The folders of a layout, with names of its kind in the first one that has images.
    pub(super) fn layout(&self, layout: &reid::Layout) -> Option<Vec<String>> {
        let mut signs = self.folders(layout.folders())?;
        let samples = layout.folders().iter().map(|folder| self.sample(folder));
        let sample = samples.into_iter().find(|sample| !sample.is_empty())?;
        signs.push(format!("names like {}", sample[0]));
        sample.iter().all(|name| layout.fits(name)).then_some(signs)
    }

    /// Nothing but folders for which all sampled images fit.
    pub(super) fn each_folder(
        &self,
        fits: fn(&str, &str) -> bool,
        sign: &str,
    ) -> Option<Vec<String>> {
        let folders = self.subfolders.iter().take(Self::SAMPLE);
        let mut seen = 0;
        for folder in folders {
            let sample = self.sample(folder);
            if !sample.iter().all(|image| fits(folder, image)) {
                return None;
            }
            seen += sample.len();
        }
        (seen > 0).then(|| vec![sign.to_string()])
    }

    /// Folders of which one of the first has an image, at whatever depth.
    pub(super) fn with_images(&self) -> Option<Vec<String>> {
        let image = self
            .subfolders
            .iter()
            .take(Self::SAMPLE)
            .find_map(|folder| {
                let found = list::images(self.root, folder, true).ok()?;
                found.images.into_iter().next()
            })?;
        let others = self.subfolders.len() - 1;
        Some(vec![format!(
            "images in folders, such as {image}, and {others} more folders"
        )])
    }

    pub(super) fn unknown(&self) -> Error {
        let shown = self.subfolders.iter().chain(&self.names).take(6);
        let mut found = shown.cloned().collect::<Vec<_>>().join(", ");
        let more = (self.subfolders.len() + self.names.len()).saturating_sub(6);
        if found.is_empty() {
            found = "an empty folder".into();
        } else if more > 0 {
            found = format!("{found} and {more} more");
        }
        let image = (self.subfolders.iter()).find_map(|f| self.sample(f).into_iter().next());
        if let Some(image) = image {
            found = format!("{found}, with images like {image}");
        }
        let is_archive = |name: &&String| {
            let kinds = [".zip", ".tar", ".tgz", ".gz", ".7z", ".rar"];
            kinds.iter().any(|kind| name.ends_with(kind))
        };
        let help = match self.names.iter().find(is_archive) {
            Some(archive) => format!("unpack {archive}, and name the folder it made"),
            None => "name the folder that directly holds them, or state the format".into(),
        };
        Error::invalid(
            format!("data in {}", self.root.display()),
            "the files of a known data set, or a folder of images for each class",
            found,
            help,
        )
    }
}
