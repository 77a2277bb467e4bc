"""What Alertmanager writes to people: templates of the messages that its configuration names.

A message says what is wrong and of which service, then for each alert the number, what it is about, since when, and where to
go: runbook, board, the query, a silence for exactly this alert. What is over says how long it was so.

Labels may come from callers, so chat text is escaped (Slack's `&`, `<`, `>`). A link that is not absolute is shown as text.
Functions are those that Alertmanager 0.25 has; in templates of addresses only those of Go itself, because the Prometheus
operator reads these without Alertmanager's. Alertmanager reads the file for text and for HTML: what HTML uses does its
escaping itself, so the page of the mail names addresses anew.
"""

import re
from typing import Final

from sidecar.thresholds import Links, Terms

SHOWN: Final = 10  # of a group in one message; the rest is counted
_OVERVIEW: Final = "llm-sidecar-overview"
_DEFINED: Final = re.compile(r'{{ define "([^"]+)"')
_USED: Final = re.compile(r'{{-? template "([^"]+)"')

_PARTS: Final = r"""
{{ define "llm_sidecar.service" }}{{ with .CommonLabels.namespace }}{{ . }}/{{ end }}{{ .CommonLabels.job }}{{ end }}

{{ define "llm_sidecar.subject" -}}
[{{ .Status | toUpper }}{{ if eq .Status "firing" }}:{{ len .Alerts.Firing }}{{ end }}]
{{- with .CommonLabels.alertname }} {{ . }}{{ end }}{{ with .CommonLabels.severity }} ({{ . }}){{ end }}
{{- with .CommonLabels.job }} {{ template "llm_sidecar.service" $ }}{{ end }}{{ with .CommonAnnotations.summary }}: {{ . }}{{ end }}
{{- end }}

{{ define "llm_sidecar.alerts" }}{{ .ExternalURL }}/#/alerts?receiver={{ .Receiver | urlquery }}{{ end }}

{{ define "llm_sidecar.board" -}}
{{ $url := .CommonAnnotations.dashboard_url -}}
{{ if or (eq (printf "%.8s" $url) "https://") (eq (printf "%.7s" $url) "http://") }}{{ $url }}{{ else }}@OVERVIEW@{{ end }}
{{- end }}

{{ define "llm_sidecar.silence" -}}
/#/silences/new?filter=%7B{{ range $index, $label := .Labels.SortedPairs }}{{ if $index }}%2C{{ end }}{{ .Name }}%3D%22
{{- .Value | reReplaceAll `["\\]` `\$0` | urlquery | reReplaceAll `\+` `%20` }}%22{{ end }}%7D
{{- end }}

{{ define "llm_sidecar.about" -}}
{{ range $index, $label := (.Labels.Remove (stringSlice "alertname" "severity")).SortedPairs }}
{{- if $index }}, {{ end }}{{ .Name }}={{ .Value }}{{ end }}
{{- end }}

{{ define "llm_sidecar.when" -}}
{{ if eq .Status "resolved" }}was so for {{ (.EndsAt.Sub .StartsAt).Truncate 1000000000 }},
{{- print " until " }}{{ .EndsAt.UTC.Format "2006-01-02 15:04:05" }} UTC
{{- else }}since {{ .StartsAt.UTC.Format "2006-01-02 15:04:05" }} UTC{{ end }}
{{- end }}

{{ define "llm_sidecar.told" }}{{ .Annotations.summary }}
{{ .Annotations.description }}
{{ template "llm_sidecar.about" . }}; {{ template "llm_sidecar.when" . }}
Runbook: {{ .Annotations.runbook_url }}
Dashboard: {{ .Annotations.dashboard_url }}
Query: {{ .GeneratorURL }}
{{ end }}

{{ define "llm_sidecar.firing" -}}
{{ range $index, $alert := .Alerts.Firing }}{{ if lt $index @SHOWN@ }}{{ template "llm_sidecar.told" $alert -}}
Silence: {{ $.ExternalURL }}{{ template "llm_sidecar.silence" $alert }}

{{ end }}{{ end }}{{ if gt (len .Alerts.Firing) @SHOWN@ }}And more: {{ len .Alerts.Firing }} in all.
{{ end }}
{{- end }}

{{ define "llm_sidecar.resolved" -}}
{{ range $index, $alert := .Alerts.Resolved }}{{ if lt $index @SHOWN@ }}{{ template "llm_sidecar.told" $alert }}
{{ end }}{{ end }}{{ if gt (len .Alerts.Resolved) @SHOWN@ }}And more: {{ len .Alerts.Resolved }} in all.
{{ end }}
{{- end }}
"""

_CHAT: Final = r"""
{{ define "llm_sidecar.chat.escaped" }}{{ . | reReplaceAll "&" "&amp;" | reReplaceAll "<" "&lt;" | reReplaceAll ">" "&gt;" }}{{ end }}

{{ define "llm_sidecar.chat.color" -}}
{{ if eq .Status "resolved" }}good{{ else if eq .CommonLabels.severity "critical" }}danger
{{- else if eq .CommonLabels.severity "info" }}#439fe0{{ else }}warning{{ end }}
{{- end }}

{{ define "llm_sidecar.chat.title" -}}
[{{ .Status | toUpper }}{{ if eq .Status "firing" }}:{{ len .Alerts.Firing }}{{ end }}]
{{- with .CommonLabels.alertname }} {{ template "llm_sidecar.chat.escaped" . }}{{ end }}
{{- with .CommonLabels.severity }} ({{ template "llm_sidecar.chat.escaped" . }}){{ end }}
{{- with .CommonLabels.namespace }} {{ template "llm_sidecar.chat.escaped" . }}{{ end }}
{{- with .CommonLabels.job }} {{ template "llm_sidecar.chat.escaped" . }}{{ end }}
{{- end }}

{{ define "llm_sidecar.chat.about" -}}
{{ range $index, $label := (.Labels.Remove (stringSlice "alertname" "severity")).SortedPairs }}
{{- if $index }}, {{ end }}{{ .Name }}={{ template "llm_sidecar.chat.escaped" .Value }}{{ end }}
{{- end }}

{{ define "llm_sidecar.chat.links" -}}
{{ with .Annotations.runbook_url }}{{ if match "^https?://" . }}<{{ template "llm_sidecar.chat.escaped" . }}|Runbook>
{{- else }}Runbook: {{ template "llm_sidecar.chat.escaped" . }}{{ end }} · {{ end }}
{{- with .Annotations.dashboard_url }}{{ if match "^https?://" . }}<{{ template "llm_sidecar.chat.escaped" . }}|Dashboard>
{{- else }}Dashboard: {{ template "llm_sidecar.chat.escaped" . }}{{ end }} · {{ end -}}
<{{ template "llm_sidecar.chat.escaped" .GeneratorURL }}|Query>
{{- end }}

{{ define "llm_sidecar.chat.told" -}}
*{{ template "llm_sidecar.chat.escaped" .Annotations.summary }}* {{ template "llm_sidecar.chat.escaped" .Annotations.description }}
_{{ template "llm_sidecar.chat.about" . }}; {{ template "llm_sidecar.when" . }}_
{{ template "llm_sidecar.chat.links" . }}
{{- end }}

{{ define "llm_sidecar.chat.text" -}}
{{ range $index, $alert := .Alerts.Firing }}{{ if lt $index @SHOWN@ }}{{ template "llm_sidecar.chat.told" $alert }}
{{- print " · " }}<{{ $.ExternalURL }}{{ template "llm_sidecar.silence" $alert }}|Silence>
{{ end }}{{ end }}{{ if gt (len .Alerts.Firing) @SHOWN@ }}And more: {{ len .Alerts.Firing }} in all.
{{ end }}
{{- range $index, $alert := .Alerts.Resolved }}{{ if lt $index @SHOWN@ }}Over: {{ template "llm_sidecar.chat.told" $alert }}
{{ end }}{{ end }}{{ if gt (len .Alerts.Resolved) @SHOWN@ }}And more that is over: {{ len .Alerts.Resolved }} in all.
{{ end }}
{{- end }}
"""

_PAGER: Final = r"""
{{ define "llm_sidecar.pager.severity" -}}
{{ if match "^(critical|warning|info)$" .CommonLabels.severity }}{{ .CommonLabels.severity }}{{ else }}error{{ end }}
{{- end }}

{{ define "llm_sidecar.pager.runbook" -}}
{{ $url := .CommonAnnotations.runbook_url -}}
{{ if or (eq (printf "%.8s" $url) "https://") (eq (printf "%.7s" $url) "http://") }}{{ $url }}{{ end }}
{{- end }}

{{ define "llm_sidecar.pager.dashboard" -}}
{{ $url := .CommonAnnotations.dashboard_url -}}
{{ if or (eq (printf "%.8s" $url) "https://") (eq (printf "%.7s" $url) "http://") }}{{ $url }}{{ end }}
{{- end }}
"""

_MAIL: Final = r"""
{{ define "llm_sidecar.mail.text" -}}
{{ with .Alerts.Firing }}Firing

{{ template "llm_sidecar.firing" $ }}{{ end }}{{ with .Alerts.Resolved }}Over

{{ template "llm_sidecar.resolved" $ }}{{ end }}{{ .ExternalURL }}
{{ end }}

{{ define "llm_sidecar.mail.told" }}<p><b>{{ .Annotations.summary }}</b> {{ .Annotations.description }}<br>
<small>{{ template "llm_sidecar.about" . }}; {{ template "llm_sidecar.when" . }}</small><br>
{{ with .Annotations.runbook_url }}{{ if match "^https?://" . }}<a href="{{ . }}">Runbook</a>
{{- else }}Runbook: {{ . }}{{ end }} · {{ end }}
{{ with .Annotations.dashboard_url }}{{ if match "^https?://" . }}<a href="{{ . }}">Dashboard</a>
{{- else }}Dashboard: {{ . }}{{ end }} · {{ end }}
<a href="{{ .GeneratorURL }}">Query</a>{{ end }}

{{ define "llm_sidecar.mail.html" }}<!DOCTYPE html>
<html><body style="font-family: sans-serif">
{{ with .Alerts.Firing }}<h2>Firing</h2>{{ end }}
{{ range $index, $alert := .Alerts.Firing }}{{ if lt $index @SHOWN@ }}{{ template "llm_sidecar.mail.told" $alert }} ·
<a href="{{ $.ExternalURL }}/#/silences/new?filter=
{{- "{" }}{{ range $index, $label := .Labels.SortedPairs }}{{ if $index }},{{ end }}{{ .Name }}={{ printf "%q" .Value }}{{ end }}{{ "}" -}}
">Silence</a></p>
{{ end }}{{ end }}{{ if gt (len .Alerts.Firing) @SHOWN@ }}<p>And more: {{ len .Alerts.Firing }} in all.</p>{{ end }}
{{ with .Alerts.Resolved }}<h2>Over</h2>{{ end }}
{{ range $index, $alert := .Alerts.Resolved }}{{ if lt $index @SHOWN@ }}{{ template "llm_sidecar.mail.told" $alert }}</p>
{{ end }}{{ end }}{{ if gt (len .Alerts.Resolved) @SHOWN@ }}<p>And more: {{ len .Alerts.Resolved }} in all.</p>{{ end }}
<p><a href="{{ .ExternalURL }}">Alertmanager</a></p>
</body></html>
{{ end }}
"""


def render_templates(terms: Terms) -> str:
    """Return the templates. A message's main link is the alert's own board; else the overview of `terms.links`, if that is absolute."""
    text = "\n".join(part.strip() + "\n" for part in (_PARTS, _CHAT, _PAGER, _MAIL))
    return text.replace("@SHOWN@", str(SHOWN)).replace("@OVERVIEW@", _link_overview(terms.links))


def inline_template(text: str, templates: str) -> str:
    """Return a text of the configuration together with all that it names of `templates`: it then needs no file beside it."""
    known = {_DEFINED.match(part)[1]: part for part in re.split(r"\n+(?={{ define )", templates.strip())}  # type: ignore[index]
    needed: dict[str, str] = {}
    names = _USED.findall(text)
    while names:
        name = names.pop(0)
        if name not in needed:
            needed[name] = known[name]
            names += _USED.findall(known[name])
    # What stands between two definitions would be part of the message: their ends take it away.
    return "".join(f"{part.removesuffix(' }}')} -}}}}\n" for part in needed.values()) + text


def _link_overview(links: Links) -> str:
    if not links.dashboards.startswith(("http://", "https://")):
        return '{{ template "llm_sidecar.alerts" . }}'
    return f"{links.dashboards.rstrip('/')}/d/{_OVERVIEW}?var-job={{{{ .CommonLabels.job | urlquery }}}}"
