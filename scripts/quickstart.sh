#!/usr/bin/env bash
# From a fresh clone to a comparison: installs packages, builds, fetches English text, trains a small model twice on the same
# tokens (Lighthouse with a local window, then dense; dense throughout), generates a sample and compares the two. Takes about
# six minutes on two cores. A second call continues where the first stopped; with another text or changed configs it starts
# again and moves the old runs aside.
#   --text FILE   train on this text instead of Webster's dictionary
set -euo pipefail

text=""
while [ $# -gt 0 ]; do
    case "$1" in
        --text)
            [ $# -ge 2 ] || { echo "--text needs a file" >&2; exit 2; }
            text=$(realpath -- "$2")
            shift 2
            ;;
        *)
            echo "usage: $0 [--text FILE]" >&2
            exit 2
            ;;
    esac
done
if [ -n "$text" ] && [ ! -f "$text" ]; then
    echo "quickstart: $text is not a file" >&2
    exit 2
fi

cd "$(dirname "$0")/.."
say() { printf '\n== %s\n' "$*"; }

dictionary=/usr/share/dictd/gcide.dict.dz
say "Setting up"
if [ -n "$text" ] || [ -f "$dictionary" ]; then
    ./scripts/setup.sh
else
    ./scripts/setup.sh dict-gcide  # Webster's dictionary: 40 MB of English
fi

say "Building"
cuda=AUTO
if ! nvidia-smi >/dev/null 2>&1; then
    cuda=OFF
    echo "nvidia-smi finds no GPU: building for the CPU (with the CUDA toolkit, cmake --preset cuda builds for both)"
fi
cmake -S . -B build -G Ninja -DLIGHTHOUSE_CUDA=$cuda -DLIGHTHOUSE_QUICK_BUILD=ON | grep -E "building the CUDA backend|Building for the CPU"
cmake --build build --target lighthouse

mkdir -p data/quickstart
if [ -z "$text" ]; then
    text=data/quickstart/gcide.txt
    if [ ! -f "$dictionary" ]; then
        echo "quickstart: $dictionary is missing (package dict-gcide); name a text with --text FILE" >&2
        exit 2
    fi
    zcat <"$dictionary" >"$text.partial"
    mv "$text.partial" "$text"
fi

inputs=$(cat "$text" configs/quickstart.yaml configs/quickstart-dense.yaml | sha256sum | cut -d' ' -f1)
if [ "$(cat data/quickstart/inputs.sha256 2>/dev/null)" != "$inputs" ]; then
    say "Tokenizing $text"
    for run in runs/quickstart runs/quickstart-dense; do
        if [ -e "$run" ]; then
            old="$run.$(date +%Y%m%d-%H%M%S)"
            echo "the text or the configs have changed: moving $run to $old"
            mv "$run" "$old"
        fi
    done
    build/bin/lighthouse prepare --overwrite --out data/quickstart "$text"
    echo "$inputs" >data/quickstart/inputs.sha256
fi

say "Training with Lighthouse Attention and a local window, then dense"
build/bin/lighthouse train configs/quickstart.yaml --resume
say "Training dense throughout"
build/bin/lighthouse train configs/quickstart-dense.yaml --resume

say "A sample of the first model's text"
build/bin/lighthouse generate runs/quickstart --prompt "Light" --max-tokens 300 --temperature 0.8 --top-k 40
say "Comparing"
build/bin/lighthouse compare --bigram runs/quickstart runs/quickstart-dense
