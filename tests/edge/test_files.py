"""Files that settings come from or point at."""

import json
from base64 import b64encode
from pathlib import Path

import pytest

from sidecar.config import Admin, Alerts, Budgets, Capture, Content, Features, Prices, Redis, Settings, Upstream, Warming
from sidecar.core.settings.explanation import describe
from sidecar.edge.files import find_unreadable, load, read_encryption_key, read_keys, read_secret, read_token, read_webhook
from sidecar.errors import ConfigError

DATA = Path(__file__).parent.parent / "data" / "config"

# What `llm-sidecar check` says of each file, without the file's name in front.
INVALID: dict[str, list[str]] = json.loads((DATA / "messages.json").read_text())
# The YAML parser's own words follow.
SYNTAX = {
    "syntax": [":3: found text that is not YAML: "],
    "tab": [":2: found text that is not YAML: "],
}


def lines_of(name: str) -> list[str]:
    """Return what is said of one file."""
    path = str(DATA / f"invalid-{name}.yaml")
    with pytest.raises(ConfigError) as raised:
        load(path, {})
    return [line.removeprefix(path) for line in describe(raised.value)]


@pytest.mark.parametrize("name", INVALID)
def test_each_mistake_has_its_message(name: str) -> None:
    """A file with a mistake is refused with exactly these lines."""
    assert lines_of(name) == INVALID[name]


@pytest.mark.parametrize("name", SYNTAX)
def test_each_syntax_error_has_its_line(name: str) -> None:
    """A file that is no YAML is refused with the line of the error."""
    lines = lines_of(name)
    assert len(lines) == 1
    assert lines[0].startswith(SYNTAX[name][0])


def test_every_invalid_file_has_its_expected_message() -> None:
    """No file lies there untested."""
    assert {path.stem.removeprefix("invalid-") for path in DATA.glob("invalid-*.yaml")} == INVALID.keys() | SYNTAX.keys()


@pytest.mark.parametrize("name", sorted(path.stem.removeprefix("invalid-") for path in DATA.glob("invalid-*.yaml")))
def test_no_message_holds_a_secret(name: str) -> None:
    """`hunter2` stands for each secret in the files."""
    assert "hunter2" not in "\n".join(lines_of(name))


def test_the_file_is_the_named_one_then_the_variables_then_the_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Argument, `$LLM_SIDECAR_CONFIG`, `./sidecar.yaml`, defaults: the first there is."""
    monkeypatch.chdir(tmp_path)
    named, variable = tmp_path / "named.yaml", tmp_path / "variable.yaml"
    assert load(None, {}).source == "built-in defaults"
    Path("sidecar.yaml").write_text("listen: folder:1\n")
    assert load(None, {}).settings.listen == "folder:1"
    variable.write_text("listen: variable:1\n")
    assert load(None, {"LLM_SIDECAR_CONFIG": str(variable)}).settings.listen == "variable:1"
    named.write_text("listen: named:1\n")
    assert load(str(named), {"LLM_SIDECAR_CONFIG": str(variable)}).settings.listen == "named:1"


@pytest.mark.parametrize(("path", "environ"), [("missing.yaml", {}), (None, {"LLM_SIDECAR_CONFIG": "missing.yaml"})])
def test_a_file_that_was_asked_for_must_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str | None, environ: dict[str, str]
) -> None:
    """Only the default file may be missing."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as raised:
        load(path, environ)
    assert describe(raised.value) == ["missing.yaml: found no readable file (No such file or directory); allowed: a YAML file"]


def test_lists_in_variables_are_yaml() -> None:
    """Routes can be given in one variable, as YAML or JSON."""
    for text in ('[{"prefix": "/a/", "upstream": "openai"}]', "[{prefix: /a/, upstream: openai}]", "- prefix: /a/\n  upstream: openai"):
        assert load(None, {"LLM_SIDECAR__ROUTES": text}).settings.routes[0].prefix == "/a/"


@pytest.mark.parametrize(("content", "secret"), [(b"abc", "abc"), (b"  abc\r\n\n", "abc"), (b"a+b/c=", "a+b/c=")])
def test_a_secret_is_the_files_one_line(tmp_path: Path, content: bytes, secret: str) -> None:
    """White space around it, which editors add, does not belong to it."""
    file = tmp_path / "key"
    file.write_bytes(content)
    assert read_secret(str(file)) == secret


@pytest.mark.parametrize("content", [b"", b" \n", b"two\nlines", b"with space", b"\xff", b"a\x00b", b"a\x7f", b"x" * 20_000])
def test_what_cannot_be_a_header_is_no_secret(tmp_path: Path, content: bytes) -> None:
    """A file that would break or forge a header is refused, and not quoted."""
    file = tmp_path / "key"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"^an? (empty )?file") as raised:
        read_secret(str(file))
    assert str(file) not in str(raised.value)


def test_unreadable_files_are_found_all_at_once(tmp_path: Path) -> None:
    """Every file that settings name is tried; what is fine is not mentioned."""
    (tmp_path / "good").write_text("key")
    settings = Settings(
        upstreams={
            "good": Upstream("http://a", api_key_file=str(tmp_path / "good")),
            "missing": Upstream("http://a", api_key_file=str(tmp_path / "sk-hunter2")),
            "none": Upstream("http://a"),
        },
        admin=Admin(token_file=str(tmp_path / "token-hunter2")),
        prices=Prices(file=str(tmp_path / "prices")),
    )
    problems = find_unreadable(settings)
    assert [problem.path for problem in problems] == ["upstreams.missing.api_key_file", "admin.token_file", "prices.file"]
    assert "hunter2" not in str(problems)


def test_good_files_have_no_problem(tmp_path: Path) -> None:
    """Nothing is found where nothing is wrong."""
    (tmp_path / "prices").write_text("{}")
    (tmp_path / "token").write_text("secret\n")
    settings = Settings(admin=Admin(token_file=str(tmp_path / "token")), prices=Prices(file=str(tmp_path / "prices")))
    assert find_unreadable(settings) == []


def test_files_of_redis_and_warming_are_tried_where_they_are_used(tmp_path: Path) -> None:
    """Secrets are secrets, an encryption key has its length, and what is switched off need not be there."""
    missing, odd = str(tmp_path / "hunter2"), tmp_path / "odd"
    odd.write_text("aHVudGVyMg==")
    redis = Redis(url="rediss://h", password_file=missing, ca_file=missing, encryption_key_file=str(odd))
    warming = Warming(file=missing, key_file=missing)
    problems = find_unreadable(Settings(redis=redis, warming=warming, features=Features(cache=True, warming=True)))
    assert [(problem.path, problem.found) for problem in problems] == [
        ("redis.password_file", "a file that cannot be read (No such file or directory)"),
        ("warming.key_file", "a file that cannot be read (No such file or directory)"),
        ("redis.encryption_key_file", "a file with 7 bytes in it"),
        ("redis.ca_file", "no such file"),
        ("warming.file", "no such file"),
    ]
    assert "hunter2" not in str(problems)
    assert find_unreadable(Settings(warming=warming)) == []


def test_files_of_alerts_are_tried(tmp_path: Path) -> None:
    """A webhook's address is a secret, and must be one that something can be sent to."""
    file = tmp_path / "hunter2"
    alerts = Alerts(webhook_file=str(file), token_file=str(tmp_path / "none"))
    file.write_text("hooks.test/hunter2")
    problems = find_unreadable(Settings(alerts=alerts))
    assert [(problem.path, problem.found) for problem in problems] == [
        ("alerts.token_file", "a file that cannot be read (No such file or directory)"),
        ("alerts.webhook_file", "a file without a URL in it that can be sent to"),
    ]
    assert "hunter2" not in str(problems)
    file.write_text("https://hooks.test/hunter2?sig=x\n")
    assert find_unreadable(Settings(alerts=Alerts(webhook_file=str(file)))) == []
    assert read_webhook(Alerts(webhook_file=str(file))) == ("https://hooks.test/hunter2?sig=x", None)
    assert read_webhook(Alerts()) is None
    with pytest.raises(ConfigError, match=r"alerts\.token_file") as raised:
        read_webhook(alerts)
    assert "hunter2" not in str(raised.value)
    (tmp_path / "none").write_text("token")
    assert read_webhook(alerts) == ("https://hooks.test/hunter2?sig=x", "token")


@pytest.mark.parametrize("text", ["hunter2 hunter2", "hunter2-", "aHVudGVyMg==", b64encode(bytes(33)).decode(), ""])
def test_an_encryption_key_is_32_bytes_in_base64(tmp_path: Path, text: str) -> None:
    """Neither more nor less, and what is no key is not quoted."""
    file = tmp_path / "key"
    file.write_text(b64encode(bytes(range(32))).decode() + "\n")
    assert read_encryption_key(str(file)) == bytes(range(32))
    file.write_text(text)
    with pytest.raises(ValueError, match=r"^an? (empty )?file") as raised:
        read_encryption_key(str(file))
    assert "hunter2" not in str(raised.value)


def test_the_ledger_needs_a_directory(tmp_path: Path) -> None:
    """Where budgets are on."""
    budgets = Budgets(file=str(tmp_path / "none" / "budgets"))
    assert [problem.path for problem in find_unreadable(Settings(budgets=budgets, features=Features(budgets=True)))] == ["budgets.file"]
    assert find_unreadable(Settings(budgets=budgets)) == []
    here = Budgets(file=str(tmp_path / "budgets"))
    assert find_unreadable(Settings(budgets=here, features=Features(budgets=True))) == []


def test_a_file_to_write_needs_a_directory(tmp_path: Path) -> None:
    """Only where it is written to; a file itself need not be there yet."""
    missing = str(tmp_path / "none" / "content.jsonl")
    settings = Settings(content=Content(capture=Capture.FILE, file=missing))
    assert [problem.path for problem in find_unreadable(settings)] == ["content.file"]
    assert find_unreadable(Settings(content=Content(file=missing))) == []
    assert find_unreadable(Settings(content=Content(capture=Capture.FILE, file=str(tmp_path / "content.jsonl")))) == []
    assert find_unreadable(Settings(content=Content(capture=Capture.FILE, file="content.jsonl"))) == []


def test_the_secrets_of_a_start(tmp_path: Path) -> None:
    """A credential for each upstream that has one, a token where there is one; one that cannot be read is named by its setting."""
    file = tmp_path / "key"
    file.write_text("sk-1\n", encoding="utf-8")
    upstreams = {"a": Upstream("http://a.test", api_key_file=str(file)), "b": Upstream("http://b.test")}
    assert read_keys(Settings(upstreams=upstreams)) == {"a": "sk-1"}
    assert read_token(Settings()) is None
    assert read_token(Settings(admin=Admin(token_file=str(file)))) == "sk-1"
    file.unlink()
    with pytest.raises(ConfigError, match="api_key_file"):
        read_keys(Settings(upstreams=upstreams))
    with pytest.raises(ConfigError, match="token_file"):
        read_token(Settings(admin=Admin(token_file=str(file))))


def test_the_web_configuration_is_tried(tmp_path: Path) -> None:
    """Each problem with file and line; where it is gone, by its setting."""
    file = tmp_path / "web.yml"
    settings = Settings(admin=Admin(web_config_file=str(file)))
    (problem,) = find_unreadable(settings)
    assert str(problem) == "admin.web_config_file: found no readable file (No such file or directory); allowed: a YAML file"
    file.write_text("tls_server_config:\n  cert_file: gone\nbasic_auth_users: {a: hunter2}\n")
    problems = find_unreadable(settings)
    assert [(problem.path, problem.line) for problem in problems] == [
        (f"{file}:1: tls_server_config.key_file", None), (f"{file}:3: basic_auth_users.a", None),
    ]  # fmt: skip
    assert "hunter2" not in str(problems)
    file.write_text("a: [")
    assert [problem.path for problem in find_unreadable(settings)] == [f"{file}:2"]
    file.write_text("")
    assert find_unreadable(settings) == []
