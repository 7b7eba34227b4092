"""What may stand in manifests that Kubernetes itself does not know? The part of each definition that is used here.

They are prometheus-operator's ServiceMonitor and PrometheusRule (monitoring.coreos.com/v1), and KEDA's ScaledObject
(keda.sh/v1alpha1). A field that is not here is refused: whoever adds one looks it up first.
"""

from typing import Literal

import msgspec


class Strict(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """Nothing but its fields."""


class Metadata(Strict):
    name: str
    namespace: str
    labels: dict[str, str] = {}


class Labels(Strict):
    match_labels: dict[str, str]


class Relabeling(Strict):
    source_labels: list[str] = []
    regex: str = "(.*)"
    target_label: str = ""
    replacement: str = "$1"
    action: Literal["replace", "drop", "keep"] = "replace"


class Endpoint(Strict):
    port: str
    interval: str = "30s"
    scrape_timeout: str = "10s"
    relabelings: list[Relabeling] = []
    metric_relabelings: list[Relabeling] = []


class Monitored(Strict):
    selector: Labels
    endpoints: list[Endpoint]
    job_label: str = ""


class ServiceMonitor(Strict):
    api_version: Literal["monitoring.coreos.com/v1"]
    kind: Literal["ServiceMonitor"]
    metadata: Metadata
    spec: Monitored


class Rule(msgspec.Struct, forbid_unknown_fields=True):
    expr: str
    alert: str = ""
    record: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    for_: str = msgspec.field(default="", name="for")
    keep_firing_for: str = ""


class Group(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    rules: list[Rule]
    interval: str = ""


class Groups(Strict):
    groups: list[Group]


class PrometheusRule(Strict):
    api_version: Literal["monitoring.coreos.com/v1"]
    kind: Literal["PrometheusRule"]
    metadata: Metadata
    spec: Groups


class ScalingPolicy(Strict):
    type: Literal["Pods", "Percent"]
    value: int
    period_seconds: int


class ScalingRules(Strict):
    policies: list[ScalingPolicy]
    stabilization_window_seconds: int = 0


class Behavior(Strict):
    scale_up: ScalingRules
    scale_down: ScalingRules


class HorizontalPodAutoscalerConfig(Strict):
    behavior: Behavior


class Advanced(Strict):
    horizontal_pod_autoscaler_config: HorizontalPodAutoscalerConfig


class Fallback(Strict):
    failure_threshold: int
    replicas: int
    behavior: Literal["static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"] = "static"


class Target(Strict):
    name: str


class Trigger(Strict):
    type: Literal["prometheus", "cpu"]
    metadata: dict[str, str]
    metric_type: Literal["AverageValue", "Value", "Utilization"]


class Scaled(Strict):
    scale_target_ref: Target
    triggers: list[Trigger]
    min_replica_count: int
    max_replica_count: int
    polling_interval: int
    fallback: Fallback
    advanced: Advanced


class ScaledObject(Strict):
    api_version: Literal["keda.sh/v1alpha1"]
    kind: Literal["ScaledObject"]
    metadata: Metadata
    spec: Scaled


KINDS: dict[str, type[msgspec.Struct]] = {one.__name__: one for one in (ServiceMonitor, PrometheusRule, ScaledObject)}
"""By `kind`."""
