"""Which of several places wins, and what a file that was merely found may not do. No file is read here."""

from typing import Any

import pytest

from sleap_rtc.config.limits import TransferLimits
from sleap_rtc.config.schema import read_values
from sleap_rtc.config.servers import DEFAULT_SERVER, normal_server
from sleap_rtc.config.settings import Kind, Layer, Settings, load_settings, merge
from sleap_rtc.errors import ConfigError

LAB = "https://rtc.lab.example"
FOREIGN = "https://rtc.foreign.example"


def layer(where: str, data: dict[str, Any], kind: Kind = Kind.USER, *, file: bool = True) -> Layer:
    values, warnings = read_values(data, where)
    assert not warnings
    return Layer(where, values, kind, file=file)


def merged(
    *,
    flags: dict[str, Any] | None = None,
    environment: dict[str, Any] | None = None,
    project: dict[str, Any] | None = None,
    home: dict[str, Any] | None = None,
    own: dict[str, Any] | None = None,
) -> Settings:
    return merge(
        [
            layer("flags", flags or {}, file=False),
            layer("environment", environment or {}, file=False),
            layer("project", project or {}, Kind.PROJECT),
            layer("home", home or {}),
            layer("own", own or {}),
        ]
    )


def key(text: str) -> dict[str, Any]:
    return {"worker": {"api_key": text}}


def test_nothing_set_is_the_defaults() -> None:
    settings = merged()
    assert (settings.server, settings.transport, settings.default_room) == (DEFAULT_SERVER, "auto", None)
    assert settings.worker.api_key is None
    assert settings.client.auto_select is None
    assert settings.origin("server") == "default"


@pytest.mark.parametrize(
    ("written", "size"),
    [
        (50_000_000_000, 50 * 10**9),
        ("50 GB", 50 * 10**9),
        ("1.5TB", 15 * 10**11),
        ("800 mb", 8 * 10**8),
        ("12 kB", 12_000),
        ("7 B", 7),
        ("7", 7),
        (0, 0),
    ],
)
def test_a_size_is_a_number_or_has_a_unit(written: int | str, size: int) -> None:
    assert merged(own={"store": {"max_bytes": written}}).limits.max_store == size


@pytest.mark.parametrize("lanes", [1, 16])
def test_what_transfers_may_use_can_be_set(lanes: int) -> None:
    assert merged().limits == TransferLimits(max_lanes=16, max_store=None)
    limits = merged(project={"transfer": {"max_lanes": lanes}}, own={"store": {"max_bytes": "1 GB"}}).limits
    assert limits == TransferLimits(max_lanes=lanes, max_store=10**9)


def test_a_worker_is_warm_unless_somebody_says_otherwise() -> None:
    assert merged().worker.warm
    assert not merged(own={"worker": {"warm": False}}).worker.warm
    assert not load_settings(environ={"SLEAP_RTC_WORKER_WARM": "no"}).worker.warm


def test_jobs_report_to_wandb_only_where_the_operator_says_so() -> None:
    assert not merged().worker.allow_wandb
    assert merged(own={"worker": {"allow_wandb": True}}).worker.allow_wandb
    assert load_settings(environ={"SLEAP_RTC_WORKER_ALLOW_WANDB": "yes"}).worker.allow_wandb
    assert not merged(project={"worker": {"allow_wandb": True}}).worker.allow_wandb


def test_models_are_exported_by_themselves_only_where_the_operator_says_so() -> None:
    assert merged().worker.auto_export == "none"
    assert merged(own={"worker": {"auto_export": "onnx"}}).worker.auto_export == "onnx"
    assert load_settings(environ={"SLEAP_RTC_WORKER_AUTO_EXPORT": "onnx"}).worker.auto_export == "onnx"
    assert merged(project={"worker": {"auto_export": "onnx"}}).worker.auto_export == "none"
    with pytest.raises(ConfigError, match="auto_export must be one of onnx, tensorrt, none"):
        merged(own={"worker": {"auto_export": "both"}})


def test_what_transfers_may_use_can_be_exported() -> None:
    settings = load_settings(environ={"SLEAP_RTC_STORE_MAX_BYTES": "50 GB", "SLEAP_RTC_MAX_LANES": "4"})
    assert settings.limits == TransferLimits(max_lanes=4, max_store=50 * 10**9)
    assert settings.origin("transfer.max_lanes") == "SLEAP_RTC_MAX_LANES"
    with pytest.raises(ConfigError, match="SLEAP_RTC_MAX_LANES must be a whole number from 1 to 16"):
        load_settings(environ={"SLEAP_RTC_MAX_LANES": "64"})


def test_the_nearer_place_wins_key_by_key() -> None:
    settings = merged(
        flags={"transport": "aiortc"},
        environment={"default_room": "from-environment", "transport": "libwebrtc"},
        project={"default_room": "from-project", "worker": {"name": "project-gpu"}},
        home={"worker": {"name": "home-gpu"}, "client": {"auto_select": False}, "secrets": {"r_one": "near"}},
        own={"server": LAB, "client": {"auto_select": True}, "secrets": {"r_one": "far", "r_two": "far"}},
    )
    assert settings.transport == "aiortc"
    assert settings.default_room == "from-environment"
    assert settings.worker.name == "project-gpu"
    assert settings.client.auto_select is False
    assert settings.server == LAB
    assert settings.secrets == {"r_one": "near", "r_two": "far"}
    assert settings.origins == {
        "transport": "flags",
        "default_room": "environment",
        "worker.name": "project",
        "client.auto_select": "home",
        "secrets.r_one": "home",
        "server": "own",
        "secrets.r_two": "own",
    }


@pytest.mark.parametrize(
    ("places", "used"),
    [
        ({"own": key("k")}, True),
        ({"own": key("k") | {"server": LAB}}, True),
        ({"own": key("k"), "home": {"server": LAB}}, True),
        ({"own": key("k"), "environment": {"server": LAB}}, True),
        ({"own": key("k"), "flags": {"server": LAB}}, True),
        ({"project": key("k")}, True),
        ({"project": key("k") | {"server": FOREIGN}}, True),
        ({"project": key("k"), "own": {"server": LAB}}, True),
        ({"project": {"server": LAB}, "own": key("k") | {"server": LAB + "/"}}, True),
        ({"project": {"server": FOREIGN}, "own": key("k")}, False),
        ({"project": {"server": FOREIGN}, "own": key("k") | {"server": LAB}}, False),
        ({"project": {"server": FOREIGN}, "home": key("k")}, False),
        ({"project": {"server": FOREIGN}, "own": key("k"), "home": {"server": LAB}}, False),
        ({"project": {"server": FOREIGN}, "environment": key("k")}, False),
        ({"project": {"server": FOREIGN}, "flags": key("k")}, False),
        ({"project": {"server": "http://rtc.lab.example"}, "own": key("k") | {"server": LAB}}, False),
        ({"flags": {"server": FOREIGN}, "own": key("k") | {"server": LAB}}, False),
        ({"flags": {"server": LAB}, "project": key("k") | {"server": FOREIGN}}, False),
        ({"project": {"server": FOREIGN}, "flags": {"server": LAB}, "own": key("k")}, True),
        ({"project": {"server": FOREIGN}, "flags": key("k") | {"server": FOREIGN}}, True),
    ],
)
def test_a_key_is_used_with_the_server_it_stands_with(places: dict[str, Any], used: bool) -> None:
    settings = merged(**places)
    assert (settings.worker.api_key == "k") is used
    assert ("worker.api_key" in settings.withheld) is not used


def test_what_is_withheld_says_why() -> None:
    settings = merged(project={"server": FOREIGN}, own=key("k") | {"server": LAB, "secrets": {"r_one": "s"}})
    assert settings.withheld["worker.api_key"] == (
        f"The key worker.api_key of own belongs to {LAB}, so it is not used with {FOREIGN}, which project names."
    )
    assert not settings.secrets
    assert "secrets.r_one" in settings.withheld
    assert (settings.server, settings.own_server) == (FOREIGN, LAB)


def test_a_usable_key_behind_a_withheld_one_is_used() -> None:
    settings = merged(
        project={"server": FOREIGN}, home=key("near") | {"server": LAB}, own=key("far") | {"server": FOREIGN}
    )
    assert settings.worker.api_key == "far"
    assert not settings.withheld


@pytest.mark.parametrize("listed", ["0,1", [0, 1], ["0", 1]])
def test_gpus_are_a_list_or_text(listed: object) -> None:
    assert merged(own={"worker": {"gpus": listed, "slots": 2}}).worker.gpus == "0,1"


def test_links_go_through_relays_alone_where_somebody_says_so() -> None:
    assert not merged().limits.relay_only
    relay = {"ice_policy": "relay"}
    for place in ("flags", "environment", "project", "own"):
        settings = merged(**{place: relay})
        assert (settings.ice_policy, settings.limits.relay_only) == ("relay", True)
    assert load_settings(environ={"SLEAP_RTC_ICE_POLICY": "relay"}).limits.relay_only
    with pytest.raises(ConfigError, match="SLEAP_RTC_ICE_POLICY must be one of all, relay"):
        load_settings(environ={"SLEAP_RTC_ICE_POLICY": "direct"})


def test_a_projects_file_leads_no_link_past_the_relays_that_the_user_wants() -> None:
    settings = merged(project={"ice_policy": "all"}, own={"ice_policy": "relay"})
    assert settings.limits.relay_only
    assert settings.origin("ice_policy") == "own"


def test_a_projects_file_chooses_no_gpus() -> None:
    settings = merged(project={"worker": {"gpus": 0, "slots": 64}})
    assert (settings.worker.gpus, settings.worker.slots) == (None, None)
    assert "project: worker.gpus is ignored" in settings.warnings[0]


def test_what_jobs_may_take_is_set_by_no_projects_file() -> None:
    most: dict[str, object] = {
        "max_job_bytes": "2.5 GB", "min_free_bytes": 0, "max_job_memory": "64 GB", "max_job_hours": 1.5
    }  # fmt: skip
    worker = merged(own={"worker": most}).worker
    assert (worker.max_job_bytes, worker.min_free_bytes) == (2_500_000_000, 0)
    assert (worker.max_job_memory, worker.max_job_hours) == (64_000_000_000, 1.5)
    worker = merged(project={"worker": most}).worker
    assert (worker.max_job_bytes, worker.min_free_bytes) == (100_000_000_000, None)
    assert (worker.max_job_memory, worker.max_job_hours) == (None, None)


def test_a_projects_file_sets_no_mounts() -> None:
    mounts = {"worker": {"mounts": [{"label": "all", "path": "/"}]}}
    settings = merged(project=mounts)
    assert settings.worker.mounts == ()
    assert "project: worker.mounts is ignored" in settings.warnings[0]
    (mount,) = merged(own=mounts).worker.mounts
    assert (mount.label, str(mount.path), mount.rw) == ("all", "/", False)


def test_a_key_is_not_in_what_python_prints() -> None:
    settings = merged(own=key("slp_secretsecret") | {"secrets": {"r_one": "slrs_secret"}})
    assert "secret" not in repr(settings).replace("secrets.r_one", "")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"server": 3}, "f: server must be text"),
        ({"server": "ftp://x"}, "f: server is 'ftp://x'"),
        ({"server": ""}, "f: server must be one line"),
        ({"default_room": True}, "f: default_room must be text"),
        ({"transport": "fast"}, "f: transport must be one of auto, libwebrtc, aiortc"),
        ({"worker": "gpu"}, "f: worker must be a table"),
        ({"worker": {"api_key": ["k"]}}, "f: worker.api_key must be text"),
        ({"worker": {"name": "a\nb"}}, "f: worker.name must be one line"),
        ({"worker": {"mounts": "/data"}}, "f: worker.mounts must be written as"),
        ({"worker": {"mounts": [{"label": "lab"}]}}, "f: worker.mounts, entry 1, has no path"),
        ({"worker": {"mounts": [{"label": "lab", "path": "data"}]}}, "must be absolute"),
        ({"worker": {"mounts": [{"label": "lab", "path": "/d", "rw": "yes"}]}}, "must be true or false"),
        ({"worker": {"mounts": [{"label": "lab", "path": "/d", "mode": 1}]}}, "has the key 'mode'"),
        ({"worker": {"mounts": [{"label": "lab", "path": "/d"}] * 2}}, "the same label"),
        ({"worker": {"slots": 0}}, "f: worker.slots must be a whole number from 1 to 64"),
        ({"worker": {"slots": True}}, "f: worker.slots must be"),
        ({"worker": {"gpus": 0.5}}, "f: worker.gpus must list GPUs by index or UUID"),
        ({"worker": {"gpus": [True]}}, "f: worker.gpus must list"),
        ({"worker": {"gpus": []}}, "f: worker.gpus must be one line of text, and not empty"),
        ({"worker": {"max_job_hours": 0}}, "f: worker.max_job_hours must be a number of hours, such as 48 or 0.5"),
        ({"worker": {"max_job_hours": "-1"}}, "f: worker.max_job_hours must be"),
        ({"worker": {"max_job_hours": True}}, "f: worker.max_job_hours must be"),
        ({"secrets": {"r_one": 1}}, "f: secrets.r_one must be text"),
        ({"secrets": "s"}, "f: secrets must be a table"),
        ({"store": {"max_bytes": "fifty"}}, 'f: store.max_bytes must be a number of bytes, or text such as "50 GB"'),
        ({"store": {"max_bytes": "50 GiB"}}, "f: store.max_bytes must be"),
        ({"store": {"max_bytes": -1}}, "f: store.max_bytes must be"),
        ({"store": {"max_bytes": 1.5}}, "f: store.max_bytes must be"),
        ({"store": {"max_bytes": True}}, "f: store.max_bytes must be"),
        ({"store": "50 GB"}, "f: store must be a table"),
        ({"transfer": {"max_lanes": 0}}, "f: transfer.max_lanes must be a whole number from 1 to 16"),
        ({"transfer": {"max_lanes": 17}}, "f: transfer.max_lanes must be"),
        ({"transfer": {"max_lanes": True}}, "f: transfer.max_lanes must be"),
        ({"transfer": {"max_lanes": "many"}}, "f: transfer.max_lanes must be"),
        ({"client": {"auto_select": "true"}}, "f: client.auto_select must be true or false, without quotes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_value_names_file_and_key(data: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_values(data, "f")
    assert words in caught.value.sentence


@pytest.mark.parametrize(
    ("data", "meant"),
    [
        ({"default-room": "x"}, " Did you mean default_room?"),
        ({"apikey": "x"}, " Did you mean worker.api_key?"),
        ({"worker": {"api-key": "x"}}, " Did you mean worker.api_key?"),
        ({"auto_select": True}, " Did you mean client.auto_select?"),
        ({"worker": {"colour": "none"}}, ""),
        ({"colour": "red"}, ""),
        ({"store": {"max_size": 1}}, " Did you mean store.max_bytes?"),
        ({"max_lanes": 4}, " Did you mean transfer.max_lanes?"),
    ],
)
def test_an_unknown_key_is_a_warning_with_the_nearest_known_one(data: dict[str, Any], meant: str) -> None:
    values, (warning,) = read_values(data, "f")
    assert not values
    assert warning.endswith(f"is unknown and ignored.{meant}")


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("HTTP://LocalHost:8000/", "http://localhost:8000"),
        ("https://rtc.lab.example:443", LAB),
        ("https://rtc.lab.example/sleap/", LAB + "/sleap"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_one_server_has_one_form(text: str, normal: str) -> None:
    assert normal_server(text) == normal


@pytest.mark.parametrize(
    "text", ["rtc.lab.example", "http://", "http://a:0", "http://a:b", "http://u:p@h", "http://h?q"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        normal_server(text)


@pytest.mark.parametrize("place", ["flags", "environment"])
def test_a_key_that_was_typed_is_never_replaced_by_a_projects(place: str) -> None:
    foreign = {"server": FOREIGN, "worker": {"api_key": "slp_theirs"}}
    typed: dict[str, Any] = {place: {"worker": {"api_key": "slp_mine"}}}
    settings = merged(project=foreign, **typed)
    assert settings.worker.api_key is None
    assert "worker.api_key" in settings.withheld


@pytest.mark.parametrize(
    "text", ["https://$(touch${IFS}x).evil", "https://a.example/`id`", "http://exa mple", "https://a.example/;ls"]
)
def test_an_address_holds_nothing_that_a_shell_would_act_on(text: str) -> None:
    with pytest.raises(ConfigError, match="not the address"):
        normal_server(text)
