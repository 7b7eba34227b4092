"""What stands in every test of the manifests? Both overlays, built once."""

from pathlib import Path

import pytest

from tests.deploy.cluster import Cluster
from tests.deploy.kustomize import copied, manifests


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of deploy/kubernetes with secrets."""
    return copied(tmp_path_factory.mktemp("deploy"))


@pytest.fixture(scope="session")
def production(folder: Path) -> Cluster:
    return Cluster(manifests(folder, "production"))


@pytest.fixture(scope="session")
def sim(folder: Path) -> Cluster:
    return Cluster(manifests(folder, "sim"))


@pytest.fixture(params=["production", "sim"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """Each overlay in turn."""
    built: Cluster = request.getfixturevalue(request.param)
    return built
