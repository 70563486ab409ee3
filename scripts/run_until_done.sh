#!/usr/bin/env bash
# Runs a command that trains, again and again until it is done. After a failure it is started anew and continues from the
# newest checkpoint. Give the command --resume-whole, which passes over damaged checkpoints; --resume is replaced by it:
#   scripts/run_until_done.sh mpirun -n 8 build/bin/lighthouse train CONFIG --resume-whole
# What cannot get better by itself ends it: a refused input (exit code 2), and five starts in a row that ended within a
# minute (RESTARTS and SECONDS_OF_A_RUN change that). SIGTERM, SIGINT, SIGHUP and SIGUSR1 stop the run, and then this script;
# the run saves its last step first. Under nohup SIGHUP is ignored.
set -uo pipefail
case ${1:--} in -*) echo "usage: $0 COMMAND..." >&2; exit 2 ;; esac
command -v -- "$1" >/dev/null || { echo "run_until_done: $1 is no program" >&2; exit 2; }

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
# Open MPI passes SIGTERM on after so many seconds, kills after as many again, and waits for both when a rank fails.
export OMPI_MCA_odls_base_sigkill_timeout=${OMPI_MCA_odls_base_sigkill_timeout:-10}

stopping=0
child=
stop() {
    stopping=1
    [ -z "$child" ] || kill -USR1 "$child" 2>/dev/null  # mpirun passes it on at once
}
trap stop TERM INT HUP USR1
trap '' PIPE  # the reader of the log may exit

failures=0
while true; do
    begin=$(date +%s)
    "${command[@]}" &
    child=$!
    [ "$stopping" = 0 ] || stop  # the signal came before there was a number to send it to
    wait "$child"
    code=$?
    while kill -0 "$child" 2>/dev/null; do  # a signal ended the wait, not the run
        wait "$child"
        code=$?
    done
    child=
    [ "$stopping" = 0 ] || { echo "run_until_done: stopped, as asked; exit code $code" >&2; exit 143; }
    [ "$code" -ne 0 ] || { echo "run_until_done: done" >&2; exit 0; }
    [ "$code" -ne 2 ] || { echo "run_until_done: the input was refused; starting again would not help" >&2; exit 2; }
    if [ $(($(date +%s) - begin)) -lt "$short" ]; then failures=$((failures + 1)); else failures=0; fi
    if [ "$failures" -ge "$restarts" ]; then
        echo "run_until_done: $failures starts in a row failed within $short s; giving up with exit code $code" >&2
        exit "$code"
    fi
    echo "run_until_done: exit code $code; starting again from the newest whole checkpoint" >&2
    sleep 1
    [ "$stopping" = 0 ] || { echo "run_until_done: stopped, as asked, before another start" >&2; exit 143; }
done
