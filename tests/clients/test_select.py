"""SelectObjectContent through boto3: what an expression chooses, in every format, and what is refused."""

import bz2
import gzip
import json

import pytest
from botocore.exceptions import ClientError, EventStreamError
from harness import MIB

pytest.importorskip("duckdb")

PEOPLE = b'name,age,city\nAda,36,London\nGrace,85,"New York"\nAlan,41,\n"O""Neil",7,a b\n'
LINES = b'{"n":1,"who":{"name":"Ada"},"tags":["a","b"]}\n{"n":20,"who":{"name":"Bob"},"x":null}\n{"n":3.5}\n'


def run(s3, bucket, expression, source, output=None, key="k", **options):
    """All that comes of a query, and its statistics."""
    reply = s3.select_object_content(
        Bucket=bucket,
        Key=key,
        Expression=expression,
        ExpressionType="SQL",
        InputSerialization=source,
        OutputSerialization=output or {"CSV": {}},
        **options,
    )
    data, stats, ended = b"", None, False
    for event in reply["Payload"]:
        data += event.get("Records", {}).get("Payload", b"")
        stats = event.get("Stats", {}).get("Details", stats)
        ended = ended or "End" in event
    assert ended
    assert stats["BytesReturned"] == len(data)
    return data.decode()


def csv(**options):
    return {"CSV": {"FileHeaderInfo": "USE", **options}}


@pytest.fixture
def people(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=PEOPLE)
    return bucket


@pytest.fixture
def lines(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=LINES)
    return bucket


@pytest.mark.parametrize(
    ("expression", "outcome"),
    [
        ("SELECT * FROM S3Object LIMIT 2", 'Ada,36,London\nGrace,85,New York\n'),
        ("select name from s3object s where s.city = 'London'", "Ada\n"),
        ('SELECT s."name", s._2 FROM S3Object s WHERE CAST(s.age AS INT) > 40', "Grace,85\nAlan,41\n"),
        ("SELECT NAME FROM S3Object[*] AS p WHERE p.age < 36.5", 'Ada\n"O""Neil"\n'),
        ("SELECT COUNT(*), SUM(CAST(age AS INT)), MIN(age), MAX(s.age), AVG(age) FROM S3Object s", "4,169,7,85,42.25\n"),
        ("SELECT upper(name) || '!' FROM S3Object s WHERE name LIKE 'A%' AND NOT name = 'Ada'", "ALAN!\n"),
        ("SELECT name FROM S3Object WHERE city IN ('London', 'Paris') OR age BETWEEN 5 AND 8", 'Ada\n"O""Neil"\n'),
        ("SELECT name FROM S3Object WHERE city = ''", "Alan\n"),
        ("SELECT age * 2 + 1, -age, age % 10 FROM S3Object LIMIT 1", "73,-36,6\n"),
        ("SELECT SUBSTRING(name, 2), SUBSTRING(name FROM 1 FOR 1), CHAR_LENGTH(name) FROM S3Object LIMIT 1", "da,A,3\n"),
        ("SELECT CASE WHEN age > 50 THEN 'old' ELSE 'young' END FROM S3Object LIMIT 2", "young\nold\n"),
        ("SELECT COALESCE(NULLIF(city, ''), 'nowhere') FROM S3Object WHERE name = 'Alan'", "nowhere\n"),
        ("SELECT TRIM(LEADING 'A' FROM name) FROM S3Object LIMIT 1", "da\n"),
        ("SELECT EXTRACT(YEAR FROM TO_TIMESTAMP('2020-05-06T07:08:09Z')) FROM S3Object LIMIT 1", "2020\n"),
        ("SELECT DATE_ADD(day, 1, CAST('2020-02-28T00:00:00Z' AS TIMESTAMP)) FROM S3Object LIMIT 1", "2020-02-29T00:00:00Z\n"),
        ("SELECT name FROM S3Object WHERE name LIKE 'O''%'", ""),
        ("SELECT name FROM S3Object LIMIT 0", ""),
    ],
)  # fmt: skip
def test_expressions(s3, people, expression, outcome):
    assert run(s3, people, expression, csv()) == outcome


@pytest.mark.parametrize(("header", "outcome"), [("USE", "Ada\n"), ("IGNORE", "Ada\n"), ("NONE", "name\n")])
def test_header_lines(s3, people, header, outcome):
    assert run(s3, people, "SELECT _1 FROM S3Object LIMIT 1", csv(FileHeaderInfo=header)) == outcome


def test_dialects(s3, bucket):
    body = b"# a remark\r\n1;'x;y\r\nz';3\r\n'it\\'s';;'\xc3\xa4'\r\n"
    s3.put_object(Bucket=bucket, Key="k", Body=body)
    source = csv(
        FileHeaderInfo="NONE",
        FieldDelimiter=";",
        QuoteCharacter="'",
        QuoteEscapeCharacter="\\",
        RecordDelimiter="\r\n",
        AllowQuotedRecordDelimiter=True,
    )
    output = {"CSV": {"QuoteFields": "ALWAYS", "FieldDelimiter": "|", "RecordDelimiter": "~"}}
    assert run(s3, bucket, "SELECT * FROM S3Object", source, output) == ('"1"|"x;y\r\nz"|"3"~"it\'s"|""|"ä"~')


@pytest.mark.parametrize(("kind", "pack"), [("GZIP", gzip.compress), ("BZIP2", bz2.compress)])
def test_compressed(s3, bucket, kind, pack):
    s3.put_object(Bucket=bucket, Key="k", Body=pack(PEOPLE))
    source = csv() | {"CompressionType": kind}
    assert run(s3, bucket, "SELECT COUNT(*) FROM S3Object", source) == "4\n"
    s3.put_object(Bucket=bucket, Key="k", Body=pack(LINES))
    assert (
        run(s3, bucket, "SELECT s.n FROM S3Object s", {"JSON": {"Type": "LINES"}, "CompressionType": kind})
        == "1\n20\n3.5\n"
    )


@pytest.mark.parametrize(
    ("expression", "outcome"),
    [
        ("SELECT * FROM S3Object s LIMIT 1", '{"n":1,"who":{"name":"Ada"},"tags":["a","b"]}\n'),
        ("SELECT s.n, s.who.name FROM S3Object s WHERE s.n > 2", '{"n":20,"name":"Bob"}\n{"n":3.5}\n'),
        ("SELECT s.tags[1] AS tag FROM S3Object[*] s WHERE s.tags IS NOT MISSING", '{"tag":"b"}\n'),
        ("SELECT s.n FROM S3Object s WHERE s.x IS NULL AND s.x IS NOT MISSING", '{"n":20}\n'),
        ("SELECT SUM(s.n) FROM S3Object s", '{"_1":24.5}\n'),
        ("SELECT t FROM S3Object[*].tags[*] t", '{"_1":"a"}\n{"_1":"b"}\n'),
        ("SELECT w.name FROM S3Object[*].who w", '{"name":"Ada"}\n{"name":"Bob"}\n'),
    ],
)
def test_json(s3, lines, expression, outcome):
    for kind in ("LINES", "DOCUMENT"):
        assert run(s3, lines, expression, {"JSON": {"Type": kind}}, {"JSON": {}}) == outcome


def test_a_json_document_with_a_list(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b'[\n {"a": 1,\n  "b": "x"},\n {"a": 2}\n]\n')
    source = {"JSON": {"Type": "DOCUMENT"}}
    assert run(s3, bucket, "SELECT s.a, s.b FROM S3Object[*][*] s", source) == "1,x\n2,\n"
    assert (
        run(s3, bucket, "SELECT * FROM S3Object[*][*] s", source, {"JSON": {"RecordDelimiter": ";"}}).count(
            ";"
        )
        == 2
    )


def test_csv_as_json(s3, people):
    output = {"JSON": {"RecordDelimiter": ","}}
    assert run(s3, people, "SELECT name, age AS years FROM S3Object LIMIT 1", csv(), output) == (
        '{"name":"Ada","years":"36"},'
    )
    assert json.loads(
        run(s3, people, "SELECT * FROM S3Object LIMIT 1", csv(FileHeaderInfo="NONE"), {"JSON": {}})
    ) == {
        "_1": "name",
        "_2": "age",
        "_3": "city",
    }


def test_parquet(s3, bucket, tmp_path):
    import duckdb

    path = tmp_path / "a.parquet"
    duckdb.sql(f"COPY (SELECT i AS id, 'n' || i AS name FROM range(5) t(i)) TO '{path}' (FORMAT parquet)")
    s3.put_object(Bucket=bucket, Key="k", Body=path.read_bytes())
    assert run(s3, bucket, "SELECT s.name FROM S3Object s WHERE s.id >= 3", {"Parquet": {}}) == "n3\nn4\n"
    assert (
        run(s3, bucket, "SELECT * FROM S3Object LIMIT 1", {"Parquet": {}}, {"JSON": {}})
        == '{"id":0,"name":"n0"}\n'
    )


def test_a_large_outcome_comes_in_messages(s3, bucket):
    body = b"".join(b"%d,%s\n" % (number, b"x" * 80) for number in range(60_000))
    s3.put_object(Bucket=bucket, Key="k", Body=body)
    reply = s3.select_object_content(
        Bucket=bucket,
        Key="k",
        Expression="SELECT * FROM S3Object",
        ExpressionType="SQL",
        InputSerialization={"CSV": {}},
        OutputSerialization={"CSV": {}},
        RequestProgress={"Enabled": True},
    )
    events = list(reply["Payload"])
    assert b"".join(event["Records"]["Payload"] for event in events if "Records" in event) == body
    assert any("Progress" in event for event in events)
    assert [next(iter(event)) for event in events[-2:]] == ["Stats", "End"]
    assert events[-2]["Stats"]["Details"] == dict.fromkeys(
        ("BytesScanned", "BytesProcessed", "BytesReturned"), len(body)
    )


@pytest.mark.parametrize(
    ("expression", "source", "code"),
    [
        ("", csv(), "MissingRequiredParameter"),
        ("SELECT", csv(), "ParseUnexpectedToken"),
        ("DROP TABLE S3Object", csv(), "ParseUnexpectedToken"),
        ("SELECT * FROM other", csv(), "InvalidDataSource"),
        ("SELECT * FROM S3Object; SELECT 1", csv(), "LexerInvalidChar"),
        ("SELECT * FROM S3Object GROUP BY name", csv(), "ParseUnsupportedSyntax"),
        ("SELECT foo(name) FROM S3Object", csv(), "UnsupportedFunction"),
        ("SELECT nothing FROM S3Object", csv(), "MissingHeaders"),
        ("SELECT _9 FROM S3Object", csv(), "InvalidColumnIndex"),
        ("SELECT CAST(name AS INT) FROM S3Object", csv(), "CastFailed"),
        ("SELECT name, COUNT(*) FROM S3Object", csv(), "InvalidDataType"),
        ("SELECT * FROM S3Object", csv(FileHeaderInfo="MAYBE"), "InvalidFileHeaderInfo"),
        ("SELECT * FROM S3Object", csv() | {"CompressionType": "ZIP"}, "InvalidCompressionFormat"),
        ("SELECT * FROM S3Object", csv() | {"CompressionType": "GZIP"}, "CSVParsingError"),
        ("SELECT * FROM S3Object", csv() | {"JSON": {"Type": "LINES"}}, "ObjectSerializationConflict"),
        ("SELECT * FROM S3Object", {"JSON": {"Type": "TREE"}}, "InvalidJsonType"),
        ("SELECT * FROM S3Object", {"JSON": {"Type": "LINES"}}, "JSONParsingError"),
        ("SELECT * FROM S3Object", {"Parquet": {}}, "ParquetParsingError"),
        ("SELECT * FROM S3Object", {}, "MissingRequiredParameter"),
    ],
)
def test_refusals(s3, people, expression, source, code):
    with pytest.raises((ClientError, EventStreamError)) as caught:
        run(s3, people, expression, source)
    assert caught.value.response["Error"]["Code"] == code


def test_scan_ranges_are_not_implemented(s3, people):
    with pytest.raises(ClientError) as caught:
        run(s3, people, "SELECT * FROM S3Object", csv(), ScanRange={"Start": 0, "End": 10})
    assert caught.value.response["Error"]["Code"] == "NotImplemented"


def test_missing_objects_and_strangers(s3, people, gateway):
    with pytest.raises(ClientError) as caught:
        run(s3, people, "SELECT * FROM S3Object", csv(), key="missing")
    assert caught.value.response["Error"]["Code"] == "NoSuchKey"


def test_encrypted_objects(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=PEOPLE * 5000, ServerSideEncryption="AES256")
    assert run(s3, bucket, "SELECT COUNT(*) FROM S3Object WHERE city = 'London'", csv()) == "5000\n"


def test_a_version(s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=bucket, Key="k", Body=PEOPLE)
    s3.put_object(Bucket=bucket, Key="k", Body=b"name\nnew\n")
    assert run(s3, bucket, "SELECT name FROM S3Object", csv()) == "new\n"


def test_parts_and_empty_objects(s3, bucket):
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    parts = []
    for number, body in ((1, b"1,a\n" * (5 * MIB // 4 + 1)), (2, b"2,b\n")):
        etag = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=number, Body=body)["ETag"]
        parts.append({"PartNumber": number, "ETag": etag})
    s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload, MultipartUpload={"Parts": parts})
    assert run(s3, bucket, "SELECT COUNT(*), MAX(_1) FROM S3Object", {"CSV": {}}) == f"{5 * MIB // 4 + 2},2\n"
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    assert run(s3, bucket, "SELECT * FROM S3Object", {"CSV": {}}) == ""
    assert run(s3, bucket, "SELECT COUNT(*) FROM S3Object", {"JSON": {"Type": "LINES"}}) == "0\n"


def test_parquet_times(s3, bucket, tmp_path):
    import duckdb

    path = tmp_path / "a.parquet"
    moment = "TIMESTAMPTZ '2020-05-06 07:08:09+00' AS t, DATE '2020-01-02' AS d, 1.50::DECIMAL(9,2) AS n"
    duckdb.sql(f"COPY (SELECT {moment}) TO '{path}' (FORMAT parquet)")
    s3.put_object(Bucket=bucket, Key="k", Body=path.read_bytes())
    outcome = run(s3, bucket, "SELECT * FROM S3Object", {"Parquet": {}}, {"JSON": {}})
    assert json.loads(outcome) == {"t": "2020-05-06T07:08:09Z", "d": "2020-01-02", "n": 1.5}
