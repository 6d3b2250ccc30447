//! Log-mel spectrograms against librosa and torchaudio; see `golden/README.md`.

use data::audio::{Level, LogMel, MelNorm, MelScale, Padding, Spectrum};
use safetensors::SafeTensors;

static FILE: &[u8] = include_bytes!("../golden/audio.safetensors");

/// The elements of a tensor of the file, made from their bytes, and their number in a row.
fn read<T, const SIZE: usize>(name: &str, f: fn([u8; SIZE]) -> T) -> (Vec<T>, usize) {
    let file = SafeTensors::deserialize(FILE).expect("a safetensors file");
    let tensor = file.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}"));
    let elements = tensor.data().chunks_exact(SIZE);
    let elements = elements.map(|bytes| f(bytes.try_into().expect("a whole element")));
    let row = *tensor.shape().last().expect("a tensor with a shape");
    (elements.collect(), row)
}

/// Half of the settings of a default, half of others, as `golden/audio.py` has them.
fn cases() -> [(&'static str, LogMel); 6] {
    let magnitude = LogMel {
        fft: 512,
        window: 301,
        hop: 133,
        padding: Padding::None,
        spectrum: Spectrum::Magnitude,
        mels: 30,
        low: 100.0,
        high: 5000.0,
        scale: MelScale::Htk,
        norm: MelNorm::Peak,
        level: Level::Decibel {
            floor: 1e-4,
            range: Some(50.0),
        },
        ..LogMel::librosa(11_025)
    };
    let linear = LogMel {
        fft: 255,
        window: 200,
        hop: 90,
        mels: 20,
        level: Level::Linear,
        ..LogMel::librosa(8_000)
    };
    [
        ("librosa", LogMel::librosa(22_050)),
        ("torchaudio", LogMel::torchaudio(16_000)),
        ("environment", LogMel::environment(32_000)),
        ("speech", LogMel::speech(16_000)),
        ("magnitude", magnitude),
        ("linear", linear),
    ]
}

/// Noise with silence in it, and a tone that rises through all frequencies and fades, so that
/// some of its bands hold next to nothing.
#[test]
fn spectrograms_are_those_of_librosa_and_torchaudio() {
    for (name, settings) in cases() {
        let extractor = settings.extractor().unwrap();
        for signal in ["noise", "chirp"] {
            let key = format!("{name}/{signal}");
            let (samples, _) = read(&format!("{key}/samples"), f32::from_le_bytes);
            let (wanted, frames) = read(&format!("{key}/f64"), f64::from_le_bytes);
            let found = extractor.compute(&samples);
            assert_eq!(extractor.frames(samples.len()), frames, "{key}");
            assert_eq!(found.len(), wanted.len(), "{key}");
            let differences = found
                .iter()
                .zip(&wanted)
                .map(|(f, w)| (f64::from(*f) - w).abs());
            let worst = differences.fold(0.0, f64::max);
            println!("{key}: {worst:.1e}");
            assert!(worst < 1e-4, "{key} differs by {worst:e}");
        }
    }
}

/// What the libraries compute in f32 is the same as far as f32 goes: of noise everywhere, of the
/// chirp in the bands within 60 dB of the highest one. With 128 bands on 201 frequencies, some
/// bands of torchaudio's have but one frequency near the foot of their triangle, whose weight it
/// rounds to 0.0003 dB.
#[test]
fn the_libraries_in_f32_are_as_close_as_they_can_be() {
    for (name, settings) in cases() {
        let extractor = settings.extractor().unwrap();
        for (signal, within) in [("noise", f32::INFINITY), ("chirp", 60.0)] {
            let key = format!("{name}/{signal}");
            let (samples, _) = read(&format!("{key}/samples"), f32::from_le_bytes);
            let (wanted, _) = read(&format!("{key}/f32"), f32::from_le_bytes);
            let within = match settings.level {
                Level::Decibel { .. } => within,
                _ => within / 10.0 * 10f32.ln(),
            };
            let tolerance = if name == "torchaudio" { 5e-4 } else { 1e-4 };
            let least = wanted.iter().copied().fold(f32::NEG_INFINITY, f32::max) - within;
            let found = extractor.compute(&samples);
            let pairs = found.iter().zip(&wanted).filter(|(_, w)| **w >= least);
            let worst = pairs.map(|(f, w)| (f - w).abs()).fold(0.0, f32::max);
            println!("{key}: {worst:.1e}");
            assert!(worst < tolerance, "{key} differs by {worst:e}");
        }
    }
}
