import pytest

from sleap_rtc.errors import ProtocolError
from sleap_rtc.protocol.sdp import (
    MAX_CANDIDATES,
    MAX_NAMED,
    MAX_SDP,
    Candidate,
    CandidateFilter,
    candidates_in,
    check_candidate,
    check_description,
    fingerprint_of,
    own_description,
    with_one_fingerprint,
    without_named,
)

HONEST = ":".join(f"{n:02X}" for n in range(32))
LINE = f"a=fingerprint:sha-256 {HONEST}"
UUID = "0b5e0c5e-3a52-4f0c-9d2e-5a3f0d6f1c2b.local"


def sdp(*more: str, fingerprints: tuple[str, ...] = (LINE,), media: str = "m=application 9 UDP/DTLS/SCTP x") -> str:
    lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", media, "c=IN IP4 0.0.0.0", *fingerprints, *more]
    return "".join(f"{line}\r\n" for line in lines)


def host(address: str, port: int = 40000, more: str = "", transport: str = "udp") -> str:
    return f"candidate:1 1 {transport} 2122194687 {address} {port} typ host{more}"


def other(name: str, size: int) -> str:
    return f"a=fingerprint:{name} " + ":".join(["AB"] * size)


def test_reads_the_fingerprint() -> None:
    assert fingerprint_of(sdp()) == bytes(range(32))
    assert fingerprint_of(sdp().replace("\r\n", "\n").replace(HONEST, HONEST.lower())) == bytes(range(32))


@pytest.mark.parametrize(
    "lines",
    [
        (),
        (LINE, LINE),
        (LINE, other("sha-256", 32)),
        (other("sha-384", 48), LINE),
        (LINE, other("sha-384", 48)),
        (other("sha-512", 64), LINE),
        (LINE, other("sha-512", 64)),
        (other("sha-1", 20),),
        (other("sha-512", 64),),
        (other("sha-256", 31),),
        (other("sha-256", 33),),
        (LINE.replace("sha-256", "SHA-256"),),
        (LINE.replace(":", ": ", 1),),
        (LINE + " ",),
        (LINE + ":AB",),
        (LINE, "A=fingerprint:sha-512 AB"),
        (LINE, "a=Fingerprint:sha-512 AB"),
        (LINE, "a=x\x85a=fingerprint:sha-512 AB"),
        (LINE, "a=x\u2028a=fingerprint:sha-512 AB"),
        (LINE, "a=x\ra=fingerprint:sha-512 AB"),
        (LINE, "a=x\x0ba=fingerprint:sha-512 AB"),
        (LINE, "a=x\x00"),
        (LINE, ""),
        (LINE, " a=mid:0"),
    ],
)
def test_refuses_any_other_number_or_form_of_fingerprints(lines: tuple[str, ...]) -> None:
    for text in (sdp(fingerprints=lines), sdp(fingerprints=lines).replace("\r\n", "\n")):
        with pytest.raises(ProtocolError):
            fingerprint_of(text)
        with pytest.raises(ProtocolError):
            check_description(text)


def test_rewrites_ours_to_one_line() -> None:
    many = sdp(other("sha-512", 64), LINE, fingerprints=(other("sha-384", 48), LINE, LINE.lower()))
    assert with_one_fingerprint(many) == sdp()
    assert with_one_fingerprint(sdp()) == sdp()


@pytest.mark.parametrize("lines", [(), (other("sha-512", 64),), (LINE, other("sha-256", 32))])
def test_cannot_rewrite_what_has_no_one_sha256(lines: tuple[str, ...]) -> None:
    with pytest.raises(ProtocolError):
        with_one_fingerprint(sdp(fingerprints=lines))


@pytest.mark.parametrize(
    "text",
    [
        "",
        sdp("a=x:" + "y" * MAX_SDP),
        sdp("m=audio 9 UDP/TLS/RTP/SAVPF 0"),
        sdp("m=application 9 UDP/DTLS/SCTP x"),
        sdp(media="m=video 9 UDP/TLS/RTP/SAVPF 0"),
        sdp(media="a=none"),
        sdp(*["a=" + host("192.0.2.1", port) for port in range(2000, 3000)]),
        sdp(*["a=" + host("192.0.2.1")] * (MAX_CANDIDATES + 1)),
        sdp("a=candidate:nonsense"),
        sdp("a=setup:holdconn"),
        sdp("a=setup:"),
        sdp("a=setup"),
        sdp("a=Setup:active"),
        sdp("a=setup:active "),
        sdp("a=Candidate:1 1 udp 1 192.0.2.1 40000 typ host"),
        "ü" + sdp(),
        "\ud800" + sdp(),
    ],
)
def test_refuses_descriptions(text: str) -> None:
    with pytest.raises(ProtocolError) as refusal:
        check_description(text)
    assert refusal.value.sentence.endswith(".")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (host("192.0.2.1"), True),
        (host("10.0.0.1"), True),
        (host("fd00::2"), True),
        (host("2001:db8::1", more=" generation 0 ufrag P0/W network-id 1"), True),
        (host("203.0.113.5", more=" raddr 10.0.0.1 rport 4000").replace("host", "srflx"), True),
        (host("192.0.2.1", 9, " tcptype active generation 0", "tcp"), True),
        (host("192.0.2.1", 4000, " tcptype passive", "tcp"), True),
        (host("192.0.2.1", more=" network-cost 50 x generation"), True),
        (host("192.0.2.1", more=" raddr :: rport 0"), True),
        (host("192.0.2.1", more=" raddr x rport 1"), False),
        (host("192.0.2.1", more=" raddr fe80::1%lo rport 1"), False),
        (host("192.0.2.1", more=" raddr 10.0.0.1 rport 65536"), False),
        (host("192.0.2.1", more=" raddr 10.0.0.1 rport -5"), False),
        (host("192.0.2.1", more=" generation xyz"), False),
        (host("192.0.2.1", more=" generation 4294967296"), False),
        (host("192.0.2.1", more=" network-cost abc"), False),
        (host("192.0.2.1", more=" network-id 65536"), False),
        (host("192.0.2.1", more=" ufrag !"), False),
        (host("192.0.2.1", 4000, " tcptype wat", "tcp"), False),
        (host("192.0.2.1", 9, " tcptype active tcptype passive", "tcp"), False),
        (host("192.0.2.1", 9, " x tcptype active y", "tcp"), False),
        (host("192.0.2.1").replace("2122194687", "4294967296"), False),
        (host(UUID), True),
        (host("192.0.2.1", 1024), True),
        (host("192.0.2.1", 1023), False),
        (host("192.0.2.1", 22, " tcptype passive", "tcp"), False),
        (host("192.0.2.1", 25, " tcptype active", "tcp"), False),
        (host("192.0.2.1", 9), False),
        (host("192.0.2.1", 0), False),
        (host("192.0.2.1", 65536), False),
        (host("192.0.2.1", transport="ssltcp"), False),
        (host("192.0.2.1").replace("candidate:1 1", "candidate:1 2"), False),
        (host("169.254.169.254"), False),
        (host("::ffff:169.254.169.254"), False),
        (host("fe80::1"), False),
        (host("febf::1"), False),
        (host("224.0.0.251"), False),
        (host("ff02::fb"), False),
        (host("0.0.0.0"), False),
        (host("::"), False),
        (host("255.255.255.255"), False),
        (host("metadata.internal"), False),
        (host("localhost"), False),
        (host("x.local"), False),
        (host("0x7f000001"), False),
        (host("127.1"), False),
        ("", False),
    ],
)
def test_keeps_or_drops_candidates(text: str, kept: bool) -> None:
    candidate = Candidate(candidate=text, mid="0", mline=0)
    assert check_candidate(candidate) == (candidate if kept else None)
    if text:
        assert candidates_in(check_description(sdp("a=" + text))) == ([text] if kept else [])


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_loopback_is_a_choice(address: str) -> None:
    candidate = Candidate(candidate=host(address))
    assert check_candidate(candidate, allow_loopback=True) is candidate
    assert check_candidate(candidate, allow_loopback=False) is None
    line = "a=" + candidate.candidate
    assert check_description(sdp(line), allow_loopback=False) == sdp()
    assert own_description(sdp(line), allow_loopback=False) == sdp()
    assert own_description(sdp(line)) == sdp(line)


@pytest.mark.parametrize(
    "text",
    [
        *("candidate:", "nonsense", host("192.0.2.1") + "\r\na=x", "a=" + host("192.0.2.1"), host("192.0.2.1 x")),
        host("192.0.2.1").replace("40000", "\u0664" * 5),
    ],
)
def test_unreadable_candidates_are_refused(text: str) -> None:
    with pytest.raises(ProtocolError):
        check_candidate(Candidate(candidate=text))


def test_counts_over_the_life_of_a_peer() -> None:
    known = CandidateFilter()
    check_description(sdp("a=" + host(UUID), "a=" + host("192.0.2.1")), candidates=known)
    named = [check_candidate(Candidate(candidate=host(UUID)), known=known) for _ in range(MAX_NAMED)]
    assert [*map(bool, named)] == [True] * (MAX_NAMED - 1) + [False]
    plain = [check_candidate(Candidate(candidate=host("192.0.2.1")), known=known) for _ in range(MAX_CANDIDATES)]
    left = MAX_CANDIDATES - 2 - MAX_NAMED
    assert [*map(bool, plain)] == [True] * left + [False] * (MAX_CANDIDATES - left)


def test_a_machine_with_many_interfaces_sends_what_its_peer_takes() -> None:
    ours = own_description(sdp(*["a=" + host("192.0.2.1", 2000 + n) for n in range(100)]))
    assert len(candidates_in(ours)) == MAX_CANDIDATES
    assert check_description(ours) == ours


def test_a_candidate_of_ours_that_no_peer_could_read_is_not_sent() -> None:
    zone = host("fe80::1%eth0")
    assert own_description(sdp("a=" + host("192.0.2.1"), "a=" + zone)) == sdp("a=" + host("192.0.2.1"))
    assert not CandidateFilter().announces(zone)


def test_named_candidates_can_be_left_for_later() -> None:
    plain, named, end = "a=" + host("192.0.2.1"), "a=" + host(UUID), "a=end-of-candidates"
    assert without_named(sdp(plain, named, end)) == sdp(plain)
    assert without_named(sdp(plain, end)) == sdp(plain, end)
