"""The cipher of bodies: frames under AES-256-GCM, in the stored form of `backends.frames`. Pure, no I/O.

    key of a body   HKDF-SHA256(data key, salt: the body's own 16 random bytes, info: "s3gw body v1")
    nonce           the frame's number (11 bytes, big-endian), then 1 for the last frame and 0 for the others

A body has a key of its own, so its nonces never meet those of another, even if a part is uploaded twice. The number and
the mark of the end in the nonce make frames that are missing, moved or added fail (the STREAM construction of
https://eprint.iacr.org/2015/189).
"""

import secrets
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from backends.checksums import Buffer
from backends.frames import FRAME, SALT, TAG, Cover, stored_size

KEY = 32
"""Bytes of every key."""
_BODY = b"s3gw body v1"


class Damaged(Exception):
    """What is stored is not what was written: it was changed or cut short, or the key is another one."""


def derive(key: bytes, salt: bytes, purpose: bytes) -> bytes:
    """A key for one purpose out of another (RFC 5869)."""
    return HKDF(hashes.SHA256(), KEY, salt, purpose).derive(key)


class Sealer:
    """Encrypts one body, whatever the pieces in which it comes. An `Encryptor` of `gateway.body`."""

    __slots__ = ("_cipher", "_head", "_number", "_pending")

    def __init__(self, data_key: bytes) -> None:
        salt = secrets.token_bytes(SALT)
        self._cipher = AESGCM(derive(data_key, salt, _BODY))
        self._head = [salt]
        self._number = 0
        self._pending = b""

    def stored_size(self, size: int) -> int:
        """What `size` bytes take when they are encrypted."""
        return stored_size(size)

    def update(self, pieces: Sequence[Buffer]) -> list[bytes]:
        """The frames that are complete. One is held back, because it may be the last."""
        data = b"".join([self._pending, *pieces])
        view, ready = memoryview(data), max(0, len(data) - 1) // FRAME
        frames, self._head = self._head, []
        frames += [
            self._seal(view[start : start + FRAME], last=False) for start in range(0, ready * FRAME, FRAME)
        ]
        self._pending = data[ready * FRAME :]
        return frames

    def finish(self) -> list[bytes]:
        """What is left, with the last frame."""
        head, self._head = self._head, []
        return [*head, self._seal(self._pending, last=True)]

    def _seal(self, data: Buffer, *, last: bool) -> bytes:
        number, self._number = self._number, self._number + 1
        return self._cipher.encrypt(_nonce(number, last), data, None)


class Opener:
    """Decrypts the stored bytes that `backends.frames.cover` names for a span; gives out the span's bytes only."""

    __slots__ = ("_cipher", "_data_key", "_pending", "_step", "_steps")

    def __init__(self, data_key: bytes, covers: Sequence[Cover]) -> None:
        self._data_key = data_key
        self._cipher: AESGCM | None = None
        self._pending = b""
        self._steps = _steps(covers)
        self._step = next(self._steps, None)

    def feed(self, data: bytes) -> bytes:
        """The decrypted bytes of what is complete by now. Raises Damaged."""
        view, at = memoryview(self._pending + data if self._pending else data), 0
        opened = []
        while self._step is not None and len(view) - at >= self._step.size:
            opened.append(self._take(view[at : at + self._step.size], self._step))
            at += self._step.size
            self._step = next(self._steps, None)
        self._pending = bytes(view[at:])
        if self._step is None and self._pending:
            raise Damaged("there are more bytes than there should be")
        return opened[0] if len(opened) == 1 else b"".join(opened)

    def finish(self) -> None:
        """Raise Damaged unless everything came."""
        if self._step is not None:
            raise Damaged("the bytes end early")

    def _take(self, data: memoryview, step: "_Step") -> bytes:
        if step.number < 0:
            self._cipher = AESGCM(derive(self._data_key, bytes(data), _BODY))
            return b""
        assert self._cipher is not None
        try:
            plain = self._cipher.decrypt(_nonce(step.number, step.last), data, None)
        except InvalidTag:
            raise Damaged(f"frame {step.number} is damaged") from None
        return plain[step.start : step.stop]


class _Step(NamedTuple):
    """The next bytes that are needed together: a salt (number -1), or a frame, and which of its bytes are wanted."""

    size: int
    number: int = -1
    last: bool = False
    start: int = 0
    stop: int = 0


def _steps(covers: Sequence[Cover]) -> Iterator[_Step]:
    for cover in covers:
        yield _Step(SALT)
        number, left, start, stop = cover.first, cover.length, cover.skip, cover.skip + cover.take
        while left > 0:
            size = min(left, FRAME + TAG)
            left -= size
            yield _Step(size, number, cover.last and not left, max(start, 0), stop)
            number, start, stop = number + 1, start - FRAME, stop - FRAME


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11, "big") + (b"\1" if last else b"\0")
