"""What no log, journal or listing may hold."""

import re

SECRET = re.compile(r"sl(?:p[a-z]?|r[is])_[0-9A-Za-z]{6,}|sleap-session:[0-9A-Za-z+/=_-]{8,}|[Bb]earer\s+\S{8,}")
"""Every credential of ours by its form: tokens, room secrets, session strings, headers."""
