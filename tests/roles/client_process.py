"""The real command line with short times, in a process that can be made to fail; see `faults`.

Run as ``python -m tests.roles.client_process ARGUMENT …``: what is typed after ``sleap-rtc``.
"""

import sys
from dataclasses import astuple, replace


def main(arguments: list[str]) -> int:
    """Run a command, and return its exit code."""
    from sleap_rtc.cli.main import main as type_command
    from sleap_rtc.config.timeouts import Timeouts
    from tests.roles import faults
    from tests.roles.times import TIMEOUTS

    faults.install()
    # wherever a part of the command makes its own
    vars(Timeouts)["__init__"].__defaults__ = astuple(replace(TIMEOUTS, give_up=Timeouts.give_up))
    return type_command(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
