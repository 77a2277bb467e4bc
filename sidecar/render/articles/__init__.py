"""What is told of each error id in the runbook, beside its summary."""

from collections.abc import Mapping
from typing import Final

from sidecar.render.alerting import Article
from sidecar.render.articles.answers import ANSWERS
from sidecar.render.articles.callers import CALLERS
from sidecar.render.articles.connections import CONNECTIONS
from sidecar.render.articles.itself import ITSELF
from sidecar.render.articles.policies import POLICIES

ERROR_ARTICLES: Final[Mapping[str, Article]] = {**CALLERS, **CONNECTIONS, **ANSWERS, **POLICIES, **ITSELF}
