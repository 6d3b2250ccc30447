"""Runs an exported network in ONNX Runtime on pictures, and holds it against `hypersphere embed`.

    python run_onnx.py NET.onnx EMBEDDINGS.csv PICTURE...

EMBEDDINGS.csv is what `hypersphere embed` wrote for the same pictures in the same order. Pictures are stretched to the
network's size by Pillow's bilinear filter, which is the program's, too. Ends with 1 if 1 - cosine is above 1e-4.
"""

import csv
import sys

import numpy as np
import onnxruntime
from PIL import Image

BOUND = 1e-4


def main():
    network, table, *pictures = sys.argv[1:]
    session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
    image = session.get_inputs()[0]
    _, height, width, channels = image.shape
    with open(table, newline="") as file:
        _, *rows = csv.reader(file)
    numbers = session.get_outputs()[0].shape[-1]
    failed = 0
    for name, row in zip(pictures, rows, strict=True):
        picture = Image.open(name).convert("L" if channels == 1 else "RGB")
        pixels = np.asarray(picture.resize((width, height), Image.BILINEAR)).reshape(1, height, width, channels)
        kind = np.uint8 if image.type == "tensor(uint8)" else np.float32
        pixels = pixels.astype(kind) if kind is np.uint8 else (pixels / 255).astype(kind)
        ours = np.array(row[-numbers:], dtype=np.float64)
        theirs = session.run(None, {image.name: pixels})[0][0].astype(np.float64)
        gap = 1 - ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs)
        failed += not gap <= BOUND
        print(f"{name}: 1 - cosine {gap:.1e}{'' if gap <= BOUND else '  FAILED'}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
