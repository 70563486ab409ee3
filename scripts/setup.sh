#!/usr/bin/env bash
# Installs what lighthouse is built with, where it is missing. Debian and Ubuntu; elsewhere it lists what is needed.
set -euo pipefail

packages=(
    build-essential cmake ninja-build pkg-config
    libyaml-cpp-dev libspdlog-dev libfmt-dev libcli11-dev nlohmann-json3-dev libxxhash-dev
    libopenblas-openmp-dev
    libopenmpi-dev openmpi-bin       # for training with many processes
    libgtest-dev libbenchmark-dev    # for the tests
)
optional=(clang-format-14 clang-tidy-14)  # for ./scripts/test.sh; passed over where the distribution has others

say() { echo "setup: $*"; }

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    say "this is neither Debian nor Ubuntu; please install by hand what these packages hold:"
    printf '  %s\n' "${packages[@]}"
    exit 0
fi

is_installed() { dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q '^install ok installed'; }

missing=()
for package in "${packages[@]}" "${optional[@]}" "$@"; do
    is_installed "$package" || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
    say "all packages are there"
    exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        say "these packages are missing, and installing them needs root or sudo: ${missing[*]}"
        exit 2
    fi
    as_root=(sudo)
fi

say "fetching the package lists"
"${as_root[@]}" apt-get update -qq

wanted=()
for package in "${missing[@]}"; do
    if [[ " ${optional[*]} " == *" $package "* ]] && ! apt-cache show "$package" >/dev/null 2>&1; then
        say "passing over $package: this distribution does not have it"
    else
        wanted+=("$package")
    fi
done
if [ ${#wanted[@]} -gt 0 ]; then
    say "installing ${wanted[*]}"
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${wanted[@]}" >/dev/null
fi
say "done"
