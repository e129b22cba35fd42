"""``sleap-rtc config``, typed."""

import json
from pathlib import Path

from sleap_rtc.config.files import own_file
from sleap_rtc.config.limits import TransferLimits
from sleap_rtc.config.schema import KEYS, Mount
from sleap_rtc.config.settings import load_settings
from sleap_rtc.protocol.tokens import make_token
from tests.cli.shell import Shell

KEY = make_token("worker", bytes(range(32)))


def test_show_names_every_key_and_its_origin(shell: Shell) -> None:
    shell.now("config", "set", "worker.name", "lab-gpu-1")
    shell.now("config", "set", "client.auto_select", "yes")
    shell.export("SLEAP_RTC_DEFAULT_ROOM", "fly lab")
    (shell.folder / "sleap-rtc.toml").write_text('transport = "aiortc"\n')
    path = shell.now("config", "path").out.strip()
    typed = shell.now("config", "show")
    assert [line.split(maxsplit=1) for line in typed.out.splitlines()] == [
        ["key", "value                  from"],
        ["server", "http://127.0.0.1:8000  default"],
        ["default_room", "fly lab                SLEAP_RTC_DEFAULT_ROOM"],
        ["transport", f"aiortc                 {shell.folder / 'sleap-rtc.toml'}"],
        ["ice_policy", "all                    default"],
        ["worker.api_key", "(not set)"],
        ["worker.name", f"lab-gpu-1              {path}"],
        ["worker.slots", "(not set)"],
        ["worker.gpus", "(not set)"],
        ["worker.warm", "false                  SLEAP_RTC_WORKER_WARM"],
        ["worker.max_job_bytes", "100000000000           default"],
        ["worker.max_job_memory", "(not set)"],
        ["worker.max_job_hours", "(not set)"],
        ["worker.min_free_bytes", "0                      SLEAP_RTC_WORKER_MIN_FREE_BYTES"],
        ["worker.allow_wandb", "false                  default"],
        ["worker.sandbox", "auto                   default"],
        ["worker.auto_export", "none                   default"],
        ["worker.mounts", "(not set)"],
        ["store.max_bytes", "(not set)"],
        ["transfer.max_lanes", "16                     default"],
        ["client.auto_select", f"true                   {path}"],
    ]
    assert typed.err == ""


def test_show_leaves_no_key_out(shell: Shell) -> None:
    assert set(json.loads(shell.now("config", "show", "--json").out)) == set(KEYS)


def test_show_hides_keys_and_secrets(shell: Shell) -> None:
    shell.now("config", "set", "worker.api_key", KEY)
    shell.now("config", "set", "secrets.r_abcdefgh", "secret-for-room-1")
    for typed in (shell.now("config", "show"), shell.now("config", "show", "--json")):
        assert KEY[10:] not in typed.out
        assert "secret-for-room-1" not in typed.out
    shown = json.loads(shell.now("config", "show", "--json").out)
    assert shown["worker.api_key"]["value"] == f"{KEY[:10]}…"
    assert shown["secrets.r_abcdefgh"]["value"] == "(hidden)"
    shell.now("config", "set", "worker.api_key", "your-api-key")
    assert json.loads(shell.now("config", "show", "--json").out)["worker.api_key"]["value"] == "(hidden)"


def test_show_says_what_a_projects_file_did_not_get(shell: Shell) -> None:
    shell.now("config", "set", "worker.api_key", KEY)
    (shell.folder / "sleap-rtc.toml").write_text(
        'server = "https://foreign.example"\n[[worker.mounts]]\nlabel = "all"\npath = "/"\n'
    )
    typed = shell.now("config", "show")
    assert "worker.mounts is ignored" in typed.err
    assert "belongs to http://127.0.0.1:8000, so it is not used with https://foreign.example" in typed.err
    shown = json.loads(shell.now("config", "show", "--json").out)
    assert shown["worker.api_key"]["value"] is None
    assert "https://foreign.example" in shown["worker.api_key"]["withheld"]
    assert shown["worker.mounts"]["value"] is None


def test_an_error_in_a_file_stops_every_command_with_its_line(shell: Shell) -> None:
    path = shell.folder / "sleap-rtc.toml"
    path.write_text("a = 1\nb = = 2\n")
    for words in (["config", "show"], ["whoami"], ["worker"]):
        typed = shell.now(*words)
        assert typed.code == 2
        assert typed.err.startswith(f"error: {path}, line 2, column 5: ")


def test_set_says_where_and_what_overrules_it(shell: Shell) -> None:
    path = shell.now("config", "path").out.strip()
    typed = shell.now("config", "set", "default_room", "mine")
    assert (typed.out, typed.err) == (f"default_room is set in {path}.\n", "")
    (shell.folder / "sleap-rtc.toml").write_text('default_room = "theirs"\n')
    typed = shell.now("config", "set", "default_room", "mine")
    assert typed.err == f"warning: default_room is set nearer by, too, and that wins: {shell.folder}/sleap-rtc.toml.\n"


def test_set_reads_a_key_from_a_pipe(shell: Shell) -> None:
    shell.pipe(KEY + "\n")
    assert shell.now("config", "set", "worker.api_key", "-").code == 0
    assert KEY in Path(shell.now("config", "path").out.strip()).read_text()
    shell.pipe("")
    typed = shell.now("config", "set", "worker.api_key", "-")
    assert (typed.code, "not empty" in typed.err) == (2, True)


def test_set_of_an_unknown_key_names_the_known_ones(shell: Shell) -> None:
    typed = shell.now("config", "set", "client.autoselect", "true")
    assert typed.code == 2
    assert "Did you mean client.auto_select?" in typed.err
    assert "default_room" in typed.err


def test_what_transfers_may_use_is_set_and_read_back(shell: Shell) -> None:
    assert shell.now("config", "set", "store.max_bytes", "50 GB").code == 0
    assert shell.now("config", "set", "transfer.max_lanes", "4").code == 0
    assert load_settings().limits == TransferLimits(max_lanes=4, max_store=50 * 10**9)
    for key, value in (("store.max_bytes", "plenty"), ("transfer.max_lanes", "17")):
        typed = shell.now("config", "set", key, value)
        assert typed.code == 2
        assert typed.err.startswith(f"error: {key} must be")
    shell.export("SLEAP_RTC_MAX_LANES", "2")
    typed = shell.now("config", "set", "transfer.max_lanes", "8")
    assert "is set nearer by, too, and that wins: SLEAP_RTC_MAX_LANES" in typed.err
    assert load_settings().limits.max_lanes == 2


def test_init_writes_once(shell: Shell) -> None:
    path = shell.now("config", "path").out.strip()
    assert shell.now("config", "init").out.startswith(f"Written: {path}.")
    typed = shell.now("config", "init")
    assert (typed.code, "is there already" in typed.err) == (2, True)
    files = json.loads(shell.now("config", "path", "--json").out)
    assert files == {"path": path, "read": [path]}


def test_a_mount_is_added_and_the_rest_of_the_file_stays(shell: Shell) -> None:
    (shell.folder / "data").mkdir()
    shell.now("config", "init")
    typed = shell.now("config", "add-mount", "lab", "data")
    assert typed.code == 0, typed.err
    assert f"Jobs may read lab:/, which is {shell.folder / 'data'}" in typed.out
    shell.now("config", "set", "worker.name", "gpu")
    assert shell.now("config", "add-mount", "scratch", str(shell.folder / "data"), "--rw").code == 0
    settings = load_settings()
    assert settings.worker.name == "gpu"
    assert settings.worker.mounts == (
        Mount("lab", shell.folder / "data"),
        Mount("scratch", shell.folder / "data", rw=True),
    )
    assert "# The signaling service." in own_file().read_text()


def test_a_mount_is_added_to_a_list_on_one_line(shell: Shell) -> None:
    (shell.folder / "data").mkdir()
    own_file().write_text('worker = {mounts = [{label = "lab", path = "/data"}]}\n')
    assert shell.now("config", "add-mount", "more", "data").code == 0
    assert [mount.label for mount in load_settings().worker.mounts] == ["lab", "more"]


def test_a_mount_that_is_there_or_gives_too_much_away_is_not_added(shell: Shell) -> None:
    (shell.folder / "data").mkdir()
    shell.now("config", "add-mount", "lab", "data")
    before = own_file().read_text()
    for label, path, words in (
        ("lab", "data", "a mount 'lab' already"),
        ("all", "/", "home folder"),
        ("home", str(shell.user), "home folder"),
        ("keys", str(own_file().parent), "overlaps"),
        ("x", "data", "mount label"),
        ("gone", "nowhere", "no folder"),
    ):
        typed = shell.now("config", "add-mount", label, path)
        assert (typed.code, words in typed.err.replace("\n", " ")) == (2, True), typed.err
    assert own_file().read_text() == before


def test_a_mount_that_a_nearer_file_overrules_is_said(shell: Shell) -> None:
    (shell.folder / "data").mkdir()
    (shell.user / "sleap-rtc.toml").write_text('[[worker.mounts]]\nlabel = "own"\npath = "/data"\n')
    assert "is set nearer by, too" in shell.now("config", "add-mount", "lab", "data").err
