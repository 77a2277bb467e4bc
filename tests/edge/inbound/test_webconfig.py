"""Web configurations and the certificates that they name, and what promtool says of the same files."""

import os
import ssl
import subprocess
from pathlib import Path

import pytest

from sidecar.core.settings.explanation import describe
from sidecar.edge.inbound.webconfig import Prepared, prepare
from sidecar.errors import ConfigError
from tests.edge.inbound.web_samples import BAD, GOOD, PAIR, PAST, STRICTER, Authority, Sample, write_files
from tests.rig.prometheus import PROMTOOL, needs_promtool

SAMPLES = GOOD | BAD | STRICTER


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every file that a sample names."""
    made = tmp_path_factory.mktemp("web")
    write_files(made)
    return made


def write(folder: Path, text: str) -> str:
    """Write a web configuration; return its path."""
    path = folder / "web.yml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def load(folder: Path, text: str, known: bytes | None = None) -> Prepared:
    """Read a good one."""
    found = prepare(write(folder, text), known)
    assert found is not None
    return found


def check_by_promtool(folder: Path, name: str, sample: Sample) -> bool:
    """Return whether promtool takes a sample."""
    path = write(folder, sample.text)
    done = subprocess.run([PROMTOOL, "check", "web-config", path], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode in (0, 1) and ("SUCCESS" in done.stdout + done.stderr) is (done.returncode == 0), (name, done)
    return done.returncode == 0


@pytest.mark.parametrize("name", GOOD)
def test_good_ones_are_taken(folder: Path, name: str) -> None:
    """With TLS where there is a certificate, and a word on what is not followed to the letter only where there is such a thing."""
    found = load(folder, GOOD[name].text)
    assert (found.context is not None) is ("cert_file" in GOOD[name].text)
    assert (found.validity is not None) is ("cert_file" in GOOD[name].text)
    told = {"requests", "verifies-by-the-system", "old-versions", "order", "everything"}
    assert bool(found.remarks) is (name in told)


@pytest.mark.parametrize("name", BAD | STRICTER)
def test_bad_ones_are_refused(folder: Path, name: str) -> None:
    """With file, line and path, and nothing secret."""
    sample = SAMPLES[name]
    path = write(folder, sample.text)
    with pytest.raises(ConfigError) as raised:
        prepare(path)
    told = describe(raised.value)
    assert any(line.startswith(f"{path}:1: {sample.problem}") for line in told), told
    assert "hunter2" not in "".join(told) and "PRIVATE" not in "".join(told)


@needs_promtool
def test_promtool_agrees(folder: Path) -> None:
    """But for what we refuse since it would not do what it says; of what promtool 2 does not know yet, promtool 3 is asked."""
    version = subprocess.run([PROMTOOL, "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
    asked = {name: sample for name, sample in SAMPLES.items() if not (sample.is_new and "version 2." in version)}
    assert len(asked) > 45
    found = {name: check_by_promtool(folder, name, sample) for name, sample in asked.items()}
    assert found == {name: sample.is_good for name, sample in asked.items()}


def test_certificate_and_key_may_stand_in_it(folder: Path) -> None:
    """As in the format of today; what is wrong with them is told at their place, and never shown."""

    def inline(cert: str, key: str) -> str:
        texts = {"cert": (folder / cert).read_text(), "key": (folder / key).read_text(), "client_ca": (folder / "ca.crt").read_text()}
        members = "".join(f"  {name}: |\n" + "".join(f"    {line}\n" for line in text.splitlines()) for name, text in texts.items())
        return f"tls_server_config:\n  client_auth_type: RequireAndVerifyClientCert\n{members}"

    found = load(folder, inline("server.crt", "server.key"))
    assert found.context is not None and found.context.verify_mode is ssl.CERT_REQUIRED
    with pytest.raises(ConfigError) as raised:
        prepare(write(folder, inline("server.crt", "other.key")))
    (problem,) = raised.value.problems
    assert problem.path == "tls_server_config.key" and "BEGIN" not in str(problem)


def test_every_problem_of_the_files_is_told_at_once(folder: Path) -> None:
    """Each at the line of its setting."""
    files = "  cert_file: gone\n  key_file: junk.pem\n  client_ca_file: empty.pem\n"
    text = f"tls_server_config:\n  client_auth_type: RequireAndVerifyClientCert\n{files}"
    with pytest.raises(ConfigError) as raised:
        prepare(write(folder, text))
    assert [(problem.path.rpartition(".")[2], problem.line) for problem in raised.value.problems] == [
        ("cert_file", 3), ("client_ca_file", 5), ("key_file", 4),
    ]  # fmt: skip


def test_paths_are_seen_from_the_files_folder(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the process runs; absolute ones are as they are."""
    monkeypatch.chdir(tmp_path)
    assert load(folder, GOOD["tls"].text).context is not None
    assert load(tmp_path, f"tls_server_config: {{cert_file: {folder}/server.crt, key_file: {folder}/server.key}}").context is not None
    with pytest.raises(ConfigError):
        prepare(write(tmp_path, GOOD["tls"].text))


def test_the_same_contents_are_known_again(folder: Path, tmp_path: Path) -> None:
    """Whatever the files are called, and whenever they were written; each of them counts."""
    authority = write_files(tmp_path)
    text = f"tls_server_config: {{{PAIR}, client_ca_file: ca.crt, client_auth_type: RequireAndVerifyClientCert}}\n"
    first = load(tmp_path, text)
    os.utime(tmp_path / "server.crt")
    assert prepare(write(tmp_path, "# another comment\n" + text), first.digest) is None
    seen = {first.digest}
    for name, more in (("server.crt", authority.pem), ("ca.crt", Authority().pem), ("server.key", b"\n")):
        path = tmp_path / name
        path.write_bytes(path.read_bytes() + more)
        seen.add(load(tmp_path, text, first.digest).digest)
    seen.add(load(tmp_path, text + "rate_limit: {interval: 1s, burst: 1}\n", first.digest).digest)
    assert len(seen) == 5
    (tmp_path / "server.key").unlink()
    with pytest.raises(ConfigError):
        prepare(str(tmp_path / "web.yml"), first.digest)


def test_when_a_certificate_is_valid_is_known(tmp_path: Path) -> None:
    """One that has expired can be used: it is for the caller to judge."""
    authority = write_files(tmp_path)
    for name, text in zip(("server.crt", "server.key"), authority.issue(dates=PAST), strict=True):
        (tmp_path / name).write_bytes(text)
    found = load(tmp_path, GOOD["tls"].text)
    assert found.validity is not None and (found.validity.begins_s, found.validity.ends_s) == tuple(date.timestamp() for date in PAST)


def count_files() -> int:
    """Return how many files the process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def test_no_file_stays_open(folder: Path) -> None:
    """Certificates and keys are read into memory, and given back."""
    load(folder, GOOD["tls"].text)
    before = count_files()
    for name in ("tls", "verifies", "other-key", "half", "locked"):
        try:
            prepare(write(folder, SAMPLES[name].text))
        except ConfigError:
            pass
    assert count_files() == before


def test_what_is_agreed_on_is_what_was_asked_for(folder: Path) -> None:
    """Versions, suites and what is asked of clients, as OpenSSL has them."""
    found = load(folder, "tls_server_config: {cert_file: server.crt, key_file: server.key, min_version: TLS13, client_auth_type: "
                 "VerifyClientCertIfGiven, client_ca_file: ca.crt, prefer_server_cipher_suites: false}").context  # fmt: skip
    assert found is not None
    assert (found.minimum_version, found.maximum_version) == (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3)
    assert found.verify_mode is ssl.CERT_OPTIONAL and not found.options & ssl.OP_CIPHER_SERVER_PREFERENCE
    plain = load(folder, GOOD["tls"].text).context
    assert plain is not None and plain.options & ssl.OP_CIPHER_SERVER_PREFERENCE
    assert (plain.minimum_version, plain.verify_mode) == (ssl.TLSVersion.TLSv1_2, ssl.CERT_NONE)
    for suites, expected in (
        ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
         ["ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"]),
    ):  # fmt: skip
        context = load(folder, f"tls_server_config: {{{PAIR}, cipher_suites: [{suites}]}}").context
        assert context is not None
        assert [each["name"] for each in context.get_ciphers() if each["protocol"] == "TLSv1.2"] == expected
    only = load(folder, f"tls_server_config: {{{PAIR}, cipher_suites: [TLS_AES_128_GCM_SHA256]}}").context
    assert only is not None and only.minimum_version is ssl.TLSVersion.TLSv1_3
