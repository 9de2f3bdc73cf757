"""S3GW_LOG: its grammar, and what a line looks like."""

import logging
import re

import pytest

from gateway import log


@pytest.fixture
def restored():
    """The logging of this process as it was, afterwards."""
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    yield
    root.setLevel(before[0])
    root.handlers[:] = before[1]
    for name in ("auth", "backends", "gateway.app"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    logging.getLogger("uvicorn.access").disabled = False
    logging.captureWarnings(False)


@pytest.mark.parametrize(
    ("text", "level", "modules"),
    [
        ("", logging.INFO, {}),
        ("trace", log.TRACE, {}),
        ("debug", logging.DEBUG, {}),
        ("INFO", logging.INFO, {}),
        ("warn", logging.WARNING, {}),
        ("error", logging.ERROR, {}),
        ("auth=debug,backends=info", logging.INFO, {"auth": logging.DEBUG, "backends": logging.INFO}),
        ("warn, gateway.app = trace", logging.WARNING, {"gateway.app": log.TRACE}),
        ("auth=debug,error", logging.ERROR, {"auth": logging.DEBUG}),
    ],
)
def test_the_grammar(text, level, modules):
    assert log.parse(text) == log.LogSpec(level, modules)


@pytest.mark.parametrize(
    "text", ["verbose", "auth=", "=debug", "auth=loud", "a b=debug", "auth:debug", "auth=info=debug"]
)
def test_what_is_not_of_the_grammar_is_said(text):
    with pytest.raises(log.LogSpecError, match="S3GW_LOG"):
        log.parse(text)


@pytest.mark.usefixtures("restored")
def test_levels_hold_for_a_module_and_all_below_it(capsys):
    log.configure("warn,auth=debug")
    logging.getLogger("auth.verify").debug("why it was refused")
    logging.getLogger("gateway.app").info("not shown")
    logging.getLogger("backends.local").warning("shown")
    shown = capsys.readouterr().err
    assert "why it was refused" in shown
    assert "not shown" not in shown
    assert " WARN " in shown


@pytest.mark.usefixtures("restored")
def test_a_line_has_time_level_process_logger_message(capsys):
    log.configure("trace")
    logging.getLogger("gateway.app").log(log.TRACE, "hello %s", "world")
    pattern = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z TRACE \d+ gateway\.app hello world\n"
    assert re.fullmatch(pattern, capsys.readouterr().err)


@pytest.mark.usefixtures("restored")
def test_no_client_can_forge_a_line(capsys):
    log.configure()
    logging.getLogger("gateway.app").info(
        "key %s", "a\n2026-01-01T00:00:00.000Z INFO 1 x forged\x1b[31m\u2028"
    )
    (line,) = capsys.readouterr().err.splitlines()
    assert r"a\n2026-01-01" in line
    assert "\x1b" not in line


@pytest.mark.usefixtures("restored")
def test_a_traceback_follows_its_line(capsys):
    log.configure()
    try:
        raise RuntimeError("deep inside")
    except RuntimeError:
        logging.getLogger("gateway.app").exception("failed")
    lines = capsys.readouterr().err.splitlines()
    assert " ERROR " in lines[0]
    assert lines[1].startswith("Traceback")
    assert lines[-1] == "RuntimeError: deep inside"


@pytest.mark.usefixtures("restored")
def test_a_wrong_specification_changes_nothing(capsys):
    log.configure("error")
    with pytest.raises(log.LogSpecError):
        log.configure("nonsense")
    logging.getLogger("gateway.app").info("still quiet")
    assert capsys.readouterr().err == ""
