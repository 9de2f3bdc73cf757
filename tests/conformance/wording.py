"""Between the suite and the gateway: messages of errors in versitygw's words, and accounts under its names.

The suite compares whole messages, and versitygw ends most of AWS's with a full stop; and an account's canonical user id
is an access key there. A case would break off at the first of these and test nothing more, so a relay rewords them on
their way. Codes, statuses and all else stay as they are. The length stays too, because the relay knows nothing of HTTP:
what a message grows by, the XML declaration makes room for, and blanks fill what is left.
"""

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from harness import KEY, free_port

_ERROR = re.compile(
    rb"(?P<declaration><\?xml [^>]*>\n)(?P<before><Error>.*?<Message>)(?P<message>[^<]*)(?P<after></Message>.*?</Error>)",
    re.DOTALL,
)
_STOPPED = {
    b"A header you provided implies functionality that is not implemented",
    b"AWS authentication requires a valid Date or x-amz-date header",
    b"Access Denied",
    b"Argument max-buckets must be an integer between 1 and 10000",
    b"At least one of the pre-conditions you specified did not hold",
    b"Object Lock configuration does not exist for this bucket",
    b"Part number must be an integer between 1 and 10000, inclusive",
    b"Request has expired",
    b"Specifying both Canned ACLs and Header Grants is not allowed",
    b"The TagSet does not exist",
    b"The XML you provided was not well-formed or did not validate against our published schema",
    b"The bucket ownership controls were not found",
    b"The bucket policy does not exist",
    b"The requested partnumber is not satisfiable",
    b"The specified bucket does not exist",
    b"The specified object does not have a ObjectLock configuration",
    b"This request does not support content",
    b"Your request was missing a required header",
    b"x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied",
}
"""AWS's messages that versitygw ends with a full stop."""
_WORDS = (
    (rb"The specified upload does not exist", b"The specified multipart upload does not exist"),
    (rb"The Content-MD5 you specified was invalid", b"The Content-Md5 you specified is not valid"),
    (
        rb"A combination of conflicting conditional headers that is not implemented",
        b"A header you provided implies functionality that is not implemented",
    ),
    (rb"the region '([\w-]+)' is wrong; expecting '([\w-]+)'", rb'the region "\1" is wrong; expecting "\2"'),
    (rb"(?<=specified by the Content-Length HTTP header)\.$", b""),
    (rb'\[(".*?"), (".*?"), (".*?")\]', rb"[\1,\2,\3]"),
)
"""AWS's words and versitygw's."""
_OWNER = re.compile(
    rb"(?<=<Owner>)<ID>(?P<id>[0-9a-f]{64})</ID>(?P<named><DisplayName>(?P<name>[\w-]+)</DisplayName>)"
)
"""Not those whom an ACL names: comparing lists of which one equals its own, the suite falls over the groups in them."""
_CHECKSUM_NAME = re.compile(rb"(?<=hecksum Type: )(?!null)\w+")


def reworded(data: bytes) -> bytes:
    """What a connection brought, with the messages of error documents in it reworded, and owners renamed."""
    return _OWNER.sub(_rename, _ERROR.sub(_reword, data))


def _rename(owner: re.Match[bytes]) -> bytes:
    name = KEY.encode() if owner["name"] == b"s3gw" else owner["name"]
    return (b"<ID>" + name + b"</ID>" + owner["named"]).ljust(len(owner[0]))


def _reword(error: re.Match[bytes]) -> bytes:
    message = error["message"]
    if message in _STOPPED:
        message += b"."
    for ours, theirs in _WORDS:
        message = re.sub(ours, theirs, message)
    message = _CHECKSUM_NAME.sub(lambda name: name[0].upper(), message)
    if message == error["message"]:
        return error[0]
    short = error["before"] + message + error["after"]
    assert len(short) <= len(error[0]), "the declaration makes too little room"
    return short.ljust(len(error[0]))


@contextmanager
def relay(port: int) -> Iterator[int]:
    """A port that leads to `port` of this machine, and back with other words."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    here = free_port()
    serving = asyncio.start_server(lambda *streams: _relay(port, *streams), "127.0.0.1", here)
    try:
        server = asyncio.run_coroutine_threadsafe(serving, loop).result()
        try:
            yield here
        finally:
            asyncio.run_coroutine_threadsafe(_close(server), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _relay(port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        back, forth = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        writer.close()
        return
    with suppress(asyncio.CancelledError):  # the relay ends; asyncio would log it
        await asyncio.gather(_pump(reader, forth), _pump(back, writer, reword=True))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, reword: bool = False) -> None:
    try:
        while data := await reader.read(1 << 18):
            writer.write(reworded(data) if reword else data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _close(server: asyncio.Server) -> None:
    server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
