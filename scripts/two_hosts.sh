#!/usr/bin/env bash
# Simulates two hosts on one machine: two network namespaces joined by a veth pair, with two ranks in each, which reach each
# other over TCP only. Needs root. Trains a tiny model for 20 steps in one process and on four ranks, compares the losses, then
# kills a rank on the other "host" and checks how the others end.
#   sudo scripts/two_hosts.sh [PROGRAM]     default: build/bin/lighthouse
set -euo pipefail
cd "$(dirname "$0")/.."
program=$(realpath -- "${1:-build/bin/lighthouse}")
[ -f "$program" ] && [ -x "$program" ] || { echo "two_hosts: $program is not a program; usage: $0 [PROGRAM]" >&2; exit 2; }
[ "$(id -u)" -eq 0 ] || { echo "two_hosts: creating network namespaces needs root" >&2; exit 2; }
for tool in ip mpirun python3; do command -v $tool >/dev/null || { echo "two_hosts: $tool is missing" >&2; exit 2; }; done

work=$(mktemp -d)
names=(lighthouse-a lighthouse-b)
clean() {
    for name in "${names[@]}"; do ip netns del "$name" 2>/dev/null || true; done
    rm -rf "$work"
}
trap clean EXIT
for name in "${names[@]}"; do ip netns add "$name"; done
ip link add lh-a netns lighthouse-a type veth peer name lh-b netns lighthouse-b
for side in a b; do
    ip -n lighthouse-$side addr add 10.111.0.$([ $side = a ] && echo 1 || echo 2)/24 dev lh-$side
    ip -n lighthouse-$side link set lh-$side up
    ip -n lighthouse-$side link set lo up
done

# Replaces ssh: starts mpirun's helper in the other namespace.
cat >"$work/remote" <<'EOF'
#!/usr/bin/env bash
while [ "${1#-}" != "$1" ]; do shift; done
shift  # the address
exec ip netns exec lighthouse-b unshare --uts bash -c 'hostname lighthouse-b; exec sh -c "$0"' "$*"
EOF
chmod +x "$work/remote"

seq 1 20000 | tr -d '\n' >"$work/text"
"$program" prepare --out "$work/data" "$work/text" >/dev/null
cat >"$work/run.yaml" <<EOF
run: {name: hosts, directory: $work/run, device: cpu}
model: {vocab_size: 257, hidden_size: 64, intermediate_size: 128, num_hidden_layers: 3, num_attention_heads: 4, num_key_value_heads: 2}
data: {train: "$work/data/train-*.bin"}
batch: {sequence_length: 128, micro_batch_size: 1, global_batch_size: 8}
stages: [{name: dense, attention: dense, steps: 20}]
optimizer: {learning_rate: 2.0e-3}
checkpoint: {every: 5, keep: 2}
distributed: {bucket: 0.05}
EOF

export OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
# Shared memory works across namespaces and would bypass TCP.
on_two_hosts() {
    ip netns exec lighthouse-a unshare --uts bash -c 'hostname lighthouse-a; exec "$@"' _ \
        mpirun --host 10.111.0.1:2,10.111.0.2:2 -n 4 --oversubscribe --bind-to none \
        --mca plm_rsh_agent "$work/remote" --mca btl tcp,self --mca btl_tcp_if_include 10.111.0.0/24 \
        --mca oob_tcp_if_include 10.111.0.0/24 -x OMP_NUM_THREADS "$program" train "$work/run.yaml" "$@"
}

echo "== one process"
"$program" train "$work/run.yaml" --set run.directory="$work/one" 2>&1 | tail -n 1
echo "== two ranks on each of two hosts"
on_two_hosts --set run.directory="$work/four" 2>&1 | grep -E "ranks by|100%"
python3 - "$work" <<'EOF'
import json, sys
def losses(run):
    return [l["loss"] for l in map(json.loads, open(f"{sys.argv[1]}/{run}/metrics.jsonl")) if "loss" in l]
one, four = losses("one"), losses("four")
assert len(one) == len(four) == 20, (len(one), len(four))
difference = max(abs(a - b) for a, b in zip(one, four))
print(f"largest difference of losses: {difference:.1e}")
assert difference < 1e-5
EOF

echo "== a rank of the other host is killed"
on_two_hosts --set run.directory="$work/killed" --set stages.0.steps=1000000 >"$work/log" 2>&1 &
job=$!
for _ in $(seq 300); do [ ! -d "$work/killed/checkpoints/step-00000005" ] || break; sleep 0.1; done
victim=""
for process in $(ip netns pids lighthouse-b); do
    if [ "$(readlink "/proc/$process/exe")" = "$program" ]; then victim=$process; fi
done
[ -n "$victim" ] || { cat "$work/log"; echo "two_hosts: found no rank on the other host" >&2; exit 1; }
kill -KILL "$victim"
begin=$(date +%s)
code=0
wait $job || code=$?
seconds=$(($(date +%s) - begin))
grep "exited: " "$work/log" || { cat "$work/log"; echo "two_hosts: no rank reported which rank exited" >&2; exit 1; }
echo "all ranks ended within $seconds s with exit code $code"
[ "$code" -ne 0 ] && [ "$seconds" -lt 60 ]
echo "== passed"
