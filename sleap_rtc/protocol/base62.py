"""Base62 of fixed width, and the checksum at the end of what people copy."""

import zlib

CHECKSUM_LENGTH = 6
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def base62(number: int, length: int) -> str:
    """Write the lowest `length` digits of `number`, the highest digit first."""
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


def from_base62(text: str) -> int:
    """Read a number back.

    Raises:
        ValueError: if a character is no digit.
    """
    number = 0
    for digit in text:
        number = number * 62 + _ALPHABET.index(digit)
    return number


def checksum(body: str) -> str:
    """The CRC32 of `body`: it tells a typing error, and proves nothing about who wrote it."""
    return base62(zlib.crc32(body.encode()), CHECKSUM_LENGTH)
