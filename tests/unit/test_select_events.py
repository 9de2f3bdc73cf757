"""The event stream, read by botocore's own reader."""

import pytest
from botocore.eventstream import EventStreamBuffer

from gateway.errors import OverMaxRecordSize
from gateway.select import events


def read(data):
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    return [(message.headers, message.payload) for message in buffer]


@pytest.mark.parametrize("payload", [b"", b"a,b\n", bytes(events.MAX_RECORDS_BYTES)])
def test_records(payload):
    ((headers, found),) = read(events.records(payload))
    assert found == payload
    assert headers == {
        ":message-type": "event",
        ":event-type": "Records",
        ":content-type": "application/octet-stream",
    }


def test_stats_and_the_end():
    stats, end = read(events.counts("Stats", scanned=3, processed=2, returned=1) + events.end())
    assert stats[0][":event-type"] == "Stats"
    assert stats[1] == (
        b"<Stats><BytesScanned>3</BytesScanned><BytesProcessed>2</BytesProcessed>"
        b"<BytesReturned>1</BytesReturned></Stats>"
    )
    assert end == ({":message-type": "event", ":event-type": "End"}, b"")


def test_an_error():
    ((headers, payload),) = read(events.error(OverMaxRecordSize("längst")))
    assert headers == {
        ":message-type": "error",
        ":error-code": "OverMaxRecordSize",
        ":error-message": "längst",
    }
    assert payload == b""
