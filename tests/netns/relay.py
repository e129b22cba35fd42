"""coturn with the configuration that the manual recommends."""

import re
import subprocess
import time
from pathlib import Path

from tests.coturn import recommended
from tests.netns.spaces import Space
from tests.netns.topology import RELAY, RELAY_6

SECRET = "6d1f5f3f0c6f4d9ab8f4a1d2c3b4e5f6"


class Relay:
    """A relay that can be stopped and started.

    Args:
        space: the network it stands in.
        folder: for its configuration, its database of users, which stays empty, and its log.
        certificate: of its address, with its key.
    """

    def __init__(self, space: Space, folder: Path, certificate: tuple[Path, Path]) -> None:
        self._space = space
        self._folder = folder
        self._configuration = folder / "turnserver.conf"
        filled = recommended()
        for key, value in (("static-auth-secret", SECRET), ("cert", certificate[0]), ("pkey", certificate[1])):
            filled, lines = re.subn(rf"^{key}=.*$", f"{key}={value}", filled, flags=re.MULTILINE)
            assert lines == 1, key
        self._configuration.write_text(filled)
        self._process: subprocess.Popen[str] | None = None

    @property
    def log(self) -> Path:
        """What it says."""
        return self._folder / "turnserver.log"

    def start(self) -> None:
        """Start it; it is ready a moment later, see `wait`."""
        here = (f"--listening-ip={RELAY}", f"--relay-ip={RELAY}", f"--relay-ip={RELAY_6}")
        own = (*here, "--pidfile=", f"--userdb={self._folder / 'turndb'}")
        log = (f"--log-file={self.log}", "--simple-log")
        self._process = self._space.start("turnserver", "-c", str(self._configuration), *own, *log, log=self.log)

    def wait(self) -> None:
        """Wait until it takes connections."""
        deadline = time.monotonic() + 30
        while not self._space.run("ss", "-Hlnt", "src", RELAY, "and", "sport", "=", "3478"):
            assert self._process is not None
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        """Let it end at once, as a machine does whose power is cut: nobody is told."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
