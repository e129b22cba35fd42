"""What programs in a sandbox may not ask the kernel for, whatever user they are: a filter of system calls (seccomp).

Namespaces do not part everything. A process inherits its session's keys, where Kerberos tickets may lie, and can read
them by their numbers. Others of these calls are large and young parts of the kernel that no training needs. They are
answered as by a kernel that does not have them, which programs are prepared for.

Nor may a file be made that runs with its owner's rights (setuid): it would lie in a mount that can be written, and
whoever has an account on the machine could start it outside and be the worker's user. Nor may there be namespaces
inside, which bubblewrap keeps programs from since 0.8 alone.
"""

import errno
import platform
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass

_LOAD, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_ALLOW, _UNKNOWN, _FORBIDDEN = 0x7FFF0000, 0x00050000 | errno.ENOSYS, 0x00050000 | errno.EPERM
_ENDS = (_ALLOW, _UNKNOWN, _FORBIDDEN)
"""The last lines of a program, where its jumps lead."""
_X32 = 0x40000000
_SETUID = 0o6000
_NEW_USER = 0x10000000
_MAKES = 0o100 | 0o20000000
"""Flags of an `open` that may make a file: O_CREAT, O_TMPFILE. Without them it has no mode."""


@dataclass(frozen=True)
class _Machine:
    """The numbers of calls on one kind of machine.

    Attributes:
        mark: how the kernel calls it (AUDIT_ARCH).
        unknown: calls that do not exist inside.
        modes: calls that set a mode, and in which argument.
        opens: calls that may, with their flags one argument before.
        splits: calls that may make namespaces, and the argument that says which.
    """

    mark: int
    unknown: tuple[int, ...]
    modes: dict[int, int]
    opens: dict[int, int]
    splits: dict[int, int]


# unknown: add_key, request_key, keyctl, bpf, perf_event_open, userfaultfd; io_uring; openat2 and clone3, which say in
# memory what they do, where no filter can look. splits: clone, unshare
_KNOWN = {
    "x86_64": _Machine(
        0xC000003E,
        (248, 249, 250, 321, 298, 323, 425, 426, 427, 437, 435),
        # chmod, fchmod, creat, mknod, fchmodat, mknodat, fchmodat2
        {90: 1, 91: 1, 85: 1, 133: 1, 268: 2, 259: 2, 452: 2},
        {2: 2, 257: 3},
        {56: 0, 272: 0},
    ),
    "aarch64": _Machine(
        0xC00000B7,
        (217, 218, 219, 280, 241, 282, 425, 426, 427, 437, 435),
        {52: 1, 53: 2, 33: 2, 452: 2},
        {56: 3},
        {220: 0, 97: 0},
    ),
}


def refused_calls() -> bytes | None:
    """The filter, as the kernel takes it (struct sock_filter); None for a machine whose calls are not known here."""
    known = _KNOWN.get(platform.machine()) if sys.maxsize > 2**32 else None
    if known is None:
        return None
    program = list(_lines(known))
    # a jump counts what is passed over
    far = {end: len(program) + index for index, end in enumerate(_ENDS)}
    packed = [
        struct.pack("=HBBI", code, *(0 if way is None else far.get(way, at + 1 + way) - at - 1 for way in ways), value)
        for at, (code, ways, value) in enumerate(program)
    ]
    return b"".join([*packed, *(struct.pack("=HBBI", _RETURN, 0, 0, end) for end in _ENDS)])


_Line = tuple[int, tuple[int | None, int | None], int]
"""What to do, where to go on if it holds and if not (lines passed over, or one of `_ENDS`), and with what."""


def _lines(machine: _Machine) -> Iterator[_Line]:
    yield _LOAD, (None, None), _ARCHITECTURE
    yield _JUMP_EQUAL, (None, _UNKNOWN), machine.mark
    yield _LOAD, (None, None), _NUMBER
    yield _JUMP_GREATER_EQUAL, (_UNKNOWN, None), _X32
    for number in machine.unknown:
        yield _JUMP_EQUAL, (_UNKNOWN, None), number
    for number, place in machine.modes.items():
        yield _JUMP_EQUAL, (None, 2), number
        yield from _ends_by(place, _SETUID, _FORBIDDEN)
    for number, place in machine.splits.items():
        yield _JUMP_EQUAL, (None, 2), number
        yield from _ends_by(place, _NEW_USER, _FORBIDDEN)
    for number, place in machine.opens.items():
        yield _JUMP_EQUAL, (None, 4), number
        yield _LOAD, (None, None), _ARGUMENTS + 8 * (place - 1)
        yield _JUMP_ANY_BIT, (None, _ALLOW), _MAKES
        yield from _ends_by(place, _SETUID, _FORBIDDEN)
    yield _RETURN, (None, None), _ALLOW


def _ends_by(place: int, bits: int, end: int) -> Iterator[_Line]:
    yield _LOAD, (None, None), _ARGUMENTS + 8 * place
    yield _JUMP_ANY_BIT, (end, _ALLOW), bits
