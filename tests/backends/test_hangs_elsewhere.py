"""What a prober makes of another host's word that an engine hangs: it believes it until it sees the engine move."""

import pytest

from gateway.backends.health import State
from gateway.backends.reasons import Reason
from tests.backends.scripted import ScriptedBackend, page
from tests.backends.watching import Watch

pytestmark = pytest.mark.anyio


async def told_of_hanging(backend: ScriptedBackend) -> Watch:
    """A prober that has seen the backend well, and is then told otherwise."""
    backend.metrics = page(generated=10)
    watch = Watch(backend.url, backend_up_after=1)
    assert (await watch.probes(2)).state is State.HEALTHY
    watch.heritage.hanging["chat0"] = watch.time.now + 15
    return watch


async def test_an_engine_that_hangs_elsewhere_is_down_here_while_that_word_holds(backend: ScriptedBackend) -> None:
    watch = await told_of_hanging(backend)
    verdict = await watch.probes()
    assert (verdict.state, verdict.reason) == (State.DOWN, Reason.STALLED)
    verdict = await watch.probes(each=20)
    assert verdict.state is State.HEALTHY


async def test_one_that_is_seen_to_move_here_does_not_hang(backend: ScriptedBackend) -> None:
    watch = await told_of_hanging(backend)
    backend.metrics = page(generated=20)
    assert (await watch.probes()).state is State.HEALTHY
