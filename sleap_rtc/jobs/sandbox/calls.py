"""What programs in a sandbox may not ask the kernel for, whatever user they are: a filter of system calls (seccomp).

Namespaces do not part everything. A process inherits its session's keys, where Kerberos tickets may lie, and can read
them by their numbers. Others of these calls are large and young parts of the kernel that no training needs. They are
answered as by a kernel that does not have them, which programs are prepared for.
"""

import errno
import platform
import struct
import sys

_LOAD, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _ARCHITECTURE = 0, 4
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.ENOSYS
_X32 = 0x40000000

_IO_URING = (425, 426, 427)
# by machine: its mark (AUDIT_ARCH), add_key, request_key, keyctl, bpf, perf_event_open, userfaultfd, io_uring
_KNOWN = {
    "x86_64": (0xC000003E, (248, 249, 250, 321, 298, 323, *_IO_URING)),
    "aarch64": (0xC00000B7, (217, 218, 219, 280, 241, 282, *_IO_URING)),
}


def refused_calls() -> bytes | None:
    """The filter, as the kernel takes it (struct sock_filter); None for a machine whose calls are not known here."""
    known = _KNOWN.get(platform.machine()) if sys.maxsize > 2**32 else None
    if known is None:
        return None
    mark, numbers = known
    tests = [(_JUMP_GREATER_EQUAL, _X32), *((_JUMP_EQUAL, number) for number in numbers)]
    # a jump counts what is passed over: the last two are "allow" and "refuse"
    program = [(_LOAD, 0, 0, _ARCHITECTURE), (_JUMP_EQUAL, 0, len(tests) + 2, mark), (_LOAD, 0, 0, _NUMBER)]
    program += [(test, len(tests) - index, 0, value) for index, (test, value) in enumerate(tests)]
    program += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE)]
    return b"".join(struct.pack("=HBBI", *line) for line in program)
