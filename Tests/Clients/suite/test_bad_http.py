"""Bad input over HTTP: each gets its status and one body that every client can read, or a closed connection; nothing is
appended, the node lives and memory does not grow. The limits are those that /v1 documents."""

import time

import pytest

from harness.broker import Broker
from harness.http import Connection, NoReply, call, seconds_until_end
from harness.wire import Connection as KafkaConnection

pytestmark = pytest.mark.gateway

JSON, NDJSON = "application/json", "application/x-ndjson"
MIB = 1 << 20


def check_problem(reply, status=None, code=None) -> dict:
    if status is not None:
        assert reply.status in (status if isinstance(status, tuple) else (status,)), (reply.status, reply.body[:300])
    assert reply.field("Content-Type").split(";")[0] == "application/problem+json"
    problem = reply.json
    for member in ("type", "title", "status", "detail", "code", "error", "message", "request_id"):
        assert member in problem, f"{member} is missing in {problem}"
    assert problem["status"] == reply.status
    if code is not None:
        assert problem["code"] in (code if isinstance(code, tuple) else (code,)), problem
    return problem


@pytest.fixture
def topic(broker, new_topic):
    """A topic that must hold nothing at the end of the test."""
    name = new_topic(1)
    yield name
    with KafkaConnection(broker.bootstrap) as connection:
        assert connection.list_offset(name, 0, -1)[2] == 0, "something was appended"


# MARK: Bodies

INVALID_JSON = {
    "open object": b'{"a":1', "open array": b'[{"a":1}', "open string": b'{"a":"b', "comma at the end": b'{"a":1,}', "no comma": b'[{"a":1} {"b":2}]',
    "no colon": b'{"a" 1}', "single quotes": b"{'a':1}", "bare name": b"{a:1}", "cut literal": b'{"a":tru}', "NaN": b'{"a":NaN}', "leading zero": b'{"a":01}',
    "plus": b'{"a":+1}', "no digits": b'{"a":1.}', "exponent": b'{"a":1e}', "control character": b'{"a":"\x01"}', "line end in string": b'{"a":"\n"}',
    "bad escape": b'{"a":"\\x"}', "short escape": b'{"a":"\\u12"}', "more behind": b'{"a":1} x', "two values": b'{"a":1}{"b":2}', "comment": b'{"a":1/*x*/}',
    "key is a number": b'{1:2}', "only white space": b"  \n ", "comma first": b'[,{"a":1}]', "NUL": b'{"a":1}\x00', "byte order mark": b'\xef\xbb\xbf{"a":1}',
}
INVALID_UTF8 = {
    "stray byte": b'{"a":"\xff"}', "overlong": b'{"a":"\xc0\x80"}', "surrogate": b'{"a":"\xed\xa0\x80"}', "cut": b'{"a":"\xe2\x82"}', "beyond Unicode": b'{"a":"\xf4\x90\x80\x80"}',
    "in a name": b'{"\xff":1}', "continuation first": b'{"a":"\x80"}',
}


@pytest.mark.parametrize("name", INVALID_JSON)
def test_invalid_json(broker, topic, name):
    code = ("invalid_json", "body_required") if name == "only white space" else "invalid_json"
    check_problem(call(broker.http, "POST", f"/v1/topics/{topic}/events", INVALID_JSON[name], JSON), 400, code)


@pytest.mark.parametrize("name", INVALID_UTF8)
def test_invalid_utf8(broker, topic, name):
    check_problem(call(broker.http, "POST", f"/v1/topics/{topic}/events", INVALID_UTF8[name], JSON), 400, ("invalid_utf8", "invalid_json"))


@pytest.mark.parametrize("content_type", [JSON, NDJSON])
def test_no_body(broker, topic, content_type):
    check_problem(call(broker.http, "POST", f"/v1/topics/{topic}/events", b"", content_type), 400, "body_required")


@pytest.mark.parametrize(("depth", "fits"), [(60, True), (65, False), (100_000, False)])
def test_depth(broker, new_topic, depth, fits):
    body = b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)
    reply = call(broker.http, "POST", f"/v1/topics/{new_topic()}/events", body, JSON)
    assert reply.status == 201 if fits else check_problem(reply, 400, "depth_exceeded")


def test_one_bad_event_among_good_ones_is_never_passed_over(broker, new_topic):
    """Either the whole batch is refused and nothing appended, or the reply is a 207 that names the bad one."""
    name = new_topic(1)
    reply = call(broker.http, "POST", f"/v1/topics/{name}/events", b'{"a":1}\n{"b":\n{"c":3}\n', NDJSON)
    with KafkaConnection(broker.bootstrap) as connection:
        end = connection.list_offset(name, 0, -1)[2]
    if reply.status == 207:
        assert [r["status"] == "ok" for r in reply.json["results"]] == [True, False, True] and end == 2
    else:
        check_problem(reply, (400, 422))
        assert end == 0


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "image/png", "application/jsonp", "nonsense", "application/json; charset=utf-16",
                                          "application/x-www-form-urlencoded", None])
def test_wrong_content_type(broker, topic, content_type):
    reply = call(broker.http, "POST", f"/v1/topics/{topic}/events", b"{}", content_type)
    check_problem(reply, 415)


@pytest.mark.parametrize("path", ["/events", "/ingest", "/"])
@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a", None])
def test_a_web_page_cannot_post_without_being_asked(broker, path, content_type):
    body = b'{"event_type":"session_started","payload":{}}'
    problem = check_problem(call(broker.http, "POST", path, body, content_type), 415)
    assert "-H 'Content-Type: application/json'" in problem["detail"]


@pytest.mark.parametrize(("name", "value"), [("Idempotency-Key", '"a"'), ("Prefer", "respond-async"), ("X-Event-Time", "garbage"), ("X-Record-Header-A", "b"), ("ce-specversion", "1.0")])
def test_fields_without_effect_are_refused_by_name(broker, topic, name, value):
    reply = call(broker.http, "POST", f"/v1/topics/{topic}/events", b"{}", JSON, **{name: value})
    assert name.lower() in check_problem(reply, 400, "unsupported_header")["detail"].lower()


def test_parameters_without_effect_are_refused_by_name(broker, topic):
    assert "ack" in check_problem(call(broker.http, "POST", f"/v1/topics/{topic}/events?ack=none", b"{}", JSON), 400, "unsupported_parameter")["detail"]
    check_problem(call(broker.http, "GET", f"/v1/topics/{topic}/records?group=a"), 400, "unsupported_parameter")


def test_a_long_key_is_not_written_into_every_record(broker, topic):
    check_problem(call(broker.http, "POST", f"/v1/topics/{topic}/events", b"1\n" * 90_000, NDJSON, Partition_Key="k" * 7_900), 431, "partition_key_too_large")
    check_problem(call(broker.http, "POST", f"/v1/topics/{topic}/events", b"1\n" * 90_000, NDJSON, Partition_Key="k" * 1_000), 413, "repeated_too_much")


def test_bodies_that_are_only_announced_keep_nobody_out(broker, new_topic):
    name = new_topic(1)
    head = f"POST /v1/topics/{name}/events HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\nContent-Length: {16 * MIB}\r\n\r\n".encode()
    connections = [Connection(broker.http) for _ in range(32)]
    try:
        for connection in connections:
            connection.send(head)
        body = b'{"a":"' + b"x" * (MIB // 2) + b'"}'
        for _ in range(5):
            assert call(broker.http, "POST", f"/v1/topics/{name}/events", body, JSON).status == 201
    finally:
        for connection in connections:
            connection.socket.close()


def test_a_slow_uploader_reads_its_refusal(broker, topic):
    with Connection(broker.http) as connection:
        connection.send(f"POST /v1/topics/{topic}/events HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\nContent-Length: {100 * MIB}\r\n\r\n".encode())
        for _ in range(8):
            connection.socket.sendall(b" " * MIB)  # a reset would show here
            time.sleep(0.3)
        check_problem(connection.receive(), 413)


def test_versions_and_the_whole_server(broker):
    with Connection(broker.http) as connection:
        for minor in range(1, 10):
            connection.send(f"GET /healthz HTTP/1.{minor}\r\nHost: x\r\n\r\n".encode())
            assert connection.receive().status == 200
        connection.send(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")
        assert "POST" in connection.receive().field("Allow")
    for version in ("0.9", "2.0", "3.0"):
        with Connection(broker.http) as connection:
            connection.send(f"GET /healthz HTTP/{version}\r\nHost: x\r\n\r\n".encode())
            check_problem(connection.receive(), 505)


def test_connections_over_the_limit_are_told(new_broker):
    node = new_broker(http_max_connections_per_ip=3)
    kept = []
    while len(kept) < 3:  # those that asked whether the node is ready may still be counted
        connection = Connection(node.http)
        if connection.request("GET", "/healthz").status == 200:
            kept.append(connection)
    refused = int(kept[0].request("GET", "/metrics").body.decode().split("millrace_http_refused_connections_total ")[-1].split()[0])
    for _ in range(20):
        with Connection(node.http) as connection:
            reply = connection.request("GET", "/healthz")
            assert reply.status == 503 and reply.field("Retry-After") == "1" and reply.json["code"] == "overloaded"
    assert f"millrace_http_refused_connections_total {refused + 20}\n" in kept[0].request("GET", "/metrics").body.decode()
    for connection in kept:
        connection.socket.close()


def test_content_type_with_its_parameters(broker, new_topic):
    for content_type in ("application/json; charset=utf-8", "Application/JSON;charset=UTF-8"):
        assert call(broker.http, "POST", f"/v1/topics/{new_topic()}/events", b"{}", content_type).status == 201


def test_an_event_over_its_limit(broker, topic):
    body = b'{"a":"' + b"x" * (MIB + 10) + b'"}'
    check_problem(call(broker.http, "POST", f"/v1/topics/{topic}/events", body, JSON), 413)


def test_a_body_over_its_limit_is_refused_before_it_is_read(broker, topic):
    with Connection(broker.http) as connection:
        connection.send(f"POST /v1/topics/{topic}/events HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\nContent-Length: {17 * MIB}\r\n\r\n".encode())
        check_problem(connection.receive(), 413)
        assert connection.is_closed()


def test_a_chunked_body_over_its_limit(broker, topic):
    with Connection(broker.http) as connection:
        connection.send(f"POST /v1/topics/{topic}/events HTTP/1.1\r\nHost: x\r\nContent-Type: {NDJSON}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        chunk = b"%x\r\n" % (MIB // 2) + b'{"a":"' + b"x" * (MIB // 2 - 9) + b'"}\n' + b"\r\n"
        for _ in range(40):
            connection.send(chunk)
        connection.send(b"0\r\n\r\n")
        try:
            check_problem(connection.receive(), 413)
        except NoReply:
            pass  # the reset that ends an unread body can overtake the reply


def test_impossible_topics(broker):
    for path in ("/v1/topics/bad%20name/events", "/v1/topics/../events", "/v1/topics//events", f"/v1/topics/{'x' * 250}/events", "/v1/topics/a%2Fb/events", "/v1/topics/a%00b/events"):
        check_problem(call(broker.http, "POST", path, b"{}", JSON), (400, 404))


def test_unknown_paths_and_methods(broker, topic):
    check_problem(call(broker.http, "GET", "/nothing/here"), 404)
    reply = call(broker.http, "DELETE", f"/v1/topics/{topic}/events")
    check_problem(reply, 405)
    assert "POST" in reply.field("Allow")


# MARK: Framing: what one server reads as one request and another as two

EVENTS = "/v1/topics/{topic}/events"
GOOD_HEAD = "POST /v1/topics/{topic}/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
SECOND = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"

BAD_FRAMING = {
    "length and chunked": GOOD_HEAD + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths that differ": GOOD_HEAD + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "two lengths alike": GOOD_HEAD + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "lengths as a list": GOOD_HEAD + "Content-Length: 2, 2\r\n\r\n{}",
    "length with a plus": GOOD_HEAD + "Content-Length: +2\r\n\r\n{}",
    "length negative": GOOD_HEAD + "Content-Length: -2\r\n\r\n{}",
    "length in hexadecimal": GOOD_HEAD + "Content-Length: 0x2\r\n\r\n{}",
    "length empty": GOOD_HEAD + "Content-Length: \r\n\r\n{}",
    "length with words": GOOD_HEAD + "Content-Length: 2 bytes\r\n\r\n{}",
    "length beyond 64 bits": GOOD_HEAD + "Content-Length: 99999999999999999999999\r\n\r\n{}",
    "unknown coding": GOOD_HEAD + "Transfer-Encoding: gzip\r\n\r\n{}",
    "chunked not last": GOOD_HEAD + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked twice": GOOD_HEAD + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked misspelt": GOOD_HEAD + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked with a control character": GOOD_HEAD + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "folded field": GOOD_HEAD + "X-A: b\r\n c\r\nContent-Length: 2\r\n\r\n{}",
    "space before the colon": GOOD_HEAD + "Content-Length : 2\r\n\r\n{}",
    "field without a colon": GOOD_HEAD + "Nonsense\r\nContent-Length: 2\r\n\r\n{}",
    "field without a name": GOOD_HEAD + ": x\r\nContent-Length: 2\r\n\r\n{}",
    "field name with a space": GOOD_HEAD + "X A: b\r\nContent-Length: 2\r\n\r\n{}",
    "NUL in a value": GOOD_HEAD + "X-A: b\x00c\r\nContent-Length: 2\r\n\r\n{}",
    "CR in a value": GOOD_HEAD + "X-A: b\rc\r\nContent-Length: 2\r\n\r\n{}",
    "lines end in LF": GOOD_HEAD.replace("\r\n", "\n") + "Content-Length: 2\n\n{}",
    "one line ends in LF": GOOD_HEAD + "X-A: b\nContent-Length: 2\r\n\r\n{}",
    "no host": "POST /v1/topics/{topic}/events HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
    "two hosts": GOOD_HEAD + "Host: y\r\nContent-Length: 2\r\n\r\n{}",
    "version 2.0": GOOD_HEAD.replace("1.1", "2.0") + "Content-Length: 2\r\n\r\n{}",
    "version of words": GOOD_HEAD.replace("HTTP/1.1", "HTTP/one") + "Content-Length: 2\r\n\r\n{}",
    "two spaces in the request line": GOOD_HEAD.replace("POST ", "POST  ") + "Content-Length: 2\r\n\r\n{}",
    "tab in the request line": GOOD_HEAD.replace("POST ", "POST\t") + "Content-Length: 2\r\n\r\n{}",
    "unknown method": GOOD_HEAD.replace("POST", "BREW") + "Content-Length: 2\r\n\r\n{}",
    "chunk size of words": GOOD_HEAD + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n{}\r\n0\r\n\r\n",
    "chunk size with 0x": GOOD_HEAD + "Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
    "chunk size negative": GOOD_HEAD + "Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
    "chunk size beyond 64 bits": GOOD_HEAD + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff2\r\n{}\r\n0\r\n\r\n",
    "chunk without its end": GOOD_HEAD + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}0\r\n\r\n",
    "chunk lines end in LF": GOOD_HEAD + "Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n",
    "no length at all": GOOD_HEAD + "\r\n",
    "TLS": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + "\x00" * 50 + "\r\n\r\n",
}


@pytest.mark.parametrize("name", BAD_FRAMING)
def test_bad_framing_ends_the_connection_after_one_refusal(broker, topic, name):
    # A second request rides behind: whoever mistakes where the first one ends would answer it.
    with Connection(broker.http, timeout=10) as connection:
        connection.send(BAD_FRAMING[name].replace("{topic}", topic).encode("latin-1") + SECOND.encode())
        try:
            reply = connection.receive()
        except NoReply:
            return
        if name in ("unknown method", "no length at all"):
            assert reply.status in (400, 405, 411, 501)
            return
        assert reply.status in (400, 411, 413, 501, 505), reply.body
        check_problem(reply)
        assert connection.is_closed(), f"more came: {connection.buffered[:100]!r}"


@pytest.mark.parametrize(("head", "statuses"), [
    ("GET /" + "x" * 9_000 + " HTTP/1.1\r\nHost: x\r\n\r\n", (414,)),
    ("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " + "x" * 9_000 + "\r\n\r\n", (431,)),
    ("GET /healthz HTTP/1.1\r\nHost: x\r\n" + "".join(f"X-{n}: y\r\n" for n in range(120)) + "\r\n", (431,)),
    ("GET /healthz HTTP/1.1\r\nHost: x\r\n" + "".join(f"X-{n}: {'y' * 7_000}\r\n" for n in range(6)) + "\r\n", (431,)),
], ids=["request line", "field", "number of fields", "whole head"])
def test_heads_over_their_limits(broker, head, statuses):
    with Connection(broker.http) as connection:
        connection.send(head.encode())
        reply = connection.receive()
        assert reply.status in statuses
        assert connection.is_closed()


def test_a_head_without_end(broker):
    with Connection(broker.http) as connection:
        for _ in range(50):
            connection.send(b"X" * 4096)
        try:
            assert connection.receive().status in (400, 414, 431)
        except NoReply:
            pass
        assert connection.is_closed()


def test_expectations(broker, new_topic, topic):
    head = f"POST /v1/topics/{new_topic()}/events HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\nExpect: 100-continue\r\nContent-Length: "
    with Connection(broker.http) as connection:
        connection.send((head + "2\r\n\r\n").encode())
        assert connection.receive().status == 100
        connection.send(b"{}")
        assert connection.receive().status == 201
    with Connection(broker.http) as connection:
        connection.send((head + f"{17 * MIB}\r\n\r\n").encode())
        assert connection.receive().status == 413, "no 100 for a body that is refused anyway"


def test_connections_stay_open_and_close_as_asked(broker):
    with Connection(broker.http) as connection:
        for _ in range(3):
            assert connection.request("GET", "/healthz").status == 200
        head = connection.request("HEAD", "/healthz")
        assert head.status in (200, 405)
        assert connection.request("GET", "/healthz", fields={"Connection": "close"}).status == 200
        assert connection.is_closed()
    with Connection(broker.http) as connection:
        connection.send(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert connection.receive().status in (200, 505)
        assert connection.is_closed()


# MARK: Slow peers


def test_a_head_that_never_ends_is_cut_off(broker):
    with Connection(broker.http, timeout=15) as connection:
        connection.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        seconds, reply = seconds_until_end(connection, 12)
        assert seconds < 10
        assert reply is None or reply.status == 408


def test_a_head_that_trickles_is_cut_off(broker):
    with Connection(broker.http, timeout=15) as connection:
        for _ in range(18):
            connection.send(b"X")
            try:
                connection.socket.settimeout(0.5)
                if connection.socket.recv(1000):
                    return  # 408
                return
            except TimeoutError:
                continue
            except ConnectionResetError:
                return
        pytest.fail("one byte each half second kept a connection for 9 s")


def test_a_body_that_stalls_is_cut_off(broker, topic):
    with Connection(broker.http, timeout=20) as connection:
        connection.send(f"POST /v1/topics/{topic}/events HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\nContent-Length: 1000\r\n\r\n{{".encode())
        seconds, reply = seconds_until_end(connection, 18)
        assert seconds < 16
        assert reply is None or reply.status == 408


def test_peers_that_vanish(broker, topic):
    whole = f"POST /v1/topics/{topic}/events HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\nContent-Length: 1000\r\n\r\n{{".encode()
    for cut in (1, 20, 80, len(whole)):
        with Connection(broker.http) as connection:
            connection.send(whole[:cut])


# MARK: Memory

MEMORY_BOUND = 48 << 20


@pytest.fixture
def measured(broker):
    if not isinstance(broker, Broker):
        pytest.skip("resident memory is measured of a node that this suite started")
    return broker


def test_announced_bodies_cost_nothing(measured, topic):
    before = measured.resident_bytes()
    connections = [Connection(measured.http) for _ in range(150)]
    try:
        for connection in connections:
            connection.send(f"POST /v1/topics/{topic}/events HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\nContent-Length: {15 * MIB}\r\n\r\n".encode() + b"[" + b" " * 1000)
        assert call(measured.http, "GET", "/healthz").status == 200
        assert measured.resident_bytes() - before < MEMORY_BOUND
    finally:
        for connection in connections:
            connection.socket.close()


def test_a_large_record_is_read_in_pieces(measured, new_topic):
    """Its text is six times its size: 120 MB, of which the node must hold little."""
    from confluent_kafka import Producer

    name, size = new_topic(1, **{"max.message.bytes": str(30 * MIB)}), 20 * MIB
    producer = Producer({"bootstrap.servers": measured.bootstrap, "message.max.bytes": 25 * MIB})
    producer.produce(name, b"\x01" * size)
    assert producer.flush(30) == 0
    call(measured.http, "GET", "/healthz")
    before = measured.resident_bytes()
    with Connection(measured.http, timeout=60) as connection:
        connection.send(f"GET /v1/topics/{name}/records HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        time.sleep(0.5)  # nobody reads meanwhile
        during = measured.resident_bytes()
        reply = connection.receive()
    assert reply.status == 200
    [record] = reply.json["records"]
    assert record["value"] == "\x01" * size and reply.json["next_offset"] == 1
    # The batch, and a bounded part of its text.
    assert during - before < size + MEMORY_BOUND
    assert measured.resident_bytes() - before < size + MEMORY_BOUND


def test_memory_does_not_grow_under_bad_requests(measured, topic):
    for repetitions in (5, 40):
        before = measured.resident_bytes()
        for _ in range(repetitions):
            for text in BAD_FRAMING.values():
                with Connection(measured.http) as connection:
                    connection.send(text.replace("{topic}", topic).encode("latin-1"))
            with Connection(measured.http) as connection:
                for body in (*INVALID_JSON.values(), *INVALID_UTF8.values()):
                    connection.request("POST", f"/v1/topics/{topic}/events", body, {"Content-Type": JSON})
    assert measured.resident_bytes() - before < MEMORY_BOUND
