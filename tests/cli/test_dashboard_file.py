"""The dashboard's ``sleap-rtc.toml``, with real ids, on the side that trains."""

from pathlib import Path

from sleap_rtc.protocol.room_secrets import RoomSecret
from tests.cli.room_lab import room_lab

SECRET = RoomSecret.make(bytes(range(32)), 1_800_000_000)


async def test_the_dashboards_file_trains_without_an_option(tmp_path: Path) -> None:
    async with room_lab(tmp_path) as lab:
        lab.package("training.zip")
        (tmp_path / "sleap-rtc.toml").write_text(
            f"""# Default room for commands
default_room = "{lab.room.room_id}"
# Worker configuration
[worker]
api_key = "{lab.token}"
name = "lab-gpu-1"
# Room secrets (optional)
[secrets]
"{lab.room.room_id}" = "{SECRET.text}"
"room-id-2" = "secret-for-room-2"
# Client configuration
[client]
auto_select = true
"""
        )

        def secrets() -> tuple[RoomSecret, ...]:
            return (SECRET,)

        async with lab.worker("small", 8, secrets=secrets), lab.worker("large", 24, secrets=secrets):
            result = await lab.run("train", "--pkg-path", "training.zip")
        assert result.code == 0, result.err
        assert (lab.starts("small"), lab.starts("large")) == (0, 1)
        assert list((tmp_path / "models").iterdir())
