//! Contact sheets: what the network was really shown, as one picture.

use crate::decode::Picture;
use crate::loader::Batch;
use crate::normalise::Normalise;
use image::{Rgb, RgbImage};

/// Between the pictures.
const GAP: Rgb<u8> = Rgb([96, 0, 0]);

/// Pictures of any shapes in a grid of `columns`, each in the upper left corner of its cell, a
/// dark-red pixel apart. One channel is shown as grey.
///
/// # Panics
/// If `columns` is zero.
pub fn tiled(pictures: &[Picture], columns: usize) -> RgbImage {
    assert!(columns > 0, "a sheet without columns");
    let columns = columns.min(pictures.len().max(1));
    let largest = |side: usize| pictures.iter().map(|p| p.shape()[side]).max().unwrap_or(0);
    let [height, width] = [largest(0), largest(1)];
    let side = |cells: usize, cell: usize| (cells * (cell + 1) + 1) as u32;
    let rows = pictures.len().div_ceil(columns);
    let mut sheet = RgbImage::from_pixel(side(columns, width), side(rows, height), GAP);
    for (i, picture) in pictures.iter().enumerate() {
        let [_, wide, channels] = picture.shape();
        let [left, top] = [
            i % columns * (width + 1) + 1,
            i / columns * (height + 1) + 1,
        ];
        for (p, pixel) in picture.pixels().chunks_exact(channels).enumerate() {
            let colour = match *pixel {
                [red, green, blue] => [red, green, blue],
                _ => [pixel[0]; 3],
            };
            sheet.put_pixel(
                (left + p % wide) as u32,
                (top + p / wide) as u32,
                Rgb(colour),
            );
        }
    }
    sheet
}

/// The images of a batch in a grid of `columns`, with the normalisation undone, one dark-red
/// pixel apart. One channel is shown as grey, three as red, green and blue; of any other number
/// the first is shown.
///
/// # Panics
/// If `columns` is zero or the batch does not have the channels of `normalise`.
pub fn contact_sheet(batch: &Batch, normalise: &Normalise, columns: usize) -> RgbImage {
    let [_, height, width, channels] = batch.shape;
    assert_eq!(
        channels,
        normalise.mean().len(),
        "the channels of the normalisation"
    );
    let bytes = normalise.bytes(&batch.images);
    let picture = |image: &[u8]| match channels {
        1 | 3 => Picture::new(image.to_vec(), [height, width, channels]),
        _ => {
            let first = image.iter().step_by(channels).copied().collect();
            Picture::new(first, [height, width, 1])
        }
    };
    let images = bytes.chunks_exact((height * width * channels).max(1));
    tiled(&images.map(picture).collect::<Vec<_>>(), columns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::set::tests::counting;
    use crate::{Images, Loader};

    #[test]
    fn every_pixel_lands_in_its_cell() {
        for channels in [1, 3] {
            let set = counting(5, [2, 3, channels], 5);
            let normalise = Normalise::measured(&set);
            let images = Images::new(set.clone(), normalise.clone()).unwrap();
            let batch = Loader::evaluation(images, 5)
                .unwrap()
                .epoch(0)
                .next()
                .unwrap()
                .unwrap();
            let sheet = contact_sheet(&batch, &normalise, 2);
            assert_eq!(sheet.dimensions(), (2 * 4 + 1, 3 * 3 + 1));
            // Image 3: second row, second column; its pixel at y = 1, x = 2.
            let pixel = &set.image(3)[5 * channels..6 * channels];
            let expected = if channels == 3 {
                [pixel[0], pixel[1], pixel[2]]
            } else {
                [pixel[0]; 3]
            };
            assert_eq!(sheet.get_pixel(5 + 2, 4 + 1).0, expected);
            assert_eq!(sheet.get_pixel(4, 4).0, [96, 0, 0]);
        }
    }
}
