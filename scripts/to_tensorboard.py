#!/usr/bin/env python3
"""Writes a run's metrics.jsonl as TensorBoard events: to_tensorboard.py RUN [--out DIR] [--follow]

Needs the Python package tensorboardX. With --follow it keeps writing while the run continues, until interrupted.
After a resume that discarded steps it removes their events.
"""
import argparse
import json
import pathlib
import sys
import time

NAMES = {
    "loss": "train/loss",
    "grad_norm": "train/gradient_norm",
    "lr": "train/learning_rate",
    "tokens_per_second": "speed/tokens_per_second",
    "mfu": "speed/mfu",
    "seconds": "progress/seconds",
    "tokens": "progress/tokens",
    "validation_loss": "validation/loss",
    "validation_loss_dense": "validation/loss_dense",
}


def refuse(why):
    print(f"error: {why}", file=sys.stderr)
    sys.exit(2)


def whole_lines(path):
    """The complete lines; a running program may still be writing the last one."""
    return path.read_bytes().split(b"\n")[:-1]


def metrics_of(path, number, line):
    try:
        metrics = json.loads(line)
        numbers = {key: metrics[key] if metrics[key] is None else float(metrics[key]) for key in NAMES if key in metrics}
        return numbers | {"step": int(metrics["step"])}
    except (ValueError, TypeError, LookupError):
        refuse(f"{path}:{number}: not a line of metrics")


class Events:
    """The lines written so far, and the writer that continues after them."""

    def __init__(self, path, directory, make_writer):
        self.path = path
        self.directory = str(directory)
        self.make_writer = make_writer
        self.lines = []
        self.writer = make_writer(self.directory)

    def update(self, lines):
        """Writes the new lines of `lines` and returns their number."""
        same = 0
        while same < min(len(lines), len(self.lines)) and lines[same] == self.lines[same]:
            same += 1
        fresh = [metrics_of(self.path, number, line) for number, line in enumerate(lines[same:], same + 1)]
        if same < len(self.lines):  # the run was resumed from an earlier step
            first = json.loads(self.lines[same])["step"]
            self.writer.close()
            self.writer = self.make_writer(self.directory, purge_step=first)
        for metrics in fresh:
            self.write(metrics)
        self.lines = lines
        self.writer.flush()
        return len(fresh)

    def write(self, metrics):
        for key, value in metrics.items():
            if key not in NAMES or value is None or ("validation_loss" in metrics and key in ("seconds", "tokens")):
                continue
            self.writer.add_scalar(NAMES[key], value, metrics["step"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=pathlib.Path, help="a run's directory")
    parser.add_argument("--out", type=pathlib.Path, help="a new folder for the events; by default RUN/report/tensorboard")
    parser.add_argument("--follow", action="store_true", help="keep writing while the run continues")
    options = parser.parse_args()
    metrics = options.run / "metrics.jsonl"
    out = options.out or options.run / "report" / "tensorboard"
    if not metrics.is_file():
        refuse(f"{options.run} is not a run's directory: it has no metrics.jsonl")
    if any(out.glob("events.*")):
        refuse(f"{out} holds events already; remove them or give another folder with --out")
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        refuse("the Python package tensorboardX is missing: pip install tensorboardX")
    for number, line in enumerate(whole_lines(metrics), 1):  # before creating the folder of events
        metrics_of(metrics, number, line)
    events = Events(metrics, out, SummaryWriter)
    print(f"wrote {events.update(whole_lines(metrics))} lines to {out}; view them with: tensorboard --logdir {out}",
          flush=True)
    try:
        while options.follow:
            time.sleep(2)
            if metrics.exists():  # the run's directory may have moved
                events.update(whole_lines(metrics))
    except KeyboardInterrupt:
        pass
    events.writer.close()


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        refuse(error)
