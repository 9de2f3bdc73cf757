"""The configuration: precedence, what is refused and how it is said, and that file and documents name every key."""

import os
import pickle
import re
import tomllib
from pathlib import Path

import pytest
from harness import ROOT

from gateway import config_sources
from gateway.config import (
    SECTIONS,
    AuthSettings,
    BackendSettings,
    ConfigError,
    S3GatewaySettings,
    load,
    load_with_origins,
    split_address,
)

SHIPPED = ROOT / "conf" / "gateway.toml"
DOCUMENT = ROOT / "docs" / "configuration.md"
KEYS = [(section, key) for section, model in SECTIONS.items() for key in model.model_fields]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home of its own, and nothing of this process's configuration."""
    for name in list(os.environ):
        if name.startswith("S3GW_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "gateway.toml"
        path.write_text(text)
        return path

    return write


def problems(path=None, **overrides):
    """The messages of a configuration that cannot be used."""
    with pytest.raises(ConfigError) as caught:
        load(path, {f"s3_gateway.{key}": value for key, value in overrides.items()})
    return caught.value.messages


def test_the_defaults_are_those_of_the_requirements(home):
    settings = load()
    gateway = settings.s3_gateway
    assert (gateway.listen, gateway.region) == ("0.0.0.0:9900", "us-east-1")
    assert (gateway.put_memory_buffer_threshold, gateway.put_max_memory_buffer) == (1048576, 16777216)
    assert (gateway.get_chunk_size_mb, gateway.get_chunk_bytes) == (1.0, 1048576)
    assert gateway.enable_distributed_auth is False
    assert gateway.credentials_path == home / ".s3gw" / "credentials.jsonl"
    assert gateway.cache_refresh_interval_secs == 30
    assert settings.auth == AuthSettings(anonymous="public-read", clock_skew_seconds=900)
    assert settings.backends == (BackendSettings(),)
    assert settings.backend.path == home / ".s3gw" / "data"
    assert settings.backend.durability == "full"


def test_the_shipped_file_changes_nothing():
    assert load(SHIPPED) == load()


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_the_shipped_file_names_every_key_and_says_why(section, key):
    content = tomllib.loads(SHIPPED.read_text())[section]
    assert key in (content[0] if isinstance(content, list) else content)
    lines = SHIPPED.read_text().splitlines()
    line = next(number for number, line in enumerate(lines) if line.startswith(f"{key} = "))
    assert lines[line - 1].startswith(("#", "tls_certificate")), f"{key} has no comment above it"


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_the_document_names_every_key_with_its_default(section, key):
    heading = f"## `[[{section}]]`" if section == "backends" else f"## `[{section}]`"
    part = DOCUMENT.read_text().split(heading)[1].split("\n## ")[0]
    row = re.search(rf"^\| `{key}` \| `(.*?)` \| .{{10,}} \|$", part, re.MULTILINE)
    assert row, f"{key} is not documented"
    shipped = tomllib.loads(SHIPPED.read_text())[section]
    default = (shipped[0] if isinstance(shipped, list) else shipped)[key]
    assert tomllib.loads(f"x = {row[1]}")["x"] == default


def test_an_option_beats_the_environment_beats_the_file_beats_the_default(write, monkeypatch):
    path = write('[s3_gateway]\nlisten = "1.1.1.1:1"\nregion = "file"\nworkers = 3\n')
    monkeypatch.setenv("S3GW_S3_GATEWAY__LISTEN", "2.2.2.2:2")
    monkeypatch.setenv("S3GW_S3_GATEWAY__REGION", "environment")
    loaded = load_with_origins(path, {"s3_gateway.listen": "3.3.3.3:3"})
    gateway = loaded.settings.s3_gateway
    assert (gateway.listen, gateway.region, gateway.workers) == ("3.3.3.3:3", "environment", 3)
    assert loaded.origins == {
        "s3_gateway.listen": "option",
        "s3_gateway.region": "environment",
        "s3_gateway.workers": "file",
    }


@pytest.mark.parametrize("domain", ["s3.example", "web.s3.example", "example"])
def test_a_website_is_never_s3_too(write, domain):
    found = problems(write(f'[s3_gateway]\ndomains = ["s3.example"]\n[website]\ndomains = ["{domain}"]\n'))
    assert found == [
        f'website.domains: "{domain}" and "s3.example" of s3_gateway.domains must not lie within each other: '
        "a request would be for both"
    ]


def test_websites_beside_s3(write):
    path = write(
        '[s3_gateway]\ndomains = ["s3.example"]\n[website]\ndomains = ["webs3.example", "web.example"]\n'
    )
    assert load(path).website.domains == ("webs3.example", "web.example")


def test_a_given_option_counts_even_when_it_equals_the_default(write):
    path = write('[s3_gateway]\nlisten = "127.0.0.1:1"\n')
    assert load(path, {"s3_gateway.listen": "0.0.0.0:9900"}).s3_gateway.listen == "0.0.0.0:9900"


@pytest.mark.parametrize(
    ("variable", "value", "key", "expected"),
    [
        ("S3GW_S3_GATEWAY__WORKERS", "2", "workers", 2),
        ("S3GW_S3_GATEWAY__GET_CHUNK_SIZE_MB", "0.5", "get_chunk_size_mb", 0.5),
        ("S3GW_S3_GATEWAY__DOMAINS", "a.example, b.example", "domains", ("a.example", "b.example")),
        ("S3GW_S3_GATEWAY__DOMAINS", "", "domains", ()),
        ("S3GW_S3_GATEWAY__ENABLE_DISTRIBUTED_AUTH", "false", "enable_distributed_auth", False),
        ("S3GW_S3_GATEWAY__PUT_TEMP_DIR", "/var/tmp/x", "put_temp_dir", "/var/tmp/x"),
    ],
)
def test_the_environment_spells_all_types(monkeypatch, variable, value, key, expected):
    monkeypatch.setenv(variable, value)
    assert getattr(load().s3_gateway, key) == expected


def test_the_environment_sets_backends_as_json(write, monkeypatch):
    path = write('[[backends]]\nname = "from-file"\n')
    monkeypatch.setenv("S3GW_BACKENDS", '[{"name": "fast", "durability": "relaxed"}]')
    loaded = load_with_origins(path)
    assert loaded.settings.backends == (BackendSettings(name="fast", durability="relaxed"),)
    assert loaded.origins == {
        "backends[0].name": "environment",
        "backends[0].durability": "environment",
    }


def test_broken_json_in_the_environment_is_said(monkeypatch):
    monkeypatch.setenv("S3GW_BACKENDS", "[{")
    (message,) = problems()
    assert "backends" in message
    assert "JSON" in message


def test_unknown_variables_with_a_section_are_refused_and_others_are_not_ours(monkeypatch):
    monkeypatch.setenv("S3GW_LOG", "debug")
    monkeypatch.setenv("S3GW_HOME", "/nowhere")
    monkeypatch.setenv("S3GW_AUHT__ANONYMOUS", "none")
    monkeypatch.setenv("S3GW_S3_GATEWAY__REGON", "x")
    assert problems() == [
        'environment variable S3GW_AUHT__ANONYMOUS: unknown section; did you mean "auth"?',
        's3_gateway.regon (S3GW_S3_GATEWAY__REGON): unknown key; did you mean "region"?',
    ]


def test_variables_in_strings_are_replaced(write, monkeypatch):
    monkeypatch.setenv("WHERE", "/srv")
    monkeypatch.setenv("COUNT", "5")
    path = write(
        '[s3_gateway]\nworkers = "${COUNT}"\ndomains = ["${COUNT}.example"]\n'
        '[[backends]]\npath = "${WHERE}/$${x}/$y"\n'
    )
    settings = load(path)
    assert settings.s3_gateway.workers == 5
    assert settings.s3_gateway.domains == ("5.example",)
    assert settings.backend.path == Path("/srv/${x}/$y")


def test_an_unset_variable_names_key_and_variable(write):
    path = write('[[backends]]\nname = "a"\npath = "${S3GW_TEST_NOWHERE}/data"\n')
    assert problems(path) == [
        f"backends[0].path ({path}, line 3): the environment variable S3GW_TEST_NOWHERE is not set"
    ]


def test_the_home_directory_is_expanded_everywhere(write, home):
    path = write('[s3_gateway]\nput_temp_dir = "~/t"\ncredentials_path = "~/c"\n[[backends]]\npath = "~/d"\n')
    settings = load(path)
    assert settings.s3_gateway.put_temp_dir == str(home / "t")
    assert settings.s3_gateway.credentials_path == home / "c"
    assert settings.backend.path == home / "d"


def test_everything_wrong_is_reported_at_once_with_its_line(write):
    path = write(
        """[s3_gateway]
listen = "9900"
workers = "many"
regon = "x"
region = 5
get_chunk_size_mb = 0
max_connections = true
public_url = "s3.example.com"
domains = ["OK.example", "a:1"]

[auth]
anonymous = "everyone"

[s3_gatewya]
""",
    )
    here = str(path)
    assert problems(path) == [
        f's3_gateway.regon ({here}, line 4): unknown key; did you mean "region"?',
        f'[s3_gatewya] ({here}, line 14): unknown section; did you mean "s3_gateway"?',
        f's3_gateway.listen = "9900" ({here}, line 2): '
        'expected "ADDRESS:PORT", for example "0.0.0.0:9900" or "[::]:9900"',
        f"s3_gateway.region = 5 ({here}, line 5): expected text in quotes",
        f's3_gateway.workers = "many" ({here}, line 3): expected a whole number',
        f's3_gateway.public_url = "s3.example.com" ({here}, line 8): '
        "expected http://HOST or https://HOST, or nothing",
        f's3_gateway.domains[0] = "OK.example" ({here}, line 9): expected a host name in lower case, without a port',
        f's3_gateway.domains[1] = "a:1" ({here}, line 9): expected a host name in lower case, without a port',
        f"s3_gateway.get_chunk_size_mb = 0 ({here}, line 6): must be greater than 0",
        f"s3_gateway.max_connections = true ({here}, line 7): expected a number",
        f"auth.anonymous = \"everyone\" ({here}, line 12): must be 'none', 'public-read' or 'full'",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[s3_gateway]\nworkers = 1.5", "expected a whole number"),
        ("[s3_gateway]\nworkers = -1", "greater than or equal to 0"),
        ("[s3_gateway]\nworkers = []", "expected a whole number"),
        ("[s3_gateway]\nenable_distributed_auth = 'maybe'", "expected true or false"),
        ("[s3_gateway]\nidle_timeout_seconds = 'long'", "expected a number"),
        ("[s3_gateway]\nidle_timeout_seconds = inf", "finite"),
        ("[s3_gateway]\ndomains = 7", "expected a list"),
        ("[s3_gateway]\ncredentials_path = 7", "a path"),
        ("[s3_gateway]\nregion = 'us east'", "letters, digits and hyphens"),
        ("s3_gateway = 7", "a table of keys"),
        ("backends = 7", "expected a list"),
        ("[[backends]]\npath = false", "a path"),
        ("[[backends]]\ndurability = 'some'", "must be 'full' or 'relaxed'"),
        ("[[backends]]\nkind = 'tape'", 'expected "local"'),
        ("[s3_gateway]\nkey-of-mine = 1", "unknown key; known are"),
    ],
)
def test_a_wrong_value_says_what_was_expected(write, text, words):
    (message,) = problems(write(text))
    assert words in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"[{section}]\nx = 1", "this section is not in this version")
        for section in ("admin", "metadata", "replication", "cache", "rpc", "buckets.uploads", "servers.aws")
    ]
    + [
        ("[auth]\ntrusted_proxies = ['10.0.0.0/33']", "expected an address or a network"),
        ("[website]\ndomains = ['Web']", "expected a host name in lower case"),
        ("[[backends]]\nendpoint_url = ''", "this key is not in this version"),
        ("[[backends]]\nkind = 's3'", 'kind = "s3" is not in this version; use "local"'),
        ("[[backends]]\nkind = 'directory'", 'kind = "directory" is not in this version; use "local"'),
        (
            "[s3_gateway]\nenable_distributed_auth = true",
            "enable_distributed_auth = true is not in this version",
        ),
    ],
)
def test_what_is_planned_is_refused_as_such(write, text, words):
    (message,) = problems(write(text))
    assert words in message


@pytest.mark.parametrize("given", ["tls_certificate", "tls_key"])
def test_certificate_and_key_come_together(write, given):
    (message,) = problems(write(f'[s3_gateway]\n{given} = "x.pem"\n'))
    assert message == "s3_gateway: tls_certificate and tls_key: set both or none"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[backends]]\nname='a'\n[[backends]]\nname='b'", "but 2 are: a, b"),
        ("[[backends]]\nenabled=false", "but none is"),
        ("backends = []", "but none is"),
    ],
)
def test_exactly_one_backend_is_enabled(write, text, words):
    (message,) = problems(write(text))
    assert message.startswith("exactly one backend must be enabled in this version")
    assert words in message


def test_a_disabled_backend_may_stand_beside(write):
    settings = load(write("[[backends]]\nname='a'\nenabled=false\n[[backends]]\nname='b'\n"))
    assert settings.backend.name == "b"


def test_multipart_temp_is_another_name_with_a_line_in_the_log(write, caplog):
    caplog.set_level("INFO")
    loaded = load_with_origins(write('[s3_gateway]\nmultipart_temp = "/shared/x"\n'))
    assert loaded.settings.s3_gateway.put_temp_dir == "/shared/x"
    assert loaded.origins == {"s3_gateway.put_temp_dir": "file"}
    assert "s3_gateway.multipart_temp is another name of s3_gateway.put_temp_dir" in caplog.text


def test_both_names_of_a_key_are_one_too_many(write):
    (message,) = problems(write('[s3_gateway]\nmultipart_temp = "/a"\nput_temp_dir = "/b"\n'))
    assert "another name of put_temp_dir, which is set too" in message


def test_a_file_that_cannot_be_read_is_said(tmp_path, write):
    missing = tmp_path / "no.toml"
    assert problems(missing) == [f"cannot read the configuration file {missing}: No such file or directory"]
    path = write("[s3_gateway\n")
    (message,) = problems(path)
    assert message.startswith(f"the configuration file {path} is not valid TOML: ")
    path.write_bytes(b"\xff\xfe")
    assert problems(path) == [f"the configuration file {path} is not UTF-8 text"]


def test_the_default_file_is_that_of_the_home(tmp_path, monkeypatch):
    monkeypatch.setenv("S3GW_HOME", str(tmp_path))
    assert load_with_origins().path is None
    (tmp_path / "conf").mkdir()
    path = tmp_path / "conf" / "gateway.toml"
    path.write_text('[s3_gateway]\nregion = "here"\n')
    loaded = load_with_origins()
    assert (loaded.path, loaded.settings.s3_gateway.region) == (path, "here")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("0.0.0.0:9900", ("0.0.0.0", 9900)),
        ("localhost:0", ("localhost", 0)),
        ("[::]:9900", ("::", 9900)),
        ("[fe80::1%eth0]:1", ("fe80::1%eth0", 1)),
    ],
)
def test_addresses(address, expected):
    gateway = S3GatewaySettings(listen=address)
    assert (gateway.host, gateway.port) == expected


@pytest.mark.parametrize(
    "address", ["", ":9900", "9900", "a:b", "a:65536", "::1:9900", "a b:1", "http://a:1", "a:-1"]
)
def test_addresses_that_are_none(address):
    with pytest.raises(ValueError, match="ADDRESS:PORT"):
        split_address(address)


def test_settings_are_frozen_and_reach_workers(write):
    settings = load(write('[s3_gateway]\nregion = "eu"\n'))
    with pytest.raises(ValueError, match="frozen"):
        settings.s3_gateway.region = "x"
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_lines_are_found_in_later_tables_of_an_array():
    text = '[[backends]]\nname = "a"\n[other]\nname = 1\n[[backends]]\n"name" = "b"\n'
    assert config_sources.find_line(text, ("backends", 0, "name")) == 2
    assert config_sources.find_line(text, ("backends", 1, "name")) == 6
    assert config_sources.find_line(text, ("backends", 2, "name")) is None
    assert config_sources.find_line(text, ("other",)) == 3
