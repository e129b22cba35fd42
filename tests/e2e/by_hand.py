"""What somebody at the GPU would type: sleap-nn's own command, one form after another in one process.

Started as ``python -m tests.e2e.by_hand``. On standard input: a line of JSON for each training, either
``{"argv": [...]}`` for ``sleap-nn`` or ``{"train": {...}}`` for `sleap_nn.train.train`. A line ``done`` answers each.
"""

import json
import sys


def main() -> None:
    """Train what is asked for, line by line."""
    from sleap_nn.cli import cli
    from sleap_nn.train import train

    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        asked = json.loads(line)
        if "argv" in asked:
            cli.main(args=asked["argv"], standalone_mode=False)
        else:
            train(**asked["train"])
        answers.write("done\n")
        answers.flush()


if __name__ == "__main__":
    main()
