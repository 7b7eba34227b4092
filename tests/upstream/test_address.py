"""Where may a backend stand? Plain http(s) URLs, and nowhere near a cloud's credentials."""

import pytest

from gateway.upstream.address import Address


@pytest.mark.parametrize(
    ("url", "host", "port", "base", "authority"),
    [
        ("http://chat0:8000", "chat0", 8000, b"", b"chat0:8000"),
        ("http://chat0:8000/", "chat0", 8000, b"", b"chat0:8000"),
        ("http://Chat0.Example.", "chat0.example", 80, b"", b"chat0.example"),
        ("https://gpu.example/a/b/", "gpu.example", 443, b"/a/b", b"gpu.example"),
        ("https://gpu.example:8443", "gpu.example", 8443, b"", b"gpu.example:8443"),
        ("http://10.0.0.7:8000", "10.0.0.7", 8000, b"", b"10.0.0.7:8000"),
        ("http://0x7f.1:8000", "127.0.0.1", 8000, b"", b"127.0.0.1:8000"),
        ("http://[::1]:8000", "::1", 8000, b"", b"[::1]:8000"),
        ("http://[0:0::1]", "::1", 80, b"", b"[::1]"),
        ("http://[::ffff:10.0.0.7]:8000", "10.0.0.7", 8000, b"", b"10.0.0.7:8000"),
        ("http://[64:ff9b:1::10.0.0.7]", "64:ff9b:1::a00:7", 80, b"", b"[64:ff9b:1::a00:7]"),
        ("http://text2sql_1:8000", "text2sql_1", 8000, b"", b"text2sql_1:8000"),
    ],
)
def test_a_plain_url_is_read(url: str, host: str, port: int, base: bytes, authority: bytes) -> None:
    address = Address.parse(url)
    assert (address.host, address.port, address.base, address.authority) == (host, port, base, authority)
    assert Address.parse(str(address)) == address
    assert {Address.parse(url): 1}[address] == 1


@pytest.mark.parametrize(
    "url",
    [
        "",
        "chat0:8000",
        "chat0",
        "ftp://chat0",
        "http://",
        "http://:8000",
        "http:///v1",
        "http://chat0:0",
        "http://chat0:65536",
        "http://chat0:",
        "http://chat0:port",
        "http://user:secret@chat0",
        "http://@chat0",
        "http://chat0?x=1",
        "http://chat0/#x",
        "http://chat0/a b",
        "http://chat0/a//b",
        "http://chat0\r\nx: y",
        "http://chat0\\@evil",
        "http://chät0",
        "http://\uff11\uff16\uff19.254.169.254",
        "http://-chat0-",
        "http://a..b%2f",
        "http://[::1",
        "http://[fe80::1%25eth0]",
        "http://" + "a" * 254,
    ],
)
def test_what_is_no_plain_url_is_refused_with_a_sentence(url: str) -> None:
    with pytest.raises(ValueError, match=r"\.$|BACKEND_API_KEY"):
        Address.parse(url)


def test_a_refusal_does_not_repeat_a_password() -> None:
    with pytest.raises(ValueError, match="user name") as caught:
        Address.parse("http://user:secret@chat0")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.170.2",
        "169.254.0.1",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "[fd00:ec2::254]",
        "[fd20:ce::254]",
        "[fe80::1]",
        "2852039166",
        "0xA9FEA9FE",
        "0xa9.0xfe.0xa9.0xfe",
        "0251.0376.0251.0376",
        "025177524776",
        "169.254.43518",
        "169.16689662",
        "169.254.169.254.",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[::169.254.169.254]",
        "[64:ff9b::169.254.169.254]",
        "[64:ff9b:1::169.254.169.254]",
        "[64:ff9b:1:6464:64:c800::]",
        "[64:ff9b:1:a9:fe:a9fe::]",
        "[64:ff9b:1:7:a9:fea9:fe00:0]",
        "[2002:a9fe:a9fe::1]",
        "metadata.google.internal",
        "METADATA.google.internal.",
        "metadata",
        "instance-data",
    ],
)
def test_a_metadata_address_is_refused_in_every_disguise(host: str) -> None:
    with pytest.raises(ValueError, match="no backend may stand"):
        Address.parse(f"http://{host}/latest")
