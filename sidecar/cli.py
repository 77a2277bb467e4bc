"""The verbs of `llm-sidecar` and their exit codes: 0 good, 1 could not, 2 wrongly called.

Each verb imports what it needs when it runs, so that `--help` and `check` stay quick.
"""

import argparse
import math
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from sidecar import __version__
from sidecar.errors import ConfigError

if TYPE_CHECKING:
    from sidecar.core.reckon.report import Report
    from sidecar.core.settings.resolution import Loaded

EXIT_GOOD: Final = 0
EXIT_BAD: Final = 1
# Fixed, so that help reads the same in every terminal.
_HELP_COLUMNS: Final = 100
_DURATION_S_MAX: Final = 86400

Verb = Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code. A wrong call raises SystemExit(2), as argparse does."""
    arguments = build_parser().parse_args(argv)
    verb: Verb = arguments.verb
    try:
        code = verb(arguments)
        sys.stdout.flush()
        return code
    except ConfigError as error:
        return _print_problems(error)
    except BrokenPipeError:
        # Who read our output has gone. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BAD


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="llm-sidecar", description="The observability sidecar for LLM traffic.", formatter_class=_Formatter, allow_abbrev=False
    )
    parser.add_argument("-V", "--version", action="version", version=f"llm-sidecar {__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)

    run = _add_verb(verbs, "run", _run, "run the sidecar until SIGTERM or SIGINT")
    _add_config(run)

    demo = _add_verb(verbs, "demo", _demo, "a simulated provider, the sidecar and traffic, on this machine")
    demo.add_argument("--duration", metavar="SECONDS", type=_read_seconds, help="stop after this long [until interrupted]")
    demo.add_argument("--port", metavar="N", type=_read_port, help="the sidecar's data port [one that is free]")
    demo.add_argument("--once", action="store_true", help="run a fixed amount of traffic, print the summary, stop")

    check = _add_verb(verbs, "check", _check, "report every problem of a configuration file")
    check.add_argument("file", metavar="FILE", help="the configuration file; the environment goes over it, as with run")

    explain = _add_verb(verbs, "explain", _explain, "print the effective configuration and where each value comes from")
    _add_config(explain)

    report = _add_verb(verbs, "report", _report, "what the journal tells: latency, errors, tokens and cost, by day and by model")
    report.add_argument("--journal", metavar="DIR", type=_read_folder, help="[journal.directory of the configuration that run would use]")
    report.add_argument(
        "--since", metavar="DATE", type=_read_date, help="from this day on, 2026-03-29; or time, 2026-03-29T14:00; UTC [all]"
    )
    report.add_argument("--format", choices=("text", "json", "html"), default="text", help="[text]")

    catalogue = _add_verb(verbs, "catalogue", _catalogue, "print every metric, attribute and error id")
    catalogue.add_argument("--format", choices=("markdown", "json"), default="markdown", help="[markdown]")

    render = _add_verb(verbs, "render", _render, "write dashboards, alert rules and runbook")
    render.add_argument("folder", metavar="DIR", type=_read_folder, help="where to; files that are there are replaced, others left alone")
    render.add_argument("--thresholds", metavar="FILE", help="thresholds, least traffic, objective and links [built in]")

    simulate = _add_verb(verbs, "simulate", _simulate, "run the simulated provider alone")
    simulate.add_argument("--listen", metavar="ADDR", default="127.0.0.1:4010", help="host:port [127.0.0.1:4010]")
    simulate.add_argument("--profile", metavar="FILE", help="models and faults to simulate [built in]")
    return parser


class _Formatter(argparse.HelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_HELP_COLUMNS, max_help_position=28)


def _add_verb(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, verb: Verb, summary: str) -> argparse.ArgumentParser:
    description = f"{summary[0].upper()}{summary[1:]}."
    parser = verbs.add_parser(name, help=summary, description=description, formatter_class=_Formatter, allow_abbrev=False)
    parser.set_defaults(verb=verb)
    return parser


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", help="[$LLM_SIDECAR_CONFIG, else ./sidecar.yaml if there, else built-in defaults]")


def _read_seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= _DURATION_S_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0, at most {_DURATION_S_MAX}")
    return seconds


def _read_port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port")
    return int(text)


def _read_folder(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("no folder is named")
    return text


def _read_date(text: str) -> float:
    """Return seconds since the epoch; a time without a zone is of UTC."""
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no date like 2026-03-29") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _run(arguments: argparse.Namespace) -> int:
    from sidecar.edge.signals import Signals

    signals = Signals(hangups=True)  # first of all: what follows takes its time, and a process 1 is deaf until then
    from sidecar.edge.files import find_unreadable, load

    loaded = load(arguments.config, os.environ)
    if problems := find_unreadable(loaded.settings):
        raise ConfigError(loaded.source, problems)
    from sidecar.process import serve

    return serve(loaded, signals)


def _demo(arguments: argparse.Namespace) -> int:
    from sidecar.demo import run_demo

    return run_demo(arguments.duration, arguments.port, arguments.once)


def _check(arguments: argparse.Namespace) -> int:
    from sidecar.edge.files import load

    loaded = load(arguments.file, os.environ)
    remarks = _check_web(loaded)
    print(f"{arguments.file}: good", *remarks, sep="\n")
    return EXIT_GOOD


def _check_web(loaded: "Loaded") -> list[str]:
    """Return what is worth knowing of the file of `admin.web_config_file`. Raises ConfigError with all that is wrong with it."""
    from pathlib import Path

    from sidecar.edge.files import find_web_problems

    file = loaded.settings.admin.web_config_file
    if file is None:
        return []
    if not Path(file).exists():
        return [f"{file}: not here, so not looked at"]
    if problems := find_web_problems(loaded.settings):
        raise ConfigError(loaded.source, problems)
    from sidecar.core.settings.web_config import list_remarks, read_web_config
    from sidecar.edge.documents import read_document

    return [f"{file}: good", *(f"{file}: {remark}" for remark in list_remarks(read_web_config(read_document(file))))]


def _explain(arguments: argparse.Namespace) -> int:
    from sidecar.core.settings.explanation import explain
    from sidecar.edge.files import load

    print(*explain(load(arguments.config, os.environ), os.environ), sep="\n")
    return EXIT_GOOD


def _report(arguments: argparse.Namespace) -> int:
    import json

    from sidecar.core.reckon.report import show_report
    from sidecar.render.reports.page import render_page
    from sidecar.render.reports.text import render_text

    report = _make_report(arguments)
    if arguments.format == "json":
        print(json.dumps(show_report(report), indent=2))
    else:
        text = render_page(report) if arguments.format == "html" else render_text(report)
        encoding = sys.stdout.encoding
        print(text.encode(encoding, "replace").decode(encoding), end="")
    return EXIT_GOOD


def _make_report(arguments: argparse.Namespace) -> "Report":
    from pathlib import Path

    from sidecar.core.reckon.report import make_report
    from sidecar.edge.clock import SystemClock
    from sidecar.edge.files import load
    from sidecar.edge.journal import read_snapshots
    from sidecar.errors import ConfigProblem
    from sidecar.thresholds import Terms

    directory = arguments.journal or load(None, os.environ).settings.journal.directory
    if directory is None:
        raise ConfigError("report", [ConfigProblem("journal.directory", "nothing", "a journal's directory, here or with --journal")])
    try:
        snapshots, left_out = read_snapshots(Path(directory), -math.inf if arguments.since is None else arguments.since)
    except OSError as error:
        raise ConfigError(
            directory, [ConfigProblem(directory, f"no readable directory ({error.strerror})", "a journal's directory")]
        ) from None
    return make_report(snapshots, left_out, Terms().thresholds, SystemClock.wall_ns())


def _catalogue(arguments: argparse.Namespace) -> int:
    from sidecar.render.reference import render_json, render_markdown

    print(render_json() if arguments.format == "json" else render_markdown())
    return EXIT_GOOD


def _render(arguments: argparse.Namespace) -> int:
    from pathlib import Path

    from sidecar.core.settings.terms import read_terms
    from sidecar.edge.documents import read_document
    from sidecar.edge.folders import replace_files
    from sidecar.render.files import render_files
    from sidecar.thresholds import Terms

    terms = read_terms(read_document(arguments.thresholds)) if arguments.thresholds else Terms()
    texts = render_files(terms)
    replace_files(arguments.folder, texts)
    print(*(Path(arguments.folder) / name for name in texts), f"{len(texts)} files", sep="\n")
    return EXIT_GOOD


def _simulate(arguments: argparse.Namespace) -> int:
    from sidecar.simulator import serve

    return serve(arguments.listen, arguments.profile)


def _print_problems(error: ConfigError) -> int:
    from sidecar.core.settings.explanation import describe

    print(*describe(error), sep="\n", file=sys.stderr)
    return EXIT_BAD
