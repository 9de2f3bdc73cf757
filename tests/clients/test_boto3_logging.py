"""Server access logging with boto3, from the request to the log object."""

import re
import urllib.error
import urllib.request

import pytest
from harness import eventually, refusal, running
from wire import send

FIELDS = re.compile(r'\[[^\]]*\]|"[^"]*"|\S+')


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """A gateway that writes logs often."""
    settings = {
        "logging": {"flush_seconds": 0.2},
        "auth": {"object_ownership": "ObjectWriter"},
        "website": {"domains": ["website.example"]},
    }
    with running(tmp_path_factory.mktemp("gateway"), settings=settings) as gateway:
        yield gateway


@pytest.fixture
def s3(logged):
    return logged.s3()


@pytest.fixture
def logs(s3, bucket):
    """The bucket into which `bucket` is logged."""
    name = f"{bucket}-logs"
    s3.create_bucket(Bucket=name)
    configure(s3, bucket)
    return name


def configure(s3, bucket, **more):
    settings = {"TargetBucket": f"{bucket}-logs", "TargetPrefix": "a/", **more}
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={"LoggingEnabled": settings})


def objects(s3, logs, prefix=""):
    return s3.list_objects_v2(Bucket=logs, Prefix=prefix).get("Contents", [])


def lines(s3, logs, prefix=""):
    text = ""
    for entry in objects(s3, logs, prefix):
        text += s3.get_object(Bucket=logs, Key=entry["Key"])["Body"].read().decode("ascii")
    assert text.endswith("\n") or not text
    found = [FIELDS.findall(line) for line in text.splitlines()]
    assert all(len(fields) == 26 for fields in found)
    return found


def wait_for(s3, logs, holds, prefix=""):
    """The fields of the first line for which `holds`."""
    return eventually(lambda: next(filter(holds, lines(s3, logs, prefix)), None), "the line is in the log")


def test_a_configuration_is_read_back(s3, bucket, logs):
    assert s3.get_bucket_logging(Bucket=logs).get("LoggingEnabled") is None
    found = s3.get_bucket_logging(Bucket=bucket)["LoggingEnabled"]
    assert found == {"TargetBucket": logs, "TargetPrefix": "a/"}
    uri = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
    grants = [{"Grantee": {"Type": "Group", "URI": uri}, "Permission": "READ"}]
    format_ = {"PartitionedPrefix": {"PartitionDateSource": "EventTime"}}
    configure(s3, bucket, TargetGrants=grants, TargetObjectKeyFormat=format_)
    found = s3.get_bucket_logging(Bucket=bucket)["LoggingEnabled"]
    assert (found["TargetGrants"], found["TargetObjectKeyFormat"]) == (grants, format_)
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={})
    assert s3.get_bucket_logging(Bucket=bucket).get("LoggingEnabled") is None


def test_requests_become_lines(s3, bucket, logs):
    put = s3.put_object(Bucket=bucket, Key="a b", Body=b"hello")
    fields = wait_for(s3, logs, lambda fields: fields[6] == "REST.PUT.OBJECT")
    assert (fields[1], fields[5]) == (bucket, put["ResponseMetadata"]["RequestId"])
    assert re.fullmatch(r"\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000\]", fields[2])
    assert fields[3] == "127.0.0.1"
    assert fields[7] == "a%20b"
    assert fields[8] == f'"PUT /{bucket}/a%20b HTTP/1.1"'
    assert (fields[9:13], fields[18]) == (["200", "-", "-", "5"], put["ResponseMetadata"]["HostId"])
    assert (fields[19], fields[21]) == ("SigV4", "AuthHeader")
    assert "Boto3" in fields[16]

    s3.get_object(Bucket=bucket, Key="a b", Range="bytes=1-2")["Body"].read()
    fields = wait_for(s3, logs, lambda fields: fields[6] == "REST.GET.OBJECT")
    assert fields[9:13] == ["206", "-", "2", "5"]

    assert refusal(s3.head_bucket, Bucket=bucket, ExpectedBucketOwner="111122223333")[0] == 403
    assert refusal(s3.get_object, Bucket=bucket, Key="none") == (404, "NoSuchKey")
    assert wait_for(s3, logs, lambda fields: fields[10] == "NoSuchKey")[9] == "404"
    assert wait_for(s3, logs, lambda fields: fields[6] == "REST.HEAD.BUCKET")[9:11] == ["403", "AccessDenied"]


def test_keys_of_log_objects(s3, bucket, logs):
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    wait_for(s3, logs, lambda fields: fields[6] == "REST.PUT.OBJECT")
    assert all(
        re.fullmatch(r"a/\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d-[0-9A-F]{16}", entry["Key"])
        for entry in objects(s3, logs)
    )
    for source, stamp in (("EventTime", "00-00-00"), ("DeliveryTime", r"\d\d-\d\d-\d\d")):
        format_ = {"PartitionedPrefix": {"PartitionDateSource": source}}
        configure(s3, bucket, TargetPrefix=source, TargetObjectKeyFormat=format_)
        s3.put_object(Bucket=bucket, Key="k", Body=b"")
        wait_for(s3, logs, lambda fields: fields[6] == "REST.PUT.OBJECT", source)
        pattern = (
            rf"{source}\d{{12}}/us-east-1/{bucket}/(\d{{4}})/(\d\d)/(\d\d)/\1-\2-\3-{stamp}-[0-9A-F]{{16}}"
        )
        assert all(re.fullmatch(pattern, entry["Key"]) for entry in objects(s3, logs, source))


def test_signatures_are_not_logged(s3, bucket, logs):
    s3.put_object(Bucket=bucket, Key="k", Body=b"hello")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    signature = re.search(r"[?&](?:X-Amz-)?Signature=([^&]+)", url)[1]
    request = urllib.request.Request(url, headers={"referer": url})
    with urllib.request.urlopen(request) as reply:
        assert reply.read() == b"hello"
    fields = wait_for(s3, logs, lambda fields: fields[21] == "QueryString")
    assert "Signature=REDACTED" in fields[8]
    assert "Signature=REDACTED" in fields[15]
    assert signature not in " ".join(fields)


def test_who_is_refused_is_logged(logged, s3, bucket, logs):
    s3.put_object(Bucket=bucket, Key="k", Body=b"hello")
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(f"{logged.url}/{bucket}/k")
    fields = wait_for(s3, logs, lambda fields: fields[4] == "-" and fields[9] == "403")
    assert (fields[6], fields[10], fields[19], fields[21]) == ("REST.GET.OBJECT", "AccessDenied", "-", "-")


def test_a_client_breaks_no_line(logged, s3, bucket, logs, signer):
    """CR, LF and quotes in keys and headers: one request is one line of 26 fields."""
    target = f'/{bucket}/a%0d%0ab%22c%20d?x-id="%0aE'
    agent = 'evil" 200 - "\x85\xff'
    answer = send(logged.port, "GET", target, signer=signer, extra={"user-agent": agent, "referer": '"'})
    assert answer.status in (403, 404)
    fields = wait_for(s3, logs, lambda fields: fields[7] == "a%0D%0Ab%22c%20d")
    assert fields[15:17] == ['"%22"', '"evil%22 200 - %22%85%FF"']


def test_a_log_does_not_log_itself(s3, bucket, logs):
    configure(s3, logs, TargetBucket=logs, TargetPrefix="own/")
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    wait_for(s3, logs, lambda fields: fields[6] == "REST.PUT.OBJECT" and fields[1] == bucket, "a/")
    s3.head_bucket(Bucket=logs)
    wait_for(s3, logs, lambda fields: fields[6] == "REST.HEAD.BUCKET", "own/")
    assert all(fields[6] != "REST.PUT.OBJECT" for fields in lines(s3, logs, "own/"))


def test_grants_are_those_of_log_objects(s3, bucket, logs):
    uri = "http://acs.amazonaws.com/groups/global/AllUsers"
    configure(s3, bucket, TargetGrants=[{"Grantee": {"Type": "Group", "URI": uri}, "Permission": "READ"}])
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    wait_for(s3, logs, lambda fields: fields[6] == "REST.PUT.OBJECT")
    grants = s3.get_object_acl(Bucket=logs, Key=objects(s3, logs)[-1]["Key"])["Grants"]
    assert [(grant["Grantee"].get("URI"), grant["Permission"]) for grant in grants] == [
        (None, "FULL_CONTROL"),
        (uri, "READ"),
    ]


def test_what_was_gathered_is_written_at_the_end(start):
    gateway = start(logging={"flush_seconds": 3600})
    s3, bucket, logs = gateway.s3(), "photos", "photos-logs"
    for name in (bucket, logs):
        s3.create_bucket(Bucket=name)
    configure(s3, bucket)
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    assert objects(s3, logs) == []
    gateway.stop()
    s3 = gateway.start().s3()
    assert any(fields[6] == "REST.PUT.OBJECT" for fields in lines(s3, logs))


def test_targets_that_cannot_be(s3, bucket, logs):

    def put(**settings):
        enabled = {"TargetBucket": logs, "TargetPrefix": "", **settings}
        return refusal(s3.put_bucket_logging, Bucket=bucket, BucketLoggingStatus={"LoggingEnabled": enabled})

    assert put(TargetBucket="missing") == (400, "InvalidTargetBucketForLogging")
    s3.put_bucket_request_payment(Bucket=logs, RequestPaymentConfiguration={"Payer": "Requester"})
    assert put() == (400, "InvalidTargetBucketForLogging")
    s3.put_bucket_request_payment(Bucket=logs, RequestPaymentConfiguration={"Payer": "BucketOwner"})
    controls = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    s3.put_bucket_ownership_controls(Bucket=logs, OwnershipControls=controls)
    uri = "http://acs.amazonaws.com/groups/s3/LogDelivery"
    grants = [{"Grantee": {"Type": "Group", "URI": uri}, "Permission": "READ"}]
    assert put(TargetGrants=grants) == (400, "AccessControlListNotSupported")
    assert s3.get_bucket_logging(Bucket=bucket)["LoggingEnabled"]["TargetPrefix"] == "a/"


def test_a_bad_signature_is_logged(logged, s3, bucket, logs):
    stranger = logged.s3("stranger", secret="not the secret that it should be")
    assert refusal(stranger.get_object, Bucket=bucket, Key="k") == (403, "SignatureDoesNotMatch")
    fields = wait_for(s3, logs, lambda fields: fields[10] == "SignatureDoesNotMatch")
    assert (fields[4], fields[6], fields[9]) == ("-", "REST.GET.OBJECT", "403")


def test_log_objects_are_encrypted_as_their_bucket_encrypts(s3, bucket, logs):
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    s3.put_bucket_encryption(Bucket=logs, ServerSideEncryptionConfiguration={"Rules": [rule]})
    configure(s3, bucket, TargetPrefix="secret/")
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    wait_for(s3, logs, lambda fields: fields[6] == "REST.PUT.OBJECT", "secret/")
    head = s3.head_object(Bucket=logs, Key=objects(s3, logs, "secret/")[-1]["Key"])
    assert (head["ServerSideEncryption"], head["ContentType"]) == ("AES256", "text/plain")


def test_a_form_is_logged_with_its_caller_and_key(s3, bucket, logs):
    form = s3.generate_presigned_post(bucket, "posted")
    lines_ = "".join(
        f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in form["fields"].items()
    )
    body = f'{lines_}--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nhello\r\n--x--\r\n'.encode()
    headers = {"content-type": "multipart/form-data; boundary=x"}
    urllib.request.urlopen(urllib.request.Request(form["url"], body, headers, method="POST")).close()
    fields = wait_for(s3, logs, lambda fields: fields[6] == "REST.POST.OBJECT")
    assert fields[7] == "posted"
    assert fields[4] != "-"


def test_whether_an_acl_was_required(logged, s3, bucket, logs):
    s3.put_object(Bucket=bucket, Key="open", Body=b"x", ACL="public-read")
    urllib.request.urlopen(f"{logged.url}/{bucket}/open").close()
    fields = wait_for(s3, logs, lambda fields: fields[4] == "-" and fields[9] == "200")
    assert (fields[6], fields[25]) == ("REST.GET.OBJECT", "Yes")
    assert wait_for(s3, logs, lambda fields: fields[6] == "REST.PUT.OBJECT")[25] == "-"


def test_preflights_and_pages_of_websites(logged, s3, bucket, logs):
    answer = send(logged.port, "OPTIONS", f"/{bucket}/k", extra={"origin": "http://a.example"})
    assert answer.status == 403
    fields = wait_for(s3, logs, lambda fields: fields[6] == "REST.OPTIONS.PREFLIGHT")
    assert fields[9:11] == ["403", "AccessForbidden"]
    s3.put_bucket_website(Bucket=bucket, WebsiteConfiguration={"IndexDocument": {"Suffix": "index.html"}})
    s3.put_object(Bucket=bucket, Key="index.html", Body=b"hello", ACL="public-read")
    for target, told in (("/", ["200", "-", "5", "5"]), ("/none", ["403", "AccessDenied"])):
        host = {"host": f"{bucket}.website.example"}
        send(logged.port, "GET", target, extra=host)
        fields = wait_for(
            s3, logs, lambda fields, told=told: fields[6] == "WEBSITE.GET.OBJECT" and fields[9] == told[0]
        )
        assert fields[9 : 9 + len(told)] == told
