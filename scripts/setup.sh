#!/usr/bin/env bash
# Installs lighthouse's missing dependencies on Debian and Ubuntu; lists them on other systems.
#   setup.sh [PACKAGE...] [--optional PACKAGE...]   also these; optional ones only if available
set -euo pipefail

packages=(
    build-essential cmake ninja-build pkg-config
    libyaml-cpp-dev libspdlog-dev libfmt-dev libcli11-dev nlohmann-json3-dev libxxhash-dev
    libopenblas-openmp-dev
    libopenmpi-dev openmpi-bin libasio-dev    # for training with many processes
    gnuplot-nox                      # plots of compare and eval
    libgtest-dev libbenchmark-dev    # for the tests
)
optional=(libsentencepiece-dev libprotobuf-dev)  # for SentencePiece tokenizers; Debian 13 does not bring the second along
while [ $# -gt 0 ]; do
    if [ "$1" = --optional ]; then
        shift
        optional+=("$@")
        break
    fi
    packages+=("$1")
    shift
done

say() { echo "setup: $*"; }

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    say "this is neither Debian nor Ubuntu; install the contents of these packages by hand:"
    printf '  %s\n' "${packages[@]}"
    exit 0
fi

is_installed() { dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q '^install ok installed'; }

missing=()
for package in "${packages[@]}"; do
    is_installed "$package" || missing+=("$package")
done
wished=()
for package in "${optional[@]}"; do
    is_installed "$package" || wished+=("$package")
done
if [ ${#missing[@]} -eq 0 ] && [ ${#wished[@]} -eq 0 ]; then
    say "all packages are installed"
    exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        if [ ${#missing[@]} -eq 0 ]; then
            say "skipping ${wished[*]}: installing packages needs root or sudo"
            exit 0
        fi
        say "installing these missing packages needs root or sudo: ${missing[*]}"
        exit 2
    fi
    as_root=(sudo)
fi

install() {
    say "installing $*"
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

say "fetching the package lists"
"${as_root[@]}" apt-get update -qq || say "fetching failed; using the existing lists"
[ ${#missing[@]} -eq 0 ] || install "${missing[@]}"
for package in "${wished[@]}"; do
    install "$package" || say "skipping $package: not available"
done
say "done"
