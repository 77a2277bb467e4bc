"""Files that settings come from or point at."""

from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from sidecar.config import Alerts, Capture, Settings
from sidecar.core.settings.environment import FILE_VARIABLE
from sidecar.core.settings.resolution import Loaded, resolve
from sidecar.core.settings.shapes import is_webhook_url
from sidecar.core.settings.tree import Document
from sidecar.edge.documents import parse_value, read_document
from sidecar.errors import ConfigError, ConfigProblem

DEFAULT_FILE: Final = "sidecar.yaml"
NO_FILE: Final = "built-in defaults"  # the source of settings that come from none
_SECRET_BYTES_MAX: Final = 16 * 1024
_ENCRYPTION_KEY_BYTES: Final = 32  # of AES-256


def load(path: str | None, environ: Mapping[str, str]) -> Loaded:
    """Return the effective settings: file `path`, else `$LLM_SIDECAR_CONFIG`, else `./sidecar.yaml` if there, else none.

    The environment goes over the file. Raises ConfigError with all that is wrong. Files that settings name are not
    opened: see `find_unreadable`.
    """
    chosen = path or environ.get(FILE_VARIABLE) or (DEFAULT_FILE if Path(DEFAULT_FILE).exists() else None)
    document = read_document(chosen) if chosen else Document(NO_FILE, {}, {})
    return resolve(document, environ, parse_value)


def find_unreadable(settings: Settings) -> list[ConfigProblem]:
    """Return a problem for each file that settings name and that cannot be used now."""
    return [*_find_unreadable_secrets(settings), *_find_unwritable(settings), *_find_missing(settings), *find_web_problems(settings)]


def find_web_problems(settings: Settings) -> list[ConfigProblem]:
    """Return what is wrong with the file of `admin.web_config_file`, and with those that it names."""
    file = settings.admin.web_config_file
    if file is None:
        return []
    from sidecar.edge.inbound.webconfig import prepare  # TLS stays out of what does without

    try:
        prepare(file)
    except ConfigError as error:
        return [_place(problem, file) for problem in error.problems]
    return []


def _place(problem: ConfigProblem, file: str) -> ConfigProblem:
    """Say of a problem in another file than the configuration where it stands."""
    if problem.path == file and problem.line is None:
        return problem._replace(path="admin.web_config_file")
    line = "" if problem.line is None else f":{problem.line}"
    return ConfigProblem(f"{file}{line}" if problem.path == file else f"{file}{line}: {problem.path}", problem.found, problem.allowed)


def list_read(settings: Settings) -> dict[str, str]:
    """Return each file that is read because settings name it, by the path of the setting."""
    files: dict[str, str | None] = {
        **_list_lines(settings), "alerts.webhook_file": settings.alerts.webhook_file,
        "redis.encryption_key_file": settings.redis.encryption_key_file,
        **{path: file for path, (file, _) in _list_texts(settings).items()},
    }  # fmt: skip
    return {path: file for path, file in files.items() if file is not None}


def list_written(settings: Settings) -> dict[str, str]:
    """Return each file that is written because settings name it, by the path of the setting."""
    files = {
        "content.file": settings.content.file if settings.content.capture is Capture.FILE else None,
        "budgets.file": settings.budgets.file if settings.features.budgets else None,
    }
    return {path: file for path, file in files.items() if file is not None}


def _list_lines(settings: Settings) -> dict[str, str | None]:
    """Return the files of secrets that have one line."""
    files = {f"upstreams.{name}.api_key_file": upstream.api_key_file for name, upstream in settings.upstreams.items()}
    files["admin.token_file"] = settings.admin.token_file
    files["alerts.token_file"] = settings.alerts.token_file
    files["redis.password_file"] = settings.redis.password_file
    if settings.features.warming:
        files["warming.key_file"] = settings.warming.key_file
    return files


def _list_texts(settings: Settings) -> dict[str, tuple[str | None, str]]:
    """Return the files that are read where they are used, with what they have to be."""
    return {
        "prices.file": (settings.prices.file, "a readable price table"),
        "redis.ca_file": (settings.redis.ca_file, "a readable file of certificates (PEM)"),
        "warming.file": (settings.warming.file if settings.features.warming else None, "a readable file of prompts (JSON lines)"),
    }


def _find_unreadable_secrets(settings: Settings) -> Iterator[ConfigProblem]:
    for path, file in _list_lines(settings).items():
        if file is not None:
            try:
                read_secret(file)
            except ValueError as error:
                yield ConfigProblem(path, str(error), "a readable file with one line in it")
    if settings.alerts.webhook_file is not None:
        try:
            read_webhook_url(settings.alerts.webhook_file)
        except ValueError as error:
            yield ConfigProblem("alerts.webhook_file", str(error), "a readable file with an http or https URL in it")
    if settings.redis.encryption_key_file is not None:
        try:
            read_encryption_key(settings.redis.encryption_key_file)
        except ValueError as error:
            yield ConfigProblem("redis.encryption_key_file", str(error), "a readable file with 32 bytes in base64 in it")


def _find_unwritable(settings: Settings) -> Iterator[ConfigProblem]:
    for path, file in list_written(settings).items():
        if not Path(file).absolute().parent.is_dir():
            yield ConfigProblem(path, "a path in no directory that is there", "the path of a file to write")


def _find_missing(settings: Settings) -> Iterator[ConfigProblem]:
    for path, (file, allowed) in _list_texts(settings).items():
        if file is not None and not Path(file).is_file():
            yield ConfigProblem(path, "no such file", allowed)


def read_encryption_key(path: str) -> bytes:
    """Return the 32 bytes that a secret's file holds in base64. Raises ValueError as `read_secret` does."""
    text = read_secret(path)
    try:
        key = b64decode(text, validate=True)
    except ValueError:
        raise ValueError("a file without base64 in it") from None
    if len(key) != _ENCRYPTION_KEY_BYTES:
        raise ValueError(f"a file with {len(key)} bytes in it")
    return key


def read_webhook_url(path: str) -> str:
    """Return the URL that a secret's file holds. Raises ValueError as `read_secret` does."""
    url = read_secret(path)
    if not is_webhook_url(url):
        raise ValueError("a file without a URL in it that can be sent to")
    return url


def read_secret(path: str) -> str:
    """Return the one line of a secret's file, without white space around it.

    Raises ValueError with a sentence that tells neither the secret nor the path: a key may have been put in its place.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(_SECRET_BYTES_MAX + 1).strip()
    except OSError as error:
        raise ValueError(f"a file that cannot be read ({error.strerror})") from None
    if not data or len(data) > _SECRET_BYTES_MAX:
        raise ValueError("an empty file" if not data else "a file that is too large")
    # It becomes a header's value: visible ASCII only (RFC 9110, section 5.5).
    if not data.isascii() or not all(33 <= byte <= 126 for byte in data):
        raise ValueError("a file with more than one visible ASCII line in it")
    return data.decode("ascii")


def read_keys(settings: Settings) -> dict[str, str]:
    """Return the credential of each upstream that has one of its own. Raises ConfigError."""
    files = {name: upstream.api_key_file for name, upstream in settings.upstreams.items()}
    return {name: _read_line(file, f"upstreams.{name}.api_key_file") for name, file in files.items() if file is not None}


def read_token(settings: Settings) -> str | None:
    """Return what operators have to know who change something, if there is such a thing. Raises ConfigError."""
    file = settings.admin.token_file
    return None if file is None else _read_line(file, "admin.token_file")


def read_webhook(alerts: Alerts) -> tuple[str, str | None] | None:
    """Return the address that alerts are sent to and what is sent along, if there is such a thing. Raises ConfigError."""
    if alerts.webhook_file is None:
        return None
    url = _read_line(alerts.webhook_file, "alerts.webhook_file", read_webhook_url)
    return url, None if alerts.token_file is None else _read_line(alerts.token_file, "alerts.token_file")


def _read_line(file: str, setting: str, read: Callable[[str], str] | None = None) -> str:
    try:
        return (read or read_secret)(file)
    except ValueError as error:
        raise ConfigError("start", [ConfigProblem(setting, str(error), "a readable file with one line")]) from None
