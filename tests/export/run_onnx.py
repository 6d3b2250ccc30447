"""Runs an exported network in ONNX Runtime on pictures, and holds it against `hypersphere embed`.

    python run_onnx.py NET.onnx EMBEDDINGS.csv PICTURE...

EMBEDDINGS.csv is what `hypersphere embed` wrote for the same pictures in the same order. Pictures are scaled by Pillow, which
is not how the program scales them, so those of another size than the network's only have to point the same way. Ends with 1
if one does not.
"""

import csv
import sys

import numpy as np
import onnxruntime
from PIL import Image

BOUND_AS_IT_IS = 1e-4
BOUND_SCALED = 0.05


def main():
    network, table, *pictures = sys.argv[1:]
    session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
    image = session.get_inputs()[0]
    _, height, width, channels = image.shape
    with open(table, newline="") as file:
        _, *rows = csv.reader(file)
    numbers = len(session.get_outputs()[0].shape) and session.get_outputs()[0].shape[-1]
    failed = 0
    for name, row in zip(pictures, rows, strict=True):
        picture = Image.open(name).convert("L" if channels == 1 else "RGB")
        bound = BOUND_AS_IT_IS if picture.size == (width, height) else BOUND_SCALED
        pixels = np.asarray(picture.resize((width, height), Image.BILINEAR)).reshape(1, height, width, channels)
        kind = np.uint8 if image.type == "tensor(uint8)" else np.float32
        pixels = pixels.astype(kind) if kind is np.uint8 else (pixels / 255).astype(kind)
        ours = np.array(row[-numbers:], dtype=np.float64)
        theirs = session.run(None, {image.name: pixels})[0][0].astype(np.float64)
        gap = 1 - ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs)
        failed += not gap <= bound
        print(f"{name}: 1 - cosine {gap:.1e}, at most {bound:.0e}{'' if gap <= bound else '  FAILED'}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
