"""A Dockerfile's steps, run without a container engine: in a scratch folder that stands for the image's root."""

import hashlib
import json
import os
import re
import shlex
import shutil
import string
import subprocess
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_HOME = os.environ.get("HOME", "")  # a test has another one

NEEDS_AN_IMAGE = ("apt-get ", "useradd ")
"""How the RUN lines begin that are left out here: they change the system, not the scratch folder."""
FOR_IMAGES_ONLY = ("UV_NO_CACHE", "UV_COMPILE_BYTECODE")
"""Variables left out here: they make an image small and its programs start fast, and cost minutes."""
_OURS = re.compile(r"(?<![\w.$/-])/(?=(?:opt|src|data)\b)")
_FOREIGN = ("SLEAP_RTC_", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "UV_PROJECT")
_IGNORED = ("VOLUME", "EXPOSE", "USER")


@dataclass(frozen=True)
class Instruction:
    """One instruction: its name and all that follows."""

    name: str
    text: str


def instructions(file: Path) -> list[Instruction]:
    """Read a Dockerfile."""
    lines = [line for line in file.read_text("utf-8").splitlines() if line.strip() and not line.startswith("#")]
    whole = "\n".join(lines).replace("\\\n", " ")
    split = (line.split(maxsplit=1) for line in whole.splitlines())
    return [Instruction(name, text) for name, text in split]


def _outer_environment() -> dict[str, str]:
    outer = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    return outer | {"UV_CACHE_DIR": _uv_cache()}


@cache
def _uv_cache() -> str:
    """Where uv keeps the packages of whoever runs the tests: a worker's are gigabytes to bring again."""
    there = os.environ | {"HOME": _HOME}
    return subprocess.run(["uv", "cache", "dir"], env=there, capture_output=True, text=True, check=True).stdout.strip()


@dataclass
class Image:
    """What the steps of a Dockerfile leave behind.

    Attributes:
        root: the folder that stands for the image's root.
        environment: what its programs see.
        folder: where they start.
        entrypoint: the program.
        command: its arguments unless others are given.
        healthcheck: the command that tells whether it is well.
        ran: the RUN lines that were run.
        left_out: the RUN lines that were not.
        kept: where the first thing that a Dockerfile runs is kept, for the next one that begins alike, as engines do.
    """

    root: Path
    kept: Path
    environment: dict[str, str] = field(default_factory=_outer_environment)
    folder: Path = Path()
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    healthcheck: list[str] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def build(self, file: Path) -> None:
        """Do every step of a Dockerfile, one by one."""
        for instruction in instructions(file):
            self._step(instruction)

    def words(self, program: list[str]) -> list[str]:
        """The program as this machine starts it: found on the image's PATH."""
        path = shutil.which(program[0], path=self.environment["PATH"])
        assert path is not None, f"{program[0]} is not on the image's PATH"
        assert Path(path).is_relative_to(self.root), f"{program[0]} would be {path}, which is not in the image"
        return [path, *program[1:]]

    def _step(self, instruction: Instruction) -> None:
        text = instruction.text
        match instruction.name:
            case "FROM":
                self.environment = _outer_environment()
                self.folder = self.root
            case "RUN" if text.startswith(NEEDS_AN_IMAGE):
                self.left_out.append(text)
            case "RUN":
                self._run_or_copy(text)
                self.ran.append(text)
            case "ENV":
                self._set(text)
            case "WORKDIR":
                self.folder = Path(self._inside(text))
                self.folder.mkdir(parents=True, exist_ok=True)
            case "COPY":
                self._copy(shlex.split(text))
            case "ENTRYPOINT":
                self.entrypoint = json.loads(text)
            case "CMD":
                self.command = json.loads(text)
            case "HEALTHCHECK":
                self.healthcheck = json.loads(text.partition("CMD ")[2])
            case name:
                assert name in _IGNORED, f"these steps know no {name}: keep the Dockerfiles plain"

    def _run_or_copy(self, text: str) -> None:
        if any(self.root.iterdir()):
            self._run(text)
            return
        layer = self.kept / hashlib.sha256(text.encode()).hexdigest()
        if not layer.exists():
            self._run(text)
            shutil.copytree(self.root, layer, symlinks=True, copy_function=os.link)
        else:
            shutil.copytree(layer, self.root, symlinks=True, copy_function=os.link, dirs_exist_ok=True)

    def _run(self, text: str) -> None:
        shell = ["/bin/sh", "-c", self._inside(text)]
        subprocess.run(shell, cwd=self.folder, env=self.environment, check=True, timeout=600)

    def _inside(self, text: str) -> str:
        return _OURS.sub(f"{self.root}/", text)

    def _set(self, text: str) -> None:
        for pair in shlex.split(text):
            name, _, value = pair.partition("=")
            if name not in FOR_IMAGES_ONLY:
                self.environment[name] = string.Template(self._inside(value)).substitute(self.environment)

    def _copy(self, words: list[str]) -> None:
        if words[0].startswith("--from="):
            # both stages have one root here, so what is copied must keep its place
            assert words[1] == words[2], words
            return
        *sources, target = words
        for source in sources:
            path, to = ROOT / source, self.folder / target
            if path.is_dir():
                shutil.copytree(path, to, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(path, to)
