"""The real command line with short times, in a process that can be made to fail; see `faults`.

Run as ``python -m tests.roles.client_process ARGUMENT …``: what is typed after ``sleap-rtc``.
"""

import sys
from dataclasses import asdict
from functools import partial


def main(arguments: list[str]) -> int:
    """Run a command, and return its exit code."""
    from sleap_rtc.cli import submitting
    from sleap_rtc.cli.main import main as type_command
    from sleap_rtc.config.timeouts import Timeouts
    from tests.roles import faults
    from tests.roles.times import TIMEOUTS

    faults.install()
    short = {name: value for name, value in asdict(TIMEOUTS).items() if name != "give_up"}
    vars(submitting)["Timeouts"] = partial(Timeouts, **short)
    return type_command(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
