//! Pictures from files: JPEG, PNG, PGM and PPM, BMP, WebP, told apart by their content.
//!
//! A picture comes out as bytes of one or three channels, the right way up:
//!
//! - The orientation that a camera wrote into EXIF is applied.
//! - Palettes and grey levels of 1, 2, 4 or 16 bits become bytes.
//! - What is transparent lies on white.
//! - Grey becomes three equal channels; colour becomes grey by the weights of ITU-R 601 (0.299,
//!   0.587, 0.114), as Pillow has it.
//!
//! Files are not trusted: a picture larger than [`LARGEST_SIDE`] on a side or [`LARGEST`] bytes
//! decoded is refused by its header, before memory is taken for it.

use crate::error::{Error, Result};
use image::imageops::{self, FilterType};
use image::{DynamicImage, GrayImage, ImageDecoder, ImageReader, Limits, RgbImage};
use std::fs::File;
use std::io::{BufRead, BufReader, Seek};
use std::path::Path;

/// The longest side of a picture, in pixels.
pub const LARGEST_SIDE: u32 = 30_000;
/// The most memory that decoding a picture may take, in bytes.
pub const LARGEST: u64 = 512 << 20;

/// A decoded picture: bytes `[height, width, channels]`, row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    pixels: Vec<u8>,
    shape: [usize; 3],
}

/// A part of a picture in pixels from its upper left corner; edges may lie between pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Area {
    /// The left edge.
    pub left: f32,
    /// The upper edge.
    pub top: f32,
    /// The width.
    pub width: f32,
    /// The height.
    pub height: f32,
}

/// Reads a picture with `channels` channels.
///
/// # Errors
/// [`Error::Io`] if the file cannot be opened; [`Error::Picture`] if it is not a picture, is cut
/// short, or too large.
///
/// # Panics
/// If `channels` is neither 1 nor 3.
pub fn open(path: &Path, channels: usize) -> Result<Picture> {
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    read(BufReader::new(file), &path.display().to_string(), channels)
}

/// Reads a picture from anywhere; `name` is what messages call it.
///
/// # Errors
/// As [`open`].
///
/// # Panics
/// As [`open`].
pub fn read(source: impl BufRead + Seek, name: &str, channels: usize) -> Result<Picture> {
    assert!(matches!(channels, 1 | 3), "{channels} channels");
    let refused = |reason: String| Error::Picture {
        file: name.into(),
        reason,
        hint: "replace the file, or choose to skip unreadable ones".into(),
    };
    let image = decode(source).map_err(|e| refused(e.to_string()))?;
    let (width, height) = (image.width() as usize, image.height() as usize);
    if width == 0 || height == 0 {
        return Err(refused(format!("it has {width} x {height} pixels")));
    }
    let pixels = match channels {
        1 => grey(image),
        _ => on_white(image).into_raw(),
    };
    Ok(Picture {
        pixels,
        shape: [height, width, channels],
    })
}

fn decode(source: impl BufRead + Seek) -> image::ImageResult<DynamicImage> {
    let mut reader = ImageReader::new(source).with_guessed_format()?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(LARGEST_SIDE);
    limits.max_image_height = Some(LARGEST_SIDE);
    limits.max_alloc = Some(LARGEST);
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    let orientation = decoder.orientation()?;
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    Ok(image)
}

fn on_white(image: DynamicImage) -> RgbImage {
    if !image.color().has_alpha() {
        return image.into_rgb8();
    }
    let image = image.into_rgba8();
    let mut out = RgbImage::new(image.width(), image.height());
    for (to, from) in out.pixels_mut().zip(image.pixels()) {
        let [colour @ .., alpha] = from.0.map(u32::from);
        to.0 = colour.map(|c| ((c * alpha + 255 * (255 - alpha) + 127) / 255) as u8);
    }
    out
}

fn grey(image: DynamicImage) -> Vec<u8> {
    // Grey stays as it is, exactly.
    if !image.color().has_color() && !image.color().has_alpha() {
        return image.into_luma8().into_raw();
    }
    // Pillow's whole-number weights of 2⁻¹⁶, which sum to 1.
    let weigh = |[r, g, b]: [u32; 3]| ((19_595 * r + 38_470 * g + 7_471 * b + 0x8000) >> 16) as u8;
    on_white(image)
        .pixels()
        .map(|pixel| weigh(pixel.0.map(u32::from)))
        .collect()
}

impl Picture {
    /// A picture of these bytes, `[height, width, channels]`.
    ///
    /// # Panics
    /// If they do not fill the shape, or the channels are neither 1 nor 3.
    pub fn new(pixels: Vec<u8>, shape: [usize; 3]) -> Self {
        assert!(matches!(shape[2], 1 | 3), "{} channels", shape[2]);
        assert_eq!(
            pixels.len(),
            shape.iter().product::<usize>(),
            "the shape is {shape:?}"
        );
        Picture { pixels, shape }
    }

    /// The bytes, row-major.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The bytes, row-major.
    pub fn into_pixels(self) -> Vec<u8> {
        self.pixels
    }

    /// `[height, width, channels]`.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// All of the picture.
    pub fn area(&self) -> Area {
        let [height, width, _] = self.shape;
        Area {
            left: 0.0,
            top: 0.0,
            width: width as f32,
            height: height as f32,
        }
    }

    /// A part of the picture, cut to whole pixels inside it (at least one) and resampled to
    /// `height` by `width` with a triangle filter as wide as the reduction asks for, so that
    /// nothing is aliased: Pillow's `BILINEAR`. What has the size already is copied.
    pub fn resized(&self, part: Area, [height, width]: [usize; 2]) -> Picture {
        let [rows, columns, channels] = self.shape;
        let (left, wide) = whole_pixels(part.left, part.width, columns);
        let (top, tall) = whole_pixels(part.top, part.height, rows);
        let cut: Vec<u8> = self
            .pixels
            .chunks_exact(columns * channels)
            .skip(top)
            .take(tall)
            .flat_map(|row| &row[left * channels..(left + wide) * channels])
            .copied()
            .collect();
        let pixels = match (channels, [tall, wide] == [height, width]) {
            (_, true) => cut,
            (1, _) => {
                let cut = GrayImage::from_raw(wide as u32, tall as u32, cut).expect("it fits");
                imageops::resize(&cut, width as u32, height as u32, FilterType::Triangle).into_raw()
            }
            _ => {
                let cut = RgbImage::from_raw(wide as u32, tall as u32, cut).expect("it fits");
                imageops::resize(&cut, width as u32, height as u32, FilterType::Triangle).into_raw()
            }
        };
        Picture {
            pixels,
            shape: [height, width, channels],
        }
    }
}

/// The start and length, in pixels, of a stretch, at least one pixel of a side of `limit`.
fn whole_pixels(start: f32, length: f32, limit: usize) -> (usize, usize) {
    // A cast takes what is below 0 or no number to 0.
    let start = (start.round() as usize).min(limit - 1);
    let length = (length.round() as usize).clamp(1, limit - start);
    (start, length)
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
