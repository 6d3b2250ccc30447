"""What the generators of golden values share: layouts, seeds and files."""

import json
import zlib
from pathlib import Path

import torch
from safetensors.torch import save_file

# One thread and deterministic kernels: a second run writes the same bytes.
torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)

HERE = Path(__file__).resolve().parent


def generator(*names):
    """A random generator that depends on nothing but `names`."""
    return torch.Generator().manual_seed(zlib.crc32("/".join(map(str, names)).encode()))


def normal(rng, *shape):
    """Standard normal f64 values that f32 represents exactly, so that an f32 and an f64 file start from the same numbers."""
    return torch.randn(shape, generator=rng, dtype=torch.float64).float().double()


def uniform(rng, low, high, *shape):
    """Uniform f64 values in [low, high) that f32 represents exactly."""
    return (low + (high - low) * torch.rand(shape, generator=rng, dtype=torch.float64)).float().double()


def nchw(images):
    """NHWC (the files) to NCHW (PyTorch)."""
    return images.permute(0, 3, 1, 2).contiguous()


def nhwc(images):
    """NCHW (PyTorch) to NHWC (the files)."""
    return images.permute(0, 2, 3, 1).contiguous()


def oihw(weight):
    """Convolution weight [kh, kw, in/groups, out] (the files) to [out, in/groups, kh, kw] (PyTorch)."""
    return weight.permute(3, 2, 0, 1).contiguous()


def hwio(weight):
    """Convolution weight [out, in/groups, kh, kw] (PyTorch) to [kh, kw, in/groups, out] (the files)."""
    return weight.permute(2, 3, 1, 0).contiguous()


def write(name, tensors, **metadata):
    """Write `tensors` beside this script, with each keyword as a JSON text in the file's metadata.

    Give one keyword only: the order in which safetensors writes several is not fixed.
    """
    for key, tensor in tensors.items():
        assert tensor.dtype == torch.int64 or bool(tensor.isfinite().all()), f"{name}: {key} is not finite"
    path = HERE / name
    save_file(
        {key: tensor.detach().contiguous() for key, tensor in tensors.items()},
        path,
        metadata={key: json.dumps(value) for key, value in metadata.items()},
    )
    print(f"{name}: {len(tensors)} tensors, {path.stat().st_size} bytes")
