"""The Dockerfiles' steps, one by one and without an engine, and the programs they end in."""

import http.client
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.dockerfile import NEEDS_AN_IMAGE, ROOT, Image, instructions

FILES = [ROOT / "Dockerfile.worker", ROOT / "Dockerfile.signaling"]
BOTH = pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
# what both begin with is done once, in one process
pytestmark = pytest.mark.xdist_group("images")
HEAVY = {"torch", "sleap-nn", "sleap-io", "aiortc", "wrtc", "av", "numpy"}

built = pytest.mark.skipif(
    sys.platform == "win32" or shutil.which("uv") is None,
    reason="needs uv, and a system with /bin/sh: the packages come out of uv's cache or from the registry",
)


@pytest.fixture(scope="module")
def kept() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="layers-") as folder:
        yield Path(folder).resolve()


@pytest.fixture
def image(kept: Path) -> Iterator[Image]:
    # not tmp_path, which pytest keeps: a worker's packages take several GB
    with tempfile.TemporaryDirectory(prefix="image-") as folder:
        yield Image(Path(folder).resolve(), kept)


@BOTH
def test_nothing_runs_as_root(file: Path) -> None:
    names = [each.name for each in instructions(file)]
    users = [each.text for each in instructions(file) if each.name == "USER"]
    assert users == ["sleap"]
    assert "RUN" not in names[names.index("USER") :]


@BOTH
def test_what_is_copied_is_sent_to_the_builder(file: Path) -> None:
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    sent = {line.removeprefix("!") for line in lines if line.startswith("!")}
    for step in instructions(file):
        if step.name == "COPY" and not step.text.startswith("--from="):
            sources = step.text.split()[:-1]
            assert set(sources) <= sent
            assert all((ROOT / source).exists() for source in sources)


def test_the_group_of_the_service_holds_nothing_of_its_own() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    server = _without_bounds(project["project"]["optional-dependencies"]["server"])
    group = set(project["dependency-groups"]["service"])
    # bounds stand in the project's own lists, and nowhere else
    assert server <= group <= server | _without_bounds(project["project"]["dependencies"])


@built
@pytest.mark.real
@pytest.mark.timeout(900)
def test_the_service_migrates_serves_and_is_healthy(image: Image) -> None:
    image.build(ROOT / "Dockerfile.signaling")
    assert all(line.startswith(NEEDS_AN_IMAGE) for line in image.left_out)
    assert len(image.ran) == 3
    assert not HEAVY & _installed(image)
    assert _output(image, ["--version"]).startswith("sleap-rtc, version ")

    # the image listens on all addresses; a test may not
    image.environment["SLEAP_RTC_SERVER_HOST"] = "127.0.0.1"
    words = image.words([*image.entrypoint, *image.command, "--port", "0"])
    with subprocess.Popen(words, cwd=image.folder, env=image.environment, stdout=subprocess.PIPE, text=True) as service:
        try:
            assert service.stdout is not None
            found = re.search(r"listens on http://127\.0\.0\.1:(\d+)", service.stdout.readline())
            assert found is not None
            image.environment["SLEAP_RTC_SERVER_PORT"] = found.group(1)
            assert _health(image) == 0
            assert _status("POST", int(found.group(1)), "/api/v1/rooms/anonymous") == 201
            assert _status("GET", int(found.group(1)), "/docs") == 200
        finally:
            service.terminate()
    assert service.returncode == 0
    assert _health(image) != 0
    assert {"sleap-rtc.db", "sleap-rtc.pepper"} <= {path.name for path in (image.root / "data" / "service").iterdir()}


@built
@pytest.mark.real
@pytest.mark.timeout(900)
def test_the_worker_starts(image: Image) -> None:
    image.build(ROOT / "Dockerfile.worker")
    assert all(line.startswith(NEEDS_AN_IMAGE) for line in image.left_out)
    assert len(image.ran) == 3
    assert {"torch", "sleap-nn", "aiortc"} <= _installed(image)
    assert not {"pytest", "ruff", "fastapi"} & _installed(image)
    assert (image.entrypoint, image.command) == (["sleap-rtc"], ["worker"])
    assert _output(image, ["--version"]).startswith("sleap-rtc, version ")
    assert "SLEAP_RTC_SERVER" in _output(image, ["worker", "--help"])
    # nothing of it may need the sources that it was built from
    shutil.rmtree(image.root / "src")
    found = _output(image, ["-c", "import sleap_rtc; print(sleap_rtc.__file__)"], program=["python"])
    assert Path(found.strip()).is_relative_to(image.root / "opt" / "sleap-rtc")


def _without_bounds(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=;\s]", each)[0] for each in requirements}


def _installed(image: Image) -> set[str]:
    code = "from importlib.metadata import distributions; print(*{each.name.lower() for each in distributions()})"
    return set(_output(image, ["-c", code], program=["python"]).split())


def _output(image: Image, arguments: list[str], *, program: list[str] | None = None) -> str:
    words = image.words([*(program or image.entrypoint), *arguments])
    return subprocess.run(
        words, cwd=image.folder, env=image.environment, stdout=subprocess.PIPE, text=True, check=True, timeout=120
    ).stdout


def _health(image: Image) -> int:
    words = image.words(image.healthcheck)
    return subprocess.run(words, env=image.environment, stderr=subprocess.DEVNULL, check=False, timeout=60).returncode


def _status(method: str, port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path)
        return connection.getresponse().status
    finally:
        connection.close()
