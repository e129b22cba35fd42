"""A preflight helper that goes wrong in one way, and is otherwise content with every job.

Run as ``python fake_preflight.py BEHAVIOUR LEDGER``; each start leaves a line in the ledger. It converts an old config
to what the config says under "becomes". Imports nothing of ours.
"""

import json
import sys
import time
from pathlib import Path


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(behaviour: str, ledger: Path) -> None:
    with ledger.open("a") as file:
        file.write("start\n")
    first = len(ledger.read_text().splitlines()) == 1
    if behaviour == "broken":
        sys.exit(1)
    if behaviour == "slow":
        time.sleep(3600)
    say('{"ready": true}')
    for line in sys.stdin:
        request = json.loads(line)
        if behaviour == "dies once" and first:
            sys.exit(1)
        if behaviour == "hangs":
            time.sleep(3600)
        elif behaviour == "babbles":
            say("no JSON")
        elif behaviour == "floods":
            say("x" * 3_000_000)
        elif behaviour == "lies":
            say('{"problems": ["' + "x" * 10_000 + '"]}')
        elif request["kind"] == "convert":
            say(json.dumps(json.loads(Path(request["path"]).read_text())["becomes"]))
        else:
            say('{"problems": [], "notices": ["looked at"]}')


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
