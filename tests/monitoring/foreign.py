"""Which metrics of others do rules read? Each with its labels and where it is written down."""

from typing import NamedTuple


class Foreign(NamedTuple):
    """A metric that is not the gateway's."""

    name: str
    labels: frozenset[str]
    source: str


_DCGM = "etc/default-counters.csv of NVIDIA/dcgm-exporter; labels as in its README"
_DCGM_LABELS = frozenset({"job", "instance", "gpu", "UUID", "device", "modelName"})

FOREIGN = {
    one.name: one
    for one in (
        Foreign("up", frozenset({"job", "instance", "backend"}), "Prometheus' own, for each target"),
        Foreign("nginx_up", frozenset({"job", "instance"}), "README of nginx/nginx-prometheus-exporter"),
        Foreign(
            "alertmanager_notifications_failed_total",
            frozenset({"job", "instance", "integration", "reason"}),
            "notify/notify.go of prometheus/alertmanager",
        ),
        Foreign("DCGM_FI_DEV_GPU_TEMP", _DCGM_LABELS, _DCGM),
        Foreign("DCGM_FI_DEV_XID_ERRORS", _DCGM_LABELS, _DCGM),
    )
}
