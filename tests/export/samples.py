"""What the scripts of this folder share: samples, and exports of them by the program."""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file

ROOT = Path(__file__).resolve().parents[2]
BOUND = 1e-4


def arguments(about):
    """The command line: the program and the maker of samples, and the networks."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--built", default=ROOT / "target" / "release", type=Path, help="where cargo has put both programs")
    parser.add_argument("network", nargs="*", help="all, unless some are named")
    given = parser.parse_args()
    built = given.built.resolve()
    return (built / "hypersphere", built / "examples" / "export_sample"), given.network


class Sample:
    """A checkpoint of one network in a temporary folder, with what the network computes."""

    def __init__(self, programs, name):
        self.program, self.maker = programs
        self.name = name

    def __enter__(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self.temporary.name)
        subprocess.run([self.maker, self.name, self.folder], check=True)
        self.reference = load_file(self.folder / "reference.safetensors")
        with safe_open(self.folder / "checkpoint.safetensors", "np") as file:
            metadata = file.metadata()
        self.mean, self.std = (np.array(json.loads(metadata[key]), np.float32) for key in ["mean", "std"])
        return self

    def __exit__(self, *_):
        self.temporary.cleanup()

    def export(self, file, *options):
        """Exports the checkpoint; returns the file's path."""
        path = self.folder / file
        command = [self.program, "model", "export", self.folder / "checkpoint.safetensors", "-o", path, *options]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return path


def networks(programs):
    """The names of all networks."""
    return subprocess.run([programs[1]], check=True, capture_output=True, text=True).stdout.split()


def error(found, expected):
    """The largest difference, relative to the largest number."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def finish(failed):
    """Ends the script with what it has found."""
    if failed:
        sys.exit(f"above {BOUND:g}: {', '.join(failed)}")
    print(f"all within {BOUND:g}")
