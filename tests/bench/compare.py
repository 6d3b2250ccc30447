"""Training steps here and in PyTorch, measured in turns, as a table of ratios.

    cargo build --release
    python tests/bench/compare.py [NETWORK ...] [--rounds 3] [--threads 2] [--bf16]

needs `pip install torch torchvision`. Both do the same work on the same machine, one after the other and several
times over, so that a machine that slows down slows both. The time of each is the median of its rounds' medians.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAMES = ["vgg", "resnet18", "airbench", "lenet", "resnet20", "resnet50"]


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=f"of {', '.join(NAMES)}; all if absent")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--bf16", action="store_true", help="PyTorch with bf16 autocast too")
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser.add_argument("--program", type=Path, default=target / "release" / "hypersphere")
    options = parser.parse_args()
    for name in options.networks:
        if name not in NAMES:
            parser.error(f"no network {name}; there are: {', '.join(NAMES)}")
    common = ["--seconds", str(options.seconds), "--threads", str(options.threads)]
    modes = ["f32", "bf16"] if options.bf16 else ["f32"]

    rows, machine, shares = [], {}, []
    for name in options.networks or NAMES:
        ours, theirs, memory = [], {mode: [] for mode in modes}, [0, 0]
        for _ in range(options.rounds):
            found = run([options.program, "bench", "step", name, "--json", *common])
            machine, result = found["machine"], found["results"][0]
            ours.append(result["seconds"]["median"])
            shares.append(result["flops"] / result["seconds"]["median"] / found["peaks"][0]["flops"])
            memory[0] = max(memory[0], result["process_bytes"])
            for mode in modes:
                script = ROOT / "tests" / "bench" / "torch_step.py"
                found = run([sys.executable, script, name, "--mode", mode, *common])
                theirs[mode].append(found["median"])
                if mode == "f32":
                    memory[1] = max(memory[1], found["process_bytes"])
        mine = statistics.median(ours)
        peak = statistics.median(shares[-options.rounds :])
        cells = [name, f"{1e3 * mine:.0f} ms", f"{100 * peak:.0f} %"]
        for mode in modes:
            other = statistics.median(theirs[mode])
            cells += [f"{1e3 * other:.0f} ms", f"{mine / other:.2f}"]
        rows.append(cells + [f"{memory[0] / 1e6:.0f} / {memory[1] / 1e6:.0f} MB"])
        print("  ".join(rows[-1]), file=sys.stderr)

    headings = ["network", "Hypersphere", "of peak"]
    for mode in modes:
        headings += [f"PyTorch {mode}", "ratio"]
    headings.append("memory")
    print(f"\n{machine['processor']}, {options.threads} threads, {machine['instruction_set']}\n")
    for cells in [headings, ["---"] * len(headings), *rows]:
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
