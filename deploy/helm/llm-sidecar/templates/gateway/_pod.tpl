{{/* The pod of the gateway, with its metadata; a volume claim of the name `data` comes from elsewhere where there is one. */}}
{{- define "llm-sidecar.gateway.pod" -}}
{{- $root := . -}}
{{- with .Values.gateway -}}
metadata:
  labels:
    {{- merge (include "llm-sidecar.gateway.labels" $root | fromYaml) (deepCopy .podLabels) | toYaml | nindent 4 }}
  annotations:
    {{- $annotations := dict "kubectl.kubernetes.io/default-container" "llm-sidecar" }}
    {{- if .restartOnConfigChange }}
    {{- $_ := set $annotations "checksum/config" (toYaml .config | sha256sum) }}
    {{- end }}
    {{- mergeOverwrite $annotations (deepCopy .podAnnotations) | toYaml | nindent 4 }}
spec:
  serviceAccountName: {{ include "llm-sidecar.gateway.serviceAccountName" $root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with .imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  terminationGracePeriodSeconds: {{ add .drainSeconds 15 }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile:
      type: RuntimeDefault
  containers:
    - name: llm-sidecar
      image: {{ include "llm-sidecar.pieces.image" (dict "image" .image "version" $root.Chart.AppVersion) }}
      imagePullPolicy: {{ .image.pullPolicy }}
      args: [run]
      env:
        {{- include "llm-sidecar.pieces.overlay" (dict "items" (include "llm-sidecar.gateway.env" $root | fromYamlArray) "over" .extraEnv) | nindent 8 }}
      ports:
        - name: llm
          containerPort: 4000
        - name: admin
          containerPort: 9464
      {{- include "llm-sidecar.pieces.probes" (dict "scheme" (include "llm-sidecar.gateway.probeScheme" $root)) | nindent 6 }}
      resources:
        {{- toYaml .resources | nindent 8 }}
      securityContext:
        {{- include "llm-sidecar.pieces.securityContext" $root | nindent 8 }}
      volumeMounts:
        {{- include "llm-sidecar.gateway.mounts" $root | nindent 8 }}
  volumes:
    {{- include "llm-sidecar.gateway.volumes" $root | nindent 4 }}
  {{- with .nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- range . }}
    {{- $own := dict "labelSelector" (dict "matchLabels" (include "llm-sidecar.gateway.selectorLabels" $root | fromYaml)) }}
    {{- merge (deepCopy .) (hasKey . "labelSelector" | ternary dict $own) | list | toYaml | nindent 4 }}
    {{- end }}
  {{- end }}
{{- end -}}
{{- end -}}

{{/* Settings that follow from what the pod is: they go over the configuration's. */}}
{{- define "llm-sidecar.gateway.env" -}}
{{- $redis := .Values.gateway.redis -}}
{{- with .Values.gateway -}}
- name: LLM_SIDECAR_CONFIG
  value: /etc/llm-sidecar/sidecar.yaml
- name: LLM_SIDECAR_LISTEN
  value: 0.0.0.0:4000
- name: LLM_SIDECAR_ADMIN_LISTEN
  value: 0.0.0.0:9464
- name: LLM_SIDECAR__GATEWAY
  value: "true"
- name: LLM_SIDECAR__DRAIN__MODE
  value: serve
- name: LLM_SIDECAR__TIMEOUTS__SHUTDOWN
  value: {{ printf "%vs" .drainSeconds }}
{{- if .admin.webConfig.existingSecret }}
- name: LLM_SIDECAR__ADMIN__WEB_CONFIG_FILE
  value: /run/secrets/llm-sidecar-admin/{{ .admin.webConfig.key }}
{{- end }}
{{- if .journal.enabled }}
- name: LLM_SIDECAR__JOURNAL__DIRECTORY
  value: /var/lib/llm-sidecar/journal
{{- end }}
{{- if .ledger.enabled }}
- name: LLM_SIDECAR__BUDGETS__FILE
  value: /var/lib/llm-sidecar/ledger
{{- end }}
{{- with $redis.url }}
- name: LLM_SIDECAR__REDIS__URL
  value: {{ . | quote }}
{{- end }}
{{- with $redis.passwordFile }}
- name: LLM_SIDECAR__REDIS__PASSWORD_FILE
  value: {{ . | quote }}
{{- end }}
{{- with .otlpEndpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{ include "llm-sidecar.pieces.podEnv" . }}
{{- end -}}
{{- end -}}

{{- define "llm-sidecar.gateway.mounts" -}}
{{- with .Values.gateway -}}
- name: llm-sidecar-config
  mountPath: /etc/llm-sidecar
  readOnly: true
- name: llm-sidecar-data
  mountPath: /var/lib/llm-sidecar
{{- if .existingSecrets }}
- name: llm-sidecar-secrets
  mountPath: /run/secrets/llm-sidecar
  readOnly: true
{{- end }}
{{- if .admin.webConfig.existingSecret }}
- name: llm-sidecar-admin
  mountPath: /run/secrets/llm-sidecar-admin
  readOnly: true
{{- end }}
{{- with .extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}
{{- end -}}

{{- define "llm-sidecar.gateway.volumes" -}}
{{- $root := . -}}
{{- with .Values.gateway -}}
- name: llm-sidecar-config
  configMap:
    name: {{ include "llm-sidecar.gateway.configMapName" $root }}
{{- if not .persistence.enabled }}
- name: llm-sidecar-data
  emptyDir:
    sizeLimit: 256Mi
{{- end }}
{{- with .existingSecrets }}
- name: llm-sidecar-secrets
  {{- include "llm-sidecar.pieces.secrets" . | nindent 2 }}
{{- end }}
{{- with .admin.webConfig }}
{{- if .existingSecret }}
- name: llm-sidecar-admin
  {{- include "llm-sidecar.pieces.secrets" (prepend (.tlsSecret | empty | ternary list (list (dict "name" .tlsSecret))) (dict "name" .existingSecret)) | nindent 2 }}
{{- end }}
{{- end }}
{{- with .extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
{{- end -}}
