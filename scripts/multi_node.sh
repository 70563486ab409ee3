#!/usr/bin/env bash
# Trains on several hosts with mpirun, and restarts after failures until the run is done.
#   scripts/multi_node.sh host1:8,host2:8 CONFIG [--set key=value ...]
# "host:8" is a host and its number of ranks: one for each GPU (or for each group of cores). Requirements:
# - ssh from this host to each of the others without a password, and the same Open MPI on all;
# - this repository, built, and the data under the same paths on all hosts, and run.directory on a shared disk;
# - TCP between the hosts: rank 0 listens on a port that the system chooses, and the others connect to it.
# Paths are relative to the current folder, which must exist on all hosts.
# Environment: NETWORK=eth1 restricts MPI and NCCL to one network interface; LIGHTHOUSE is the path of the program.
set -euo pipefail
refuse() {
    echo "multi_node: $1" >&2
    exit 2
}
[ $# -ge 2 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }

hosts=$1
config=$2
shift 2
root=$(dirname "$(dirname "$(realpath "$0")")")
program=${LIGHTHOUSE:-$root/build/bin/lighthouse}
[ -f "$config" ] || refuse "$config is not a file; usage: $0 host1:8,host2:8 CONFIG [--set key=value ...]"
[ -f "$program" ] && [ -x "$program" ] || refuse "$program is no program; build it, or set LIGHTHOUSE"
ranks=0
for host in ${hosts//,/ }; do
    [[ $host =~ ^[A-Za-z0-9_.-]+(:[1-9][0-9]{0,5})?$ && $host != -* ]] || refuse "$host is not a host and its ranks, as in host1:8"
    [[ $host == *:* ]] && ranks=$((ranks + ${host##*:})) || ranks=$((ranks + 1))
done
[ "$ranks" -ge 1 ] || refuse "\"$hosts\" names no host; expected a list as host1:8,host2:8"

network=()
if [ -n "${NETWORK:-}" ]; then
    network=(--mca btl_tcp_if_include "$NETWORK" --mca oob_tcp_if_include "$NETWORK" -x "NCCL_SOCKET_IFNAME=$NETWORK")
fi
# Divide the cores among the ranks; by default every rank would use all of them.
threads=${OMP_NUM_THREADS:-$(($(nproc) * $(tr ',' '\n' <<<"$hosts" | wc -l) / ranks))}
[ "$threads" -ge 1 ] || threads=1

# mpirun needs these options to run as root, as in containers.
[ "$(id -u)" -ne 0 ] || export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

exec "$root/scripts/run_until_done.sh" mpirun --host "$hosts" -n "$ranks" --bind-to none -x OMP_NUM_THREADS="$threads" \
    ${LD_LIBRARY_PATH:+-x LD_LIBRARY_PATH} "${network[@]}" "$program" train "$config" --resume-whole "$@"
