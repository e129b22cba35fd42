"""The networks of these tests are what they claim to be, and leave nothing behind."""

import subprocess
import sys
import time
from contextlib import ExitStack

import psutil
import pytest

from tests.netns.spaces import missing
from tests.netns.topology import RELAY, SERVICE, Internet

pytestmark = [pytest.mark.netns, pytest.mark.xdist_group("netns")]

LISTEN = f"""
import socket
ends = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
for end, address in zip(ends, ("{SERVICE}", "{RELAY}")):
    end.bind((address, 5000))
print("listening", flush=True)
sources = [end.recvfrom(9)[1] for end in ends]
print(*(port for _, port in sources), flush=True)
# to the port that was used, from an address that was not asked
ends[0].sendto(b"stranger", sources[1])
ends[1].sendto(b"asked", sources[1])
"""
SEND = f"""
import socket
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for address in ("{SERVICE}", "{RELAY}"):
    one.sendto(b"hello", (address, 5000))
print(one.recv(9).decode())
"""
KILLED = """
import os, signal
from contextlib import ExitStack
from tests.netns.topology import Internet

with ExitStack() as stack:
    internet = Internet(stack)
    program = internet.home.start("sh", "-c", "echo runs; exec sleep 1000")
    program.stdout.readline()
    print(program.pid, *(space.holder for space in (internet.public, internet.home, internet.office)), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def _possible() -> None:
    reason = missing()
    if reason is not None:
        pytest.skip(reason)


def test_a_router_gives_each_way_another_port_and_lets_in_only_who_was_asked() -> None:
    with ExitStack() as stack:
        internet = Internet(stack)
        listener = stack.enter_context(internet.public.start(sys.executable, "-c", LISTEN))
        assert listener.stdout is not None
        assert listener.stdout.readline() == "listening\n"
        assert internet.home.run(sys.executable, "-c", SEND) == "asked\n"
        first, second = listener.stdout.readline().split()
        assert first != second


def test_tests_that_are_killed_leave_no_network_and_no_program() -> None:
    done = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, check=False)
    left = {int(word) for word in done.stdout.split()}
    assert len(left) == 4, done.stderr
    deadline = time.monotonic() + 30
    while any(psutil.pid_exists(pid) for pid in left):
        assert time.monotonic() < deadline, left
        time.sleep(0.02)
