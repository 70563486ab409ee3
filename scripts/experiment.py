#!/usr/bin/env python3
"""Lighthouse then dense attention against dense attention alone (docs/experiments.md).

    experiment.py search          each arm at four learning rates, a quarter of the time
    experiment.py final           the best learning rate of each arm, two seeds, all of the time; and equal tokens

Needs a GPU, and shards in data/linux (docs/experiments.md says how they were made). Results go to OUT: a line of JSON a
run in results.jsonl, and the runs' own directories. `final` reads what `search` wrote: learning rates, and how long steps
take, from which follows how many each arm makes in the same time. A run
whose result is there already is not made again.
"""
import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

LEARNING_RATES = [5e-4, 1e-3, 2e-3, 4e-3]
ARMS = {"dense": "linux-65k", "lighthouse": "linux-65k-lighthouse", "mixed": "linux-65k-mixed"}
DENSE_EVERY = 32  # of the mixed arm's first stage
DENSE_SHARE = 0.25  # of the time: the second stage, in which the learning rate falls


def steps_of(arm, seconds, step_seconds):
    """Steps of the first and of the dense stage that take so long."""
    dense, light = step_seconds["dense"], step_seconds["lighthouse"]
    if arm == "dense":
        return [round(seconds / dense)]
    first = light if arm == "lighthouse" else (light * (DENSE_EVERY - 1) + dense) / DENSE_EVERY
    return [round((1 - DENSE_SHARE) * seconds / first), round(DENSE_SHARE * seconds / dense)]


def metrics_of(directory):
    with open(directory / "metrics.jsonl") as lines:
        records = [json.loads(line) for line in lines]
    return [r for r in records if "loss" in r], [r for r in records if "validation_loss_dense" in r]


def results_of(options):
    """By name; the last of each."""
    if not (options.out / "results.jsonl").exists():
        return {}
    with open(options.out / "results.jsonl") as lines:
        return {result["name"]: result for result in map(json.loads, lines)}


def run(options, name, arm, steps, learning_rate, seed=42):
    """Trains, unless its result is there already, and adds what came out to the results."""
    directory = options.out / name
    total = sum(steps)
    if name in results_of(options):
        return
    settings = {"run.name": name, "run.directory": directory, "run.seed": seed, "optimizer.learning_rate": learning_rate,
                "schedule.decay_steps": steps[1] if len(steps) > 1 else round(DENSE_SHARE * total),
                "schedule.warmup_steps": min(50, total // 4), "evaluation.every": max(1, total // 4)}
    settings.update({f"stages.{i}.steps": count for i, count in enumerate(steps)})
    command = [options.lighthouse, "train", f"configs/experiments/{ARMS[arm]}.yaml", "--resume"]
    for key, value in settings.items():
        command += ["--set", f"{key}={value}"]
    print("+", *command, flush=True)
    with open(options.out / f"{name}.log", "w") as log:
        subprocess.run(command, check=True, stdout=log, stderr=log)
    trained, validated = metrics_of(directory)
    result = {"name": name, "arm": arm, "learning_rate": learning_rate, "seed": seed, "steps": steps,
              "tokens": trained[-1]["tokens"], "seconds": trained[-1]["seconds"],
              "validation_loss_dense": validated[-1]["validation_loss_dense"]}
    with open(options.out / "results.jsonl", "a") as file:
        file.write(json.dumps(result) + "\n")
    print(f"{name:28} {result['validation_loss_dense']:.4f} nats a byte, {result['tokens'] / 1e6:.1f}M tokens, "
          f"{result['seconds']:.1f} s", flush=True)


def step_seconds(directory):
    """The median time of a step of each kind of attention."""
    times = {"dense": [], "lighthouse": []}
    trained, _ = metrics_of(directory)
    for before, record in zip(trained[10:], trained[11:]):
        if before["attention"] == record["attention"]:
            times[record["attention"]].append(record["seconds"] - before["seconds"])
    return {kind: statistics.median(values) for kind, values in times.items() if values}


def search(options):
    guess = {"dense": options.dense_step, "lighthouse": options.lighthouse_step}
    for arm in ARMS:
        for rate in LEARNING_RATES:
            run(options, f"search-{arm}-{rate:g}", arm, steps_of(arm, options.seconds / 4, guess), rate)


def best_rates(options):
    best = {}
    for name, result in results_of(options).items():
        arm, loss = result["arm"], result["validation_loss_dense"]
        if name.startswith("search") and (arm not in best or loss < best[arm][1]):
            best[arm] = (result["learning_rate"], loss)
    return {arm: rate for arm, (rate, _) in best.items()}


def final(options):
    rates = best_rates(options)
    measured = step_seconds(options.out / f"search-lighthouse-{LEARNING_RATES[0]:g}")
    print("learning rates", rates, "step seconds", measured, flush=True)
    for seed in (42, 43):
        for arm in ARMS:
            run(options, f"{arm}-{seed}", arm, steps_of(arm, options.seconds, measured), rates[arm], seed)
    total = steps_of("dense", options.seconds, measured)[0]
    run(options, "equal-tokens-42", "lighthouse", [round(0.6 * total), total - round(0.6 * total)], rates["lighthouse"])
    names = [f"{arm}-{seed}" for seed in (42, 43) for arm in ARMS] + ["equal-tokens-42"]
    subprocess.run([options.lighthouse, "eval", *[str(options.out / name) for name in names], "--windows", "40", "--out",
                    str(options.out / "positions")], check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["search", "final"])
    parser.add_argument("--lighthouse", default="build/bin/lighthouse", help="the program")
    parser.add_argument("--out", type=Path, default=Path("runs/experiments"))
    parser.add_argument("--seconds", type=float, default=48, help="of training, for each arm")
    parser.add_argument("--dense-step", type=float, default=0.15, help="a guess for `search`, seconds")
    parser.add_argument("--lighthouse-step", type=float, default=0.02, help="likewise")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    (search if options.what == "search" else final)(options)


if __name__ == "__main__":
    sys.exit(main())
