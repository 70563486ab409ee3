"""Stands for the package tensorboardX where scripts/to_tensorboard.py is tested: it writes down what it is called with."""
import os


class SummaryWriter:
    def __init__(self, logdir, purge_step=None):
        os.makedirs(logdir, exist_ok=True)
        self.file = open(os.path.join(logdir, "events.txt"), "a", encoding="utf-8")
        if purge_step is not None:
            self.file.write(f"purge {purge_step}\n")

    def add_scalar(self, name, value, step):
        self.file.write(f"{step} {name} {value}\n")

    def flush(self):
        self.file.flush()

    def close(self):
        self.file.close()
