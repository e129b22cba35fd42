import subprocess
import sys

import pytest

from sleap_rtc.errors import DependencyError
from sleap_rtc.transport import available_engines, engines, new_peer


@pytest.fixture
def no_libwebrtc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "sleap_rtc.transport.libwebrtc_peer", raising=False)
    monkeypatch.setitem(sys.modules, "webrtc", None)


async def test_auto_takes_libwebrtc_first() -> None:
    async with new_peer() as peer:
        assert peer.engine == "libwebrtc"


@pytest.mark.usefixtures("no_libwebrtc")
async def test_auto_falls_back() -> None:
    assert available_engines() == ["aiortc"]
    async with new_peer("auto") as peer:
        assert peer.engine == "aiortc"


@pytest.mark.usefixtures("no_libwebrtc")
async def test_a_named_engine_that_is_missing_is_a_sentence() -> None:
    with pytest.raises(DependencyError, match="'libwebrtc' does not run here"):
        new_peer("libwebrtc")


async def test_no_engine_at_all_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "ENGINES", {"libwebrtc": ("no.such.module", "Peer")})
    with pytest.raises(DependencyError, match="No WebRTC engine"):
        new_peer()


def test_importing_the_transport_imports_no_engine() -> None:
    check = "import sys, sleap_rtc.transport; sys.exit(bool({'aiortc', 'webrtc', 'wrtc', 'av'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
