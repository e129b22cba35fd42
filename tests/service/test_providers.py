"""Logging in with a provider, from a browser that really goes there and comes back."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
from fastapi.responses import JSONResponse, PlainTextResponse
from joserfc.jwk import RSAKey
from sqlalchemy import func, select

from signaling_server.housekeeping import clean_up
from signaling_server.models import ProviderVisit, User
from tests.service import oauth
from tests.service.browsers import Browser, other_site, query_of, said
from tests.service.fake_github import FakeGitHub, fake_github
from tests.service.people import Clock
from tests.service.providers import (
    LyingProvider,
    free_port,
    github_settings,
    lying_provider,
    oidc_provider,
    oidc_settings,
    service_with,
)  # fmt: skip
from tests.service.running import RunningService

DEVICE = "/device"


async def users(service: RunningService) -> list[User]:
    async with service.service.database.transaction() as session:
        return list(await session.scalars(select(User).order_by(User.created_at)))


async def through_github(browser: Browser, github: FakeGitHub, **params: str) -> httpx2.Response:
    """Go to GitHub, be sent back, and follow."""
    github.redirect_uri = f"{browser.origin}/login/github/callback"
    there = await browser.open("/login/github", **params)
    assert there.status_code == 303, said(there)
    async with other_site() as site:
        back = await site.get(there.headers["location"])
    assert back.headers["location"].startswith(github.redirect_uri)
    return await browser.open(back.headers["location"])


async def through_oidc(browser: Browser, subject: str, *, action: str = "authorize") -> httpx2.Response:
    there = await browser.open("/login/uni", return_to=DEVICE)
    assert there.status_code == 303, said(there)
    async with other_site() as site:
        back = await site.post(there.headers["location"], data={"sub": subject, "action": action})
    assert back.status_code == 302, back.text
    return await browser.open(back.headers["location"])


async def through_liar(browser: Browser, liar: LyingProvider, **params: str) -> httpx2.Response:
    there = await browser.open("/login/uni")
    asked = query_of(there.headers["location"])
    liar.nonce = asked["nonce"]
    return await browser.open("/login/uni/callback", code="any", state=asked["state"], **params)


async def who(browser: Browser) -> str:
    return said(await browser.open("/login"))


async def test_github_says_who_somebody_is(tmp_path: Path) -> None:
    async with (
        fake_github() as github,
        service_with(tmp_path, github_settings(github)) as service,
        Browser(service) as browser,
    ):
        assert "Continue with GitHub" in said(await browser.open("/login"))
        back = await through_github(browser, github, return_to=DEVICE)
        assert (back.status_code, back.headers["location"]) == (303, DEVICE)
        assert "You are logged in as octocat" in await who(browser)
        begun = await oauth.begin(service)
        await browser.send(f"{DEVICE}/decision", code=begun["user_code"], decision="approve")
        assert (await oauth.poll(service, begun["device_code"])).body["name"] == "octocat"
        (asked,) = github.asked
        assert "scope" not in asked
        assert asked["code_challenge_method"] == "S256"
        # the same person under another name there is the same user, by the name of today
        github.user |= {"login": "octocat-2"}
        async with Browser(service) as elsewhere:
            await through_github(elsewhere, github)
            assert "as octocat-2" in await who(elsewhere)
        (user,) = await users(service)
        assert (user.subject, user.name) == ("583231", "octocat-2")
        kept = await asyncio.to_thread(lambda: b"".join(file.read_bytes() for file in tmp_path.iterdir()))
        assert not any(token.encode() in kept for token in github.tokens)


async def test_a_real_provider_of_openid_connect(tmp_path: Path) -> None:
    ada = {"sub": "ada-1", "name": "Ada Lovelace", "email": "ada@uni.example"}
    async with (
        oidc_provider(ada) as issuer,
        service_with(tmp_path, oidc_settings(issuer)) as service,
        Browser(service) as browser,
    ):
        begun = await oauth.begin(service, "gpu-box")
        back = await through_oidc(browser, "ada-1")
        assert (back.status_code, back.headers["location"]) == (303, DEVICE)
        assert "as Ada Lovelace" in await who(browser)
        assert "gpu-box" in said(await browser.send(DEVICE, code=begun["user_code"]))
        await browser.send(f"{DEVICE}/decision", code=begun["user_code"], decision="approve")
        assert (await oauth.poll(service, begun["device_code"])).body["name"] == "Ada Lovelace"
        async with Browser(service) as other:
            refused = await through_oidc(other, "ada-1", action="deny")
            assert refused.status_code == 401
            assert "The University did not log you in" in said(refused)
        assert [user.subject for user in await users(service)] == ["ada-1"]


async def test_an_address_is_nobody(tmp_path: Path) -> None:
    """Two providers that give one e-mail address vouch for two people."""
    async with (
        fake_github() as github,
        lying_provider() as liar,
        service_with(tmp_path, github_settings(github), oidc_settings(liar.url)) as service,
        Browser(service) as browser,
    ):
        github.user |= {"email": "ada@lab.example"}
        liar.claims |= {"sub": "583231", "email": "ada@lab.example", "email_verified": True}
        await through_github(browser, github)
        await through_liar(browser, liar)
        assert len({user.id for user in await users(service)}) == 2


async def test_a_state_is_good_once_in_its_own_browser(tmp_path: Path) -> None:
    async with (
        fake_github() as github,
        service_with(tmp_path, github_settings(github), oidc_settings(github.url)) as service,
        Browser(service) as browser,
        Browser(service) as thief,
    ):
        github.redirect_uri = f"{service.url}/login/github/callback"
        clock = Clock(service)

        async def begun(by: Browser) -> dict[str, str]:
            there = await by.open("/login/github")
            async with other_site() as site:
                return query_of((await site.get(there.headers["location"])).headers["location"])

        async def refused(by: Browser, path: str = "/login/github/callback", **params: str) -> None:
            answer = await by.open(path, **params)
            assert answer.status_code == 401
            assert "did not begin in this browser" in said(answer)
            assert service.service.settings.public_url is not None
            assert not any("visit" not in name for name in by.cookies)

        back = await begun(browser)
        await refused(browser, code=back["code"])
        await refused(browser, code=back["code"], state="x" * 43)
        await refused(browser, code=back["code"], state="é\x00" * 999)
        # of another browser, with and without a visit of its own; asking uses it up
        await refused(thief, **back)
        await begun(thief)
        await refused(thief, **back)
        await refused(browser, **back)
        # of another provider
        await refused(browser, "/login/uni/callback", **await begun(browser))
        # too late
        back = await begun(browser)
        clock.now += 600_000
        await refused(browser, **back)
        # reused
        back = await begun(browser)
        assert (await browser.open("/login/github/callback", **back)).status_code == 303
        browser.client.cookies.delete(next(name for name in browser.cookies if "visit" not in name))
        await refused(browser, **back)
        async with service.service.database.transaction() as session:
            assert await session.scalar(select(func.count()).select_from(ProviderVisit)) == 1
        clock.now += 600_000
        await clean_up(service.service)
        async with service.service.database.transaction() as session:
            assert await session.scalar(select(func.count()).select_from(ProviderVisit)) == 0


async def test_a_code_is_good_once_and_for_who_asked(tmp_path: Path) -> None:
    async with (
        fake_github() as github,
        service_with(tmp_path, github_settings(github)) as service,
        Browser(service) as browser,
        Browser(service) as thief,
    ):
        await through_github(browser, github)
        (used,) = github.asked
        state = query_of((await thief.open("/login/github")).headers["location"])["state"]
        answer = await thief.open("/login/github/callback", code="0" * 20, state=state)
        assert answer.status_code == 401
        # somebody else's fresh code proves nothing without the verifier it was asked for with
        github.codes["stolen"] = used
        state = query_of((await thief.open("/login/github")).headers["location"])["state"]
        answer = await thief.open("/login/github/callback", code="stolen", state=state)
        assert answer.status_code == 401
        assert "GitHub did not confirm this login" in said(answer)
        assert len(await users(service)) == 1


async def test_nothing_in_a_request_changes_where_a_provider_sends_back(tmp_path: Path) -> None:
    async with (
        fake_github() as github,
        service_with(tmp_path, github_settings(github)) as service,
        Browser(service) as browser,
    ):
        headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}
        answer = await browser.client.get("/login/github?redirect_uri=https://evil.example", headers=headers)
        asked = query_of(answer.headers["location"])
        assert asked["redirect_uri"] == f"{service.url}/login/github/callback"
        # and a provider that has another one registered sends its refusal, not a code
        github.redirect_uri = f"{service.url}/login/github/callback?other"
        async with other_site() as site:
            back = await site.get(answer.headers["location"])
        assert query_of(back.headers["location"].replace("?other?", "?"))["error"] == "redirect_uri_mismatch"


async def test_another_sites_link_begins_no_login(tmp_path: Path) -> None:
    async with (
        fake_github() as github,
        service_with(tmp_path, github_settings(github)) as service,
        Browser(service) as browser,
    ):
        for site in ("cross-site", "same-site"):
            answer = await browser.client.get("/login/github", headers={"Sec-Fetch-Site": site})
            assert (answer.status_code, answer.headers["location"]) == (303, "/login")
        assert browser.cookies == {}


ELSEWHERE = [
    "https://evil.example", "//evil.example", "/\\evil.example", "/%2f/evil.example", "\t//evil.example", "/a//b",
    "javascript:alert(1)", "/device#x", "/" + "a" * 600, "", "device", "/login?x=//evil.example", "/.\n/evil",
]  # fmt: skip


async def test_a_login_leads_to_pages_of_ours_alone(tmp_path: Path) -> None:
    async with (
        fake_github() as github,
        service_with(tmp_path, github_settings(github)) as service,
        Browser(service) as browser,
    ):
        for elsewhere in ELSEWHERE:
            back = await through_github(browser, github, return_to=elsewhere)
            assert (back.status_code, back.headers["location"]) == (303, "/dashboard/"), elsewhere
        for ours in ("/device", "/login?return_to=x", "/"):
            assert (await through_github(browser, github, return_to=ours)).headers["location"] == ours


LIES: list[tuple[str, Callable[[LyingProvider], object], int]] = [
    ("nonce of another login", lambda liar: liar.claims.update(nonce="other"), 401),
    ("no nonce", lambda liar: liar.claims.update(nonce=None), 401),
    ("another audience", lambda liar: liar.claims.update(aud="somebody-else"), 401),
    ("audiences without us", lambda liar: liar.claims.update(aud=["a", "b"], azp="a"), 401),
    ("for us by way of another", lambda liar: liar.claims.update(azp="somebody-else"), 401),
    ("another issuer", lambda liar: liar.claims.update(iss="https://evil.example"), 401),
    ("expired", lambda liar: liar.claims.update(exp=1), 401),
    ("no end", lambda liar: liar.claims.update(exp=None), 401),
    ("nobody", lambda liar: liar.claims.update(sub=None), 401),
    ("an empty somebody", lambda liar: liar.claims.update(sub=""), 401),
    ("a number", lambda liar: liar.claims.update(sub=7), 401),
    ("a long somebody", lambda liar: liar.claims.update(sub="s" * 256), 503),
    ("another key", lambda liar: setattr(liar, "key", RSAKey.generate_key(2048)), 401),
    ("no id token", lambda liar: setattr(liar, "token", lambda: JSONResponse({"access_token": "x"})), 503),
    ("a broken token", lambda liar: setattr(liar, "token", lambda: JSONResponse({"id_token": "x.y.z"})), 401),
    ("an error", lambda liar: setattr(liar, "token", lambda: JSONResponse({"error": "invalid_grant"}, 400)), 401),
    ("a crash", lambda liar: setattr(liar, "token", lambda: PlainTextResponse("<b>down</b>", 500)), 503),
    ("no JSON", lambda liar: setattr(liar, "token", lambda: PlainTextResponse("hello")), 503),
    ("a list", lambda liar: setattr(liar, "token", lambda: JSONResponse([1])), 503),
    ("user info of somebody else", lambda liar: (liar.claims.update(name=None), liar.userinfo.update(sub="x")), 503),
]  # fmt: skip


async def test_what_does_not_hold_logs_nobody_in(tmp_path: Path) -> None:
    async with (
        lying_provider() as liar,
        service_with(tmp_path, oidc_settings(liar.url)) as service,
        Browser(service) as browser,
    ):
        for what, lie, status in LIES:
            liar.honest()
            lie(liar)
            answer = await through_liar(browser, liar)
            assert answer.status_code == status, what
            assert "The University" in said(answer), what
            assert await users(service) == [], what
            assert "Log in" in await who(browser), what
        liar.honest()
        assert (await through_liar(browser, liar)).status_code == 303


async def test_an_unsigned_id_token_logs_nobody_in(tmp_path: Path) -> None:
    async with (
        lying_provider() as liar,
        service_with(tmp_path, oidc_settings(liar.url)) as service,
        Browser(service) as browser,
    ):
        liar.discovery |= {"id_token_signing_alg_values_supported": ["none", "HS256", "RS256"]}
        head, body, _ = liar.id_token().split(".")
        unsigned = "eyJhbGciOiJub25lIn0"
        for token in (f"{unsigned}.{body}.", f"{head}.{body}."):
            liar.token = lambda token=token: JSONResponse({"id_token": token})
            assert (await through_liar(browser, liar)).status_code == 401
        liar.discovery |= {"id_token_signing_alg_values_supported": ["none", "HS256"]}
        assert (await browser.open("/login/uni")).status_code == 503


async def test_who_answers_in_anothers_name_is_not_believed(tmp_path: Path) -> None:
    async with (
        lying_provider() as liar,
        service_with(tmp_path, oidc_settings(liar.url)) as service,
        Browser(service) as browser,
    ):
        assert (await through_liar(browser, liar, iss="https://evil.example")).status_code == 401
        assert (await through_liar(browser, liar, iss=liar.url)).status_code == 303


NONSENSE: list[dict[str, object]] = [
    {"issuer": "https://evil.example"},
    {"token_endpoint": "http://evil.example/token"},
    {"jwks_uri": "file:///etc/passwd"},
    {"authorization_endpoint": "javascript:alert(1)"},
    {"authorization_endpoint": None},
    {"jwks_uri": 7},
]


async def test_nonsense_about_itself_is_a_sentence(tmp_path: Path) -> None:
    async with (
        lying_provider() as liar,
        service_with(tmp_path, oidc_settings(liar.url)) as service,
        Browser(service) as browser,
    ):
        for nonsense in NONSENSE:
            liar.discovery = nonsense
            answer = await browser.open("/login/uni")
            assert answer.status_code == 503, nonsense
            assert "answered something that is no login" in said(answer), nonsense


async def test_a_provider_that_is_down_is_a_sentence(tmp_path: Path) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    async with (
        fake_github() as github,
        service_with(tmp_path, github_settings(github, url=away, api_url=away), oidc_settings(away)) as service,
        Browser(service) as browser,
    ):
        answer = await browser.open("/login/uni")
        assert (answer.status_code, "cannot be reached" in said(answer)) == (503, True)
        there = await browser.open("/login/github")
        state = query_of(there.headers["location"])["state"]
        answer = await browser.open("/login/github/callback", code="x", state=state)
        assert (answer.status_code, "GitHub cannot be reached" in said(answer)) == (503, True)


async def test_nonsense_from_github_is_a_sentence(tmp_path: Path) -> None:
    async with (
        fake_github() as github,
        service_with(tmp_path, github_settings(github)) as service,
        Browser(service) as browser,
    ):
        nonsense: list[Any] = [{"id": "7", "login": "a"}, {"id": 0, "login": "a"}, {"login": "a"}, [], {"id": 7}]
        for user in nonsense:
            github.user = user
            answer = await through_github(browser, github)
            assert (answer.status_code, await users(service)) == (503, []), user


NAMES = [
    ("<script>alert(1)</script>", "<script>alert(1)</script>"),
    ("\u202egnp.exe\u202c", "gnp.exe"),
    ("\x1b[31mred\x1b]52;c;AAAA\x07", "red"),
    ("a\n\tb\x00", "a b"),
    ("n" * 60_000, "n" * 127 + "…"),
    ("\u200f \n", "u-1"),
    (["a"], "u-1"),
]


async def test_a_name_is_text(tmp_path: Path) -> None:
    async with (
        lying_provider() as liar,
        service_with(tmp_path, oidc_settings(liar.url)) as service,
        Browser(service) as browser,
    ):
        for name, shown in NAMES:
            liar.claims |= {"name": name}
            await through_liar(browser, liar)
            page = await browser.open("/login")
            assert f"as {shown}" in said(page).replace(" , in this", ", in this")
            assert "<script>alert" not in page.text
            assert [user.name for user in await users(service)] == [shown]
        # a token of a megabyte is not even taken apart
        liar.claims |= {"name": "n" * 1_000_000}
        assert (await through_liar(browser, liar)).status_code == 401


async def test_a_provider_that_says_little_is_asked_for_a_name(tmp_path: Path) -> None:
    async with (
        lying_provider() as liar,
        service_with(tmp_path, oidc_settings(liar.url)) as service,
        Browser(service) as browser,
    ):
        liar.claims |= {"name": None}
        liar.userinfo |= {"sub": "u-1", "preferred_username": "ada"}
        await through_liar(browser, liar)
        assert [user.name for user in await users(service)] == ["ada"]


async def test_another_provider_under_the_same_id_has_other_users(tmp_path: Path) -> None:
    for _ in range(2):
        async with (
            lying_provider() as liar,
            service_with(tmp_path, oidc_settings(liar.url)) as service,
            Browser(service) as browser,
        ):
            await through_liar(browser, liar)
            found = await users(service)
    assert [user.subject for user in found] == ["u-1", "u-1"]
    assert len({user.provider for user in found}) == 2


async def test_logins_begun_have_a_bound(tmp_path: Path) -> None:
    async with (
        fake_github() as github,
        service_with(tmp_path, github_settings(github), limits={"provider_visits_per_address": 2}) as service,
        Browser(service) as browser,
    ):
        clock = Clock(service)
        assert [(await browser.open("/login/github")).status_code for _ in range(3)] == [303, 303, 429]
        clock.now += 3_600_000
        assert (await browser.open("/login/github")).status_code == 303


async def test_an_unknown_provider_is_a_page(tmp_path: Path) -> None:
    async with service_with(tmp_path) as service, Browser(service) as browser:
        for path in ("/login/nobody", "/login/nobody/callback", "/login/%2e%2e", "/login/local"):
            answer = await browser.open(path)
            assert answer.status_code == 404
