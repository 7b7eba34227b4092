"""What stands in every Compose test? The files as Compose reads them."""

from typing import Any

import pytest

from tests.compose.project import (
    GRAFANA_PASSWORD,
    KEYS,
    MONITORING,
    PASSWORDS,
    REAL,
    SIMULATED,
    Project,
    need_compose,
)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "compose: starts the whole stack in containers; takes minutes")


@pytest.fixture(scope="session", autouse=True)
def _compose() -> None:
    need_compose()


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """docker-compose.yml alone."""
    return Project(tmp_path_factory.mktemp("real"), REAL).config()


@pytest.fixture(scope="session")
def grown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """docker-compose.yml with all its profiles."""
    settings = {**KEYS, "COMPOSE_PROFILES": "redis,postgres", "GATEWAY_REPLICAS": "3", **PASSWORDS}
    return Project(tmp_path_factory.mktemp("grown"), REAL, settings).config()


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """With compose.sim.yml on top."""
    return Project(tmp_path_factory.mktemp("simulated"), SIMULATED).config()


@pytest.fixture(scope="session")
def monitoring(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """docker-compose.monitoring.yml, a project of its own, as on a host with GPUs."""
    settings = {"GRAFANA_ADMIN_PASSWORD": GRAFANA_PASSWORD, "COMPOSE_PROFILES": "gpu"}
    return Project(tmp_path_factory.mktemp("monitoring"), MONITORING, settings).config()
