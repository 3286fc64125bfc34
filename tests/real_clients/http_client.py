"""Python's http.client against the addresses of hello, name and echo."""

import sys
from http.client import HTTPConnection

HANGS = 60
LIMIT = 8 * 1024 * 1024


def connect(address):
    return HTTPConnection(address, timeout=HANGS)


def ask(connection, method, path="/", body=None, status=200, **options):
    connection.request(method, path, body=body, **options)
    response = connection.getresponse()
    content = response.read()
    assert response.status == status, (response.status, content[:200])
    return response, content


hello, name, echo = map(connect, sys.argv[1:])

# HEAD announces the length that GET has, and the connection stays in step.
response, content = ask(hello, "HEAD")
assert (response.getheader("Content-Length"), content) == ("13", b""), content
assert ask(hello, "GET")[1] == b"Hello, world!"

# Fifty requests over one socket.
sockets = set()
for number in range(50):
    assert ask(name, "GET", f"/?name={number}")[1] == f"Hello, {number}!".encode()
    sockets.add(name.sock)
assert len(sockets) == 1, sockets

# HTTP/1.0 without keep-alive: the connection ends with the response.
old = connect(sys.argv[2])
old._http_vsn, old._http_vsn_str = 10, "HTTP/1.0"
response, content = ask(old, "GET", "/?name=1.0")
assert content == b"Hello, 1.0!" and response.will_close and old.sock is None, content

# Content with a length, in chunks, in chunks of single bytes, and no content: all over one socket.
large = bytes(range(256)) * (5 * 4096)
assert ask(echo, "POST", body=large)[1] == large
socket = echo.sock
pieces = [large[start:start + 70_001] for start in range(0, len(large), 70_001)]
assert ask(echo, "POST", body=iter(pieces), encode_chunked=True)[1] == large
assert ask(echo, "PUT", body=iter([b"a", b"b", b"c"]), encode_chunked=True)[1] == b"abc"
assert ask(echo, "POST", body=b"")[1] == b""
assert echo.sock is socket

# This client sends all of its content before it reads. The response must survive until then.
for body in (bytes(LIMIT + 1), iter([bytes(LIMIT), b"1"])):
    response, content = ask(connect(sys.argv[3]), "POST", body=body, status=413, encode_chunked=True)
    assert response.will_close

print("done")
