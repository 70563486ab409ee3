#!/usr/bin/env bash
# Plots a file of `lighthouse bench attention --csv FILE` as SVG: milliseconds against sequence length.
#   plot_attention.sh FILE.csv OUT.svg
set -euo pipefail
csv=${1:?usage: plot_attention.sh FILE.csv OUT.svg}
out=${2:?usage: plot_attention.sh FILE.csv OUT.svg}
if ! command -v gnuplot >/dev/null; then
    echo "plot_attention: needs gnuplot (apt-get install gnuplot-nox)" >&2
    exit 2
fi
gnuplot <<PLOT
set terminal svg size 760,440 background rgb "white" font "sans-serif,13"
set output "$out"
set datafile separator ","
set logscale xy 2
set format x "%.0f"
set xtics rotate by -30 (32768, 65536, 98304, 131072, 262144, 524288)
set logscale y 10
set xrange [29000:600000]
set xlabel "tokens in the sequence"
set ylabel "milliseconds, forward + backward"
set key top left
set grid ytics lc rgb "#dddddd"
set border 3
set tics nomirror
plot "$csv" using 1:5 skip 1 with linespoints lw 2 pt 7 lc rgb "#c0392b" title "dense attention (cuDNN)", \
     "$csv" using 1:7 skip 1 with linespoints lw 2 pt 7 lc rgb "#1f6fb2" title "Lighthouse layer", \
     "$csv" using 1:9 skip 1 with lines lw 1.5 dt 2 lc rgb "#555555" title "lower bound: attention on the gathered rows"
PLOT
