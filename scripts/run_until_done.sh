#!/usr/bin/env bash
# Runs a training command, and restarts it after failures until it is done. A restarted run continues from the newest
# checkpoint. Pass --resume-whole, which skips damaged checkpoints; the script replaces --resume by it:
#   scripts/run_until_done.sh mpirun -n 8 build/bin/lighthouse train CONFIG --resume-whole
# Gives up when a restart cannot help: after a refused input (exit code 2), and after five consecutive failures within a
# minute of the start (RESTARTS and SECONDS_OF_A_RUN change the limits). SIGTERM, SIGINT, SIGHUP and SIGUSR1 stop the run,
# which saves its last step first, and then this script. Under nohup SIGHUP is ignored.
set -uo pipefail
case ${1:--} in -*) echo "usage: $0 COMMAND..." >&2; exit 2 ;; esac
command -v -- "$1" >/dev/null || { echo "run_until_done: $1 is not a program" >&2; exit 2; }

command=()
for word in "$@"; do
    [ "$word" != --resume ] || word=--resume-whole
    command+=("$word")
done

restarts=${RESTARTS:-5}
short=${SECONDS_OF_A_RUN:-60}
case $restarts$short in
    *[!0-9]*) echo "run_until_done: RESTARTS is $restarts, SECONDS_OF_A_RUN $short; expected whole numbers" >&2; exit 2 ;;
esac
# Seconds until Open MPI forwards SIGTERM, again until it kills, both also when a rank fails.
export OMPI_MCA_odls_base_sigkill_timeout=${OMPI_MCA_odls_base_sigkill_timeout:-10}

stopping=0
child=
stop() {
    stopping=1
    [ -z "$child" ] || kill -USR1 "$child" 2>/dev/null  # mpirun forwards SIGUSR1 at once
}
trap stop TERM INT HUP USR1
trap '' PIPE  # the reader of the log may exit

failures=0
while true; do
    begin=$(date +%s)
    "${command[@]}" &
    child=$!
    [ "$stopping" = 0 ] || stop  # the signal arrived before the child started
    wait "$child"
    code=$?
    while kill -0 "$child" 2>/dev/null; do  # a signal interrupted `wait`; the run continues
        wait "$child"
        code=$?
    done
    child=
    [ "$stopping" = 0 ] || { echo "run_until_done: stopped by a signal; exit code $code" >&2; exit 143; }
    [ "$code" -ne 0 ] || { echo "run_until_done: done" >&2; exit 0; }
    [ "$code" -ne 2 ] || { echo "run_until_done: the input was refused; a restart would not help" >&2; exit 2; }
    if [ $(($(date +%s) - begin)) -lt "$short" ]; then failures=$((failures + 1)); else failures=0; fi
    if [ "$failures" -ge "$restarts" ]; then
        echo "run_until_done: $failures consecutive starts failed within $short s; giving up with exit code $code" >&2
        exit "$code"
    fi
    echo "run_until_done: exit code $code; restarting from the newest undamaged checkpoint" >&2
    sleep 1
    [ "$stopping" = 0 ] || { echo "run_until_done: stopped by a signal before the restart" >&2; exit 143; }
done
