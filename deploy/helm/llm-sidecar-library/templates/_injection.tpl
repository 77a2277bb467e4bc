{{/*
What a chart puts into its pods. Each template takes the chart's root context, as in

  initContainers:
    {{- include "llm-sidecar.initContainers" . | nindent 4 }}

Its settings are the values of the dependency, under its alias `llmSidecar` or its name.
*/}}

{{- define "llm-sidecar.settings" -}}
{{- $settings := index .Values "llmSidecar" | default (index .Values "llm-sidecar-library") | required "llm-sidecar-library is no dependency of this chart" -}}
{{- if not (has $settings.mode (list "native" "classic")) -}}
{{- fail (printf "mode of llm-sidecar: %v, allowed: native, classic" $settings.mode) -}}
{{- end -}}
{{- toYaml $settings -}}
{{- end -}}

{{/* An item of initContainers: the native sidecar. Put it first, so that whatever comes after it can make calls. */}}
{{- define "llm-sidecar.initContainers" -}}
{{- $settings := include "llm-sidecar.settings" . | fromYaml -}}
{{- if and $settings.enabled (eq $settings.mode "native") -}}
{{- list (include "llm-sidecar.container" (dict "settings" $settings) | fromYaml) | toYaml -}}
{{- end -}}
{{- end -}}

{{/* An item of containers: the classic sidecar. */}}
{{- define "llm-sidecar.containers" -}}
{{- $settings := include "llm-sidecar.settings" . | fromYaml -}}
{{- if and $settings.enabled (eq $settings.mode "classic") -}}
{{- list (include "llm-sidecar.container" (dict "settings" $settings) | fromYaml) | toYaml -}}
{{- end -}}
{{- end -}}

{{/* Items of volumes, which the sidecar mounts. */}}
{{- define "llm-sidecar.volumes" -}}
{{- $settings := include "llm-sidecar.settings" . | fromYaml -}}
{{- if $settings.enabled -}}
{{- with $settings.configMap -}}
- name: llm-sidecar-config
  configMap:
    name: {{ . }}
{{ end -}}
{{- with $settings.secrets -}}
- name: llm-sidecar-secrets
  {{- include "llm-sidecar.pieces.secrets" . | nindent 2 }}
{{ end -}}
- name: llm-sidecar-data
  emptyDir: {}
{{- end -}}
{{- end -}}

{{/* Items of env of the application's containers: where the SDKs find the sidecar. */}}
{{- define "llm-sidecar.appEnv" -}}
{{- $settings := include "llm-sidecar.settings" . | fromYaml -}}
{{- if $settings.enabled -}}
- name: OPENAI_BASE_URL
  value: http://127.0.0.1:4000/openai/v1
- name: ANTHROPIC_BASE_URL
  value: http://127.0.0.1:4000/anthropic
- name: GOOGLE_GEMINI_BASE_URL
  value: http://127.0.0.1:4000/gemini
- name: OLLAMA_HOST
  value: http://127.0.0.1:4000/ollama
{{- end -}}
{{- end -}}

{{/* Labels of the pod: the PodMonitor finds it by them. */}}
{{- define "llm-sidecar.podLabels" -}}
{{- $settings := include "llm-sidecar.settings" . | fromYaml -}}
{{- if $settings.enabled -}}
llm-sidecar/inject: "true"
{{- end -}}
{{- end -}}

{{/* Annotations of the pod, for a Prometheus without the operator. */}}
{{- define "llm-sidecar.podAnnotations" -}}
{{- $settings := include "llm-sidecar.settings" . | fromYaml -}}
{{- if $settings.enabled -}}
prometheus.io/scrape: "true"
prometheus.io/port: "9464"
prometheus.io/path: /metrics
{{- end -}}
{{- end -}}

{{/* The pod's terminationGracePeriodSeconds. */}}
{{- define "llm-sidecar.terminationGracePeriodSeconds" -}}
{{- $settings := include "llm-sidecar.settings" . | fromYaml -}}
{{- $settings.terminationGracePeriodSeconds | int -}}
{{- end -}}

{{/* The container itself. Takes a dict: settings. */}}
{{- define "llm-sidecar.container" -}}
{{- with .settings -}}
name: llm-sidecar
image: {{ include "llm-sidecar.pieces.image" (dict "image" .image "version" .image.tag) }}
{{- with .image.pullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
{{- if eq .mode "native" }}
restartPolicy: Always
{{- end }}
env:
  {{- $env := include "llm-sidecar.containerEnv" (dict "settings" .) | fromYamlArray }}
  {{- include "llm-sidecar.pieces.overlay" (dict "items" $env "over" .extraEnv) | nindent 2 }}
ports:
  - name: admin
    containerPort: 9464
{{ include "llm-sidecar.pieces.probes" (dict "scheme" "HTTP") }}
{{- if eq .mode "classic" }}
lifecycle:
  preStop:
    exec:
      command: [/opt/llm-sidecar/bin/python, -c, "import time; time.sleep(5)"]
{{- end }}
resources:
  {{- toYaml .resources | nindent 2 }}
securityContext:
  {{- include "llm-sidecar.pieces.securityContext" . | nindent 2 }}
volumeMounts:
  {{- if .configMap }}
  - name: llm-sidecar-config
    mountPath: /etc/llm-sidecar
    readOnly: true
  {{- end }}
  {{- if .secrets }}
  - name: llm-sidecar-secrets
    mountPath: /run/secrets/llm-sidecar
    readOnly: true
  {{- end }}
  - name: llm-sidecar-data
    mountPath: /var/lib/llm-sidecar
  {{- with .extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}
{{- end -}}

{{- define "llm-sidecar.containerEnv" -}}
{{- with .settings -}}
{{- if .configMap -}}
- name: LLM_SIDECAR_CONFIG
  value: /etc/llm-sidecar/sidecar.yaml
{{ end -}}
- name: LLM_SIDECAR_ADMIN_LISTEN
  value: 0.0.0.0:9464
{{- if eq .mode "classic" }}
- name: LLM_SIDECAR__DRAIN__MODE
  value: serve
- name: LLM_SIDECAR__TIMEOUTS__SHUTDOWN
  value: {{ printf "%ds" (sub .terminationGracePeriodSeconds 15) }}
{{- end }}
{{- with .otlpEndpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{ include "llm-sidecar.pieces.podEnv" . }}
{{- end -}}
{{- end -}}
