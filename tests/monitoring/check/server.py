"""How is a Prometheus had for a while? The real one, with the repository's configuration pointed at what runs here."""

import math
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import yaml

from tests.support.gateway import free_port, wait_until

ROOT = Path(__file__).parents[3]
CONFIGURATION = ROOT / "monitoring" / "prometheus" / "prometheus.yml"
SCRAPE_SECS = 1
PROMETHEUS = "prometheus:9090"
"""What Prometheus' own job is given as a target here."""


class MissingError(Exception):
    """Prometheus is not installed."""


def configuration(whole: Mapping[str, Any], rules: Path, targets: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """The repository's configuration, for targets on this host and scrapes every second.

    Whatever else a job says stays: what its relabelling makes of a target is what is asked for. Jobs without a target
    here are left out, and nobody is told of alerts.

    Args:
        rules: the folder with the rules as they are to be read.
        targets: by job, what its targets are called in the repository's words (`chat0:8000`), and where each is.
    """
    jobs = [_job(job, targets[job["job_name"]]) for job in whole["scrape_configs"] if job["job_name"] in targets]
    timing = {f"{name}_interval": f"{SCRAPE_SECS}s" for name in ("scrape", "evaluation")}
    return {
        "global": {**whole["global"], **timing, "scrape_timeout": f"{SCRAPE_SECS}s"},
        "rule_files": [str(rules / Path(name).name) for name in whole["rule_files"]],
        "scrape_configs": jobs,
    }


def _job(job: Mapping[str, Any], targets: Mapping[str, str]) -> dict[str, Any]:
    kept = {name: value for name, value in job.items() if not name.endswith("_sd_configs") and "scrape_" not in name}
    elsewhere = [
        {"source_labels": ["__address__"], "regex": name, "target_label": label, "replacement": value}
        for name, place in targets.items()
        for label, value in (("instance", name), ("__address__", place))
    ]
    return {
        **kept,
        "static_configs": [{"targets": list(targets)}],
        "relabel_configs": [*job.get("relabel_configs", []), *elsewhere],
    }


def hurried(rules: Mapping[str, Any]) -> dict[str, Any]:
    """A file of rules that are evaluated with every scrape, and whose alerts wait for nothing before they fire."""
    groups = [
        {
            **{name: value for name, value in group.items() if name != "interval"},
            "rules": [{name: value for name, value in rule.items() if name != "for"} for rule in group["rules"]],
        }
        for group in rules["groups"]
    ]
    return {**rules, "groups": groups}


def find() -> str:
    """The program.

    Raises:
        MissingError: it is not installed.
    """
    if (program := shutil.which("prometheus")) is None:
        raise MissingError("prometheus is not installed; on Debian: apt-get install prometheus")
    return program


class Prometheus:
    """A running one.

    Args:
        folder: where its data, its configuration and its log go.
        targets: see `configuration`; its own job is added.

    Raises:
        MissingError: it is not installed.
    """

    def __init__(self, folder: Path, targets: Mapping[str, Mapping[str, str]]) -> None:
        program = find()
        self._port = free_port()
        self._log = folder / "prometheus.log"
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{self._port}", timeout=30, trust_env=False)
        here = {**targets, "prometheus": {PROMETHEUS: f"127.0.0.1:{self._port}"}}
        written = folder / "prometheus.yml"
        written.write_text(yaml.safe_dump(configuration(_read(CONFIGURATION), _rules(folder), here)), "utf-8")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 -- the one found above
                [
                    program,
                    f"--config.file={written}",
                    f"--storage.tsdb.path={folder / 'tsdb'}",
                    f"--web.listen-address=127.0.0.1:{self._port}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> Self:
        wait_until(self._is_ready, what=f"Prometheus does not start; see {self._log}")
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._client.close()
        self._process.terminate()
        self._process.wait()

    def course(self, query: str, start: float, end: float, step: float = SCRAPE_SECS) -> list[dict[str, Any]]:
        """A query's series from start to end, in Prometheus' words, without figures that are none.

        Raises:
            ValueError: Prometheus does not take the query; in its words.
        """
        asked = {"query": query, "start": start, "end": end, "step": step}
        answer = self._client.post("/api/v1/query_range", data=asked).json()
        if answer["status"] != "success":
            raise ValueError(answer["error"])
        for series in answer["data"]["result"]:
            series["values"] = [(at, float(value)) for at, value in series["values"] if not math.isnan(float(value))]
        return [series for series in answer["data"]["result"] if series["values"]]

    def values(self, metric: str, label: str, start: float, end: float) -> list[str]:
        """A label's values of a metric: what a dashboard's variable offers."""
        asked: dict[str, str | float] = {"match[]": metric, "start": start, "end": end}
        return list(self._client.get(f"/api/v1/label/{label}/values", params=asked).json()["data"])

    def _is_ready(self) -> bool:
        if self._process.poll() is not None:
            raise AssertionError(f"Prometheus ended:\n{self._log.read_text(errors='replace')[-3000:]}")
        try:
            return self._client.get("/-/ready").is_success
        except httpx.TransportError:
            return False


def _rules(folder: Path) -> Path:
    """The repository's rules, hurried, in a folder of their own."""
    there = folder / "rules"
    there.mkdir()
    for file in (CONFIGURATION.parent / "rules").glob("*.yml"):
        (there / file.name).write_text(yaml.safe_dump(hurried(_read(file))), "utf-8")
    return there


def _read(file: Path) -> dict[str, Any]:
    whole: dict[str, Any] = yaml.safe_load(file.read_text("utf-8"))
    return whole
