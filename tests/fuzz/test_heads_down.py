"""What of a backend's head does a client see? Any fields at all, through a whole gateway."""

import queue
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.asgi import Headers
from tests.fuzz.damage import damaged
from tests.fuzz.effort import examples
from tests.support.gateway import Gateway, RawClient
from tests.upstream.backend import Backend, Peer

ANSWER = b'{"id":"chatcmpl-1","object":"chat.completion","choices":[{"index":0,"finish_reason":"stop"}]}'
ERROR = b'{"error":{"message":"canary","type":"BadRequestError","param":null,"code":400}}'
SHOWN = sorted(b"connection content-length content-type date x-request-id".split() + 6 * [b"x-ratelimit-"])
NAMES = st.sampled_from(
    b"Set-Cookie Server Date X-Request-Id Connection Keep-Alive Upgrade Via Allow Content-Encoding Location "
    b"WWW-Authenticate Access-Control-Allow-Origin X-Should-Retry Retry-After Trailer X-Accel-Redirect X-Canary "
    b"Metadata- Content-Language ETag".split()
)
VALUES = damaged(st.sampled_from([b"canary", b"canary, x-canary", b"close", b"7", b""]), [b"\t", b"\xff", b" ", b","])
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=6)
TYPES = st.sampled_from([b"application/json", b"application/json; charset=utf-8"])
MODELS = b'{"object":"list","data":[{"id":"qwen","object":"model","max_model_len":8192}]}'
WELL = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(MODELS), MODELS)


class Puppet:
    """A backend that is well and sends the answers that it is given."""

    def __init__(self) -> None:
        self.answers: queue.Queue[bytes] = queue.Queue()

    def __call__(self, peer: Peer) -> None:
        while True:
            probed = peer.request().startswith(b"GET ")
            peer.say(WELL if probed else self.answers.get())


@pytest.fixture(scope="module")
def puppet() -> Puppet:
    return Puppet()


@pytest.fixture(scope="module")
def gateway(puppet: Puppet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Backend(puppet) as backend:
        settings = {"CHAT_BACKENDS": f"http://127.0.0.1:{backend.port}", "MAX_RPS_PER_IP": 10_000, "RPS_BURST": 10_000}
        with Gateway(tmp_path_factory.mktemp("gateway"), **settings) as gateway:
            yield gateway


@examples(100)
@given(st.sampled_from([200, 200, 400, 404, 422]), FIELDS, TYPES)
def test_nothing_that_a_backend_writes_into_its_head_is_shown_but_the_bodys_type(
    gateway: Gateway, puppet: Puppet, status: int, fields: Headers, kind: bytes
) -> None:
    body = ANSWER if status == 200 else ERROR
    own = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    lines = [b"%b: %b" % field for field in [*fields, *own]]
    puppet.answers.put(b"\r\n".join([b"HTTP/1.1 %d Canary" % status, *lines, b"", body]))
    with RawClient(gateway.port) as client:
        asked = {"messages": [{"role": "user", "content": "hi"}]}
        received = client.post("/v1/chat/completions", asked, headers="Connection: close\r\n").rest()
    head, _, rest = received.partition(b"\r\n\r\n")
    first, *shown = head.split(b"\r\n")
    names = [re.sub(rb"(?<=ratelimit-).*", b"", line.partition(b": ")[0].lower()) for line in shown]
    assert first.startswith(b"HTTP/1.1 %d " % status)
    assert rest == body
    assert sorted(names) == SHOWN
    assert b"canary" not in head.lower()
