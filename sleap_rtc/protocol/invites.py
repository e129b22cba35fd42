"""The codes of invites: 50 random bits in Crockford's base 32, which survives being read aloud and typed by hand."""

import re

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
CODE_LENGTH = 10
RANDOM_BYTES = 7
"""Random bytes `make_code` wants."""
MAX_USES = 100
"""How many people one invite can be for."""
MAX_HOURS = 30 * 24
"""How long an invite can be good."""

_BITS = 5
_HALF = CODE_LENGTH // 2
_CODE = re.compile(rf"[{ALPHABET}]{{{CODE_LENGTH}}}")
# what Crockford's decoding takes for a digit, and what only parts a code for the eye
_READING = str.maketrans({"I": "1", "L": "1", "O": "0", "-": None, " ": None})


def make_code(randomness: bytes) -> str:
    """Make a code from at least `RANDOM_BYTES` random bytes, as it is stored: ten characters and no dash."""
    if len(randomness) < RANDOM_BYTES:
        raise ValueError(f"a code needs {RANDOM_BYTES} random bytes")
    number = int.from_bytes(randomness, "big")
    return "".join(ALPHABET[number >> _BITS * place & 31] for place in range(CODE_LENGTH))


def format_code(code: str) -> str:
    """Return a code as people see it: ``XXXXX-XXXXX``."""
    return f"{code[:_HALF]}-{code[_HALF:]}"


def read_code(text: str) -> str | None:
    """Return the code that somebody typed, as it is stored; None if it can be none.

    Upper and lower case, dashes and spaces make no difference, I and L are read as 1 and O as 0.
    """
    code = text.upper().translate(_READING) if text.isascii() else ""
    return code if _CODE.fullmatch(code) else None
