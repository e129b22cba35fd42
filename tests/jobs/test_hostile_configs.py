"""YAML in every style that a stranger may choose: what is accepted is plain data, and stays what it is."""

import json
import math
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from sleap_rtc.errors import ConfigError
from sleap_rtc.jobs.config_rules import check_config, load_config
from sleap_rtc.jobs.run_names import check_run_name, pick_run_name
from sleap_rtc.jobs.yaml_data import MAX_BYTES, MAX_DEPTH, read_yaml, write_yaml
from sleap_rtc.protocol.files import check_path
from sleap_rtc.protocol.override_text import HYDRA_KEYS

yaml = pytest.importorskip("yaml")
omegaconf = pytest.importorskip("omegaconf")

SETTINGS = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
HOSTILE = [
    "${oc.env:HOME}", "x${name}y", "$", "${", "{", "}", "$${a}", "\\${a}", "???", "!!python/object", "&a", "*a", "<<",
    "-", "on", "yes", "null", "1_000", "0x1F", "1e999", ".inf", "=", "2001-01-01", "12:30:45", "_target_", "a: b", "",
    "a #b", "'", '"', "\u2028", "\u00a0", "\U0001f600", "%YAML 1.1", "---", "...", "? a", "- a", "|", ">", "hydra",
]  # fmt: skip
PLAIN = st.sampled_from(["a", "b", "lr", "max epochs", "on", "1e-4", "\u00e9", "labels.slp", "C:\\x", "a#b", "1:2"])
TEXTS = st.one_of(
    PLAIN, PLAIN, PLAIN, st.sampled_from(HOSTILE), st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
)
LEAVES = st.one_of(TEXTS, st.integers(-(10**22), 10**22), st.booleans(), st.none(), st.floats())
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=8,
)


class Styled:
    """Writes a tree as YAML, choosing everything that YAML lets one choose, and now and then more."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        tricks = ["!!str ", "! ", "!x ", "&a ", "!!python/name:os.system ", "*a "]
        self._before = st.sampled_from([""] * 20 + tricks) if draw(st.booleans()) else st.just("")

    def node(self, value: Any) -> str:
        before = self._draw(self._before)
        if isinstance(value, dict):
            pairs = ", ".join(f"{self.key(key)}: {self.node(inner)}" for key, inner in value.items())
            return f"{before}{{{pairs}}}"
        if isinstance(value, list):
            return f"{before}[{', '.join(self.node(inner) for inner in value)}]"
        return before + (self.text(value) if isinstance(value, str) else _plain(value))

    def key(self, key: str) -> str:
        return self._draw(self._before) + self.text(key)

    def text(self, text: str) -> str:
        match self._draw(st.sampled_from(["plain", "single", "double", "escaped"])):
            case "plain":
                return text
            case "single":
                return "'" + text.replace("'", "''") + "'"
            case "double":
                return json.dumps(text, ensure_ascii=False)
        return '"' + "".join(f"\\U{ord(character):08x}" for character in text) + '"'

    def document(self, tree: dict[str, Any]) -> str:
        if self._draw(st.booleans()):
            return self.node(tree)
        lines = (f"{self.key(key)}: {self.node(value)}\n" for key, value in tree.items())
        head = self._draw(st.sampled_from(["", "", "", "%YAML 1.1\n---\n", "---\n", "\ufeff", "# x\n"]))
        return (
            head
            + "".join(lines)
            + self._draw(st.sampled_from(["", "", "", "", "...\n", "---\na: 1\n", "name: |\n  ${x}\n"]))
        )


def _plain(value: object) -> str:
    return str(value) if isinstance(value, float) else json.dumps(value)


@st.composite
def documents(draw: st.DrawFn) -> str:
    section = st.dictionaries(TEXTS, TREES, max_size=3)
    tree = {"model_config": section, "trainer_config": section, "name": TREES, "description": TREES}
    chosen = draw(st.fixed_dictionaries({}, optional=tree))
    return Styled(draw).document(chosen)


def strings_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from strings_in(str(key))
            yield from strings_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings_in(inner)
    elif isinstance(value, str):
        yield value


def same(one: Any, other: Any) -> bool:
    """Equal, of one type, and a NaN is a NaN."""
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return type(one) is type(other) and bool(one == other)


@SETTINGS
@given(documents())
@example('{name: "\\x24\\x7boc.env:HOME}"}')
@example("name: >-\n  $\n  {x}\n")
@example('name: "$\\\n  {x}"')
@example("? name\n: x\n")
@example("{name: !!str a}")
@example("name: &a x\ndescription: *a\n")
@example("<<: {name: x}")
def test_what_is_accepted_is_plain_data_that_nothing_resolves(text: str) -> None:
    try:
        config = load_config(text.encode())
    except ConfigError as error:
        event("refused")
        error.sentence.encode()
        return
    event("taken")
    with suppress(yaml.YAMLError):  # the older rules know less
        for said in yaml.parse(text, Loader=yaml.SafeLoader):
            assert not isinstance(said, yaml.AliasEvent)
            assert getattr(said, "anchor", None) is None
            assert getattr(said, "tag", None) is None
    assert not any("${" in found or "\0" in found for found in strings_in(config))
    assert HYDRA_KEYS.isdisjoint(keys_in(config))
    written = write_yaml(config)
    assert same(read_yaml(written.encode()) or {}, config)
    # as sleap-nn reads it: by the rules of YAML 1.1, and with OmegaConf's interpolation
    resolved = omegaconf.OmegaConf.to_container(omegaconf.OmegaConf.create(written), resolve=True)
    assert same(resolved, config)


def keys_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from keys_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys_in(inner)


@SETTINGS
@given(st.binary(max_size=60))
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    try:
        read_yaml(data)
    except ConfigError as error:
        error.sentence.encode()


PLACES = st.sampled_from(["model_config", "trainer_config", "data_config"])


@SETTINGS
@given(TREES, PLACES, st.sampled_from(["${oc.env:X}", "${a}", "${", "a${b}c", "${oc.decode:${oc.env:X}}"]), st.data())
def test_interpolation_is_found_however_deep_it_hides(
    tree: Any, section: str, hidden: str, data: st.DataObject
) -> None:
    value: Any = hidden
    for _ in range(data.draw(st.integers(0, 8))):
        value = data.draw(
            st.sampled_from([[value], [tree, value], {"a": value}, {"b": tree, "a": value}, {f"{value}": 1}])
        )
    with pytest.raises(ConfigError, match="refused"):
        check_config({section: {"x": value}}, "made up")


@pytest.mark.parametrize(
    "bomb",
    [
        b"a: &a [x,x]\n" + b"".join(b"%c: &%c [*%c,*%c]\n" % (98 + n, 98 + n, 97 + n, 97 + n) for n in range(9)),
        b"name: x\n" * 100_000,
        b"{" * 50_000,
        b"[" * 50_000 + b"]" * 50_000,
        b"? " * 50_000,
        b"- " * 50_000,
        b"name: " + b"9" * 200_000,
        b"name: !<" + b"x" * 100_000 + b"> y",
        b"name: [" + b"[],\n" * 60_000 + b"]",
        b"name: [" + b"1," * 120_000 + b"]",
        b"x" * (MAX_BYTES + 1),
        b"name: x #" + b" " * 1_000_000,
    ],
    ids=[
        "aliases",
        "twice",
        "braces",
        "brackets",
        "keys",
        "dashes",
        "digits",
        "tag",
        "lists",
        "commas",
        "large",
        "a megabyte",
    ],
)
def test_what_is_small_to_send_and_large_to_read_is_refused(bomb: bytes) -> None:
    with pytest.raises(ConfigError):
        read_yaml(bomb)


@pytest.mark.parametrize(("deep", "taken"), [(MAX_DEPTH, True), (MAX_DEPTH + 1, False)])
def test_the_depth_is_bounded(deep: int, taken: bool) -> None:
    text = b"[" * deep + b"x" + b"]" * deep
    if taken:
        assert read_yaml(text) is not None
    else:
        with pytest.raises(ConfigError, match="deeper"):
            read_yaml(text)


@SETTINGS
@given(
    st.one_of(TEXTS, st.text(max_size=90), st.sampled_from(["..", "../../../x", "a/b", "NUL", "-rf", ".ssh"])), TEXTS
)
def test_every_run_name_is_one_plain_folder(wanted: str, fallback: str) -> None:
    taken: set[str] = set()
    try:
        found = [pick_run_name(wanted, fallback, taken)[0] for _ in range(3)]
    except ConfigError:
        assert taken == set()
        return
    assert len({name.lower() for name in found}) == 3
    for name in found:
        assert check_run_name(name) == check_path(name) == name
        assert "/" not in name
