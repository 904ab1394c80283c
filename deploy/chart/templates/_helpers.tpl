{{- define "platform.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "platform.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "platform.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* What every process of Dagster is given: settings of the platform, and the password of Postgres. */}}
{{- define "platform.envFrom" -}}
- configMapRef: {name: {{ .Release.Name }}-platform}
{{- range .Values.platform.secrets }}
- secretRef: {name: {{ . }}}
{{- end }}
- secretRef: {name: {{ .Values.postgres.secret }}}
{{- end }}

{{- define "platform.env" -}}
- {name: HOME, value: /tmp}
- {name: PLATFORM_HOME, value: /tmp/platform}
- {name: DAGSTER_HOME, value: /opt/dagster/home}
{{- end }}

{{/* One process of Dagster as a Deployment: (root, name, account, replicas, command, port, probe, resources) */}}
{{- define "platform.deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .root.Release.Name }}-{{ .name }}
  labels: {{- include "platform.labels" .root | nindent 4 }}
spec:
  replicas: {{ .replicas }}
  {{- if ne .name "web" }}
  strategy: {type: Recreate}
  {{- end }}
  selector:
    matchLabels: {app.kubernetes.io/instance: {{ .root.Release.Name }}, app.kubernetes.io/component: {{ .name }}}
  template:
    metadata:
      labels:
        {{- include "platform.labels" .root | nindent 8 }}
        app.kubernetes.io/component: {{ .name }}
      annotations:
        # A changed instance or setting restarts what read the old one.
        checksum/config: {{ include (print .root.Template.BasePath "/config.yaml") .root | sha256sum }}
    spec:
      serviceAccountName: {{ .root.Release.Name }}-{{ .account }}
      enableServiceLinks: false
      securityContext: {{- include "platform.podSecurity" .root | nindent 8 }}
      containers:
      - name: {{ .name }}
        image: {{ .root.Values.image }}
        imagePullPolicy: {{ .root.Values.imagePullPolicy }}
        command: {{ .command | toJson }}
        env: {{- include "platform.env" .root | nindent 8 }}
        envFrom: {{- include "platform.envFrom" .root | nindent 8 }}
        securityContext: {{- include "platform.containerSecurity" .root | nindent 10 }}
        resources: {{- .resources | toYaml | nindent 10 }}
        {{- if .port }}
        ports: [{name: main, containerPort: {{ .port }}}]
        startupProbe: {{- merge (dict "periodSeconds" 3 "failureThreshold" 60 "timeoutSeconds" 10) .probe | toYaml | nindent 10 }}
        readinessProbe: {{- merge (dict "periodSeconds" 20 "failureThreshold" 3 "timeoutSeconds" 15) .probe | toYaml | nindent 10 }}
        {{- end }}
        volumeMounts:
        - {name: tmp, mountPath: /tmp}
        - {name: home, mountPath: /opt/dagster/home}
        - {name: instance, mountPath: /opt/dagster/home/dagster.yaml, subPath: dagster.yaml}
        - {name: instance, mountPath: /opt/dagster/home/workspace.yaml, subPath: workspace.yaml}
        - {name: profiles, mountPath: /etc/platform}
      volumes:
      - {name: tmp, emptyDir: {sizeLimit: 4Gi}}
      - {name: home, emptyDir: {sizeLimit: 1Gi}}
      - {name: instance, configMap: {name: {{ .root.Release.Name }}-instance}}
      - {name: profiles, configMap: {name: {{ .root.Release.Name }}-profiles}}
{{- end }}
