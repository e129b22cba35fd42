"""Modules of the page that need no page, run by node."""

import json
import shutil
import subprocess
from importlib.resources import files
from typing import Any

import pytest


def run(module: str, body: str, *arguments: Any) -> Any:
    """Run the body of an async function beside what a module of the dashboard exports.

    Args:
        module: its file below ``static/``; the body finds its exports under `page`.
        body: what it returns is the result, as JSON.
        arguments: `args` in the body.
    """
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node to run the module with")
    where = files("signaling_server.dashboard") / "static" / module
    script = f"""
        import * as page from {json.dumps(f"file://{where}")};
        const args = JSON.parse(await new Response(process.stdin).text());
        console.log(JSON.stringify(await (async () => {{ {body} }})()));
    """
    command = [node, "--input-type=module", "--eval", script]
    done = subprocess.run(command, input=json.dumps(arguments), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
