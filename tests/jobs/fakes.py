"""The trainer that only pretends and the short times around it, without pytest: for processes that tests start."""

from pathlib import Path

from sleap_rtc.jobs.settings import SupervisorSettings

FAKE = Path(__file__).with_name("fake_sleap_nn.py")
QUICK = SupervisorSettings(tick=0.02, heartbeat=0.1, stop_grace=0.5, terminate_grace=0.3, step_interval=0.05)
