//! Tests of the WAV reader: every kind of sample, and files that are not what they say.

use super::*;
use proptest::prelude::*;

const PCM: u16 = 1;
const MS_ADPCM: u16 = 2;
const FLOAT: u16 = 3;

/// A chunk with its padding.
fn chunk(tag: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let mut bytes = tag.to_vec();
    bytes.extend((content.len() as u32).to_le_bytes());
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(2), 0);
    bytes
}

fn riff(chunks: &[Vec<u8>]) -> Vec<u8> {
    chunk(b"RIFF", &[b"WAVE".to_vec(), chunks.concat()].concat())
}

fn format(kind: u16, channels: u16, rate: u32, bits: u16) -> Vec<u8> {
    let frame = channels * bits.div_ceil(8);
    let mut bytes = [kind, channels].map(u16::to_le_bytes).concat();
    bytes.extend(rate.to_le_bytes());
    bytes.extend((rate * u32::from(frame)).to_le_bytes());
    bytes.extend([frame, bits].map(u16::to_le_bytes).concat());
    bytes
}

fn wav(kind: u16, channels: u16, rate: u32, bits: u16, data: &[u8]) -> Vec<u8> {
    let format = format(kind, channels, rate, bits);
    riff(&[chunk(b"fmt ", &format), chunk(b"data", data)])
}

/// A file of 16 bits and one channel; the samples are rounded.
pub(crate) fn wav16(rate: u32, samples: &[f32]) -> Vec<u8> {
    let sample = |s: &f32| ((s * 32_768.0).round() as i16).to_le_bytes();
    let data: Vec<u8> = samples.iter().flat_map(sample).collect();
    wav(PCM, 1, rate, 16, &data)
}

fn samples(bytes: &[u8]) -> Vec<f32> {
    decode(bytes, "memory").unwrap().samples
}

fn message(bytes: &[u8]) -> String {
    decode(bytes, "memory").unwrap_err().to_string()
}

#[test]
fn every_kind_of_sample_is_scaled_to_one() {
    let pcm = |bits, data: &[u8]| samples(&wav(PCM, 1, 8_000, bits, data));
    assert_eq!(pcm(8, &[128, 0, 192]), [0.0, -1.0, 0.5]);
    assert_eq!(
        pcm(16, &[0, 0x80, 0, 0x40, 1, 0]),
        [-1.0, 0.5, 1.0 / 32_768.0]
    );
    let three = [0, 0, 0x80, 0, 0, 0x40, 1, 0, 0];
    assert_eq!(pcm(24, &three), [-1.0, 0.5, 1.0 / 8_388_608.0]);
    assert_eq!(pcm(32, &[0, 0, 0, 0x80, 0, 0, 0, 0x40]), [-1.0, 0.5]);
    let values = [0.1f32, -1.5, 1e-9];
    let data = values.map(f32::to_le_bytes).concat();
    assert_eq!(
        samples(&wav(FLOAT, 1, 8_000, 32, &data)),
        values,
        "nothing is clipped"
    );
    let data = values.map(|v| f64::from(v).to_le_bytes()).concat();
    assert_eq!(samples(&wav(FLOAT, 1, 8_000, 64, &data)), values);
}

#[test]
fn channels_are_mixed_and_rates_told() {
    let data = [16_384i16, 0, -16_384, 16_384, 0, 8_192]
        .map(i16::to_le_bytes)
        .concat();
    let stereo = decode(&wav(PCM, 2, 44_100, 16, &data), "memory").unwrap();
    assert_eq!(
        (stereo.samples.as_slice(), stereo.rate),
        (&[0.25, 0.0, 0.125][..], 44_100)
    );
    let three = decode(&wav(PCM, 3, 192_000, 16, &data), "memory").unwrap();
    assert_eq!(three.samples, [0.0, 0.25]);
    assert_eq!(three.seconds(), 2.0 / 192_000.0);
    assert_eq!(samples(&wav(PCM, 1, 8_000, 16, &[])), [0.0; 0]);
}

#[test]
fn the_extensible_format_and_other_chunks_are_read() {
    let mut extensible = format(0xfffe, 1, 48_000, 24);
    extensible.extend([22u16, 24].map(u16::to_le_bytes).concat());
    extensible.extend(4u32.to_le_bytes());
    extensible.extend([
        1, 0, 0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71,
    ]);
    let bytes = riff(&[
        chunk(b"junk", b"odd"),
        chunk(b"fmt ", &extensible),
        chunk(b"data", &[0, 0, 0x40]),
        chunk(b"LIST", b"INFOISFT\x04\0\0\0some"),
    ]);
    assert_eq!(samples(&bytes), [0.5]);
}

#[test]
fn a_file_that_was_written_into_a_pipe_ends_where_it_ends() {
    let mut bytes = wav(PCM, 1, 8_000, 16, &[0, 0x40, 0, 0x20]);
    bytes[4..8].fill(0xff);
    bytes[40..44].fill(0xff);
    assert_eq!(samples(&bytes), [0.5, 0.25]);
}

/// A block of Microsoft's ADPCM: predictor 0, step 16, two samples, then a nibble each. By its
/// rule a sample is the last one plus nibble times step, and the step grows with the nibble.
#[test]
fn adpcm_is_decoded() {
    let mut head = format(MS_ADPCM, 1, 8_000, 4);
    head[12..14].copy_from_slice(&8u16.to_le_bytes());
    head.extend([32u16, 4, 7].map(u16::to_le_bytes).concat());
    let predictors = [
        [256i16, 0],
        [512, -256],
        [0, 0],
        [192, 64],
        [240, 0],
        [460, -208],
        [392, -232],
    ];
    head.extend(predictors.concat().into_iter().flat_map(i16::to_le_bytes));
    let mut block = vec![0];
    block.extend([16i16, 200, 100].map(i16::to_le_bytes).concat());
    block.push(0x1f);
    let bytes = riff(&[chunk(b"fmt ", &head), chunk(b"data", &block)]);
    // 100, 200, 200 + 16, and with the step still at 16, which is the least: 216 - 16.
    assert_eq!(
        samples(&bytes),
        [100.0, 200.0, 216.0, 200.0].map(|s: f32| s / 32_768.0)
    );
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let good = wav(PCM, 1, 8_000, 16, &[0; 100]);
    let with = |at: usize, bytes: &[u8]| {
        let mut file = good.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        message(&file)
    };
    for (found, wanted) in [
        (
            message(b""),
            "memory, byte 0: expected \"RIFF\", found the end of the file",
        ),
        (
            message(b"ID3\x04 and more"),
            "byte 0: expected \"RIFF\", found \"ID3\\x04\"",
        ),
        (message(&good[..10]), "byte 8: expected \"WAVE\""),
        (
            message(&good[..80]),
            "byte 44: expected 100 bytes of the chunk \"data\", found 36 bytes; the file is cut short",
        ),
        (
            message(&good[..36]),
            "byte 36: expected the chunk \"data\", found the end of the file",
        ),
        (
            with(22, &[0, 0]),
            "byte 22: expected 1 to 64 channels, found 0",
        ),
        (
            with(22, &[255, 255]),
            "byte 22: expected 1 to 64 channels, found 65535",
        ),
        (
            with(24, &[0; 4]),
            "byte 24: expected a rate of 1000 to 768000 Hz, found 0",
        ),
        (
            with(34, &[12, 0]),
            "expected samples of PCM, float or ADPCM",
        ),
        (with(20, &[0x55, 0]), "convert the file"),
        (
            with(12, b"junk"),
            "expected the chunk \"fmt \" in front of the samples",
        ),
    ] {
        assert!(found.contains(wanted), "{found}");
    }
    let data = [0.0, f32::NAN].map(f32::to_le_bytes).concat();
    let found = message(&wav(FLOAT, 1, 8_000, 32, &data));
    assert!(
        found.contains("finite samples, found NaN as sample 1"),
        "{found}"
    );
}

#[test]
fn files_are_opened_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.wav");
    std::fs::write(&path, wav16(8_000, &[0.5, -0.25])).unwrap();
    assert_eq!(open(&path).unwrap().samples, [0.5, -0.25]);
    std::fs::write(&path, "text").unwrap();
    let found = open(&path).unwrap_err().to_string();
    assert!(found.contains("a.wav, byte 0"), "{found}");
    let found = open(&folder.path().join("b.wav")).unwrap_err().to_string();
    assert!(found.contains("b.wav: cannot be read"), "{found}");
}

#[test]
fn parts_are_cut_to_the_nearest_sample() {
    let wave = Wave {
        samples: (0..10).map(|i| i as f32).collect(),
        rate: 1_000,
    };
    assert_eq!(wave.part([0.002, 0.003]).samples, [2.0, 3.0, 4.0]);
    assert_eq!(wave.part([0.0084, 9.0]).samples, [8.0, 9.0]);
    assert!(wave.part([5.0, 1.0]).samples.is_empty());
    assert!(wave.part([f64::NAN, f64::INFINITY]).samples.is_empty());
    assert_eq!(wave.part([0.0, f64::MAX]).samples.len(), 10);
}

proptest! {
    /// Whatever the bytes, there is a recording or an error.
    #[test]
    fn damaged_files_are_errors_not_panics(
        kind in prop::sample::select(vec![1u16, 2, 3, 6, 7, 0x11, 0xfffe]),
        bits in prop::sample::select(vec![0u16, 4, 8, 16, 24, 32, 64]),
        channels in 0u16..5,
        changes in prop::collection::vec((0usize..120, any::<u8>()), 0..6),
        extra in prop::collection::vec(any::<u8>(), 0..40),
        data in prop::collection::vec(any::<u8>(), 0..300),
        cut in 0usize..600,
    ) {
        let mut head = format(kind, channels, 8_000, bits);
        if bits == 4 {
            head[12..14].copy_from_slice(&64u16.to_le_bytes());
        }
        if !matches!(kind, 1 | 3) {
            head.extend((extra.len() as u16).to_le_bytes());
            head.extend(&extra);
        }
        let mut bytes = riff(&[chunk(b"fmt ", &head), chunk(b"data", &data)]);
        for (at, byte) in changes {
            let length = bytes.len();
            bytes[at % length] = byte;
        }
        bytes.truncate(bytes.len().min(cut.max(20)));
        if let Ok(wave) = decode(&bytes, "memory") {
            prop_assert!(wave.samples.len() <= 2 * bytes.len());
            prop_assert!(wave.samples.iter().all(|s| s.is_finite()));
        }
    }

    #[test]
    fn random_bytes_are_errors_not_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(decode(&bytes, "memory").is_err());
        let wave = [b"RIFF\xff\xff\xff\xffWAVE".to_vec(), bytes].concat();
        let _ = decode(&wave, "memory");
    }
}
