//! Recordings from WAV files: PCM of 8, 16, 24 or 32 bits, floats of 32 or 64, the 4-bit ADPCM of
//! a few files of UrbanSound8K, any rate, any number of channels, plain or "extensible".
//!
//! The decoder is [symphonia](https://docs.rs/symphonia), which knows all of these; hound, its
//! smaller alternative, knows neither 64-bit floats nor ADPCM. What is looked at first, here, is
//! whether the chunks lie inside the file and state something sane, so that nothing is ever
//! allocated by the word of a header.

use crate::error::{Error, Result};
use std::borrow::Cow;
use std::fs::File;
use std::io::{Cursor, Read};
use std::ops::{Range, RangeInclusive};
use std::path::Path;
use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::formats::{FormatReader, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::default::formats::WavReader;

/// The largest file that is read, in bytes: 50 minutes of CD sound.
pub const LARGEST: u64 = 512 << 20;
/// The sample rates that are read, in Hz.
pub const RATES: RangeInclusive<u32> = 1_000..=768_000;
/// The most channels of a file.
pub const MOST_CHANNELS: u32 = 64;

/// A recording of one channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Wave {
    /// The samples; full scale is -1 to 1.
    pub samples: Vec<f32>,
    /// Samples in a second.
    pub rate: u32,
}

/// Reads a WAV file. Channels become one by their mean.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::Invalid`] if it is larger than [`LARGEST`];
/// [`Error::Format`] if it is not a WAV file, is cut short or cannot be decoded.
pub fn open(path: &Path) -> Result<Wave> {
    let refuse = |e| Error::io(path, e);
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(refuse)?;
    // One byte more tells a file that is too large from one that just fits.
    file.take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(refuse)?;
    let name = path.display().to_string();
    if bytes.len() as u64 > LARGEST {
        return Err(Error::invalid(
            format!("size of {name}"),
            format!("at most {LARGEST} bytes"),
            "more",
            "cut the recording into pieces",
        ));
    }
    decode(&bytes, &name)
}

/// Decodes the bytes of a WAV file; `name` is what messages call it.
///
/// # Errors
/// [`Error::Format`] as in [`open`].
pub fn decode(bytes: &[u8], name: &str) -> Result<Wave> {
    let head = Head::of(bytes, name)?;
    let refuse = |expected: &str, found: String, hint: &str| Error::Format {
        file: name.into(),
        offset: head.data.start as u64,
        expected: expected.into(),
        found,
        hint: hint.into(),
    };
    let samples = head.samples(bytes).map_err(|e| {
        let expected = "samples of PCM, float or ADPCM";
        refuse(expected, e.to_string(), CONVERT)
    })?;
    if let Some(i) = samples.iter().position(|s| !s.is_finite()) {
        let found = format!("{} as sample {i}", samples[i]);
        let hint = "the recording is damaged: leave it out";
        return Err(refuse("finite samples", found, hint));
    }
    Ok(Wave {
        samples,
        rate: head.rate,
    })
}

const CONVERT: &str = "convert the file, for example by `sox old.wav -b 16 new.wav`";

/// What a file says about itself, as far as it was checked against the bytes that are there.
struct Head {
    rate: u32,
    channels: usize,
    /// Where the samples are.
    data: Range<usize>,
}

impl Head {
    /// Walks over the chunks: a tag of four bytes, a length, and content filled up to an even
    /// number of bytes.
    fn of(bytes: &[u8], name: &str) -> Result<Self> {
        let refuse = |offset: usize, expected: String, found: String, hint: &str| {
            Err(Error::Format {
                file: name.into(),
                offset: offset as u64,
                expected,
                found,
                hint: hint.into(),
            })
        };
        let tag = |at: usize| bytes.get(at..at + 4);
        for (at, wanted) in [(0, "RIFF"), (8, "WAVE")] {
            match tag(at) {
                Some(found) if found == wanted.as_bytes() => {}
                found => {
                    let found = found.map_or("the end of the file".into(), quoted);
                    return refuse(at, format!("\"{wanted}\""), found, CONVERT);
                }
            }
        }
        let mut format = None;
        let mut at = 12;
        while let (Some(tag), Some(length)) = (tag(at), word(bytes, at + 4)) {
            let start = at + 8;
            let left = bytes.len() - start;
            // A program that writes into a pipe does not know the length beforehand.
            let open_end = tag == b"data" && length == u32::MAX;
            let length = if open_end { left } else { length as usize };
            if length > left {
                let expected = format!("{length} bytes of the chunk {}", quoted(tag));
                let hint = "the file is cut short: copy it again";
                return refuse(start, expected, format!("{left} bytes"), hint);
            }
            match tag {
                b"fmt " => format = Some(start),
                b"data" => {
                    let Some(format) = format else {
                        let expected = "the chunk \"fmt \" in front of the samples".into();
                        return refuse(at, expected, quoted(tag), CONVERT);
                    };
                    let data = start..start + length;
                    return Head::stated(bytes, format, data).or_else(|(offset, range, found)| {
                        refuse(offset, range, found.to_string(), CONVERT)
                    });
                }
                _ => {}
            }
            at = start + length + length % 2;
        }
        let expected = "the chunk \"data\"".into();
        let hint = "the file is cut short: copy it again";
        refuse(bytes.len(), expected, "the end of the file".into(), hint)
    }

    /// Checks the numbers of the chunk `fmt ` that starts at `format`; what is wrong comes back
    /// as its place, what it may be and what it is.
    fn stated(
        bytes: &[u8],
        format: usize,
        data: Range<usize>,
    ) -> std::result::Result<Self, (usize, String, u32)> {
        let channels = word(bytes, format).map_or(0, |w| w >> 16);
        let rate = word(bytes, format + 4).unwrap_or(0);
        if !(1..=MOST_CHANNELS).contains(&channels) {
            let range = format!("1 to {MOST_CHANNELS} channels");
            return Err((format + 2, range, channels));
        }
        if !RATES.contains(&rate) {
            let range = format!("a rate of {} to {} Hz", RATES.start(), RATES.end());
            return Err((format + 4, range, rate));
        }
        Ok(Head {
            rate,
            channels: channels as usize,
            data,
        })
    }

    /// The samples, their channels mixed.
    fn samples(&self, bytes: &[u8]) -> symphonia::core::errors::Result<Vec<f32>> {
        use symphonia::core::errors::{decode_error, unsupported_error};
        // What follows the samples is of no interest. The decoder takes an open end for a length.
        let mut bytes = Cow::Borrowed(&bytes[..self.data.end]);
        let length = self.data.start - 4;
        if word(&bytes, length) == Some(u32::MAX) {
            let stated = (self.data.len() as u32).to_le_bytes();
            bytes.to_mut()[length..self.data.start].copy_from_slice(&stated);
        }
        let stream = Cursor::new(bytes);
        let stream = MediaSourceStream::new(Box::new(stream), Default::default());
        let mut reader = WavReader::try_new(stream, Default::default())?;
        let track = reader.default_track(TrackType::Audio);
        let Some(codec) = track.and_then(|t| t.codec_params.as_ref()?.audio()) else {
            return unsupported_error("no codec that is known");
        };
        let mut decoder = symphonia::default::get_codecs()
            .make_audio_decoder(codec, &AudioDecoderOptions::default())?;
        let (mut samples, mut packet) = (Vec::new(), Vec::new());
        while let Some(encoded) = reader.next_packet()? {
            let decoded = decoder.decode(&encoded)?;
            if decoded.num_planes() != self.channels {
                return decode_error("another number of channels than the file states");
            }
            decoded.copy_to_vec_interleaved::<f32>(&mut packet);
            let frames = packet.chunks_exact(self.channels);
            samples.extend(frames.map(|f| f.iter().sum::<f32>() / self.channels as f32));
        }
        Ok(samples)
    }
}

/// Four bytes as a number.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_le_bytes(bytes.try_into().expect("four bytes")))
}

fn quoted(tag: &[u8]) -> String {
    format!("\"{}\"", tag.escape_ascii())
}

impl Wave {
    /// The length in seconds.
    pub fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.rate)
    }

    /// The part of `duration` seconds from `start` on, to the nearest sample; what lies behind the
    /// end is left out.
    pub fn part(&self, [start, duration]: [f64; 2]) -> Wave {
        // A cast takes what is negative or no number to 0, and what is too large to the end.
        let place = |seconds: f64| {
            let sample = (seconds * f64::from(self.rate)).round() as usize;
            sample.min(self.samples.len())
        };
        let start_at = place(start);
        let end = place(start + duration).max(start_at);
        Wave {
            samples: self.samples[start_at..end].to_vec(),
            rate: self.rate,
        }
    }
}

#[cfg(test)]
#[path = "wave_tests.rs"]
pub(crate) mod tests;
