import json
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hypothesis import example, given
from hypothesis import strategies as st

from sleap_rtc.errors import ConfigError
from sleap_rtc.protocol.override_text import MAX_DEPTH, MAX_TEXT, parse_override
from sleap_rtc.protocol.training import Override

KEY = "trainer_config.max_epochs"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("50", 50),
        ("-3", -3),
        ("0", 0),
        ("0.5", 0.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e-4", 1e-4),
        ("5e-4", 5e-4),
        ("true", True),
        ("False", False),
        ("null", None),
        ("None", None),
        ("", ""),
        ("  ", ""),
        ("007", "007"),
        ("1.2.3", "1.2.3"),
        ("e5", "e5"),
        ("bottom up", "bottom up"),
        ("  a b ", "a b"),
        ("/data/my labels.slp", "/data/my labels.slp"),
        (r"C:\data\a.slp", r"C:\data\a.slp"),
        ("C:/data/a (1).slp", "C:/data/a (1).slp"),
        ("a=b", "a=b"),
        (r"a\,b", "a,b"),
        (r"a\ ", "a "),
        ("/data/[old]/a.slp", "/data/[old]/a.slp"),
        ("'50'", "50"),
        ('"a, [b]: {c}"', "a, [b]: {c}"),
        ("''", ""),
        (r"'it\'s'", "it's"),
        (r"'C:\data\\'", "C:\\data\\"),
        ("[]", []),
        ("[a.slp,b.slp]", ["a.slp", "b.slp"]),
        ("[ a.slp , 'b c.slp', 3, 1e-3, true, null ]", ["a.slp", "b c.slp", 3, 1e-3, True, None]),
        (r"[C:\data\a.slp, D:/b.slp]", [r"C:\data\a.slp", "D:/b.slp"]),
        ("[[1,2],[]]", [[1, 2], []]),
        ("{}", {}),
        ("{a: 1}", {"a": 1}),
        ("{a:1,'b c':[x, {d: null}]}", {"a": 1, "b c": ["x", {"d": None}]}),
    ],
)
def test_a_value_is_what_the_user_meant(text: str, value: Any) -> None:
    read = parse_override(f"{KEY}={text}")
    assert read == Override(key=KEY, value=value)
    assert type(read.value) is type(value)


@pytest.mark.parametrize("sign", ["", "+", "++"])
def test_adding_and_forcing_a_key_are_setting_it(sign: str) -> None:
    assert parse_override(f"{sign}{KEY} = 5") == Override(key=KEY, value=5)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no '='"),
        ("max_epochs", "no '='"),
        ("~trainer_config.seed", "cannot be removed"),
        ("=5", "no key of a config"),
        ("+++a=5", "no key of a config"),
        ("a..b=5", "no key of a config"),
        ("a@b=5", "no key of a config"),
        ("../a=5", "no key of a config"),
        ("a.b[0]=5", "no key of a config"),
        (".".join("a" * 20) + "=5", "no key of a config"),
        ("hydra.run.dir=x", "Hydra load"),
        ("a._target_=os.system", "Hydra load"),
        ("a={_target_: os.system}", "Hydra load"),
        ("a=${oc.env:HOME}", "interpolation"),
        ("a=[x,'${b}']", "interpolation"),
        ("a=b,c", r"\[a,b\]"),
        ("a=range(1,5)", "call a function"),
        ("a=[glob(*)]", "call a function"),
        ("a=inf", "not finite"),
        ("a=-NaN", "not finite"),
        ("a=1e999", "not finite"),
        ("a=" + "9" * 30, "more than 20 digits"),
        ("a=[1", "missing"),
        ("a=[1,]", "value is missing"),
        ("a=[,1]", "value is missing"),
        ("a=[1}", "quotes"),
        ("a=[1] x", "something follows"),
        ("a=[a[0].slp]", "quotes"),
        ("a='b", "closing '"),
        ("a='b\\'", "closing '"),
        ("a='b' c", "something follows"),
        ("a={b}", "a mapping is written"),
        ("a={: 1}", "a mapping is written"),
        ("a={b: 1, b: 2}", "appears twice"),
        ("a={b: 1", "missing"),
        ("a=b\nc", "control characters"),
        ("a=b\udcffc", "control characters"),
        ("a=" + "[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2), "nested deeper"),
        ("a=" + "[" * 60_000, "nested deeper"),
        ("a=" + "{a:" * 20_000, "nested deeper"),
        ("a=" + "x" * MAX_TEXT, "longer than"),
    ],
)
def test_what_is_none_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as refused:
        parse_override(text)
    assert len(refused.value.sentence) < 400


@pytest.mark.parametrize(
    "text", ["trainer_config.wandb.api_key=c0ffee", "trainer_config.wandb={x: [{api_key: c0ffee}]}"]
)
def test_a_key_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ConfigError, match="WANDB_API_KEY") as refused:
        parse_override(text)
    assert "c0ffee" not in refused.value.sentence


HYDRA_READS_ALIKE = [
    "50", "-3", "1e-4", "5e-4", ".5", "1.", "true", "FALSE", "null", "", "007", "a b", "/data/my labels.slp",
    r"C:\data\a.slp", r"a\,b", r"a\ b", "'50'", '"a, [b]: {c}"', r"'it\'s'", r"'C:\data\\'", r"'a\\b'",
    "[]", "[a.slp,b.slp]", "[ a.slp , 'b c.slp', 3, 1e-3, true, null ]", r"[C:\data\a.slp, D:/b.slp]", "[[1,2],[]]",
    "{}", "{a: 1}", "{a:1,b c:[x, {d: null}]}",
]  # fmt: skip


@pytest.mark.parametrize("text", HYDRA_READS_ALIKE)
def test_hydra_reads_the_same_value(text: str) -> None:
    [theirs] = OverridesParser.create().parse_overrides([f"{KEY}={text}"])
    assert parse_override(f"{KEY}={text}").value == theirs.value()


def written(value: Any) -> str:
    """A value as a careful user would type it."""
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{written(key)}: {written(inner)}" for key, inner in value.items()) + "}"
    return json.dumps(value)


# a backslash that is not before a quote stands for itself, so that text with one is not written back that simply
TEXT = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc"], exclude_characters="\\$"), max_size=20)
SCALARS = st.none() | st.booleans() | st.integers(-(10**18), 10**18) | TEXT
VALUES = st.recursive(
    SCALARS | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT.filter(bool), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_what_is_written_in_quotes_is_read_back(value: Any) -> None:
    assert parse_override(f"{KEY}={written(value)}").value == value


@given(st.text(max_size=60) | st.text("ab1.[]{}'\"\\,:= ()+~$", max_size=60).map("a=".__add__))
@example("a=\\")
@example("a=[\\")
@example("a='\\")
def test_no_text_does_more_than_be_refused(text: str) -> None:
    try:
        parse_override(text)
    except ConfigError:
        return


# without ':', after which Hydra alone keeps a last space
@given(st.text("ab1.[]'\"\\, ", max_size=12))
def test_what_both_read_is_the_same(text: str) -> None:
    try:
        ours = parse_override(f"a={text}").value
        [theirs] = OverridesParser.create().parse_overrides([f"a={text}"])
        value = theirs.value()
    except (ConfigError, HydraException):
        return
    assert ours == value
