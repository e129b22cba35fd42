"""``python -m sleap_rtc`` is ``sleap-rtc``."""

from sleap_rtc.cli.main import run

if __name__ == "__main__":
    run()
