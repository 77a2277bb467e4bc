"""What the runbook says of error ids is so: endings, settings, names of metrics, spans, log lines and panels."""

import re
from collections.abc import Iterator
from dataclasses import is_dataclass

import pytest

from sidecar import catalogue
from sidecar.config import Settings
from sidecar.core.attempt.endings import end_with_fault
from sidecar.core.settings.kinds import Kind, members
from sidecar.errors import ERRORS, ErrorKind
from sidecar.render.alerting import Article
from sidecar.render.articles import ERROR_ARTICLES
from tests.promql import find_unknown, list_series

HEADERS = {header.name for header in catalogue.HEADERS}
ATTRIBUTES = {attribute.name for span in catalogue.SPANS for attribute in span.attributes}
every_article = pytest.mark.parametrize(("name", "article"), ERROR_ARTICLES.items(), ids=ERROR_ARTICLES.keys())


def read(article: Article) -> str:
    """Return all texts of an article, on one line."""
    return re.sub(r"\s+", " ", " ".join((article.meaning, article.impact, article.diagnosis, article.mitigation)))


def list_code(article: Article) -> Iterator[str]:
    """Yield what stands between backticks."""
    yield from re.findall(r"`([^`]+)`", read(article))


def is_setting(path: str) -> bool:
    """Whether a path such as `routes[].websocket` or `upstreams.NAME.url` is one of the configuration."""
    kind = Kind(section=Settings)
    for step in path.replace("[]", ".[]").split("."):
        if kind.section is not None and step in members(kind.section):
            kind = members(kind.section)[step].kind
        elif kind.entries is not None and step == "NAME":
            kind = kind.entries
        elif kind.items is not None and step == "[]":
            kind = kind.items
        else:
            return False
    return True


def test_each_error_id_has_an_article() -> None:
    """No id is left out, none is made up."""
    assert ERROR_ARTICLES.keys() == {kind.id for kind in ERRORS}


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.id)
def test_the_ending_that_is_counted_is_the_one_it_has(kind: ErrorKind) -> None:
    """Queries ask for the ending that calls with this id have, and for no other id."""
    queries = "\n".join(ERROR_ARTICLES[kind.id].queries)
    assert set(re.findall(r'ending="(\w+)"', queries)) <= {end_with_fault(kind)}
    assert set(re.findall(r'error_type="(\w+)"', queries)) <= {kind.id}
    assert set(re.findall(r'outcome="(\w+)"', queries)) <= {end_with_fault(kind)}


@every_article
def test_queries_can_be_asked(name: str, article: Article) -> None:
    """Each has at least one, over metrics and labels that exist, with values that their labels have."""
    assert article.queries, name
    assert [unknown for query in article.queries for unknown in find_unknown(query)] == []
    assert not any("$" in query for query in article.queries)


@every_article
def test_names_exist(name: str, article: Article) -> None:
    """Settings, metrics, span attributes, log lines and headers that are named are there."""
    sections = {*members(Settings)} - {"listen"}
    for code in list_code(article):
        path = code.partition(":")[0]
        if re.fullmatch(r"[a-z_]+(?:\[\])?(?:\.[A-Za-z_]+)+", path) and re.split(r"[.\[]", path)[0] in sections:
            assert is_setting(path), (name, code)
        elif code.startswith("llm_sidecar_"):
            assert code in list_series(), (name, code)
        elif re.match(r"(?:llm_sidecar|http|url)\.", code):
            assert code in ATTRIBUTES, (name, code)
        elif code.startswith("x-sidecar-"):
            assert code.partition(":")[0] in HEADERS, (name, code)
    for said in re.findall(r"log lines? ((?:`\w+`(?:, | and )?)+)", read(article)):
        assert set(re.findall(r"`(\w+)`", said)) <= {event.name for event in catalogue.LOG_EVENTS}, name


@every_article
def test_articles_are_written_out(name: str, article: Article) -> None:
    """Each part ends as a sentence does; nothing repeats the summary, which stands above."""
    (kind,) = (kind for kind in ERRORS if kind.id == name)
    for text in (article.meaning, article.impact, article.diagnosis, article.mitigation):
        assert text.endswith("."), (name, text[-20:])
        assert kind.summary not in text


def test_settings_are_told_from_what_is_none() -> None:
    """The check of settings fails for what does not exist."""
    assert is_setting("upstreams.NAME.keep_alive") and is_setting("routes[].websocket") and is_setting("limits.body")
    assert not any(map(is_setting, ("limits.nope", "upstreams.keep_alive", "routes.websocket", "upstreams.NAME.url.more")))
    assert is_dataclass(Settings)
