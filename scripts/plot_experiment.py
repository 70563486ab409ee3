#!/usr/bin/env python3
"""Plots the results of experiment.py: training loss against seconds of training, dense validation loss as points.

    plot_experiment.py OUT/RUN... --svg FILE --csv FILE

Needs gnuplot. The CSV has the plotted points: run, kind (train, or validation in dense attention), seconds, nats per byte.
"""
import argparse
import json
import subprocess
from pathlib import Path

COLORS = ["#c0392b", "#1f6fb2", "#2e8b57", "#8e5bb5"]


def curves(run):
    """The training loss, averaged over a fiftieth of the run, and the validation losses."""
    with open(run / "metrics.jsonl") as lines:
        records = [json.loads(line) for line in lines]
    steps = [r for r in records if "loss" in r]
    width = max(1, len(steps) // 50)
    chunks = [steps[i:i + width] for i in range(0, len(steps), width)]
    train = [(c[-1]["seconds"], sum(r["loss"] for r in c) / len(c)) for c in chunks]
    return train, [(r["seconds"], r["validation_loss_dense"]) for r in records if "validation_loss_dense" in r]


def block(name, points):
    return f"${name} << EOD\n" + "".join(f"{x} {y}\n" for x, y in points) + "EOD\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--svg", required=True, type=Path)
    parser.add_argument("--csv", required=True, type=Path)
    options = parser.parse_args()
    rows, data, plots = ["run,kind,seconds,nats\n"], "", []
    for i, run in enumerate(options.runs):
        train, validation = curves(run)
        color = COLORS[i % len(COLORS)]
        data += block(f"train{i}", train) + block(f"validation{i}", validation)
        plots.append(f'$train{i} with lines lw 1.5 lc rgb "{color}" title "{run.name}"')
        plots.append(f'$validation{i} with points pt 7 ps 0.8 lc rgb "{color}" notitle')
        for kind, points in (("train", train), ("validation", validation)):
            rows += [f"{run.name},{kind},{x:.4g},{y:.5g}\n" for x, y in points]
    options.csv.write_text("".join(rows))
    script = f'''set terminal svg size 760,440 background rgb "white" font "sans-serif,13"
set output "{options.svg}"
set xlabel "seconds of training"
set ylabel "loss, nats a byte"
set yrange [*:4]
set grid ytics lc rgb "#dddddd"
set border 3
set tics nomirror
{data}plot {", ".join(plots)}
'''
    subprocess.run(["gnuplot"], input=script, text=True, check=True)


if __name__ == "__main__":
    main()
