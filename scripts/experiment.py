#!/usr/bin/env python3
"""Trains arms of an experiment side by side and writes one table (docs/experiments.md).

    experiment.py ARM... --steps N      trains each arm for N steps: equal tokens if batches are equal
    experiment.py ARM... --seconds S    trains each arm for the number of steps that take S seconds

An ARM is CONFIG@RATE[,RATE...]: a config file and its learning rates. A config has one dense stage, or a first stage of
any kind and then a dense one. The dense stage gets --dense-share of the steps or of the time; the learning rate of every
arm falls over that fraction of its steps, at the end.

Trains each arm at each of its rates with each seed in OUT/ARM-STEPS-lrRATE-seedSEED. Rewrites the table, OUT/results.json
and OUT/results.md, whenever a run ends. Skips runs with results and resumes interrupted ones, so repeat the command until
it exits with 0. --seconds needs the duration of a step from runs of the arm in OUT: run with --steps first.

Exit codes: 0 all runs are done; 1 a run failed; 2 the input was refused; 3 the time limit was reached or a signal arrived,
so repeat the command.
"""
import argparse
import json
import math
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

# Exit codes of a run that a signal stopped, after saving or before it was ready to save.
STOPPED = {128 + signal.SIGINT, 128 + signal.SIGTERM, -signal.SIGINT, -signal.SIGTERM}


class Refused(Exception):
    """The input cannot be used."""


@dataclass(frozen=True)
class Arm:
    name: str
    config: str
    rates: tuple
    stages: int


@dataclass
class Run:
    """A run and its result."""
    name: str
    arm: str
    config: str
    learning_rate: float
    seed: int
    steps: list  # for each stage
    settings: list = field(default_factory=list)  # the user's --set
    done: bool = False
    tokens: int = 0
    seconds: float = 0.0
    step_seconds: list = field(default_factory=list)  # mean of each stage
    loss_before_switch: float = None  # in dense attention, after the first of two stages
    loss: float = None  # in dense attention, at the end


def stages_of(program, config, settings):
    """The number of a config's stages. Refuses configs other than a dense stage, or a stage and a dense one."""
    command = [program, "config", config, *set_arguments(settings)]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    if shown.returncode != 0:
        raise Refused(shown.stderr.strip())
    block = re.search(r"^stages:\n((?: .*\n)+)", shown.stdout, re.MULTILINE)
    kinds = re.findall(r"^    attention: (\w+)$", block.group(1), re.MULTILINE) if block else []
    if len(kinds) not in (1, 2) or kinds[-1] != "dense":
        raise Refused(f"{config} has the stages {', '.join(kinds)}; expected one dense stage, or two of which the second "
                      "is dense")
    return len(kinds)


def read_arm(text, program, settings):
    config, at, rates = text.rpartition("@")
    try:
        numbers = tuple(float(rate) for rate in rates.split(","))
    except ValueError:
        numbers = ()
    if not at or not numbers or not all(0 < rate < math.inf for rate in numbers):
        raise Refused(f"\"{text}\" is not an arm; expected CONFIG@RATE[,RATE...], such as configs/quickstart.yaml@1e-3,2e-3")
    return Arm(Path(config).stem, config, numbers, stages_of(program, config, settings))


def set_arguments(settings):
    return [argument for setting in settings for argument in ("--set", setting)]


# Steps

def split(arm, total, share):
    """Divides `total` steps among the stages."""
    dense = max(1, round(share * total))
    return [total] if arm.stages == 1 else [total - dense, dense]


def split_time(arm, seconds, share, results):
    """The steps of each stage that take `seconds` in total, from the step times of this arm's finished runs."""
    measured = [result.step_seconds for result in results.values() if result.arm == arm.name and result.done]
    if not measured:
        raise Refused(f"--seconds: {arm.name} has no finished run that gives the duration of its steps; run it "
                      "with --steps first")
    durations = [statistics.median(of_stage) for of_stage in zip(*measured)]
    parts = [seconds] if arm.stages == 1 else [(1 - share) * seconds, share * seconds]
    return [max(1, round(part / duration)) for part, duration in zip(parts, durations)]


def plan(options, arms, results):
    """All runs, seeds outermost, so that an incomplete table has every arm. Existing results replace their runs."""
    steps = {arm.name: split_time(arm, options.seconds, options.dense_share, results) if options.seconds
             else split(arm, options.steps, options.dense_share) for arm in arms}
    runs = []
    for seed in options.seeds:
        for arm in arms:
            for rate in arm.rates:
                counts = "+".join(map(str, steps[arm.name]))
                name = f"{arm.name}-{counts}-lr{rate:g}-seed{seed}"
                run = Run(name, arm.name, arm.config, rate, seed, steps[arm.name], options.set)
                known = results.get(name)
                if known and (known.config, known.settings) != (run.config, run.settings):
                    raise Refused(f"{options.out / name} was made from {known.config} with --set {known.settings}; use "
                                  "another --out for other settings")
                runs.append(known or run)
    return runs


def command_of(options, run):
    total = sum(run.steps)
    every = max(1, total // options.evaluations)
    settings = {"run.name": run.name, "run.directory": options.out / run.name, "run.seed": run.seed,
                "optimizer.learning_rate": run.learning_rate,
                "schedule.warmup_steps": min(50, total // 4),
                "schedule.decay_steps": run.steps[1] if len(run.steps) > 1 else max(1, round(options.dense_share * total)),
                "evaluation.every": every, "checkpoint.every": every}
    settings.update({f"stages.{i}.steps": count for i, count in enumerate(run.steps)})
    return [options.lighthouse, "train", run.config, "--resume",
            *set_arguments(f"{key}={value}" for key, value in settings.items()), *set_arguments(run.settings)]


# Results

def metrics_of(directory):
    """The records of steps and of validations; skips an incomplete last line."""
    steps, validations = {}, {}
    try:
        lines = (directory / "metrics.jsonl").read_text().splitlines(keepends=True)
    except FileNotFoundError:
        lines = []
    for record in (json.loads(line) for line in lines if line.endswith("\n")):
        (validations if "validation_loss" in record else steps)[record["step"]] = record
    return steps, validations


def mean_step_seconds(steps, first, last):
    """Mean seconds of the steps after `first` up to `last`, without a stage's first step, which includes start-up."""
    count = last - first - 1
    return (steps[last]["seconds"] - steps[first + 1]["seconds"]) / count if count > 0 else steps[last]["seconds"] / last


def measure(run, directory):
    """Fills in the results from the run's metrics."""
    steps, validations = metrics_of(directory)
    if not steps:
        return
    last = steps[max(steps)]
    run.tokens, run.seconds = last["tokens"], last["seconds"]
    if len(run.steps) > 1 and run.steps[0] in validations:
        run.loss_before_switch = validations[run.steps[0]]["validation_loss_dense"]
    if not run.done:
        return
    run.loss = validations[sum(run.steps)]["validation_loss_dense"]
    ends = [sum(run.steps[:i]) for i in range(len(run.steps) + 1)]
    run.step_seconds = [mean_step_seconds(steps, *ends[i:i + 2]) for i in range(len(run.steps))]


def read_results(out):
    path = out / "results.json"
    if not path.exists():
        return {}
    return {entry["name"]: Run(**entry) for entry in json.loads(path.read_text())}


def number(value, digits):
    return "-" if value is None else f"{value:,.{digits}f}"


def mean_and_deviation(values):
    values = [value for value in values if value is not None]
    if not values:
        return "-"
    return f"{statistics.mean(values):.4f}" + (f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else "")


def markdown(results):
    """One row for each run, then one for each arm."""
    text = ["Losses are validation losses in dense attention, nats a token.\n\n",
            "| arm | learning rate | steps | seed | tokens | seconds | loss before the switch | loss |\n",
            "|---|---|---|---|---|---|---|---|\n"]
    groups = {}
    for run in results:
        steps = " + ".join(f"{count:,}" for count in run.steps)
        text.append(f"| {run.arm} | {run.learning_rate:g} | {steps} | {run.seed} | {run.tokens / 1e6:,.2f}M | "
                    f"{number(run.seconds, 1)} | {number(run.loss_before_switch, 4)} | "
                    f"{number(run.loss, 4) if run.done else 'unfinished'} |\n")
        if run.done:
            groups.setdefault((run.arm, run.learning_rate, steps), []).append(run)
    if groups:
        text += ["\nMeans over seeds, ± the standard deviation.\n\n",
                 "| arm | learning rate | steps | seeds | seconds | loss before the switch | loss |\n",
                 "|---|---|---|---|---|---|---|\n"]
    for (arm, rate, steps), runs in groups.items():
        text.append(f"| {arm} | {rate:g} | {steps} | {len(runs)} | {statistics.mean(run.seconds for run in runs):,.1f} | "
                    f"{mean_and_deviation([run.loss_before_switch for run in runs])} | "
                    f"{mean_and_deviation([run.loss for run in runs])} |\n")
    return "".join(text)


def write_whole(path, text):
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    partial.replace(path)


def ordered(results):
    return sorted(results.values(), key=lambda run: (run.arm, sum(run.steps), run.learning_rate, run.seed))


def write_results(out, results):
    write_whole(out / "results.json", json.dumps([asdict(run) for run in ordered(results)], indent=1) + "\n")
    write_whole(out / "results.md", markdown(ordered(results)))


# Processes

class Machine:
    """Runs processes, one in each slot (a GPU, or the whole machine), until all are done or the time limit is reached."""

    def __init__(self, options, results, started):
        """`started`: the start of the time limit."""
        self.options = options
        self.results = results
        self.free = list(options.gpus or [None])
        self.busy = {}  # slot -> (run, process)
        self.failures = []
        self.killed = False
        self.interrupted = False
        self.limit = started + options.time_limit if options.time_limit else math.inf
        self.margin = min(30.0, options.time_limit / 4) if options.time_limit else 0.0
        for caught in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            signal.signal(caught, self.interrupt)

    def interrupt(self, *_):
        self.interrupted = True

    def time_is_up(self):
        return self.interrupted or time.monotonic() > self.limit - self.margin

    def start(self, run):
        place = self.free.pop(0)
        environment = dict(os.environ) if place is None else dict(os.environ, CUDA_VISIBLE_DEVICES=place)
        command = command_of(self.options, run)
        print("+", *command, flush=True)
        with open(self.options.out / f"{run.name}.log", "a") as log:
            # A session of its own, so that a terminal's signal reaches the run only through stop().
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        self.busy[place] = (run, process)

    def collect(self):
        """Collects finished processes."""
        for place, (run, process) in list(self.busy.items()):
            if process.poll() is None:
                continue
            del self.busy[place]
            self.free.append(place)
            run.done = process.returncode == 0
            measure(run, self.options.out / run.name)
            self.results[run.name] = run
            write_results(self.options.out, self.results)
            self.report(run, process.returncode)

    def report(self, run, code):
        if run.done:
            print(f"{run.name}: {run.loss:.4f} in dense attention, {run.tokens / 1e6:.1f}M tokens, {run.seconds:.1f} s",
                  flush=True)
        elif code in STOPPED or self.killed:
            print(f"{run.name}: stopped after {run.seconds:.1f} s of training, to be continued", flush=True)
        else:
            self.failures.append(code)
            print(f"{run.name} failed with exit code {code}; see {self.options.out / run.name}.log", flush=True)

    def stop(self):
        """Asks all runs to save and exit; kills those that exceed the limit."""
        for _, process in self.busy.values():
            process.terminate()
        last = min(self.limit, time.monotonic() + 60)
        while self.busy and time.monotonic() < last:
            self.collect()
            time.sleep(0.05)
        for _, process in self.busy.values():
            self.killed = True
            process.kill()
            process.wait()
        self.collect()

    def work(self, runs):
        waiting = [run for run in runs if not run.done]
        while (waiting or self.busy) and not self.time_is_up():
            while waiting and self.free:
                self.start(waiting.pop(0))
            time.sleep(0.05)
            self.collect()
        self.stop()


def exit_code(runs, failures):
    if failures:
        return 2 if 2 in failures else 1
    return 0 if all(run.done for run in runs) else 3


def experiment(options):
    started = time.monotonic()
    results = read_results(options.out)
    arms = [read_arm(text, options.lighthouse, options.set) for text in options.arms]
    runs = plan(options, arms, results)
    options.out.mkdir(parents=True, exist_ok=True)
    machine = Machine(options, results, started)
    machine.work(runs)
    if results:
        print(f"\n{markdown(ordered(results))}", flush=True)
    return exit_code(runs, machine.failures)


def number_from(least, kind=int):
    def parse(text):
        value = kind(text)
        if not least <= value < math.inf:
            raise argparse.ArgumentTypeError(f"{text} is not a number; expected {least} or more")
        return value
    return parse


def share(text):
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("arms", nargs="+", metavar="ARM")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--steps", type=number_from(2), help="steps of each run")
    length.add_argument("--seconds", type=number_from(1, float), help="seconds of training of each run")
    parser.add_argument("--dense-share", type=share, default=0.25)
    parser.add_argument("--seeds", type=lambda text: [int(seed) for seed in text.split(",")], default=[42],
                        help="seeds, separated by commas (default 42)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting for the configs of all arms")
    parser.add_argument("--evaluations", type=number_from(1), default=8, help="number of evaluations and checkpoints of each run")
    parser.add_argument("--gpus", type=lambda text: text.split(","),
                        help="GPU numbers, separated by commas, each with one run at a time; by default one run at a time")
    parser.add_argument("--time-limit", type=number_from(1, float),
                        help="seconds after which this call stops its runs")
    parser.add_argument("--lighthouse", default="build/bin/lighthouse", help="path of the program")
    parser.add_argument("--out", type=Path, default=Path("runs/experiments"))
    return parser.parse_args()


def main():
    try:
        return experiment(parse())
    except (Refused, OSError) as error:
        print(f"experiment.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
