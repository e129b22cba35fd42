"""What other ways of moving one file between two processes of this machine achieve, from disk to disk.

``python -m tests.bench.baselines [WAY …] [--size MiB] [--json]`` measures the ways ``aiortc`` and ``raw`` (one plain
channel of each engine), ``scp`` and ``wormhole``: from the sender's command typed, the receiver and whatever serves
them waiting already, to the last byte written and synced. With --delay, --loss or --rate the two channels run through
`udp_proxy`.

scp needs OpenSSH's sshd, of which a private one is started; wormhole a venv with magic-wormhole,
magic-wormhole-mailbox-server and magic-wormhole-transit-relay in it, named by --wormhole.
"""

import argparse
import getpass
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from tests.bench.processes import (
    MIB,
    BenchError,
    Meter,
    Moved,
    Process,
    end_when_interrupted,
    lines_of,
    make_file,
    now,
    python,
    read_json,
    spawned,
    sync_file,
    write_json,
)
from tests.bench.proxy_control import ProxyControl, running_proxy
from tests.bench.wire import Network

LISTENING_WITHIN = 20.0
WORMHOLE_WAITS = "Waiting for sender"
"""What ``wormhole receive`` says a second after it began to wait."""
WAYS = ("aiortc", "raw", "scp", "wormhole")
_ENGINES = {"aiortc": "aiortc", "raw": "libwebrtc"}


def measure(way: str, source: Path, *, proxy: ProxyControl | None = None, wormhole: Path | None = None) -> Moved:
    """Move a file one of the `WAYS`; it arrives beside itself, and is removed again.

    Args:
        way: which.
        source: the file.
        proxy: the network of a plain channel; none by default.
        wormhole: the venv of magic-wormhole.

    Raises:
        BenchError: if the tool is missing or failed.
    """
    target = source.with_name(f"{source.name}-by-{way}")
    try:
        if way == "scp":
            moved = by_scp(source, target)
        elif way == "wormhole":
            moved = by_wormhole(source, target, wormhole)
        else:
            moved = by_channel(_ENGINES[way], source, target, proxy)
        if target.stat().st_size != source.stat().st_size:
            raise BenchError(f"{way} left a file of another size")
        return moved
    finally:
        target.unlink(missing_ok=True)


def by_channel(engine: str, source: Path, target: Path, proxy: ProxyControl | None = None) -> Moved:
    """Move a file over one plain data channel with 64 KiB messages and an engine's own back-pressure."""
    size = source.stat().st_size
    module, folder = "tests.bench.plain_channel", source.parent
    through = ["--proxy", proxy.address] if proxy else []
    with spawned(python(module, engine, "receive", target, "--size", size), cwd=folder) as receiver:
        read_json(receiver)
        began = now()
        with (
            spawned(python(module, engine, "send", source, *through), cwd=folder) as sender,
            Meter(sender.pid) as sending,
            Meter(receiver.pid) as receiving,
        ):
            write_json(receiver, read_json(sender))
            write_json(sender, read_json(receiver))
            read_json(receiver)
            seconds = now() - began
    return _moved(size, seconds, sending, receiving)


def by_scp(source: Path, target: Path) -> Moved:
    """Copy a file with scp to a private sshd, with the ciphers the two agree on by themselves."""
    with (
        tempfile.TemporaryDirectory(prefix="sleap-rtc-bench-ssh-") as name,
        _sshd(Path(name)) as (server, port),
        Meter(server.pid) as receiving,
    ):
        options = ["UserKnownHostsFile=/dev/null", "StrictHostKeyChecking=no", "BatchMode=yes", "LogLevel=ERROR"]
        command = ["scp", "-F", "none", "-P", str(port), "-i", f"{name}/key"]
        command += [word for option in options for word in ("-o", option)]
        return _timed([*command, str(source), f"127.0.0.1:{target}"], source, target, receiving)


def by_wormhole(source: Path, target: Path, venv: Path | None) -> Moved:
    """Send a file with magic-wormhole, its two servers being ours."""
    if venv is None or not (venv / "bin/wormhole").exists():
        raise BenchError("no venv with magic-wormhole: see --wormhole")
    with (
        tempfile.TemporaryDirectory(prefix="sleap-rtc-bench-wormhole-") as name,
        _twist(venv, Path(name), "wormhole-mailbox") as mailbox,
        _twist(venv, Path(name), "transitrelay") as relay,
    ):
        wormhole = [str(venv / "bin/wormhole"), "--relay-url", f"ws://127.0.0.1:{mailbox}/v1"]
        wormhole += ["--transit-helper", f"tcp:127.0.0.1:{relay}"]
        # chosen here and not by the sender, so that the receiver waits already, as ours does
        code, log, sender_log = "7-guitarist-revenge", Path(name) / "log", Path(name) / "sender-log"
        receive = ["receive", "--hide-progress", "--accept-file", "--output-file", str(target), code]
        send: list[str | Path] = [*wormhole, "send", "--hide-progress", "--code", code, source]
        with spawned([*wormhole, *receive], cwd=Path(name), log=log) as receiver:
            _wait_until_said(receiver, WORMHOLE_WAITS, log)
            began = now()
            with (
                spawned(send, cwd=Path(name), log=sender_log) as sender,
                Meter(sender.pid) as sending,
                Meter(receiver.pid) as receiving,
            ):
                _finish(receiver, log)
                sync_file(target)
                seconds = now() - began
                _finish(sender, sender_log)
    return _moved(source.stat().st_size, seconds, sending, receiving)


def _timed(command: list[str], source: Path, target: Path, receiving: Meter) -> Moved:
    log = target.with_suffix(".log")
    try:
        began = now()
        with spawned(command, cwd=source.parent, log=log) as sender, Meter(sender.pid) as sending:
            _finish(sender, log)
            sync_file(target)
            seconds = now() - began
    finally:
        log.unlink(missing_ok=True)
    return _moved(source.stat().st_size, seconds, sending, receiving)


def _finish(process: Process, log: Path) -> None:
    for _ in lines_of(process):
        pass
    if process.wait() != 0:
        last = log.read_text(errors="replace").strip().splitlines()[-1:]
        raise BenchError(f"exit code {process.returncode}: {' '.join(last)[:100]}")


def _moved(size: int, seconds: float, sending: Meter, receiving: Meter) -> Moved:
    return Moved(size, seconds, sending.cpu, receiving.cpu, max(sending.peak, receiving.peak))


@contextmanager
def _sshd(folder: Path) -> Iterator[tuple[Process, int]]:
    server = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
    if server is None or shutil.which("scp") is None or shutil.which("ssh-keygen") is None:
        raise BenchError("no OpenSSH server here")
    for key in ("host", "key"):
        keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)]
        subprocess.run(keygen, check=True, stdout=subprocess.DEVNULL)
    if getpass.getuser() == "root":
        with suppress(OSError):
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd's own, which its service would have made
    port = _free_port()
    config = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "key.pub",
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
        "PermitRootLogin": "yes",
        "PasswordAuthentication": "no",
        "Subsystem": "sftp internal-sftp",
    }
    (folder / "config").write_text("".join(f"{name} {value}\n" for name, value in config.items()))
    with spawned([server, "-D", "-e", "-f", folder / "config"], cwd=folder) as process:
        _wait_until_listening(process, port)
        yield process, port


@contextmanager
def _twist(venv: Path, folder: Path, plugin: str) -> Iterator[int]:
    twist, port = venv / "bin/twist", _free_port()
    if not twist.exists():
        raise BenchError("no twist in the venv of magic-wormhole")
    command: list[str | Path] = [twist, plugin, f"--port=tcp:{port}:interface=127.0.0.1"]
    with spawned(command, cwd=folder, log=folder / f"{plugin}.log") as process:
        _wait_until_listening(process, port)
        yield port


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


def _wait_until_listening(process: Process, port: int) -> None:
    latest = now() + LISTENING_WITHIN
    while process.poll() is None and now() < latest:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise BenchError("its server did not start")


def _wait_until_said(process: Process, words: str, log: Path) -> None:
    latest = now() + LISTENING_WITHIN
    while process.poll() is None and now() < latest:
        if words in log.read_text(errors="replace"):
            return
        time.sleep(0.05)
    raise BenchError(f"its receiver did not say '{words}'")


def main() -> None:
    """Measure and print."""
    end_when_interrupted()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ways", nargs="*", metavar="WAY", help=", ".join(WAYS))
    parser.add_argument("--size", type=int, default=1024, help="MiB")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds, one way")
    parser.add_argument("--loss", type=float, default=0.0, help="share of the datagrams, each way")
    parser.add_argument("--rate", type=float, help="bits a second")
    parser.add_argument("--queue", type=int, default=Network.queue, help="bytes")
    parser.add_argument("--wormhole", type=Path, metavar="VENV")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    network = Network(options.delay, options.loss, options.rate, options.queue)
    figures: dict[str, object] = {}
    with (
        tempfile.TemporaryDirectory(prefix="sleap-rtc-bench-") as name,
        nullcontext() if network == Network() else running_proxy(network) as proxy,
    ):
        source = make_file(Path(name) / "file", options.size * MIB)
        for way in options.ways or WAYS:
            try:
                moved = measure(way, source, proxy=proxy, wormhole=options.wormhole)
            except BenchError as error:
                figures[way] = None
                sys.stdout.write(f"{way:10}{error}\n")
                continue
            figures[way] = round(moved.rate / 1e6, 1)
            gigabytes = moved.size / 1e9
            sys.stdout.write(
                f"{way:10}{moved.rate / 1e6:8.1f} MB/s {moved.seconds:8.2f} s   CPU s/GB "
                f"{moved.sender_cpu / gigabytes:6.2f} {moved.receiver_cpu / gigabytes:6.2f}   "
                f"{moved.peak / 1e6:6.0f} MB\n"
            )
            sys.stdout.flush()
    if options.json:
        sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
