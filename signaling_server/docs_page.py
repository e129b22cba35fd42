"""The page of all requests, made from the schema: plain HTML, because a closed lab has no CDN."""

from html import escape
from typing import Any

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>
<body><h1>{title}</h1>
<p>The same as JSON: <a href="{json_url}">{json_url}</a>. Peers talk over the WebSocket at /api/v1/ws.</p>
<dl>
{rows}
</dl></body></html>
"""
_ROW = "<dt><code>{method} {path}</code></dt><dd>{summary}<br>Answers: {answers}</dd>"
_METHODS = ("get", "post", "put", "patch", "delete")


def render(schema: dict[str, Any], json_url: str) -> str:
    """The schema as a page."""
    rows = [
        _ROW.format(
            method=method.upper(),
            path=escape(path),
            summary=escape(operation.get("description") or operation.get("summary", "")),
            answers=escape(", ".join(operation.get("responses", {}))),
        )
        for path, operations in schema["paths"].items()
        for method, operation in operations.items()
        if method in _METHODS
    ]
    return _PAGE.format(title=escape(schema["info"]["title"]), json_url=escape(json_url), rows="\n".join(rows))
