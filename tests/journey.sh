#!/usr/bin/env bash
# The whole journey of a user, on real pictures and in a temporary folder: train on a folder, die,
# resume, judge, embed, search, verify, export, run the export, report, open the report.
#
#     tests/journey.sh [--keep DIR] [PROGRAM] [PICTURES]
#
# PROGRAM is the `hypersphere` binary (default: target/release/hypersphere). PICTURES is a folder with
# a folder of pictures for each class, two or more of them; by default those of MNIST's test part,
# which are in this repository. --keep leaves everything in DIR. PYTHON names a Python with
# onnxruntime, Pillow and numpy, BROWSER a Chromium; what is not there is skipped, and said so.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

keep=
if [ "${1-}" = --keep ]; then
    keep=$2
    shift 2
fi
program=$(realpath "${1-$here/../target/release/hypersphere}")
pictures=${2:+$(realpath "$2")}
work=${keep:-$(mktemp -d)}
mkdir -p "$work"
[ -n "$keep" ] || trap 'rm -rf "$work"' EXIT
cd "$work"

step() { printf '\n== %s\n' "$*"; }
fail() { echo "journey: $*" >&2; exit 1; }
hypersphere() { "$program" "$@"; }

if [ -z "$pictures" ]; then
    step "MNIST's test part as a folder of pictures"
    mkdir -p idx
    for part in train t10k; do
        for kind in images-idx3 labels-idx1; do
            # Small enough for a walk: the test part stands for both.
            cp "$here/../data/mnist/t10k-$kind-ubyte.gz" "idx/$part-$kind-ubyte.gz"
        done
    done
    hypersphere data convert idx -o list/manifest.csv
    mkdir -p photos
    tail -n +2 list/manifest.csv | while IFS=, read -r path label split rest; do
        [ "$split" = test ] || continue
        mkdir -p "photos/$label"
        mv "list/$path" "photos/$label/"
    done
    pictures=$work/photos
fi
first=$(find "$pictures" -mindepth 1 -maxdepth 1 -type d | sort | head -n 1)
second=$(find "$pictures" -mindepth 1 -maxdepth 1 -type d | sort | sed -n 2p)
[ -n "$second" ] || fail "$pictures: expected a folder for each class, two or more"
one() { find "$1" -type f | sort | sed -n "$2p"; }

step "what is in it"
hypersphere data inspect "$pictures"

step "train, and die by kill -9 after the first checkpoint"
# Not through the function, whose process would be a shell.
"$program" train "$pictures" --epochs 3 --out run --set save_minutes=0.02 --progress plain &
child=$!
for _ in $(seq 600); do
    if [ -e run/ckpt/last.state ] || ! kill -0 $child 2>/dev/null; then break; fi
    sleep 0.1
done
kill -9 $child 2>/dev/null || fail "the training ended before it could be killed"
wait $child 2>/dev/null || true

step "resume"
hypersphere train --resume run --progress plain
[ -s run/ckpt/last.safetensors ] || fail "no weights"

step "judge"
hypersphere eval run -o figures.json
[ -s figures.json ] || fail "no figures"

step "embed, index, search"
hypersphere embed run "$pictures" -o features.safetensors
hypersphere index features.safetensors -o gallery.idx
hypersphere search gallery.idx "$(one "$first" 1)" "$(one "$second" 1)" --others -k 8 --html found.html
[ -s found.html ] || fail "no page"

step "verify"
hypersphere verify run "$(one "$first" 1)" "$(one "$first" 2)"
hypersphere verify run "$(one "$first" 1)" "$(one "$second" 1)" --threshold 0.5

step "export to ONNX, and run it"
hypersphere model export run/ckpt/last.safetensors -o net.onnx
if "${PYTHON:-python3}" -c 'import onnxruntime, PIL' 2>/dev/null; then
    hypersphere embed run "$(one "$first" 1)" "$(one "$second" 1)" -o two.csv
    "${PYTHON:-python3}" "$here/export/run_onnx.py" net.onnx two.csv "$(one "$first" 1)" "$(one "$second" 1)"
else
    echo "skipped: there is no Python with onnxruntime and Pillow (PYTHON names one)"
fi

step "report, and open it"
hypersphere report run
"$here/browser/check.sh" run/report.html found.html

step "the journey is over"
