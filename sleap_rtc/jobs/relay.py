"""Between the supervisor's pipes and the trainer's ZMQ sockets, inside the job.

The trainer connects to ports that are bound here. Its messages are taken up a few times a second, all that wait at
once: ZMQ queues them outside the interpreter, so that a step pays for sending its message and for nothing else.
"""

import json
import os
import signal
import threading
import time
from queue import SimpleQueue
from typing import Any, BinaryIO

import zmq

_PAUSE = 0.05
_MAX_MESSAGE = 64 * 1024
_BLOCK = 64 * 1024
# a little less than the second that our reporter keeps to: jitter must not cost every other step
_STEP_INTERVAL = 0.95
_QUEUE = 100_000
_STOP = b'{"command": "stop"}'


class Relay:
    """Binds the ports, hands progress to the supervisor and the stop command to the trainer.

    Args:
        commands: a descriptor with JSON lines from the supervisor; its end is the supervisor's end.
        messages: JSON lines to the supervisor.
    """

    def __init__(self, commands: int, messages: BinaryIO) -> None:
        self._commands, self._messages = commands, messages
        self._lock = threading.Lock()
        self._jobs: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self._stop = threading.Event()
        self._closing = threading.Event()
        self.heard = threading.Event()
        self.ended = threading.Event()
        self._last_step = -_STEP_INTERVAL
        self._bind()
        # daemons: they must never keep a finished run from exiting
        self._drainer = threading.Thread(target=self._drain, name="relay", daemon=True)
        self._listener = threading.Thread(target=self._listen, name="commands", daemon=True)

    def _bind(self) -> None:
        self._context = zmq.Context()
        self._progress = self._context.socket(zmq.SUB)
        self._progress.setsockopt(zmq.RCVHWM, _QUEUE)
        self._progress.subscribe(b"")
        self.publish_port = self._progress.bind_to_random_port("tcp://127.0.0.1")
        # an XPUB tells when the trainer listens: a stop sent before would be lost
        self._control = self._context.socket(zmq.XPUB)
        self.controller_port = self._control.bind_to_random_port("tcp://127.0.0.1")

    def start(self) -> None:
        """Begin to relay."""
        self._drainer.start()
        self._listener.start()

    def next_job(self) -> dict[str, Any]:
        """Wait for the job that the supervisor sends."""
        return self._jobs.get()

    def say(self, **message: Any) -> None:
        """Send a message to the supervisor; without one there is nothing left to live for."""
        line = json.dumps(message).encode() + b"\n"
        try:
            with self._lock:
                self._messages.write(line)
                self._messages.flush()
        except BrokenPipeError:
            _end_group()

    def close(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for the trainer's last message, pass on what is there, and end."""
        self.ended.wait(timeout)
        self._closing.set()
        self._drainer.join()
        self._context.destroy(linger=0)

    def _listen(self) -> None:
        pending = b""
        # unbuffered: a buffered reader that waits in a daemon thread can abort the interpreter at its end
        while data := os.read(self._commands, _BLOCK):
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                self._obey(json.loads(line))
        _end_group()

    def _obey(self, message: dict[str, Any]) -> None:
        if message["type"] == "job":
            self._jobs.put(message)
        elif message["type"] == "stop":
            self._stop.set()

    def _drain(self) -> None:
        subscribed = False
        while not self._closing.wait(_PAUSE):
            self._take_progress()
            while note := _received(self._control):
                subscribed = note[0][:1] == b"\1"
            if subscribed and self._stop.is_set():
                self._control.send(_STOP)
                subscribed = False
        self._take_progress()

    def _take_progress(self) -> None:
        while parts := _received(self._progress):
            self.heard.set()
            message = self._useful(parts[0])
            if message is not None:
                self.say(type="progress", **message)

    def _useful(self, raw: bytes) -> dict[str, Any] | None:
        """Parse a message that is worth it: of the steps, the first of an epoch and then one a second."""
        head, now = raw[:256], time.monotonic()
        is_step = b'"batch_end"' in head
        if b'"batch_start"' in head or len(raw) > _MAX_MESSAGE or (is_step and now - self._last_step < _STEP_INTERVAL):
            return None
        try:
            # plain json: jsonpickle would run what a stranger's text tells it to
            message = json.loads(raw)
        except (ValueError, RecursionError):
            return None
        if not isinstance(message, dict):
            return None
        event = message.get("event")
        if is_step:
            self._last_step = now
        elif event == "epoch_begin":
            self._last_step = -_STEP_INTERVAL
        elif event == "train_end":
            self.ended.set()
        return {key: message[key] for key in ("event", "epoch", "batch", "logs", "wandb_url") if key in message}


def _received(socket: "zmq.Socket[bytes]") -> list[bytes]:
    try:
        return socket.recv_multipart(zmq.NOBLOCK)
    except zmq.Again:
        return []


def _end_group() -> None:
    """End this process and what it started: its supervisor is gone, and nobody else would."""
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
