{{/* The chart's name, or what replaces it. */}}
{{- define "llm-sidecar.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* What objects are called: the release, with the chart's name unless that is in it. Short enough for what is put behind it. */}}
{{- define "llm-sidecar.fullname" -}}
{{- $name := include "llm-sidecar.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels of every object, as YAML. */}}
{{- define "llm-sidecar.labels" -}}
{{- $labels := dict
  "app.kubernetes.io/name" (include "llm-sidecar.name" .)
  "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/part-of" "llm-sidecar"
  "app.kubernetes.io/managed-by" .Release.Service
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
-}}
{{- mergeOverwrite (deepCopy .Values.commonLabels) $labels | toYaml -}}
{{- end -}}

{{/* What tells the gateway's pods from all others: never changes with a version. */}}
{{- define "llm-sidecar.gateway.selectorLabels" -}}
app.kubernetes.io/name: {{ include "llm-sidecar.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: gateway
{{- end -}}

{{- define "llm-sidecar.gateway.labels" -}}
{{- merge (dict "app.kubernetes.io/component" "gateway") (include "llm-sidecar.labels" . | fromYaml) | toYaml -}}
{{- end -}}

{{- define "llm-sidecar.gateway.serviceAccountName" -}}
{{- if .Values.gateway.serviceAccount.create -}}
{{- .Values.gateway.serviceAccount.name | default (include "llm-sidecar.fullname" .) -}}
{{- else -}}
{{- .Values.gateway.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "llm-sidecar.gateway.configMapName" -}}
{{- .Values.gateway.existingConfigMap | default (include "llm-sidecar.fullname" .) -}}
{{- end -}}

{{/* HTTP, HTTPS, or TCP where probes cannot speak what is asked for. */}}
{{- define "llm-sidecar.gateway.probeScheme" -}}
{{- $web := .Values.gateway.admin.webConfig -}}
{{- if $web.clientCertificates -}}
TCP
{{- else if $web.tlsSecret -}}
HTTPS
{{- else -}}
HTTP
{{- end -}}
{{- end -}}

{{/*
An object that `llm-sidecar render` made, under the release's names: its text is data and goes through no template, so that what
is written for Prometheus, Alertmanager and Grafana in braces stays as it is. Takes a dict: root, file, settings (namespace,
labels, annotations), and override, what takes the place of members of its spec.
*/}}
{{- define "llm-sidecar.object" -}}
{{- $object := .root.Files.Get .file | fromYaml -}}
{{- if not $object.kind -}}
{{- fail (printf "%s is not in the chart: package it with `helm package`, which follows its links" .file) -}}
{{- end -}}
{{- $name := printf "%s%s" (include "llm-sidecar.fullname" .root) (trimPrefix "llm-sidecar" $object.metadata.name) -}}
{{- $labels := mergeOverwrite (deepCopy $object.metadata.labels) (include "llm-sidecar.labels" .root | fromYaml) (.settings.labels | default dict) -}}
{{- $metadata := dict "name" $name "namespace" (.settings.namespace | default .root.Release.Namespace) "labels" $labels -}}
{{- with .settings.annotations | default $object.metadata.annotations -}}
{{- $_ := set $metadata "annotations" . -}}
{{- end -}}
{{- $_ := set $object "metadata" $metadata -}}
{{- with .override -}}
{{- $_ := set $object "spec" (mergeOverwrite $object.spec .) -}}
{{- end -}}
{{- toYaml $object -}}
{{- end -}}

{{/* What tells the pods of `helm test` from all others. */}}
{{- define "llm-sidecar.tests.selectorLabels" -}}
app.kubernetes.io/name: {{ include "llm-sidecar.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: test
{{- end -}}
