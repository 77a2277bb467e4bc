"""Writes what Prometheus and Alertmanager read in this stack: `render.py FOLDER`.

The same as `llm-sidecar render`, but that links lead to this stack ($GRAFANA_URL, $PROMETHEUS_URL), that the runbook is a page too,
which Prometheus serves, and that Alertmanager, with the same routes, tells nobody: it needs no secrets, and shows what it would tell.
"""

import os
import re
import sys
from html import escape
from pathlib import Path

import yaml

from sidecar.edge.folders import replace_files
from sidecar.render.files import render_files
from sidecar.thresholds import Links, Terms

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Runbook of llm-sidecar</title><style>
body {{ max-width: 56rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 sans-serif; white-space: pre-wrap; color-scheme: light dark }}
h1, h2 {{ margin: 0 }}
</style></head><body>{text}</body></html>
"""


def render_page(markdown: str) -> str:
    """Return a page with the same text, in which each heading can be linked to as it can in Markdown."""

    def mark(heading: re.Match[str]) -> str:
        level, title = len(heading[1]), heading[2]
        return f'<h{level} id="{title.lower().replace(" ", "-")}">{title}</h{level}>'

    return PAGE.format(text=re.sub(r"^(#{1,3}) (.+)$", mark, escape(markdown, quote=False), flags=re.MULTILINE))


def quieten(alertmanager: str) -> str:
    """Return a configuration of Alertmanager with the same routes and inhibitions, whose receivers are names only."""
    tree = yaml.safe_load(alertmanager)
    tree["global"] = {"resolve_timeout": tree["global"]["resolve_timeout"]}
    tree["receivers"] = [{"name": receiver["name"]} for receiver in tree["receivers"]]
    text: str = yaml.safe_dump(tree, sort_keys=False)
    return text


def main(folder: str) -> None:
    """Write all files."""
    links = Links(runbook=f"{os.environ['PROMETHEUS_URL']}/user/runbook.html", dashboards=os.environ["GRAFANA_URL"])
    texts = render_files(Terms(links=links))
    texts["pages/runbook.html"] = render_page(texts["alerts/runbook.md"])
    texts["alerts/alertmanager.yml"] = quieten(texts["alerts/alertmanager.yml"])
    replace_files(folder, texts)
    Path(folder).chmod(0o755)  # a volume begins as the image's folder, which is for its owner alone
    print(f"{len(texts)} files in {Path(folder)}")


if __name__ == "__main__":
    main(sys.argv[1])
