"""What brings no data without a GPU, and why? Each row is a metric, or one of its selectors, that is not had here."""

from collections.abc import Mapping

ELSEWHERE: Mapping[str, str] = {
    "DCGM_FI_DEV_FB_USED": "a GPU, and NVIDIA's DCGM exporter",
    "DCGM_FI_DEV_GPU_TEMP": "a GPU, and NVIDIA's DCGM exporter",
    "DCGM_FI_DEV_GPU_UTIL": "a GPU, and NVIDIA's DCGM exporter",
    "DCGM_FI_DEV_POWER_USAGE": "a GPU, and NVIDIA's DCGM exporter",
    "DCGM_FI_DEV_SM_CLOCK": "a GPU, and NVIDIA's DCGM exporter",
    "DCGM_FI_DEV_XID_ERRORS": "a GPU, and NVIDIA's DCGM exporter",
    "alertmanager_notifications_failed_total": "Alertmanager",
    "nginx_connections_active": "nginx, and its exporter",
    "nginx_connections_waiting": "nginx, and its exporter",
    "nginx_http_requests_total": "nginx, and its exporter",
    "nginx_up": "nginx, and its exporter",
    'up{job="nginx"}': "nginx, and its exporter",
}
"""Whatever asks for one of these may be without data, and must be: a row that is not true any more fails the check."""
