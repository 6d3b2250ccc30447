//! Tests of the decoder: every kind of file, and files that are not what they say.

use super::*;
use image::{ImageFormat, Luma, LumaA, Rgb, Rgba};
use proptest::prelude::*;
use std::io::Cursor;

fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn decoded(bytes: &[u8], channels: usize) -> Result<Picture> {
    read(Cursor::new(bytes), "memory", channels)
}

/// 3 wide, 2 high, six colours.
fn colours() -> RgbImage {
    RgbImage::from_fn(3, 2, |x, y| Rgb([100 * x as u8, 200 * y as u8, 40]))
}

#[test]
fn every_format_without_loss_gives_the_pixels_back() {
    for format in [
        ImageFormat::Png,
        ImageFormat::Bmp,
        ImageFormat::Pnm,
        ImageFormat::WebP,
    ] {
        let picture = decoded(&encoded(colours(), format), 3).unwrap();
        assert_eq!(picture.shape(), [2, 3, 3], "{format:?}");
        assert_eq!(picture.pixels(), colours().as_raw(), "{format:?}");
    }
    let jpeg = encoded(
        RgbImage::from_pixel(16, 8, Rgb([200, 90, 30])),
        ImageFormat::Jpeg,
    );
    let picture = decoded(&jpeg, 3).unwrap();
    assert_eq!(picture.shape(), [8, 16, 3]);
    assert!(picture.pixels()[0].abs_diff(200) < 4 && picture.pixels()[2].abs_diff(30) < 4);
}

#[test]
fn grey_and_colour_become_each_other() {
    let grey = GrayImage::from_fn(2, 1, |x, _| Luma([7 + x as u8]));
    let png = encoded(grey, ImageFormat::Png);
    assert_eq!(decoded(&png, 1).unwrap().pixels(), [7, 8]);
    assert_eq!(decoded(&png, 3).unwrap().pixels(), [7, 7, 7, 8, 8, 8]);
    // Pillow: Image.new("RGB", (1, 1), (255, 0, 0)).convert("L") and so on.
    for (colour, level) in [
        ([255, 0, 0], 76),
        ([0, 255, 0], 150),
        ([0, 0, 255], 29),
        ([9, 9, 9], 9),
    ] {
        let png = encoded(RgbImage::from_pixel(1, 1, Rgb(colour)), ImageFormat::Png);
        assert_eq!(decoded(&png, 1).unwrap().pixels(), [level]);
    }
}

#[test]
fn what_is_transparent_lies_on_white() {
    let image = image::RgbaImage::from_fn(3, 1, |x, _| Rgba([100, 0, 0, [0, 255, 51][x as usize]]));
    let picture = decoded(&encoded(image, ImageFormat::Png), 3).unwrap();
    assert_eq!(picture.pixels(), [255, 255, 255, 100, 0, 0, 224, 204, 204]);
    let image = image::GrayAlphaImage::from_pixel(1, 1, LumaA([10, 0]));
    assert_eq!(
        decoded(&encoded(image, ImageFormat::Png), 1)
            .unwrap()
            .pixels(),
        [255]
    );
}

#[test]
fn deep_and_shallow_levels_become_bytes() {
    let deep = image::ImageBuffer::from_fn(2, 1, |x, _| Luma([x as u16 * 65_535]));
    let deep = encoded(DynamicImage::ImageLuma16(deep), ImageFormat::Png);
    assert_eq!(decoded(&deep, 1).unwrap().pixels(), [0, 255]);
    // A PBM of one bit a pixel, where 1 is black.
    assert_eq!(decoded(b"P4 3 1\n\xa0", 1).unwrap().pixels(), [0, 255, 0]);
    // A PGM with its largest value at 15.
    assert_eq!(decoded(b"P2 2 1 15\n0 15\n", 1).unwrap().pixels(), [0, 255]);
}

/// A PNG with two palette entries and two pixels, chunk by chunk.
#[test]
fn palettes_become_colours() {
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |kind: &[u8; 4], content: &[u8]| {
        let body = [kind, content].concat();
        let mut crc = flate2::Crc::new();
        crc.update(&body);
        png.extend((content.len() as u32).to_be_bytes());
        png.extend(body);
        png.extend(crc.sum().to_be_bytes());
    };
    chunk(b"IHDR", &[0, 0, 0, 2, 0, 0, 0, 1, 8, 3, 0, 0, 0]);
    chunk(b"PLTE", &[1, 2, 3, 200, 100, 50]);
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut zlib, &[0, 1, 0]).unwrap();
    chunk(b"IDAT", &zlib.finish().unwrap());
    chunk(b"IEND", &[]);
    assert_eq!(decoded(&png, 3).unwrap().pixels(), [200, 100, 50, 1, 2, 3]);
}

/// A JPEG whose EXIF says that the camera was turned.
#[test]
fn the_orientation_of_exif_is_applied() {
    // Left half bright, right half dark.
    let image = GrayImage::from_fn(32, 16, |x, _| Luma([if x < 16 { 250 } else { 5 }]));
    let jpeg = encoded(image, ImageFormat::Jpeg);
    let turned = |orientation: u8| {
        let mut exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
        exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
        let length = (exif.len() as u16 + 2).to_be_bytes();
        let header = [&jpeg[..2], &[0xff, 0xe1], &length, &exif].concat();
        decoded(&[&header, &jpeg[2..]].concat(), 1).unwrap()
    };
    assert_eq!(turned(1).shape(), [16, 32, 1]);
    // 6: to be shown turned by 90 degrees clockwise; what was left comes to the top.
    let picture = turned(6);
    assert_eq!(picture.shape(), [32, 16, 1]);
    assert!(picture.pixels()[0] > 200 && picture.pixels()[31 * 16] < 50);
    // 3: upside down.
    assert!(turned(3).pixels()[0] < 50);
}

#[test]
fn broken_files_say_what_is_wrong() {
    let message = |bytes: &[u8]| decoded(bytes, 3).unwrap_err().to_string();
    assert!(message(b"").contains("memory: not a readable image"));
    assert!(message(b"hello, world, this is text").contains("memory: not a readable image"));
    let png = encoded(RgbImage::new(200, 200), ImageFormat::Png);
    assert!(message(&png[..png.len() / 2]).contains("not a readable image"));
    let missing = open(Path::new("no/such.png"), 3).unwrap_err().to_string();
    assert!(
        missing.starts_with("no/such.png: cannot be read"),
        "{missing}"
    );
}

#[test]
fn a_header_cannot_ask_for_more_memory_than_allowed() {
    for header in [
        &b"P5 4000000000 4000000000 255\n"[..],
        b"P6 29000 29000 255\n",
    ] {
        assert!(decoded(header, 3).is_err());
    }
}

#[test]
fn parts_are_cut_and_resampled_without_aliasing() {
    let picture = Picture::new((0..64).collect(), [8, 8, 1]);
    let part = Area {
        left: 2.0,
        top: 1.0,
        width: 3.0,
        height: 2.0,
    };
    let cut = picture.resized(part, [2, 3]);
    assert_eq!(cut.pixels(), [10, 11, 12, 18, 19, 20]);
    assert_eq!(picture.resized(picture.area(), [8, 8]), picture);
    // Black and white columns become grey when they get too narrow to see.
    let stripes: Vec<u8> = (0..64 * 64)
        .map(|i| if i % 2 == 0 { 255 } else { 0 })
        .collect();
    let small = Picture::new(stripes, [64, 64, 1]);
    let small = small.resized(small.area(), [8, 8]);
    assert!(
        small.pixels().iter().all(|p| p.abs_diff(127) < 10),
        "{:?}",
        small.pixels()
    );
    // Parts that are not there are held to the picture.
    let outside = Area {
        left: 100.0,
        top: -3.0,
        width: f32::NAN,
        height: 1e9,
    };
    assert_eq!(picture.resized(outside, [1, 1]).shape(), [1, 1, 1]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_file_makes_the_decoder_panic(
        format in prop::sample::select(vec![ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Pnm, ImageFormat::WebP, ImageFormat::Jpeg]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        keep in any::<prop::sample::Index>(),
        cut: bool,
    ) {
        let mut bytes = encoded(colours(), format);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if cut {
            bytes.truncate(keep.index(bytes.len()));
        }
        let _ = decoded(&bytes, 3);
        let _ = decoded(&bytes, 1);
    }
}
