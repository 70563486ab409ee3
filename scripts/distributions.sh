#!/usr/bin/env bash
# Runs README's two commands on fresh systems of other releases. For each RELEASE: creates a system with debootstrap,
# copies this checkout's files into it, and runs scripts/test.sh and scripts/quickstart.sh there. Prints one line for each
# release; exits with 1 if one failed. Needs root, debootstrap, a network, and 5 GB of disk for each release.
#   distributions.sh [OPTION...] RELEASE...        Debian: bookworm, trixie; Ubuntu: jammy, noble
#     --short         instead of the two commands: set up, build as a user does, run every test; no lint, no training
#     --folder DIR    folder for systems and logs (default: /var/tmp/lighthouse-distributions); existing systems are
#                     reused with a fresh checkout
#     --mirror URL    the package archive; by default debootstrap's choice
#     --ccache DIR    compile through ccache with DIR as its folder
set -euo pipefail

usage() {
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2
    exit 2
}

short=false folder=/var/tmp/lighthouse-distributions mirror="" cache=""
releases=()
while [ $# -gt 0 ]; do
    case "$1" in
        --short) short=true ;;
        --folder | --mirror | --ccache)
            [ $# -ge 2 ] || usage
            case "$1" in
                --folder) folder=$2 ;;
                --mirror) mirror=$2 ;;
                --ccache) cache=$(realpath -- "$2") ;;
            esac
            shift
            ;;
        -*) usage ;;
        *) releases+=("$1") ;;
    esac
    shift
done
[ ${#releases[@]} -gt 0 ] || usage
[ "$(id -u)" -eq 0 ] || { echo "distributions: creating a system needs root" >&2; exit 2; }
command -v debootstrap >/dev/null || { echo "distributions: debootstrap is missing; run apt-get install debootstrap" >&2; exit 2; }
for release in "${releases[@]}"; do
    if [ ! -e "/usr/share/debootstrap/scripts/$release" ]; then
        echo "distributions: this debootstrap does not know the release $release (a newer Ubuntu release than debootstrap needs" \
            "ln -s gutsy /usr/share/debootstrap/scripts/$release)" >&2
        exit 2
    fi
done
mkdir -p "$folder"
folder=$(realpath -- "$folder")
cd "$(dirname "$0")/.."

# Prints the path of a system of the release; creates the system if necessary.
system_of() {
    local release=$1 system=$folder/$1 components=main archive=$mirror
    if [ ! -d "$system" ]; then
        if grep -q ubuntu "/usr/share/debootstrap/scripts/$release"; then
            # Ubuntu's installer enables universe, which has most of lighthouse's dependencies.
            components=main,universe
            archive=${mirror:-http://archive.ubuntu.com/ubuntu}
        fi
        rm -rf "$system.partial"
        debootstrap --variant=minbase --components=$components --include=ca-certificates \
            "$release" "$system.partial" ${archive:+"$archive"} >"$folder/$release.debootstrap.log" 2>&1 || return 1
        [ -e "$system.partial/etc/hosts" ] || echo "127.0.0.1 localhost" >"$system.partial/etc/hosts"
        mv "$system.partial" "$system"
    fi
    echo "$system"
}

# Copies the files that a commit of this working tree would contain.
copy_checkout() {
    local to=$1
    rm -rf "$to"
    mkdir -p "$to"
    git ls-files -z --cached --others --exclude-standard |
        tar --create --null --ignore-failed-read --warning=no-failed-read --files-from=- | tar --extract --directory "$to"
}

# Runs a command in the system's /lighthouse. Its mounts and processes end with the command.
run_in() {
    local system=$1
    shift
    cp --dereference /etc/resolv.conf "$system/etc/resolv.conf"
    # shellcheck disable=SC2016
    unshare --mount --pid --fork --kill-child bash -c '
        system=$1 cache=$2
        shift 2
        mount -t proc proc "$system/proc"
        mount --rbind /sys "$system/sys"
        mount --rbind /dev "$system/dev"
        launcher=()
        if [ -n "$cache" ]; then
            mkdir -p "$system/ccache"
            mount --bind "$cache" "$system/ccache"
            launcher=(CCACHE_DIR=/ccache CMAKE_C_COMPILER_LAUNCHER=ccache CMAKE_CXX_COMPILER_LAUNCHER=ccache)
        fi
        cd "$system"
        exec env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb LC_ALL=C.UTF-8 \
            ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} "${launcher[@]}" \
            chroot "$system" bash -ec "cd /lighthouse; $*"
    ' bash "$system" "$cache" "$@"
}

try() {
    local release=$1 system
    system=$(system_of "$release") || { echo "creating the system failed (see $folder/$release.debootstrap.log)"; return 1; }
    copy_checkout "$system/lighthouse" || { echo "copying the checkout failed"; return 1; }
    local commands=(./scripts/test.sh ./scripts/quickstart.sh)
    if $short; then
        commands=(
            './scripts/setup.sh; cmake -S . -B build -G Ninja; cmake --build build'
            'ctest --test-dir build --output-on-failure --no-tests=error -j "$(nproc)"'
        )
    fi
    local command log=$folder/$release.log
    : >"$log"
    if [ -n "$cache" ]; then
        run_in "$system" 'apt-get update -qq; apt-get install -y -qq --no-install-recommends ccache' >>"$log" 2>&1 ||
            { echo "installing ccache failed (see $log)"; return 1; }
    fi
    for command in "${commands[@]}"; do
        echo "== $command" >>"$log"
        run_in "$system" "$command" >>"$log" 2>&1 || { echo "failed in: $command (see $log)"; return 1; }
    done
    echo "passed, with $(run_in "$system" 'g++ --version | head -n 1')"
}

failed=0
results=()
for release in "${releases[@]}"; do
    echo "distributions: $release"
    result=$(try "$release") || failed=1
    results+=("$(printf '%-10s %s' "$release" "$result")")
done
printf '%s\n' "${results[@]}"
exit $failed
