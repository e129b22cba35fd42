"""Files on a disk: which are found, what is said of a damaged one, and what commands change in theirs."""

import os
import sys
from pathlib import Path

import pytest

from sleap_rtc.config.editing import initialise, set_value, unset_value
from sleap_rtc.config.files import own_file, parse_toml
from sleap_rtc.config.schema import KEYS
from sleap_rtc.config.settings import load_settings
from sleap_rtc.errors import ConfigError, ConflictError

DASHBOARD = """\
# Default room for commands
default_room = "r_abcdefgh"
# Worker configuration
[worker]
api_key = "slp_key"
name = "lab-gpu-1"
# Room secrets (optional)
[secrets]
"r_abcdefgh" = "secret-for-room-1"
"r_ijklmnop" = "secret-for-room-2"
# Client configuration
[client]
auto_select = true
"""


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    return tmp_path


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("place", ["project", "home", "own"])
def test_the_dashboards_example_works_in_every_place(user: Path, place: str) -> None:
    paths = {"project": user / "project" / "sleap-rtc.toml", "home": user / "sleap-rtc.toml", "own": own_file()}
    path = write(paths[place], DASHBOARD)
    below = user / "project" / "videos"
    below.mkdir(parents=True, exist_ok=True)
    settings = load_settings(below, {})
    assert settings.default_room == "r_abcdefgh"
    assert (settings.worker.api_key, settings.worker.name) == ("slp_key", "lab-gpu-1")
    assert settings.secrets == {"r_abcdefgh": "secret-for-room-1", "r_ijklmnop": "secret-for-room-2"}
    assert settings.client.auto_select is True
    assert set(settings.origins.values()) == {str(path)}
    assert (settings.warnings, settings.withheld, settings.files) == ((), {}, (path,))


def test_only_the_nearest_projects_file_is_read(user: Path) -> None:
    write(user / "a" / "sleap-rtc.toml", 'default_room = "far"\ntransport = "aiortc"')
    write(user / "a" / "b" / "sleap-rtc.toml", 'default_room = "near"')
    settings = load_settings(user / "a" / "b", {})
    assert (settings.default_room, settings.transport) == ("near", "auto")


def test_below_home_the_users_own_file_is_no_projects_file(user: Path) -> None:
    path = write(user / "sleap-rtc.toml", '[[worker.mounts]]\nlabel = "lab"\npath = "~/data"')
    (user / "x").mkdir()
    settings = load_settings(user / "x", {})
    assert settings.files == (path,)
    assert settings.worker.mounts[0].path == user / "data"
    assert not settings.warnings


def test_the_environment_comes_before_files_and_after_flags(user: Path) -> None:
    write(own_file(), 'transport = "aiortc"\ndefault_room = "file"\n[client]\nauto_select = true')
    environment = {
        "SLEAP_RTC_SERVER": "https://rtc.lab.example/",
        "SLEAP_RTC_TRANSPORT": "libwebrtc",
        "SLEAP_RTC_DEFAULT_ROOM": "",
        "SLEAP_RTC_API_KEY": "slp_x\n",
        "SLEAP_RTC_WORKER_NAME": "gpu",
        "SLEAP_RTC_AUTO_SELECT": "no",
    }
    settings = load_settings(user, environment, flags={"transport": "auto", "server": None})
    assert settings.server == "https://rtc.lab.example"
    assert (settings.transport, settings.default_room, settings.client.auto_select) == ("auto", "file", False)
    assert (settings.worker.api_key, settings.worker.name) == ("slp_x", "gpu")
    assert settings.origin("client.auto_select") == "SLEAP_RTC_AUTO_SELECT"
    with pytest.raises(ConfigError, match="SLEAP_RTC_AUTO_SELECT must be true or false"):
        load_settings(user, {"SLEAP_RTC_AUTO_SELECT": "perhaps"})
    with pytest.raises(ConfigError, match="SLEAP_RTC_SERVER is 'lab'"):
        load_settings(user, {"SLEAP_RTC_SERVER": "lab"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"server = 1\n\nname = = 2\n", "line 3, column 8"),
        (b'a = "open', "line 1"),
        (b'a = 1\nb = "\xff"\n', "line 2: the file is not UTF-8"),
        (b"a = 1\na = 2\n", "line 2"),
        (b"#" * (1024 * 1024 + 1), "larger than 1 MiB"),
    ],
    ids=["syntax", "open text", "not UTF-8", "twice", "too large"],
)
def test_a_file_that_is_no_toml_names_file_and_line(user: Path, text: bytes, words: str) -> None:
    path = write(user / "p" / "sleap-rtc.toml", text)
    with pytest.raises(ConfigError) as caught:
        load_settings(user / "p", {})
    assert caught.value.sentence.startswith(str(path))
    assert words in caught.value.sentence


def test_what_windows_editors_write_can_be_read(user: Path) -> None:
    write(own_file(), b'\xef\xbb\xbfdefault_room = "r"\r\n[client]\r\nauto_select = true\r\n')
    assert load_settings(user, {}).default_room == "r"


@pytest.mark.skipif(sys.platform == "win32", reason="no such modes")
@pytest.mark.parametrize(
    ("text", "warned"), [('[worker]\napi_key = "k"', True), ('[secrets]\nr = "s"', True), ('default_room = "r"', False)]
)
def test_a_readable_key_is_a_warning(user: Path, text: str, warned: bool) -> None:
    path = write(user / "sleap-rtc.toml", text)
    path.chmod(0o644)
    assert [f"chmod 600 {path}" in warning for warning in load_settings(user, {}).warnings] == [True] * warned


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="modes do not bind this user")
def test_a_file_that_cannot_be_read(user: Path) -> None:
    write(user / "p" / "sleap-rtc.toml", "").chmod(0)
    assert "left out" in load_settings(user / "p", {}).warnings[0]
    write(own_file(), "").chmod(0)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(user, {})


def test_setting_a_key_keeps_comments_and_order(user: Path) -> None:
    path = write(own_file(), '# mine\n[client]\n# why\nauto_select = true  # yes\n\n[worker]\nname = "gpu"\n')
    set_value("client.auto_select", "false")
    set_value("server", "https://RTC.lab.example/")
    set_value("worker.name", "gpu-2")
    set_value("secrets.r_abcdefgh", 'with "quotes"')
    assert [line for line in path.read_text().splitlines() if line] == [
        "# mine", 'server = "https://rtc.lab.example"', "[client]", "# why", "auto_select = false  # yes",
        "[worker]", 'name = "gpu-2"', "[secrets]", 'r_abcdefgh = "with \\"quotes\\""',
    ]  # fmt: skip
    assert load_settings(user, {}).secrets == {"r_abcdefgh": 'with "quotes"'}
    assert not unset_value("server", "https://other.example")
    assert unset_value("server", "https://rtc.lab.example")
    assert "server" not in path.read_text()


def test_the_first_key_makes_a_private_file(user: Path) -> None:
    path = set_value("worker.api_key", "slp_x")
    assert path.read_text() == '[worker]\napi_key = "slp_x"\n'
    assert sys.platform == "win32" or path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("key", "text", "words"),
    [
        ("sever", "x", "Did you mean server?"),
        ("worker", "x", "There is no setting 'worker'"),
        ("secrets", "x", "There is no setting 'secrets'"),
        ("worker.mounts", "x", "is a list"),
        ("client.auto_select", "maybe", "must be true or false"),
        ("transport", "udp", "must be one of"),
    ],
)
def test_what_cannot_be_set_is_said_and_nothing_written(user: Path, key: str, text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        set_value(key, text)
    assert words in caught.value.sentence
    assert not own_file().exists()


def test_a_damaged_file_is_not_changed(user: Path) -> None:
    path = write(own_file(), "a = = 1")
    with pytest.raises(ConfigError, match="line 1"):
        set_value("server", "http://127.0.0.1:8000")
    assert path.read_text() == "a = = 1"


def test_the_file_that_explains_itself_sets_nothing_until_it_is_uncommented(user: Path) -> None:
    path = initialise()
    assert load_settings(user, {}).origins == {}
    lines = path.read_text().splitlines()
    write(path, "\n".join(line[1:] if line.startswith("#") and not line.startswith("# ") else line for line in lines))
    settings = load_settings(user, {})
    assert not settings.warnings
    assert set(settings.origins) == {*KEYS, "secrets.r_…"}
    with pytest.raises(ConflictError):
        initialise()


def test_a_linked_file_stays_a_link(user: Path) -> None:
    real = write(user / "dotfiles" / "config.toml", "")
    own_file().symlink_to(real)
    set_value("default_room", "r")
    assert own_file().is_symlink()
    assert real.read_text() == 'default_room = "r"\n'


@pytest.mark.parametrize("raw", [b"x = " + b"9" * 5000, b"x = " + b"[" * 2000], ids=["digits", "brackets"])
def test_what_the_parser_cannot_bear_is_a_sentence(tmp_path: Path, raw: bytes) -> None:
    with pytest.raises(ConfigError, match="too long or a value nested too deep"):
        parse_toml(raw, tmp_path / "sleap-rtc.toml")
