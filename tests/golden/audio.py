"""Log-mel spectrograms by librosa and torchaudio.

Each case is computed twice: in f64, which is what the settings mean, and as the library does it in f32 if it is told no
more. Both start from the same f32 samples.
"""

import librosa
import numpy as np
import torch
import torchaudio
from common import generator, normal, write

SECONDS = 0.3


def noise(rate):
    """Noise of 0.1, with a silent stretch in it."""
    samples = 0.1 * normal(generator("audio", "noise", rate), int(SECONDS * rate))
    samples[len(samples) // 3 : len(samples) // 2] = 0
    return samples.float().numpy()


def chirp(rate):
    """A tone that rises from 50 Hz to nearly half the rate, and fades."""
    t = np.arange(int(SECONDS * rate)) / rate
    low, high = 50.0, 0.48 * rate
    phase = 2 * np.pi * (low * t + (high - low) * t**2 / (2 * SECONDS))
    return (0.5 * np.exp(-3 * t) * np.sin(phase)).astype(np.float32)


def by_librosa(samples, rate, to_db=librosa.power_to_db, db={}, **settings):
    # The filterbank is f32 unless it is told otherwise.
    mel = librosa.feature.melspectrogram(y=samples, sr=rate, dtype=samples.dtype.type, **settings)
    return to_db(mel, **db) if to_db else mel


def by_torchaudio(samples, rate, level, **settings):
    samples = torch.tensor(samples)
    # Window and filterbank are made in the default type.
    torch.set_default_dtype(samples.dtype)
    mel = torchaudio.transforms.MelSpectrogram(rate, **settings)(samples)
    torch.set_default_dtype(torch.float32)
    return level(mel).numpy()


CASES = {
    "librosa": (22050, by_librosa, {}),
    "torchaudio": (16000, by_torchaudio, {"level": torchaudio.transforms.AmplitudeToDB()}),
    "environment": (
        32000,
        by_librosa,
        {
            "n_fft": 1024,
            "hop_length": 320,
            "pad_mode": "reflect",
            "n_mels": 64,
            "fmin": 50,
            "fmax": 14000,
            "db": {"top_db": None},
        },
    ),
    "speech": (
        16000,
        by_torchaudio,
        {
            "level": lambda mel: torch.log(mel + 1e-6),
            "n_fft": 512,
            "win_length": 400,
            "hop_length": 160,
            "pad_mode": "constant",
            "n_mels": 40,
            "f_min": 20.0,
        },
    ),
    "magnitude": (
        11025,
        by_librosa,
        {
            "n_fft": 512,
            "win_length": 301,
            "hop_length": 133,
            "center": False,
            "power": 1.0,
            "n_mels": 30,
            "fmin": 100,
            "fmax": 5000,
            "htk": True,
            "norm": None,
            "to_db": librosa.amplitude_to_db,
            "db": {"amin": 1e-4, "top_db": 50},
        },
    ),
    "linear": (
        8000,
        by_librosa,
        {"n_fft": 255, "win_length": 200, "hop_length": 90, "n_mels": 20, "to_db": None},
    ),
}


def cases():
    tensors = {}
    for name, (rate, library, settings) in CASES.items():
        for signal in [noise, chirp]:
            samples = signal(rate)
            key = f"{name}/{signal.__name__}"
            tensors |= {
                f"{key}/samples": torch.tensor(samples),
                f"{key}/f64": torch.tensor(library(samples.astype(np.float64), rate, **settings)),
                f"{key}/f32": torch.tensor(library(samples, rate, **settings)),
            }
            assert tensors[f"{key}/f64"].dtype == torch.float64 and tensors[f"{key}/f32"].dtype == torch.float32
            difference = (tensors[f"{key}/f64"] - tensors[f"{key}/f32"]).abs().max()
            print(f"{key}: {tuple(tensors[f'{key}/f64'].shape)}, f32 differs from f64 by {difference:.1e}")
    return tensors


write("audio.safetensors", cases())
