#!/usr/bin/env bash
# Installs missing packages, builds with warnings as errors, checks format and lint, runs every test.
#   --quick   skip the lint
set -euo pipefail
cd "$(dirname "$0")/.."

quick=false
case "${1:-}" in
    --quick) quick=true ;;
    "") ;;
    *) echo "usage: $0 [--quick]" >&2; exit 2 ;;
esac

say() { echo "test: $*"; }
sources() { find "$@" -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh'; }

./scripts/setup.sh --optional clang-format-14 clang-tidy-14 libomp-14-dev python3-numpy

say "configuring; builds CUDA code if nvcc is found"
cmake -S . -B build -G Ninja -DLIGHTHOUSE_CUDA=AUTO -DLIGHTHOUSE_WERROR=ON -DLIGHTHOUSE_TESTS=ON
say "building with warnings as errors"
cmake --build build

if command -v clang-format-14 >/dev/null; then
    say "checking the format"
    sources include src kernels tests | xargs clang-format-14 --dry-run --Werror
else
    say "SKIPPED: the format check needs clang-format-14 (other versions format differently)"
fi

lint_is_possible() { # clang-tidy-14 cannot parse newer systems' headers, nor OpenMP without libomp-14-dev
    command -v clang-tidy-14 >/dev/null || return 1
    local probes=(src/train/trainer.cpp src/config/reader.cpp src/ops/cpu/blas.cpp)
    local output
    output=$(clang-tidy-14 -p build --quiet --checks='-*,misc-unused-using-decls' "${probes[@]}" 2>/dev/null || true)
    [[ $output != *clang-diagnostic-error* ]]
}
if $quick; then
    say "SKIPPED: the lint (--quick)"
elif lint_is_possible; then
    say "linting"
    find src -name '*.cpp' | xargs -P "$(nproc)" -n 4 clang-tidy-14 -p build --quiet 2>/dev/null
else
    say "SKIPPED: the lint needs a clang-tidy-14 that can parse this system's headers, and libomp-14-dev"
fi

say "running every test"
ctest --test-dir build --output-on-failure --no-tests=error -j "$(nproc)"
