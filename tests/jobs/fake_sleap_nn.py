"""A runner whose trainer only pretends: it speaks sleap-nn's ZMQ messages and writes sleap-nn's files, in no time.

Started as a script, through `SupervisorSettings.runner`; no package can select it. `test_contract.py` holds it to the
behaviour of the real one.
"""

import argparse
import csv
import itertools
import json
import math
import os
import random
import signal
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import zmq

from sleap_rtc.jobs.frame_report import Report
from sleap_rtc.jobs.runner import make_heard, serve
from sleap_rtc.jobs.yaml_data import read_yaml

BEHAVIOURS = (
    "good", "endless", "deaf", "stubborn", "raises", "exits", "killed", "oom", "daemon", "junk", "chatty", "no-model",
    "missing", "second-fails", "slow-import", "wipes", "raises-once", "hoards", "slow-frames", "no-predictions",
    "learns",
)  # fmt: skip


MB = 1024 * 1024


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


class FakeTrainer:
    def __init__(self, behaviour: str, ledger: Path, pace: float, model_size: int) -> None:
        self._behaviour, self._ledger, self._pace, self._model_size = behaviour, ledger, pace, model_size
        self._stopped = False

    def prepare(self) -> None:
        if self._behaviour == "missing":
            raise ModuleNotFoundError("No module named 'sleap_nn'")
        while self._behaviour == "slow-import" and not self._ledger.with_suffix(".imported").exists():
            time.sleep(0.01)

    def train(self, config: Path, heard: Callable[[float], bool], arguments: Sequence[str] = ()) -> int:
        content = read_yaml(config.read_bytes())
        trainer = content["trainer_config"]
        self._run = trainer["run_name"]
        self._folder = Path(trainer["ckpt_dir"]) / self._run
        with self._ledger.open("a") as ledger:
            ledger.write(f"start {self._run} {os.getpid()} {os.environ.get('CUDA_VISIBLE_DEVICES', '-')}\n")
        surroundings = dict(os.environ) | {"cwd": str(Path.cwd()), "tempdir": tempfile.gettempdir()}
        self._ledger.with_suffix(".surroundings").write_text(json.dumps(surroundings))
        self._ledger.with_suffix(".arguments").write_text(json.dumps(list(arguments)))
        if (self._folder / "best.ckpt").exists():
            # as the real one does, so that nothing is overwritten
            self._folder = self._folder.with_name(f"{self._run}-1")
        self._folder.mkdir(parents=True, exist_ok=True)
        self._first = self._resume(trainer.get("resume_ckpt_path"))
        for name in ("initial_config.yaml", "training_config.yaml"):
            (self._folder / name).write_bytes(config.read_bytes())
        self._connect(trainer["zmq"])
        self._wandb_url = self._report_to_wandb(trainer)
        make_heard(lambda: self._send("connecting"), heard)
        self._misbehave_first()
        self._fit(int(trainer.get("max_epochs") or 2), int(trainer.get("train_steps_per_epoch") or 5))
        if self._model_size:
            (self._folder / "best.ckpt").write_bytes(os.urandom(self._model_size))
        return 0

    def track(self, arguments: Sequence[str], report: Report) -> int:
        said = dict(itertools.pairwise(arguments))
        output = Path(said["--output_path"])
        self._run = output.name.removesuffix(".predictions.slp")
        with self._ledger.open("a") as ledger:
            ledger.write(f"start {self._run} {os.getpid()} {os.environ.get('CUDA_VISIBLE_DEVICES', '-')}\n")
        self._ledger.with_suffix(".arguments").write_text(json.dumps(list(arguments)))
        # as the real one: nothing that has seen the frames writes before all of them were looked at
        self._misbehave_before_frames()
        frames = 1_000_000 if self._behaviour in ("endless", "stubborn", "slow-frames") else 20
        for frame in range(1, frames + 1):
            time.sleep(self._pace)
            report("predict", frame, frames)
        if self._behaviour not in ("no-model", "no-predictions"):
            output.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
        self._first = 0
        self._misbehave(0)
        return 0

    def export(self, arguments: Sequence[str]) -> int:
        self._ledger.with_suffix(".arguments").write_text(json.dumps(list(arguments)))
        self._run, self._first = "export", 0
        self._misbehave(0)
        folder = Path(arguments[arguments.index("--output") + 1])
        if self._behaviour != "no-model":
            (folder / "model.onnx").write_bytes(b"network")
        (folder / "export_metadata.json").write_text("{}")
        return 0

    def _misbehave_before_frames(self) -> None:
        if self._behaviour == "stubborn":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        elif self._behaviour == "daemon":
            self._daemonize()

    def _report_to_wandb(self, trainer: dict[str, Any]) -> str | None:
        """Where the run can be looked at, if it is reported: with the real client, called as the real one calls it."""
        if not trainer.get("use_wandb"):
            return None
        import wandb

        section = trainer["wandb"]
        wandb.login(key=section.get("api_key"))
        names = {name: section.get(name) for name in ("entity", "project", "name")}
        run = wandb.init(dir=str(self._folder), **names)
        run.config["run_name"] = self._run
        return run.url

    def _resume(self, checkpoint: str | None) -> int:
        """The epoch to begin with."""
        if checkpoint is None:
            return 0
        with zipfile.ZipFile(checkpoint) as archive:
            first = int(archive.read("epoch")) + 1
        with self._ledger.open("a") as ledger:
            ledger.write(f"resume {self._run} {first}\n")
        return first

    def _connect(self, ports: dict[str, int]) -> None:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
        self._publisher = context.socket(zmq.PUB)
        self._publisher.connect(f"tcp://127.0.0.1:{ports['publish_port']}")
        self._controller = context.socket(zmq.SUB)
        self._controller.subscribe("")
        self._controller.connect(f"tcp://127.0.0.1:{ports['controller_port']}")

    def _fit(self, epochs: int, steps: int) -> None:
        if self._behaviour in ("endless", "deaf", "stubborn", "wipes", "hoards"):
            epochs = 1_000_000
        self._send("train_begin", wandb_url=self._wandb_url)
        for epoch in range(self._first, epochs):
            self._send("epoch_begin", epoch=epoch)
            for batch in range(steps):
                self._step(epoch, batch)
                if self._stopped:
                    break
            logs = self._losses(epoch)
            self._save({"epoch": epoch, "train/loss": logs.get("train/loss", ""), "val/loss": logs["val/loss"]})
            self._send("epoch_end", epoch=epoch, logs=logs)
            self._misbehave(epoch)
            if self._stopped:
                break
        self._send("train_end")
        if self._wandb_url is not None:
            import wandb

            wandb.finish()
        self._publisher.close(linger=1000)
        self._controller.close(linger=0)

    def _losses(self, epoch: int) -> dict[str, float]:
        if self._behaviour != "learns":
            return {"val/loss": 1.0 / (epoch + 1), "loss": 0.5} | ({"train/loss": 0.7} if epoch > self._first else {})
        # as curves look that people show each other, and the same each time
        time.sleep(0.2)
        noise = random.Random(epoch).uniform
        loss = 0.012 * math.exp(-epoch / 14) + 0.0011
        return {"train/loss": loss * noise(0.95, 1.05), "val/loss": (1.12 * loss + 0.0002) * noise(0.92, 1.08)}

    def _step(self, epoch: int, batch: int) -> None:
        self._send("batch_start", batch=batch)
        time.sleep(self._pace)
        self._send("batch_end", epoch=epoch, batch=batch, logs={"loss": 1.0 / (batch + 1)})
        if self._behaviour not in ("deaf", "stubborn", "wipes") and self._controller.poll(0, zmq.POLLIN):
            self._stopped = self._stopped or json.loads(self._controller.recv())["command"] == "stop"

    def _save(self, row: dict[str, Any]) -> None:
        # in sleap-nn's order, and a row at a time: a log that is killed with its trainer is never shorter than before
        path = self._folder / "training_log.csv"
        has_header = path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, row.keys())
            if not has_header:
                writer.writeheader()
            writer.writerow(row)
        if self._behaviour != "no-model":
            for name in ("best.ckpt", "last.ckpt"):
                # a checkpoint is a zip archive, and there whole or not at all
                fresh = self._folder / f".{name}"
                with zipfile.ZipFile(fresh, "w") as archive:
                    archive.writestr("epoch", str(row["epoch"]))
                fresh.replace(self._folder / name)

    def _send(self, event: str, logs: object = None, **values: object) -> None:
        self._publisher.send_string(json.dumps({"what": "", "event": event, "logs": logs} | values))

    def _misbehave_first(self) -> None:
        if self._behaviour == "stubborn":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        elif self._behaviour == "wipes":
            signal.signal(signal.SIGTERM, self._wipe)
        elif self._behaviour == "daemon":
            self._daemonize()
        elif self._behaviour == "chatty":
            sys.stdout.write("\x1b[31mred\x1b[0m and \x1b]52;c;aGk=\x07quiet\n" + "x" * 100_000 + "\n")
            sys.stdout.flush()
        elif self._behaviour == "junk":
            nested = b"[" * 50_000
            bodies = (b"\xff\xfe", nested, b"{}", b"[1]", b'{"event": "epoch_end", "epoch": -1}', b'"batch_end"')
            for body in (
                *bodies,
                b'{"event": "batch_end", "epoch": "x"}',
                b'{"py/reduce": [{"py/type": "os.system"}]}',
            ):
                self._publisher.send(body)

    def _misbehave(self, epoch: int) -> None:
        if self._behaviour == "raises-once" and self._first == 0:
            raise ValueError("the layers do not fit today")
        if self._behaviour == "raises" or (self._behaviour == "second-fails" and "2" in self._run):
            raise ValueError("the layers do not fit")
        if self._behaviour == "exits" or "talks" in self._run:
            for line in range(60):
                sys.stderr.write(f"line {line}\n")
        if self._behaviour == "exits":
            sys.exit(3)
        if self._behaviour == "hoards" and "hoard" in self._run and epoch < 40:
            (self._folder / f"epoch-{epoch}.npz").write_bytes(os.urandom(MB))
        if self._behaviour == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._behaviour == "oom":
            raise OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")

    def _wipe(self, *_: object) -> None:
        for path in self._folder.iterdir():
            path.unlink()
        os._exit(1)

    def _daemonize(self) -> None:
        """Leave a process behind that nobody's child list shows, that ignores SIGTERM and holds the output open."""
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                with self._ledger.open("a") as ledger:
                    ledger.write(f"daemon {self._run} {os.getpid()}\n")
                time.sleep(600)
            os._exit(0)
        while "daemon" not in self._ledger.read_text():
            time.sleep(0.01)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--behaviour", choices=BEHAVIOURS, default="good")
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--pace", type=float, default=0.002)
    parser.add_argument("--model-size", type=int, default=0, help="bytes of the best model in the end")
    options = parser.parse_args()
    return serve(FakeTrainer(options.behaviour, options.ledger, options.pace, options.model_size))


if __name__ == "__main__":
    sys.exit(main())
