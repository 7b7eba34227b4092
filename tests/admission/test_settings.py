"""What is counted fits into what the store counts with."""

from collections.abc import AsyncIterator

import pytest
from pydantic import ValidationError

from gateway.admission.settings import MAX_COUNTED, MAX_PATIENCE_SECS, AdmissionSettings
from gateway.core.clock import SystemClock
from gateway.store.lmdb import LmdbStore
from gateway.store.settings import StoreSettings

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LmdbStore]:
    opened = LmdbStore(StoreSettings(limiter_path=tmp_path_factory.mktemp("s", numbered=True)), SystemClock())
    await opened.open()
    yield opened
    await opened.close()


@pytest.mark.parametrize(
    "mistake",
    [
        {"max_inflight_per_ip": 0},
        {"max_inflight_per_ip": MAX_COUNTED + 1},
        {"max_queued_per_ip": MAX_COUNTED + 1},
        {"queue_timeout_secs": MAX_PATIENCE_SECS + 1},
    ],
)
def test_what_cannot_be_counted_or_awaited_is_refused(mistake: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        AdmissionSettings.model_validate(mistake)


async def test_the_most_that_may_be_set_can_be_kept(store: LmdbStore) -> None:
    most = AdmissionSettings(
        max_inflight_per_ip=MAX_COUNTED, max_queued_per_ip=MAX_COUNTED, queue_timeout_secs=MAX_PATIENCE_SECS
    )
    limit, queued, patience = most.max_inflight_per_ip, most.max_queued_per_ip, most.queue_timeout_secs
    store.release(await store.acquire("a", limit=limit, max_queued=queued, patience=patience))
    assert store.counts().in_flight == 0
