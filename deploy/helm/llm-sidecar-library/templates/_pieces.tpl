{{/*
What every container of llm-sidecar has, beside an application or as a gateway. Each takes only what it is given.
*/}}

{{/* The image. Takes a dict: image (repository, tag, digest), version (where there is no tag). */}}
{{- define "llm-sidecar.pieces.image" -}}
{{- $image := .image -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default .version }}
{{- end -}}
{{- end -}}

{{/* Pod Security "restricted", and a root that cannot be written to. */}}
{{- define "llm-sidecar.pieces.securityContext" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* Where the sidecar runs, for its traces: by the downward API. */}}
{{- define "llm-sidecar.pieces.podEnv" -}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: POD_UID
  valueFrom: {fieldRef: {fieldPath: metadata.uid}}
- name: NODE_NAME
  valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
- name: OTEL_RESOURCE_ATTRIBUTES
  value: >-
    k8s.pod.name=$(POD_NAME),k8s.namespace.name=$(POD_NAMESPACE),k8s.pod.uid=$(POD_UID),k8s.node.name=$(NODE_NAME),k8s.container.name=llm-sidecar,service.instance.id=$(POD_NAMESPACE).$(POD_NAME).llm-sidecar
{{- end -}}

{{/* Probes, by the number of the port. Takes a dict: scheme (HTTP, HTTPS, or TCP where a certificate is asked of everybody). */}}
{{- define "llm-sidecar.pieces.probes" -}}
startupProbe:
  {{- include "llm-sidecar.pieces.probe" (dict "path" "/-/ready" "scheme" .scheme) | nindent 2 }}
  periodSeconds: 1
  timeoutSeconds: 2
  failureThreshold: 60
readinessProbe:
  {{- include "llm-sidecar.pieces.probe" (dict "path" "/-/ready" "scheme" .scheme) | nindent 2 }}
  periodSeconds: 5
  timeoutSeconds: 2
livenessProbe:
  {{- include "llm-sidecar.pieces.probe" (dict "path" "/-/healthy" "scheme" .scheme) | nindent 2 }}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
{{- end -}}

{{- define "llm-sidecar.pieces.probe" -}}
{{- if eq .scheme "TCP" -}}
tcpSocket:
  port: 9464
{{- else -}}
httpGet:
  path: {{ .path }}
  port: 9464
  {{- if eq .scheme "HTTPS" }}
  scheme: HTTPS
  {{- end }}
{{- end -}}
{{- end -}}

{{/* The source of a volume: the keys of Secrets as files of one folder. Takes a list of {name, items, optional}. */}}
{{- define "llm-sidecar.pieces.secrets" -}}
{{- if eq (len .) 1 -}}
secret:
  {{- $one := first . }}
  {{- merge (dict "secretName" $one.name) (omit $one "name") | toYaml | nindent 2 }}
{{- else -}}
projected:
  sources:
    {{- range . }}
    - secret:
        {{- toYaml . | nindent 8 }}
    {{- end }}
{{- end -}}
{{- end -}}

{{/* Items with a name, once each: those of `over` in the places of those of `items`, the rest behind. Takes a dict: items, over. */}}
{{- define "llm-sidecar.pieces.overlay" -}}
{{- $over := dict -}}
{{- range .over -}}
{{- $_ := set $over .name . -}}
{{- end -}}
{{- $known := dict -}}
{{- $merged := list -}}
{{- range .items -}}
{{- $_ := set $known .name true -}}
{{- $merged = append $merged (get $over .name | default .) -}}
{{- end -}}
{{- range .over -}}
{{- if not (hasKey $known .name) -}}
{{- $merged = append $merged . -}}
{{- end -}}
{{- end -}}
{{- toYaml $merged -}}
{{- end -}}
