"""Tests of bench/instruments: the mock and the load generator, each held against the other and against raw bytes."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from bench.instruments.build import Instruments, build, compiler
from bench.instruments.mock import Mock
from bench.processes import finished, free_port, poll, running
from tests.support import docker


@pytest.fixture(scope="module")
def instruments(tmp_path_factory: pytest.TempPathFactory) -> Instruments:
    """The three programs."""
    if compiler() is None:
        docker.skip_or_fail("NO C COMPILER: the bench's instruments were not built")
    return build(tmp_path_factory.mktemp("instruments"))


@pytest.fixture
def mock(instruments: Instruments, tmp_path: Path) -> Iterator[Mock]:
    """A mock that answers at once, streams of 64 events."""
    mock = Mock(free_port())
    argv = [str(instruments.mock), "-p", str(mock.port)]
    with running(argv, cores=frozenset(), folder=tmp_path, log=tmp_path / "log", environment={}):
        for _ in poll(30):
            try:
                mock.stats()
            except OSError:
                continue
            break
        yield mock


def load(instruments: Instruments, port: int, *arguments: str) -> tuple[int, dict[str, Any]]:
    """A load of 20 requests over four connections: sseload's exit code and report."""
    done = finished([instruments.sseload, "-j", "-p", str(port), "-c", "4", "-n", "20", *arguments])
    report: dict[str, Any] = orjson.loads(done.stdout)
    return done.returncode, report


def received(port: int, request: bytes, until: bytes) -> bytes:
    """What comes back up to a mark."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(request)
        data = b""
        while until not in data:
            piece = client.recv(65536)
            assert piece, f"closed before {until!r} came: {data!r}"
            data += piece
    return data


def test_both_count_the_same_answers(instruments: Instruments, mock: Mock) -> None:
    code, report = load(instruments, mock.port)
    assert (code, report["ok"], report["errors"], report["connections"]) == (0, 20, 0, 4)
    assert mock.stats()["done"] == 20


def test_no_two_bodies_are_alike_where_that_was_asked_for(instruments: Instruments, tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(b'{"input":"00000000"}')
    with socket.create_server(("127.0.0.1", 0)) as server:
        argv = [str(instruments.sseload), "-c", "1", "-n", "2", "-b", str(body), "-u"]
        argv += ["-p", str(server.getsockname()[1])]
        with running(argv, cores=frozenset(), folder=tmp_path, log=tmp_path / "log", environment={}):
            client, _ = server.accept()
            with client:
                for number in (0, 1):
                    data = b""
                    while not data.endswith(b"}"):
                        data += client.recv(65536)
                    assert data.endswith(b'{"input":"%08d"}' % number)
                    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")


def test_both_count_the_same_events(instruments: Instruments, mock: Mock) -> None:
    code, report = load(instruments, mock.port, "-s", "-e", "64")
    assert (code, report["ok"], report["status"]) == (0, 20, {"200": 20})
    assert mock.stats()["events"] == 20 * 64
    assert report["lag_ms"]["max"] > 0


def test_a_stream_of_another_length_is_an_error(instruments: Instruments, mock: Mock) -> None:
    mock.set(events=63)
    code, report = load(instruments, mock.port, "-s", "-e", "64")
    assert (code, report["ok"], report["err"]["event_count"]) == (1, 0, 20)


def test_a_paced_stream_keeps_its_pace(instruments: Instruments, mock: Mock) -> None:
    mock.set(events=5, delay_ms=20)
    _, report = load(instruments, mock.port, "-s", "-e", "5")
    assert report["total_ms"]["p50"] >= 4 * 20


def test_usage_comes_as_it_was_asked_for(mock: Mock) -> None:
    mock.set(events=3)
    options = b'{"stream":true,"stream_options":{"include_usage":true,"continuous_usage_stats":%s}}'
    for continuous, expected in ((b"true", 4), (b"false", 1)):
        body = options % continuous
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
        assert received(mock.port, head + body, b"[DONE]").count(b'"usage":') == expected


def test_a_body_in_chunks_is_read_whole(mock: Mock) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b'9\r\n{"stream"\r\n6\r\n:true}\r\n0\r\n\r\n'
    assert received(mock.port, head + chunks, b"[DONE]").count(b"data: {") == 64


def test_a_peer_that_leaves_in_mid_answer_is_counted_as_aborted(mock: Mock) -> None:
    mock.set(events=500, delay_ms=20)
    body = b'{"stream":true}'
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    received(mock.port, head + body, b"ts=")
    for _ in poll(30):
        if mock.stats()["aborted"]:
            break
    assert mock.stats()["aborted"] == 1
    assert mock.idle()


def test_embeddings_are_256_vectors_whatever_was_asked(mock: Mock) -> None:
    request = b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
    answer = orjson.loads(received(mock.port, request, b'"completion_tokens":0}}').partition(b"\r\n\r\n")[2])
    assert [len(vector["embedding"]) for vector in answer["data"]] == [384] * 256


def test_a_body_of_any_size_is_sent_as_it_lies_in_its_file(
    instruments: Instruments, mock: Mock, tmp_path: Path
) -> None:
    body = tmp_path / "body"
    body.write_bytes(b" " * 300_000 + b'{"stream":true}')  # the mock streams when it has read to the end
    code, report = load(instruments, mock.port, "-s", "-e", "64", "-b", str(body))
    assert (code, report["ok"]) == (0, 20)


def test_a_body_that_is_not_there_ends_the_load(instruments: Instruments, tmp_path: Path) -> None:
    done = finished([instruments.sseload, "-j", "-p", "1", "-b", tmp_path / "none"])
    assert done.returncode == 2
    assert "-b" in done.stderr


def test_nobody_there_is_an_error_of_its_own(instruments: Instruments) -> None:
    done = finished([instruments.sseload, "-j", "-p", str(free_port()), "-c", "1", "-d", "0.3"])
    assert done.returncode == 1
    assert orjson.loads(done.stdout)["err"]["connect"] > 0


def test_the_yardstick_says_how_long_it_took(instruments: Instruments) -> None:
    assert float(finished([instruments.calib]).stdout) > 0
