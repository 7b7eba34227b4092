"""Which panels does an operator look at? Four dashboards as tables of panels, from which Grafana's JSON is written."""
