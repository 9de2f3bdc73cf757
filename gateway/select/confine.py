"""What the process of a query gives up before it reads the object: all files but that and Python's libraries, and TCP.

Parquet and CSV are taken apart by native code. Should an object ever take that over, it is alone: it cannot read the
credentials or the keys, write a file, run a program, or speak to another machine over TCP. By Landlock, which Linux has
since 5.13 and which needs no rights; where a kernel lacks it, the other limits of the process stay.

Source: https://docs.kernel.org/userspace-api/landlock.html
"""

import ctypes
import os
import sysconfig
from collections.abc import Iterable
from functools import cache

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
"""The numbers of the system calls, on every architecture."""
_VERSION = 1
_PATH_BENEATH = 1
_NO_NEW_PRIVILEGES = 38
_READ_FILE, _READ_DIRECTORY = 1 << 2, 1 << 3
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
"""By version of Landlock: how many rights to files it knows; 16 since version 5."""
_MOST_FILE_RIGHTS = 16
_TCP = 0b11
_SCOPES = 0b11
"""Abstract sockets and signals of others."""
_LIBRARIES = ("stdlib", "platstdlib", "purelib", "platlib")


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("rights", ctypes.c_uint64), ("descriptor", ctypes.c_int32))


@cache
def _c() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def version() -> int:
    """The version of the kernel's Landlock; less than 1: it has none."""
    return int(_c().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION)))


def confine(descriptors: Iterable[int]) -> bool:
    """Give up everything but reading these files and Python's libraries, for good; whether the kernel could. Raises OSError."""
    found = version()
    if found < 1:
        return False
    handled = (1 << _FILE_RIGHTS.get(found, _MOST_FILE_RIGHTS)) - 1
    ruleset = _Ruleset(handled, _TCP if found >= 4 else 0, _SCOPES if found >= 6 else 0)
    rules = _checked(
        _c().syscall(
            _CREATE_RULESET, ctypes.byref(ruleset), ctypes.c_size_t(_size(found)), ctypes.c_uint32(0)
        )
    )
    for descriptor in descriptors:
        _allow(rules, descriptor, _READ_FILE)
    for path in {sysconfig.get_path(name) for name in _LIBRARIES}:
        if os.path.isdir(path):
            directory = os.open(path, os.O_PATH | os.O_CLOEXEC)
            _allow(rules, directory, _READ_FILE | _READ_DIRECTORY)
            os.close(directory)
    _checked(_c().prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    _checked(_c().syscall(_RESTRICT_SELF, rules, ctypes.c_uint32(0)))
    os.close(rules)
    return True


def _size(found: int) -> int:
    """The bytes of a ruleset as this version knows it."""
    return 24 if found >= 6 else 16 if found >= 4 else 8


def _allow(rules: int, descriptor: int, rights: int) -> None:
    """A file that only memory holds needs no rule, and cannot have one (EBADFD)."""
    beneath = _Beneath(rights, descriptor)
    _c().syscall(_ADD_RULE, rules, _PATH_BENEATH, ctypes.byref(beneath), ctypes.c_uint32(0))


def _checked(outcome: int) -> int:
    if outcome < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return outcome
