"""The real command line with short times, in a process that can be made to fail; see `faults`.

Run as ``python -m tests.roles.client_process ARGUMENT …``: what is typed after ``sleap-rtc``. Where the environment
names a proxy's control address, all connections run through it.
"""

import os
import sys
from dataclasses import asdict
from functools import partial

PROXY = "SLEAP_RTC_TEST_PROXY"

if __name__ == "__main__":
    if address := os.environ.get(PROXY):
        # before anything above the transport is imported
        from tests.bench.client_process import use_proxy

        use_proxy(address)
    from sleap_rtc.cli import training
    from sleap_rtc.cli.main import main
    from sleap_rtc.config.timeouts import Timeouts
    from tests.roles import faults
    from tests.roles.times import TIMEOUTS

    faults.install()
    short = {name: value for name, value in asdict(TIMEOUTS).items() if name != "give_up"}
    vars(training)["Timeouts"] = partial(Timeouts, **short)
    sys.exit(main(sys.argv[1:]))
