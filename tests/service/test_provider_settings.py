"""What an operator may set about identity, and what is refused."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from signaling_server.provider_settings import GitHubProvider, OIDCProvider
from signaling_server.settings import Settings
from signaling_server.settings_reading import load_settings
from sleap_rtc.errors import ConfigError
from tests.docs.pages import DOCS

SECRET = "b7d0c5a2f1e94c3d8a6b7c8d9e0f1a2b3c4d5e6f"
PUBLIC = "https://rtc.lab.example"
GITHUB = {"kind": "github", "client_id": "Iv1.0123456789abcdef", "client_secret": SECRET}
OIDC = {
    "kind": "oidc",
    "id": "uni",
    "label": "The University",
    "issuer": "https://login.uni.example/realms/lab/",
    "client_id": "sleap-rtc",
    "client_secret": SECRET,
}


def load(*providers: dict[str, Any], **settings: Any) -> Settings:
    return load_settings({}, **({"public_url": PUBLIC, "providers": list(providers)} | settings))


def test_providers_in_any_mix(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    file = tmp_path / "sleap-rtc-server.toml"
    file.touch(0o600)
    file.write_text(
        f"""
public_url = "{PUBLIC}/"
local_accounts = true

[[providers]]
kind = "github"
client_id = "Iv1.0123456789abcdef"
client_secret_file = "{(tmp_path / "secret").as_posix()}"

[[providers]]
kind = "oidc"
id = "uni"
label = "The University"
issuer = "https://login.uni.example/realms/lab/"
client_id = "sleap-rtc"
client_secret = "{SECRET}"
"""
    )
    settings = load_settings({}, file)
    github, uni = settings.providers
    assert isinstance(github, GitHubProvider)
    assert (github.id, github.label, github.url) == ("github", "GitHub", "https://github.com")
    assert github.api_url == "https://api.github.com"
    assert github.client_secret.get_secret_value() == SECRET
    assert isinstance(uni, OIDCProvider)
    # the issuer's own spelling counts, slash and all
    assert (uni.issuer, uni.scopes) == ("https://login.uni.example/realms/lab/", "openid profile")
    assert settings.public_url == PUBLIC
    assert SECRET not in repr(settings)
    assert SECRET not in settings.model_dump_json()


def test_the_examples_of_the_manual_work(tmp_path: Path) -> None:
    manual = (DOCS / "deploy.md").read_text("utf-8")
    examples = "\n".join(re.findall(r"^```toml\n(.*?)^```", manual, re.DOTALL | re.MULTILINE))
    # what is set for the whole service stands before the tables, and may be shown more than once
    tables = examples.index("[[")
    whole = re.findall(r"^(?:public_url|local_accounts|trusted_proxies) = .*$", examples, re.MULTILINE)
    lines = [*dict.fromkeys(whole), *(line for line in examples[tables:].splitlines() if line not in whole)]
    file = tmp_path / "sleap-rtc-server.toml"
    file.write_text("\n".join(lines).replace("/etc/sleap-rtc", tmp_path.as_posix()))
    for name in ("github-secret", "uni-secret"):
        (tmp_path / name).write_text(SECRET)
    settings = load_settings({}, file)
    assert settings.local_accounts
    assert [each.kind for each in settings.providers] == ["github", "oidc"]
    for provider in settings.providers:
        assert f"`{settings.public_url}/login/{provider.id}/callback`" in manual


def test_providers_from_the_environment() -> None:
    environ = {
        "SLEAP_RTC_SERVER_PUBLIC_URL": PUBLIC,
        "SLEAP_RTC_SERVER_LOCAL_ACCOUNTS": "true",
        "SLEAP_RTC_SERVER_PROVIDERS": json.dumps([OIDC]),
    }
    settings = load_settings(environ)
    assert settings.local_accounts
    assert [each.id for each in settings.providers] == ["uni"]


UNSAFE: list[tuple[dict[str, Any], str]] = [
    (GITHUB | {"client_secret": "changeme-changeme-changeme"}, "take the one that the provider made"),
    (GITHUB | {"client_secret": "your-client-secret-here"}, "take the one"),
    (GITHUB | {"client_secret": "s3cr3t-but-short"[:15]}, "shorter than 16"),
    (GITHUB | {"client_secret": "a" * 40}, "take the one"),
    (GITHUB | {"client_secret": ""}, "is missing"),
    ({"kind": "github", "client_id": "x"}, "client_secret_file is missing"),
    (GITHUB | {"client_secret_file": "/run/secrets/github"}, "not both"),
    (
        {"kind": "github", "client_id": "x", "client_secret_file": "/nonexistent/secret"},
        "/nonexistent/secret cannot be",
    ),
    (GITHUB | {"client_id": ""}, "client_id"),
    (GITHUB | {"url": "http://github.lab.example"}, "must begin with https://"),
    (GITHUB | {"api_url": "ftp://github.lab.example"}, "an address such as"),
    (GITHUB | {"id": "Git Hub"}, "id"),
    (GITHUB | {"id": "local"}, "'local' is the name of a login of our own"),
    (GITHUB | {"id": "dev"}, "choose another id"),
    (GITHUB | {"label": "a\nb"}, "label"),
    (GITHUB | {"scope": "repo"}, "scope"),
    (OIDC | {"issuer": "http://login.uni.example"}, "must begin with https://"),
    (OIDC | {"issuer": "https://ada:pw@login.uni.example"}, "an address such as"),
    (OIDC | {"issuer": "https://login.uni.example/?x=1"}, "an address such as"),
    (OIDC | {"issuer": "login.uni.example"}, "an address such as"),
    (OIDC | {"scopes": "profile"}, "scope openid"),
    (OIDC | {"scopes": "openid\nprofile"}, "scopes"),
    ({"kind": "saml"}, "providers"),
    ({}, "providers"),
]


@pytest.mark.parametrize(("provider", "reason"), UNSAFE, ids=range(len(UNSAFE)))
def test_an_unsafe_provider_is_refused(provider: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        load(provider)
    assert "SLEAP_RTC_SERVER_PROVIDERS or" in caught.value.sentence
    assert str(provider.get("client_secret") or SECRET) not in caught.value.sentence


def test_two_providers_need_two_ids() -> None:
    with pytest.raises(ConfigError, match="two providers have the id 'github'"):
        load(GITHUB, OIDC, GITHUB)
    assert len(load(GITHUB, OIDC, GITHUB | {"id": "github-lab"}).providers) == 3


def test_a_provider_needs_a_fixed_address_to_send_back_to() -> None:
    with pytest.raises(ConfigError, match="public_url must be set"):
        load(GITHUB, public_url=None)
    with pytest.raises(ConfigError, match=r"'public_url' is refused.*https"):
        load(GITHUB, public_url="http://rtc.lab.example")
    assert load(GITHUB, public_url="http://127.0.0.1:8000").providers


def test_an_issuer_of_this_machine_may_speak_http() -> None:
    assert load(OIDC | {"issuer": "http://127.0.0.1:9400"}).providers
    assert load(OIDC | {"issuer": "http://localhost:9400"}).providers
