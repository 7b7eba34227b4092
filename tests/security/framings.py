"""Which requests could be read as two? A corpus of framings, each with a whole request hidden where one reading ends.

Whoever goes by the length finds one body that is no JSON, and so does whoever goes by the chunks. A hidden request runs
only where two readers, or a reader and itself, disagree.
"""

from tests.security.house import asking, head

HIDDEN = asking("hidden")
CHUNKED = b"Transfer-Encoding: chunked"

DISGUISES: dict[str, bytes] = {
    "plain": CHUNKED,
    "capitals": b"TRANSFER-ENCODING: CHUNKED",
    "no blank": b"Transfer-Encoding:chunked",
    "two blanks": b"Transfer-Encoding:  chunked",
    "a tab": b"Transfer-Encoding:\tchunked",
    "a blank behind": b"Transfer-Encoding: chunked ",
    "a tab behind": b"Transfer-Encoding: chunked\t",
    "a vertical tab": b"Transfer-Encoding:\x0bchunked",
    "a form feed": b"Transfer-Encoding:\x0cchunked",
    "a no-break space": b"Transfer-Encoding:\xa0chunked",
    "a byte behind": b"Transfer-Encoding: chunked\xff",
    "a NUL behind": b"Transfer-Encoding: chunked\0",
    "quotes": b'Transfer-Encoding: "chunked"',
    "apostrophes": b"Transfer-Encoding: 'chunked'",
    "a letter before": b"Transfer-Encoding: xchunked",
    "a letter behind": b"Transfer-Encoding: chunkedx",
    "cut short": b"Transfer-Encoding: chunk",
    "a parameter": b"Transfer-Encoding: chunked;q=1",
    "a comma behind": b"Transfer-Encoding: chunked,",
    "a comma before": b"Transfer-Encoding: ,chunked",
    "nothing": b"Transfer-Encoding:",
    "identity": b"Transfer-Encoding: identity",
    "then identity": b"Transfer-Encoding: chunked, identity",
    "identity first": b"Transfer-Encoding: identity, chunked",
    "gzip first": b"Transfer-Encoding: gzip, chunked",
    "twice in one": b"Transfer-Encoding: chunked, chunked",
    "twice": CHUNKED + b"\r\n" + CHUNKED,
    "another before": b"Transfer-Encoding: x\r\n" + CHUNKED,
    "another behind": CHUNKED + b"\r\nTransfer-Encoding: x",
    "an empty one behind": CHUNKED + b"\r\nTransfer-Encoding:",
    "a blank before the colon": b"Transfer-Encoding : chunked",
    "a tab before the colon": b"Transfer-Encoding\t: chunked",
    "a NUL in the name": b"Transfer-Encoding\0: chunked",
    "folded": b"Transfer-Encoding:\r\n chunked",
    "folded by a tab": b"Transfer-Encoding:\r\n\tchunked",
    "folded behind another": b"X: y\r\n Transfer-Encoding: chunked",
    "behind a bare CR": b"X: y\rTransfer-Encoding: chunked",
    "before a bare CR": b"Transfer-Encoding: chunked\rX: y",
    "behind a bare LF": b"X: y\nTransfer-Encoding: chunked",
    "a bare LF in it": b"Transfer-Encoding:\nchunked",
}
"""What some server or other has taken for `Transfer-Encoding: chunked` while another did not."""

OTHER_FIELDS = {
    "an underscore": b"Transfer_Encoding: chunked",
    "a letter in front": b"XTransfer-Encoding: chunked",
    "content encoding": b"Content-Encoding: chunked",
    "te": b"TE: chunked",
}
"""What nobody may take for it: the length counts."""

LENGTHS = {
    "the same twice": b"Content-Length: %d\r\nContent-Length: %d",
    "two that differ": b"Content-Length: 4\r\nContent-Length: %d",
    "two that differ, turned round": b"Content-Length: %d\r\nContent-Length: 4",
    "a list": b"Content-Length: %d, %d",
    "a list that differs": b"Content-Length: 4, %d",
    "a plus": b"Content-Length: +%d",
    "a minus": b"Content-Length: -%d",
    "hexadecimal": b"Content-Length: 0x%x",
    "a fraction": b"Content-Length: %d.0",
    "a semicolon": b"Content-Length: %d;",
    "a digit of another script": b"Content-Length: \xef\xbc\x95%d",
    "an exponent": b"Content-Length: %de0",
    "an underscore in it": b"Content-Length: 0_%d",
    "a blank in it": b"Content-Length: 0 %d",
    "nothing": b"Content-Length:",
    "a word": b"Content-Length: all",
    "beyond 64 bits": b"Content-Length: 18446744073709551616%d",
    "a blank before the colon": b"Content-Length : %d",
    "folded": b"Content-Length:\r\n %d",
    "a NUL": b"Content-Length: %d\0",
    "behind a bare CR": b"X: y\rContent-Length: %d",
}
"""Spellings of a length that readers have differed on; `%d` is that of what hides behind it."""

CHUNKS = {
    "hexadecimal marked": b"0x%x\r\n",
    "a plus": b"+%x\r\n",
    "a minus": b"-%x\r\n",
    "a blank before": b" %x\r\n",
    "an underscore": b"0_%x\r\n",
    "no digit": b"\r\n%x\r\n",
    "a word": b"zz%x\r\n",
    "beyond 64 bits": b"10000000000000%04x\r\n\r\n0",
    "ended by LF": b"%x\n",
    "ended by CR": b"%x\r",
    "LF in its extension": b"%x;\n\r\n",
    "CR in its extension": b"%x;a\rb\r\n",
    "a NUL behind it": b"%x\0\r\n",
}
"""Lines that a chunk might begin with."""


def _ambiguous() -> dict[str, bytes]:
    found = {}
    for name, line in (DISGUISES | OTHER_FIELDS).items():
        body = b"0\r\n\r\n" + HIDDEN
        found[f"length, and chunks: {name}"] = head(line, b"Content-Length: %d" % len(body)) + body
    size = b"%x\r\n" % len(HIDDEN)
    for name, line in DISGUISES.items():
        rest = size + HIDDEN + b"\r\n0\r\n\r\n"
        found[f"chunks, and length: {name}"] = head(b"Content-Length: %d" % len(size), line) + rest
    for name, form in LENGTHS.items():
        line = form % ((len(HIDDEN),) * form.count(b"%"))
        found[f"length: {name}"] = head(line) + HIDDEN
    for name, form in CHUNKS.items():
        found[f"chunk: {name}"] = head(CHUNKED) + form % len(HIDDEN) + HIDDEN + b"\r\n0\r\n\r\n"
    found["chunk: more than it says"] = head(CHUNKED) + b"2\r\n{}" + HIDDEN
    found["chunk: two bytes for its end"] = head(CHUNKED) + b"2\r\n{}xx0\r\n\r\n" + HIDDEN
    found["chunks in HTTP/1.0"] = head(CHUNKED, version=b"1.0") + b"0\r\n\r\n" + HIDDEN
    return found


AMBIGUOUS = _ambiguous()
"""Each is a 400, and nothing of it runs."""


def _carrying(method: bytes, path: bytes, *lines: bytes) -> bytes:
    return head(b"Content-Length: %d" % len(HIDDEN), *lines, method=method, path=path) + HIDDEN


UNREAD = {
    "GET with a body": _carrying(b"GET", b"/v1/models"),
    "HEAD with a body": _carrying(b"HEAD", b"/v1/models"),
    "GET with a body in chunks": head(CHUNKED, method=b"GET", path=b"/v1/models")
    + b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN),
    "GET with a body, to an open path": _carrying(b"GET", b"/ready"),
    "an unknown path": _carrying(b"POST", b"/v1/nothing"),
    "another method": _carrying(b"PUT", b"/v1/completions"),
    "a method that nobody has": _carrying(b"PURGE", b"/v1/completions"),
    "OPTIONS": _carrying(b"OPTIONS", b"/v1/completions"),
    "a wrong key": head(b"X-Api-Key: x", b"Content-Length: %d" % len(HIDDEN)).replace(b"Bearer ", b"Bearer x") + HIDDEN,
    "an operator's path": _carrying(b"POST", b"/admin/v1/keys"),
    "a compressed body": _carrying(b"POST", b"/v1/completions", b"Content-Encoding: gzip"),
    "a body that is asked for": _carrying(b"POST", b"/v1/nothing", b"Expect: 100-continue"),
    "another protocol": _carrying(b"POST", b"/v1/nothing", b"Connection: upgrade", b"Upgrade: h2c"),
    "a socket": _carrying(b"GET", b"/v1/models", b"Connection: upgrade", b"Upgrade: websocket"),
    "a length that is hop by hop": _carrying(b"POST", b"/v1/nothing", b"Connection: content-length"),
    "a body that is no JSON": _carrying(b"POST", b"/v1/completions"),
}
"""Well-formed requests that are answered without their bodies: none of those is read as the next request."""

BODY = asking("outer").partition(b"\r\n\r\n")[2]


def _in_chunks(form: bytes, *lines: bytes) -> bytes:
    return head(CHUNKED, *lines) + form % (len(BODY), BODY)


PLAIN = {
    "a length": asking("outer"),
    "a length with zeros in front": head(b"Content-Length: 000%d" % len(BODY)) + BODY,
    "a length among blanks": head(b"Content-Length:   %d  " % len(BODY)) + BODY,
    "chunks": _in_chunks(b"%x\r\n%b\r\n0\r\n\r\n"),
    "chunks in capitals": _in_chunks(b"%X\r\n%b\r\n0\r\n\r\n").replace(b": chunked", b": ChunkED"),
    "a size with zeros in front": _in_chunks(b"000%x\r\n%b\r\n000\r\n\r\n"),
    "an extension": _in_chunks(b'%x;a="b;c"\r\n%b\r\n0;d\r\n\r\n'),
    "a key in a trailer": _in_chunks(b"%x\r\n%b\r\n0\r\nAuthorization: Bearer x\r\nHost: other\r\n\r\n"),
    "a whole URL of another host": asking("outer", path=b"http://other.test/v1/completions"),
    "empty lines in front": b"\r\n\r\n" + asking("outer"),
    "a field of bytes": asking("outer", b"X-Name: caf\xe9"),
    "framing in other fields": asking("outer", b"X-Transfer-Encoding: chunked", b"X-Content-Length: 5"),
    "hop by hop": asking("outer", b"Connection: close, x-request-id, authorization"),
}
"""Each is one request to whoever reads it, and that request is the one that runs."""

FRAMED_IN_A_TRAILER = _in_chunks(b"%x\r\n%b\r\n0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n")
