"""Exports every network as ONNX and runs it in ONNX Runtime against this project's own forward pass.

    python check_onnx.py [--built DIR] [NETWORK ...]

Every network has random weights and running statistics. Errors are relative to the largest number of the output; the
first network is exported in all four kinds of pixels. Ends with 1 if an error is above 1e-4.
"""

import numpy as np
import onnx
import onnxruntime

from samples import BOUND, Sample, arguments, error, finish, networks

KINDS = ["u8-nhwc", "u8-nchw", "f32-nhwc", "f32-nchw"]


def images(sample, kind):
    """The sample's images as a user of the file would give them."""
    image = sample.reference["image"]
    if kind.startswith("f32"):
        image = (image / 255).astype(np.float32)
    else:
        image = image.astype(np.uint8)
    return image.transpose(0, 3, 1, 2) if kind.endswith("nchw") else image


def run(path, image):
    """The outputs of a file by name, and its number of nodes."""
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"image": image}))), len(model.graph.node)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def main():
    programs, named = arguments(__doc__)
    failed = []
    print("| network | image | nodes | embedding | unit embedding | logits |")
    print("|---|---|---|---|---|---|")
    for number, name in enumerate(named or networks(programs)):
        with Sample(programs, name) as sample:
            reference = sample.reference
            kinds = KINDS if number == 0 else KINDS[:1]
            errors = {}
            for kind in kinds:
                path = sample.export("plain.onnx", "--pixels", kind)
                plain, nodes = run(path, images(sample, kind))
                for output in ["embedding", "logits"]:
                    worst = error(plain[output], reference[output])
                    errors[output] = max(worst, errors.get(output, 0.0))
            units, _ = run(sample.export("unit.onnx", "--unit"), images(sample, KINDS[0]))
            errors["unit"] = error(units["embedding"], unit(reference["embedding"]))
            # The number of images is open.
            one, _ = run(path, images(sample, kinds[-1])[:1])
            errors["one"] = error(one["embedding"], reference["embedding"][:1])
            if not max(errors.values()) < BOUND:
                failed.append(name)
            size = "x".join(str(n) for n in reference["image"].shape[1:])
            row = [name, size, nodes] + [f"{errors[key]:.1e}" for key in ["embedding", "unit", "logits"]]
            print("| " + " | ".join(str(cell) for cell in row) + " |", flush=True)
    finish(failed)


main()
