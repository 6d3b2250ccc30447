//! Many small pictures in one: each is stored once, however often it is shown.

use super::tested::Tested;
use crate::html::{data_uri, escape};
use anyhow::{Context, Result};
use engine::par;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{DynamicImage, GenericImage, GrayImage, ImageEncoder, RgbImage};
use std::collections::HashMap;

/// Pictures in a row of the sheet.
const COLUMNS: usize = 40;
/// Bytes from which on a sheet is stored with loss.
const LARGE: usize = 1 << 20;

/// A sheet in the making: places are handed out first, pictures are read at the end.
pub struct Sheet {
    /// The class of elements that show a picture of it.
    name: &'static str,
    /// The longest side of a picture that is stored, px.
    side: usize,
    order: Vec<usize>,
    places: HashMap<usize, usize>,
}

impl Sheet {
    /// An empty sheet of pictures that are at most `side` px wide and high.
    pub fn new(name: &'static str, side: usize) -> Self {
        Sheet {
            name,
            side,
            order: Vec::new(),
            places: HashMap::new(),
        }
    }

    /// Column and row of an example, which is added if it is new.
    pub fn place(&mut self, example: usize) -> [usize; 2] {
        let order = &mut self.order;
        let place = *self.places.entry(example).or_insert_with(|| {
            order.push(example);
            order.len() - 1
        });
        [place % COLUMNS, place / COLUMNS]
    }

    /// An element that shows an example; `classes` are more classes of it, `text` says what is to
    /// be seen.
    pub fn picture(&mut self, example: usize, classes: &str, text: &str) -> String {
        let ([c, r], name, text) = (self.place(example), self.name, escape(text));
        format!(
            "<span class=\"pic {name} {classes}\" style=\"--c:{c};--r:{r}\" role=\"img\" \
             aria-label=\"{text}\" title=\"{text}\"></span>"
        )
    }

    /// The rule that makes such elements show their pictures, `width` px wide at the most; empty if
    /// there are none.
    ///
    /// # Errors
    /// If an example cannot be read.
    pub fn style(&self, tested: &Tested, width: usize) -> Result<String> {
        if self.order.is_empty() {
            return Ok(String::new());
        }
        let [height, wide] = tested.size();
        let shrink = (self.side as f64 / height.max(wide) as f64).min(1.0);
        let [h, w] = [height, wide].map(|n| ((n as f64 * shrink).round() as u32).max(1));
        let pictures = par::map(self.order.len(), |i| {
            let picture = tested.picture(self.order[i])?;
            Ok(match shrink < 1.0 {
                true => picture.thumbnail_exact(w, h),
                false => picture,
            })
        });
        let pictures = pictures.into_iter().collect::<Result<Vec<_>>>()?;
        let rows = self.order.len().div_ceil(COLUMNS);
        let (kind, bytes) = encoded(&pictures, [w, h], rows)?;
        // Steps of a background are shares of what is left beside one picture.
        let step = |n: usize| 100.0 / (n.max(2) - 1) as f64;
        let pixelated = match h.max(w) < 40 {
            true => "image-rendering:pixelated;",
            false => "",
        };
        let width = (width as f64 * (f64::from(w) / f64::from(h)).min(1.0)).round();
        Ok(format!(
            ".{}{{width:{width}px;aspect-ratio:{w}/{h};box-sizing:content-box;{pixelated}\
             background-size:{}% {}%;background-position:calc(var(--c)*{:.5}%) \
             calc(var(--r)*{:.5}%);background-image:url({})}}\n",
            self.name,
            COLUMNS * 100,
            rows * 100,
            step(COLUMNS),
            step(rows),
            data_uri(kind, &bytes)
        ))
    }
}

/// All pictures as one file: PNG, or JPEG where that takes too much.
fn encoded(
    pictures: &[DynamicImage],
    [w, h]: [u32; 2],
    rows: usize,
) -> Result<(&'static str, Vec<u8>)> {
    let size = [COLUMNS as u32 * w, rows as u32 * h];
    let grey = pictures
        .iter()
        .all(|p| matches!(p, DynamicImage::ImageLuma8(_)));
    let mut sheet = match grey {
        true => DynamicImage::from(GrayImage::new(size[0], size[1])),
        false => DynamicImage::from(RgbImage::new(size[0], size[1])),
    };
    for (i, picture) in pictures.iter().enumerate() {
        let at = [(i % COLUMNS) as u32 * w, (i / COLUMNS) as u32 * h];
        match &mut sheet {
            DynamicImage::ImageLuma8(sheet) => sheet.copy_from(&picture.to_luma8(), at[0], at[1]),
            DynamicImage::ImageRgb8(sheet) => sheet.copy_from(&picture.to_rgb8(), at[0], at[1]),
            _ => unreachable!("a sheet is grey or in colour"),
        }
        .context("laying out pictures")?;
    }
    let (mut png, mut jpeg) = (Vec::new(), Vec::new());
    let encoder =
        PngEncoder::new_with_quality(&mut png, CompressionType::Best, FilterType::Adaptive);
    let (bytes, colour) = (sheet.as_bytes(), sheet.color().into());
    encoder
        .write_image(bytes, size[0], size[1], colour)
        .context("writing pictures")?;
    if png.len() <= LARGE {
        return Ok(("image/png", png));
    }
    let encoder = JpegEncoder::new_with_quality(&mut jpeg, 85);
    encoder
        .write_image(bytes, size[0], size[1], colour)
        .context("writing pictures")?;
    Ok(("image/jpeg", jpeg))
}
