"""The pages say what the code does."""

import os
import re
from pathlib import Path

import pytest

from sleap_rtc.errors import ProtocolError
from sleap_rtc.protocol.files import Manifest
from sleap_rtc.protocol.frames import Frame, FrameFlag
from sleap_rtc.protocol.session_string import SessionString
from tests.docs import command_lines, reference
from tests.docs.pages import DOCS, README, ROOT, blocks, pages, with_blocks

PAGES = pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
PROTOCOL = (DOCS / "protocol.md").read_text("utf-8")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_ROW = re.compile(r"^\| (\d+) \| (\d+) \| (yes|no) \| (?:`([0-9a-f]+)`)? ?\| `([0-9a-f]+)` \|$", re.MULTILINE)
_REFUSED = re.compile(r"^\| `([0-9a-f]{20,})` \| [^|]+ \|$", re.MULTILINE)
_FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


@PAGES
def test_generated_parts_are_what_the_code_says(page: Path) -> None:
    text = page.read_text("utf-8")
    assert text == reference.generated(text), "run: python -m tests.docs.reference --write"


def test_every_generated_part_is_on_one_page() -> None:
    found = sorted(name for page in pages() for name in blocks(page.read_text("utf-8")))
    assert found == sorted(reference.GENERATORS)


def test_a_stale_part_is_noticed() -> None:
    stale = with_blocks("<!-- generated: times -->\n<!-- end of times -->", {"times": "| keepalive | 6 s |\n"})
    assert "6 s" in stale
    assert "6 s" not in reference.generated(stale)


def test_frame_vectors_are_what_the_code_makes() -> None:
    rows = _ROW.findall(PROTOCOL)
    assert len(rows) == 4
    for stream, offset, last, payload, packed in rows:
        flags = FrameFlag.LAST if last == "yes" else FrameFlag.NONE
        frame = Frame(int(stream), int(offset), bytes.fromhex(payload), flags)
        assert frame.pack().hex() == packed
        assert Frame.unpack(bytes.fromhex(packed)) == frame


def test_frames_shown_as_refused_are_refused() -> None:
    refused = _REFUSED.findall(PROTOCOL)
    assert len(refused) == 5
    for packed in refused:
        with pytest.raises(ProtocolError):
            Frame.unpack(bytes.fromhex(packed))


def test_the_session_string_shown_can_be_read() -> None:
    (line,) = re.findall(r"^sleap-session:\S+$", PROTOCOL, re.MULTILINE)
    session = SessionString.decode(line)
    assert session.encode() == line
    assert (session.room_id, session.server) == ("r_exampleroom", "https://rtc.lab.example")


def test_the_manifest_shown_has_the_digest_shown() -> None:
    (line,) = re.findall(r'^\{"files".*\}$', PROTOCOL, re.MULTILINE)
    assert f"`{Manifest.from_bytes(line.encode()).digest}`" in PROTOCOL


@PAGES
def test_commands_in_blocks_can_be_typed(page: Path) -> None:
    for words, exported in command_lines.in_fences(page.read_text("utf-8")):
        assert command_lines.problem(words, complete=True, exported=exported) is None, words


@PAGES
def test_commands_in_prose_exist(page: Path) -> None:
    for words in command_lines.in_prose(page.read_text("utf-8")):
        assert command_lines.problem(words, complete=False) is None, words


@pytest.mark.parametrize(
    ("line", "complete"),
    [("serve", False), ("worker --gpu 1", False), ("token revoke", True), ("demo --max-epochs none", True)],
)
def test_a_command_that_does_not_exist_is_noticed(line: str, complete: bool) -> None:
    assert command_lines.problem(line.split(), complete=complete)


def test_the_readme_has_the_commands_it_promises() -> None:
    text = README.read_text("utf-8")
    typed = list(command_lines.in_fences(text))
    assert [words[0] for words, _ in typed] == [
        "server", "worker", "client", "train", "models", "track", "models", "demo",
    ]  # fmt: skip
    for command in ("pip install uv && uv run sleap-rtc demo", "pip install uv && uv run pytest"):
        assert f"```bash\n{command}\n```" in text


def test_ci_ends_with_the_readmes_test_command() -> None:
    script = ROOT / ".ci" / "run"
    assert script.read_text("utf-8").rstrip().splitlines()[-1] == "pip install uv && uv run pytest"
    if os.name == "posix":
        assert os.access(script, os.X_OK)


def test_workflows_name_folders_that_exist() -> None:
    for workflow in (ROOT / ".github" / "workflows").glob("*.yml"):
        for folder in re.findall(r"\btests/\w+", workflow.read_text("utf-8")):
            assert (ROOT / folder).is_dir(), f"{workflow.name}: {folder}"


@PAGES
def test_links_lead_somewhere(page: Path) -> None:
    for target in _LINK.findall(_FENCED.sub("", page.read_text("utf-8"))):
        if re.match(r"https?://", target):
            continue
        name, _, anchor = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        assert linked.is_file(), target
        assert not anchor or anchor in _anchors(linked), target


def _anchors(page: Path) -> set[str]:
    headings = _HEADING.findall(_FENCED.sub("", page.read_text("utf-8")))
    # as mkdocs makes them: lower case, punctuation gone, spaces to hyphens
    return {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


def test_every_page_is_in_the_navigation() -> None:
    config = (DOCS / "config" / "mkdocs.yml").read_text("utf-8")
    listed = re.findall(r": ([\w-]+\.md)$", config, re.MULTILINE)
    assert sorted(listed) == sorted(page.name for page in DOCS.glob("*.md"))


def test_architecture_names_what_exists() -> None:
    text = (DOCS / "architecture.md").read_text("utf-8")
    for path in re.findall(r"`((?:sleap_rtc|signaling_server|tests)/[\w/.]*)`", text):
        assert (ROOT / path).exists(), path
    named = re.findall(r"`([\w.]+)`\s\(`([\w/]+\.py)`\)", text)
    assert len(named) > 40
    for name, path in named:
        code = (ROOT / path).read_text("utf-8")
        for part in name.split("."):
            assert re.search(rf"^\s*(?:class|def|async def) {part}\b", code, re.MULTILINE), f"{name} in {path}"


def test_nothing_is_loaded_from_elsewhere() -> None:
    config = (DOCS / "config" / "mkdocs.yml").read_text("utf-8")
    assert "font: false" in config
    for page in pages():
        # a mermaid block would make the theme fetch a script from a CDN
        assert "```mermaid" not in page.read_text("utf-8"), page.name
