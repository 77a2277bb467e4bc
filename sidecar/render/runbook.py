"""The runbook: one heading per alert and per error id, and under each what it means, whom it hurts, where to look, what to do."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from textwrap import fill
from typing import Final

from sidecar.errors import ERRORS, ErrorKind
from sidecar.render.alerting import Article, Group, list_alerts
from sidecar.render.articles import ERROR_ARTICLES
from sidecar.thresholds import Terms

_COLUMNS: Final = 120
_LISTED: Final = re.compile(r"[|-] ?")
_HEAD: Final = """\
# Runbook

One heading per alert and per error id: what it means, whom it hurts, where to look, what to do. Numbers are those that the rules were
made with (by default, those of `llm-sidecar catalogue`); each alert on traffic also asks for a least number of calls, so idle never
fires.

Where to look, for all of them:

- the board that `dashboard_url` of the alert leads to. [Overview](../dashboards/overview.json) is where to begin, and from there by
  links to [latency](../dashboards/latency.json), [cost](../dashboards/cost.json), [resilience](../dashboards/resilience.json),
  [cache](../dashboards/cache.json) and [the sidecar itself](../dashboards/sidecar.json). Names between quotes are titles of panels;
- queries, as they stand under each heading: they can be pasted into Prometheus, and ask for all jobs;
- traces: calls that failed, were refused or cut, and slow ones are always kept. An exemplar on a latency panel leads to one;
- the caller's view: `x-sidecar-request-id` on an answer is the id in logs and spans, and `x-sidecar-error` names the error id of an
  answer that the sidecar itself gave;
- `GET /debug/exchanges` on the admin port: the last calls, each with all of its attempts.
"""
_RELATIVE: Final = """
`runbook_url` of the alerts is relative to the folder that the rules came in. `llm-sidecar render DIR --thresholds FILE` makes them with
the address of your copy: `links: {runbook: https://wiki.example/runbook}`.
"""
_ERRORS: Final = """\
# Errors

Every failure that the sidecar itself reports has an id. It stands in the answer's body and in `x-sidecar-error`, on spans as
`llm_sidecar.error.id`, as `error` in `GET /debug/exchanges`, and as `error_type` in the histograms of durations. Errors of origin
`upstream` and `sidecar` count in the error ratio, unless they end as `refused`; those of `client` and `policy` do not.
"""


def render_runbook(groups: Sequence[Group], optional: Mapping[str, Sequence[Group]], terms: Terms) -> str:
    """Return the runbook as Markdown. `optional`: the groups of rule files that are loaded only where they are wanted."""
    is_relative = "://" not in terms.links.runbook
    parts = [_HEAD + (_RELATIVE if is_relative else ""), "# Alerts\n", *_list_alerts(groups, "")]
    for file, more in optional.items():
        parts += _list_alerts(more, f"Of [{file}]({file}), which is loaded only where it is wanted.")
    parts += [_ERRORS, *(_render_error(kind) for kind in ERRORS)]
    return "\n".join(parts)


def _list_alerts(groups: Iterable[Group], note: str) -> Iterator[str]:
    for alert in list_alerts(groups):
        yield _render(alert.name, note, alert.article)


def _render_error(kind: ErrorKind) -> str:
    article = ERROR_ARTICLES[kind.id]
    told = f"Status {kind.status}, origin `{kind.origin}`. {kind.summary}"
    return _render(kind.id, "", article._replace(meaning=f"{told}\n{article.meaning}"))


def _render(heading: str, note: str, article: Article) -> str:
    parts = [
        f"## {heading}",
        *([note] if note else []),
        _fill(f"**Meaning.** {article.meaning}"),
        _fill(f"**Impact.** {article.impact}"),
        _fill(f"**Diagnosis.** {article.diagnosis}"),
        *(f"```promql\n{query}\n```" for query in article.queries),
        _fill(f"**Mitigation.** {article.mitigation}"),
    ]
    return "\n\n".join(parts) + "\n"


def _fill(text: str) -> str:
    """Return paragraphs as lines of even length, whatever numbers stand in them; tables and lists as they are."""
    blocks = text.strip().split("\n\n")
    return "\n\n".join(
        block if _LISTED.match(block) else fill(block, _COLUMNS, break_long_words=False, break_on_hyphens=False) for block in blocks
    )
