"""The command line: help, exit codes, and what goes where."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sidecar import __version__
from sidecar.cli import build_parser, main
from sidecar.core.reckon.snapshots import name_file, write_snapshot
from sidecar.core.settings.resolution import Loaded
from sidecar.thresholds import Terms
from tests.core.reckon.journals import make_hour

DATA = Path(__file__).parent / "data"
VERBS = ("run", "demo", "check", "explain", "report", "catalogue", "render", "simulate")


@pytest.fixture(autouse=True)
def _nowhere_in_particular(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration file and no variables of ours are about."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("LLM_SIDECAR")]:
        monkeypatch.delenv(name)


def stand_in(monkeypatch: pytest.MonkeyPatch, module: str, **functions: Any) -> None:
    """Put functions in place of a module that a verb imports."""
    monkeypatch.setitem(sys.modules, module, SimpleNamespace(**functions))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def others_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave this process its signals: taken once, they would end it, and be blocked in all that it starts."""
    stand_in(monkeypatch, "sidecar.edge.signals", Signals=dict)


def help_of(*arguments: str) -> str:
    """Return the help of the program or a verb."""
    parser = build_parser()
    if not arguments:
        return parser.format_help()
    with pytest.raises(SystemExit) as raised:
        parser.parse_args([*arguments, "--help"])
    assert raised.value.code == 0
    return ""


def test_help_reads_as_agreed(capsys: pytest.CaptureFixture[str]) -> None:
    """The command line is a contract: a change shows here, and is made in the golden copy on purpose."""
    text = help_of()
    for verb in VERBS:
        help_of(verb)
        text += f"\n--- {verb}\n{capsys.readouterr().out}"
    assert text == (DATA / "help.txt").read_text()


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_version_is_printed(capsys: pytest.CaptureFixture[str], flag: str) -> None:
    """Name and version on one line, exit code 0."""
    with pytest.raises(SystemExit) as raised:
        main([flag])
    assert raised.value.code == 0
    assert capsys.readouterr().out == f"llm-sidecar {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["check"],
        ["run", "file"],
        ["run", "--conf", "f"],
        ["demo", "--port", "70000"],
        ["demo", "--port", "-1"],
        ["demo", "--port", "x"],
        ["demo", "--duration", "0"],
        ["demo", "--duration", "nan"],
        ["demo", "--duration", "soon"],
        ["report", "--format", "pdf"],
        ["report", "--since", "yesterday"],
        ["report", "--since", "2026-02-30"],
        ["report", "--journal", ""],
        ["report", "somewhere"],
        ["catalogue", "--format", "xml"],
        ["render"],
        ["render", ""],
        ["render", "out", "more"],
    ],
)
def test_a_wrong_call_is_usage(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    """Exit code 2, and how to call it on stderr."""
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("usage: llm-sidecar")


def test_check_says_good(capsys: pytest.CaptureFixture[str]) -> None:
    """A file without problems: one line, exit code 0."""
    Path("f.yaml").write_text("listen: 127.0.0.1:0\n")
    assert main(["check", "f.yaml"]) == 0
    assert capsys.readouterr() == ("f.yaml: good\n", "")


def test_check_prints_every_problem(capsys: pytest.CaptureFixture[str]) -> None:
    """One line each on stderr, exit code 1."""
    Path("f.yaml").write_text("listen: 1\ntimeouts: {idle: x}\n")
    assert main(["check", "f.yaml"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert [line.split(" found ")[0] for line in captured.err.splitlines()] == ["f.yaml:1: listen:", "f.yaml:2: timeouts.idle:"]


def test_check_looks_at_the_web_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    """Where it is there: what is wrong with it, and what is not followed to the letter."""
    Path("f.yaml").write_text("admin: {web_config_file: web.yml}\n")
    assert main(["check", "f.yaml"]) == 0
    assert capsys.readouterr() == ("f.yaml: good\nweb.yml: not here, so not looked at\n", "")
    Path("web.yml").write_text("http_server_config: {http2: true}\n")
    assert main(["check", "f.yaml"]) == 0
    good = capsys.readouterr().out.splitlines()
    assert good[:2] == ["f.yaml: good", "web.yml: good"] and good[2].startswith("web.yml: http_server_config.http2: ") and len(good) == 3
    Path("web.yml").write_text("http_server_config: {http2: maybe}\nusers: {}\n")
    assert main(["check", "f.yaml"]) == 1
    assert [line.split(" found ")[0] for line in capsys.readouterr().err.splitlines()] == [
        "web.yml:1: http_server_config.http2:", "web.yml:2: users:",
    ]  # fmt: skip
    assert main(["run", "--config", "f.yaml"]) == 1
    assert "web.yml:2: users: found a key that is not known" in capsys.readouterr().err


def test_check_sees_the_environment(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What run would refuse, check refuses."""
    Path("f.yaml").write_text("listen: 127.0.0.1:0\n")
    monkeypatch.setenv("LLM_SIDECAR__NOPE", "1")
    assert main(["check", "f.yaml"]) == 1
    assert capsys.readouterr().err.startswith("LLM_SIDECAR__NOPE: found ")


@pytest.mark.parametrize("verb", ["run", "explain"])
def test_a_missing_file_is_one_clear_line(capsys: pytest.CaptureFixture[str], verb: str) -> None:
    """Nothing is started, no stack trace, exit code 1."""
    assert main([verb, "--config", "missing.yaml"]) == 1
    assert capsys.readouterr().err == "missing.yaml: found no readable file (No such file or directory); allowed: a YAML file\n"


def test_explain_prints_values_and_origins(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """File and environment are told apart."""
    Path("sidecar.yaml").write_text("\nlisten: 127.0.0.1:1\n")
    monkeypatch.setenv("LLM_SIDECAR_ADMIN_LISTEN", "127.0.0.1:2")
    assert main(["explain"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[:3] == ["# sidecar.yaml", 'listen: "127.0.0.1:1" # file:2', 'admin.listen: "127.0.0.1:2" # env:LLM_SIDECAR_ADMIN_LISTEN']


def test_run_serves_what_was_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loaded settings go to the application, its exit code comes back."""
    served: list[Loaded] = []

    def serve(loaded: Loaded, signals: object) -> int:
        served.append(loaded)
        return 7

    stand_in(monkeypatch, "sidecar.process", serve=serve)
    monkeypatch.setenv("LLM_SIDECAR_LISTEN", "127.0.0.1:5")
    assert main(["run"]) == 7
    assert served[0].settings.listen == "127.0.0.1:5"


def test_run_does_not_start_without_the_files_it_needs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that cannot be read is told before anything is started."""
    stand_in(monkeypatch, "sidecar.process", serve=lambda loaded, signals: pytest.fail("started"))
    monkeypatch.setenv("LLM_SIDECAR__UPSTREAMS__OPENAI__API_KEY_FILE", "/nonexistent/key")
    assert main(["run"]) == 1
    assert capsys.readouterr().err.startswith("upstreams.openai.api_key_file: found a file that cannot be read (No such file")


@pytest.mark.parametrize(
    ("arguments", "passed"),
    [
        ([], (None, None, False)),
        (["--once"], (None, None, True)),
        (["--duration", "2.5", "--port", "0"], (2.5, 0, False)),
    ],
)
def test_demo_passes_its_options(monkeypatch: pytest.MonkeyPatch, arguments: list[str], passed: tuple[Any, ...]) -> None:
    """Duration, port and once reach the demo."""
    seen: list[tuple[Any, ...]] = []
    stand_in(monkeypatch, "sidecar.demo", run_demo=lambda *options: seen.append(options) or 0)
    assert main(["demo", *arguments]) == 0
    assert seen == [passed]


@pytest.mark.parametrize(
    ("arguments", "passed"),
    [([], ("127.0.0.1:4010", None)), (["--listen", "h:1", "--profile", "p"], ("h:1", "p"))],
)
def test_simulate_passes_its_options(monkeypatch: pytest.MonkeyPatch, arguments: list[str], passed: tuple[Any, ...]) -> None:
    """Address and profile reach the simulated provider."""
    seen: list[tuple[Any, ...]] = []
    stand_in(monkeypatch, "sidecar.simulator", serve=lambda *options: seen.append(options) or 0)
    assert main(["simulate", *arguments]) == 0
    assert seen == [passed]


@pytest.mark.parametrize(("arguments", "printed"), [([], "M\n"), (["--format", "markdown"], "M\n"), (["--format", "json"], "J\n")])
def test_catalogue_prints_the_format_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str], printed: str
) -> None:
    """Markdown unless JSON is asked for."""
    stand_in(monkeypatch, "sidecar.render.reference", render_json=lambda: "J", render_markdown=lambda: "M")
    assert main(["catalogue", *arguments]) == 0
    assert capsys.readouterr().out == printed


def write_journal(*hours: int) -> None:
    """Put hours of one call each into the folder `journal`."""
    Path("journal").mkdir()
    for number in hours:
        hour = make_hour(number)
        (Path("journal") / name_file(hour.began, hour.ended)).write_bytes(write_snapshot(hour, 0, 1.0))


def read_report(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """Return what a program reads."""
    assert main(["report", "--format", "json", *arguments]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return json.loads(captured.out)


def test_report_in_each_format(capsys: pytest.CaptureFixture[str]) -> None:
    """Text unless another is asked for; all of them tell of the same calls."""
    write_journal(0, 1, 25)
    assert main(["report", "--journal", "journal"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("3 calls, 2026-03-29 00:00 to 2026-03-30 02:00 UTC\n") and text.endswith("\n") and not text.endswith("\n\n")
    assert main(["report", "--journal", "journal", "--format", "text"]) == 0
    assert capsys.readouterr().out == text
    assert read_report(capsys, "--journal", "journal")["total"]["requests"] == 3
    assert main(["report", "--journal", "journal", "--format", "html"]) == 0
    page = capsys.readouterr().out
    assert page.startswith("<!doctype html>") and page.endswith("</html>\n") and "2026-03-29 00:00 to 2026-03-30 02:00 UTC" in page


@pytest.mark.parametrize(
    ("since", "calls"),
    [
        ("2026-03-28", 3), ("2026-03-29", 3),
        ("2026-03-29T00:59:59", 3), ("2026-03-29T01:00", 2), ("2026-03-29T02:00", 1), ("2026-03-30", 1),
        ("2026-03-29T03:00+02:00", 2), ("20260330", 1), ("0001-01-01", 3),
    ],
)  # fmt: skip
def test_report_since_a_date(capsys: pytest.CaptureFixture[str], since: str, calls: int) -> None:
    """Hours that ended later; dates and times are of UTC unless they say otherwise."""
    write_journal(0, 1, 25)
    assert read_report(capsys, "--journal", "journal", "--since", since)["total"]["requests"] == calls


def test_report_on_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """A journal without calls, or without any since then, is a report too."""
    write_journal(0)
    assert read_report(capsys, "--journal", "journal", "--since", "9999-12-31")["total"] is None
    assert main(["report", "--journal", "journal", "--since", "2030-01-01"]) == 0
    assert capsys.readouterr().out == "No call is known of.\n"


def test_report_finds_the_journal_where_run_keeps_it(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """By the configuration file, by the environment over it; another one where it is named, whatever the configuration is worth."""
    write_journal(0, 1)
    Path("sidecar.yaml").write_text("journal: {directory: journal}\n")
    assert read_report(capsys)["total"]["requests"] == 2
    Path("empty").mkdir()
    monkeypatch.setenv("LLM_SIDECAR__JOURNAL__DIRECTORY", "empty")
    assert read_report(capsys)["total"] is None
    Path("sidecar.yaml").write_text("nonsense: 1\n")
    assert read_report(capsys, "--journal", "journal")["total"]["requests"] == 2
    assert main(["report"]) == 1
    assert capsys.readouterr().err.startswith("sidecar.yaml:1: nonsense: found ")


def test_report_without_a_journal(capsys: pytest.CaptureFixture[str]) -> None:
    """One clear line, exit code 1: where none is named, where none is, where it is no directory."""
    Path("file").write_text("mine")
    assert main(["report"]) == main(["report", "--journal", "missing"]) == main(["report", "--journal", "file"]) == 1
    assert capsys.readouterr() == (
        "",
        "journal.directory: found nothing; allowed: a journal's directory, here or with --journal\n"
        "missing: found no readable directory (No such file or directory); allowed: a journal's directory\n"
        "file: found no readable directory (Not a directory); allowed: a journal's directory\n",
    )


def test_report_names_what_it_leaves_out(capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is damaged is told, and neither changed nor in the way of the others."""
    write_journal(0, 1)
    (damaged,) = Path("journal").glob("*_01.json")
    damaged.write_text('{"version": ')
    shown = read_report(capsys, "--journal", "journal")
    assert shown["total"]["requests"] == 1 and [one["file"] for one in shown["left_out"]] == [damaged.name]
    assert damaged.read_text() == '{"version": '


def test_report_on_a_terminal_of_few_letters() -> None:
    """A name that the terminal cannot show is no stack trace, and a page needs no more than ASCII."""
    hour = make_hour(0, "openai/模型")
    Path("journal").mkdir()
    (Path("journal") / name_file(hour.began, hour.ended)).write_bytes(write_snapshot(hour, 0, 1.0))
    told = {}
    for kind in ("text", "json", "html"):
        command = [sys.executable, "-m", "sidecar", "report", "--journal", "journal", "--format", kind]
        environ = {**_environ(), "PYTHONIOENCODING": "ascii"}
        told[kind] = subprocess.run(command, capture_output=True, env=environ, check=True).stdout.decode("ascii")
    assert "openai/??" in told["text"] and "&#27169;" in told["html"] and "\\u6a21" in told["json"]


def render_limit(terms: Terms) -> dict[str, str]:
    """Stand in for all that is rendered: two files with one number."""
    return dict.fromkeys(("alerts/rules.yml", "dashboards/overview.json"), f"{terms.thresholds.mean_latency.warning:g}")


def test_render_writes_what_is_committed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a file of thresholds the defaults count; what was written is printed, and how many files."""
    stand_in(monkeypatch, "sidecar.render.files", render_files=render_limit)
    assert main(["render", "out/"]) == 0
    assert capsys.readouterr() == ("out/alerts/rules.yml\nout/dashboards/overview.json\n2 files\n", "")
    assert Path("out/alerts/rules.yml").read_text() == Path("out/dashboards/overview.json").read_text() == "3"


def test_render_with_other_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file's thresholds go into everything; what was written before is replaced."""
    stand_in(monkeypatch, "sidecar.render.files", render_files=render_limit)
    Path("f.yaml").write_text("thresholds: {mean_latency: {warning: 2s}}\n")
    assert main(["render", "out"]) == main(["render", "out", "--thresholds", "f.yaml"]) == 0
    assert Path("out/alerts/rules.yml").read_text() == "2"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "thresholds:\n  mean_latency: {critical: 2s}\n",
            "f.yaml:2: thresholds.mean_latency.critical: found 2s; allowed: above",
        ),
        ("traffic: {calls: 1}\ntraffic: {calls: 2}\n", "f.yaml:2: traffic: found the same key on lines 1 and 2; allowed: each key once"),
        ("- 1\n", "f.yaml:1: found a single value or a list; allowed: a mapping at the outermost level"),
        ("a: [\n", "f.yaml:2: found text that is not YAML: "),
        (None, "f.yaml: found no readable file (No such file or directory); allowed: a YAML file"),
    ],
)
def test_render_refuses_what_makes_no_sense(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, text: str | None, said: str
) -> None:
    """Where it stands, what was found and what is allowed; exit code 1, and nothing is written."""
    stand_in(monkeypatch, "sidecar.render.files", render_files=render_limit)
    if text is not None:
        Path("f.yaml").write_text(text)
    assert main(["render", "out", "--thresholds", "f.yaml"]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith(said) and captured.err.count("\n") == 1
    assert not Path("out").exists()


def test_render_does_not_write_where_it_cannot(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in the place of the folder is one clear line."""
    stand_in(monkeypatch, "sidecar.render.files", render_files=render_limit)
    Path("out").write_text("mine")
    assert main(["render", "out"]) == 1
    assert capsys.readouterr() == ("", "out: found a file; allowed: a folder, or nothing yet\n")
    assert Path("out").read_text() == "mine"


def test_the_module_runs_as_the_program() -> None:
    """`python -m sidecar` is the same program, exit code and all."""
    done = subprocess.run(
        [sys.executable, "-m", "sidecar", "check", "missing.yaml"], capture_output=True, text=True, env=_environ(), check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("missing.yaml: found no readable file")


def test_a_reader_that_leaves_is_no_stack_trace() -> None:
    """`llm-sidecar explain | head -1` ends quietly."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "sidecar", "explain"], stdout=writing, stderr=subprocess.PIPE, text=True, env=_environ(), check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_help_imports_nothing_heavy() -> None:
    """Asking for the version costs no event loop, no parser and no exporter."""
    script = "import sys; from sidecar.cli import build_parser; build_parser(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=_environ(), check=True).stdout.split()
    assert not {"aiohttp", "asyncio", "yaml", "msgspec", "opentelemetry", "prometheus_client", "uvloop"} & set(loaded)


def test_a_sidecar_imports_only_what_it_needs() -> None:
    """What only some settings need stays out of the memory of all others: aiohttp alone takes 10 MB."""
    script = "import sys; import sidecar.app; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=_environ(), check=True).stdout.split()
    assert not {"aiohttp", "cryptography", "grpc", "opentelemetry", "redis", "regex", "sidecar.render", "sidecar.simulator"} & set(loaded)


def _environ() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), "PYTHONWARNINGS": "error"}


def test_nobody_has_taken_the_signals() -> None:
    """Neither here nor in a test before."""
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())
