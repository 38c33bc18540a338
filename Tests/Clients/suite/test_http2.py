"""HTTP/2 by its real clients: httpx, curl, nghttp and h2load. Frames by hand, and what is wrong with them, are tested in Swift (HTTP2WireTests,
and HTTP2Tests of IngestGatewayTests); ALPN and https are in test_tls.py."""

import asyncio
import json
import shutil
import subprocess
import threading

import httpx
import pytest

from harness.http import call

pytestmark = pytest.mark.gateway

JSON = {"Content-Type": "application/json"}


def values(broker, topic: str) -> list:
    found, offset = [], 0
    while True:
        page = call(broker.http, "GET", f"/v1/topics/{topic}/partitions/0/records?offset={offset}&limit=1000").json
        if not page["records"]:
            return found
        found += [record["value"] for record in page["records"]]
        offset = page["next_offset"]


def need(program: str) -> str:
    return shutil.which(program) or pytest.skip(f"{program} is not installed (apt-get install {'curl' if program == 'curl' else 'nghttp2-client'})")


def test_many_streams_of_httpx(broker, new_topic):
    topic = new_topic()

    async def load() -> list[httpx.Response]:
        async with httpx.AsyncClient(http1=False, http2=True, base_url=f"http://{broker.http}", timeout=30) as client:
            return await asyncio.gather(*(client.post(f"/v1/topics/{topic}/events", content=json.dumps({"n": n}), headers=JSON) for n in range(500)))

    replies = asyncio.run(load())
    assert {reply.http_version for reply in replies} == {"HTTP/2"}
    assert [reply.status_code for reply in replies] == [201] * 500
    places = [reply.json()["results"][0]["offset"] for reply in replies]
    assert sorted(places) == list(range(500))
    stored = values(broker, topic)
    assert [stored[place]["n"] for place in places] == list(range(500))


def test_bodies_large_and_streamed(broker, new_topic):
    topic = new_topic()
    lines = [json.dumps({"n": n, "pad": "x" * 100}).encode() for n in range(40_000)]
    with httpx.Client(http1=False, http2=True, base_url=f"http://{broker.http}", timeout=60) as client:
        whole = client.post(f"/v1/topics/{topic}/events?results=none", content=b"\n".join(lines), headers={"Content-Type": "application/x-ndjson"})
        assert whole.status_code == 201 and whole.json()["accepted"] == 40_000, whole.text[:500]
        pieces = client.post(f"/v1/topics/{topic}/events?results=none", content=(line + b"\n" for line in lines[:5_000]), headers={"Content-Type": "application/x-ndjson"})
        assert pieces.status_code == 201 and pieces.json()["accepted"] == 5_000, pieces.text[:500]
        too_long = client.post("/events", content=b" " * (17 << 20), headers=JSON)
        assert too_long.status_code == 413 and too_long.json()["code"] == "body_too_large"
        assert client.get("/healthz").status_code == 200
        page = client.get(f"/v1/topics/{topic}/partitions/0/records?limit=10000&max_bytes=4000000")
        assert page.status_code == 200 and len(page.json()["records"]) > 5_000


def test_refusals_are_those_of_the_first_version(broker):
    requests = [("POST", "/events", b"{", JSON), ("POST", "/events", b"{}", {"Content-Type": "text/plain"}), ("DELETE", "/events", None, {}),
                ("GET", "/nothing", None, {}), ("POST", "/v1/topics/a%20b/events", b"1", JSON), ("POST", "/events", b"{}", {**JSON, "Prefer": "a"})]
    with httpx.Client(http1=False, http2=True, base_url=f"http://{broker.http}") as client:
        for method, path, body, fields in requests:
            second = client.request(method, path, content=body, headers=fields)
            first = call(broker.http, method, path, body, **{name.replace("-", "_"): value for name, value in fields.items()})
            assert second.status_code == first.status >= 400
            assert second.headers["content-type"] == first.field("content-type") == "application/problem+json"
            mine, theirs = second.json(), first.json
            assert mine.pop("request_id") == second.headers["x-request-id"] and theirs.pop("request_id")
            assert mine == theirs


def test_curl(broker, new_topic):
    curl, topic = need("curl"), new_topic()
    if "HTTP2" not in subprocess.run([curl, "-V"], capture_output=True, text=True).stdout:
        pytest.skip("this curl does not speak HTTP/2")
    output = subprocess.run([curl, "-s", "--http2-prior-knowledge", "-w", " %{http_version} %{http_code}", "-H", "Content-Type: application/json", "-d", '{"a":1}', f"http://{broker.http}/v1/topics/{topic}/events"],
                            capture_output=True, text=True, timeout=30).stdout
    assert output.endswith(" 2 201"), output
    assert values(broker, topic) == [{"a": 1}]


def test_nghttp(broker):
    output = subprocess.run([need("nghttp"), "-v", f"http://{broker.http}/openapi.json"], capture_output=True, text=True, timeout=30)
    assert output.returncode == 0 and ":status: 200" in output.stdout and '"openapi"' in output.stdout, output.stdout[-2000:]


def test_h2load(broker, new_topic, tmp_path):
    topic, event = new_topic(), tmp_path / "event.json"
    event.write_text('{"vehicle":"CAR-001","speed":50}')
    output = subprocess.run([need("h2load"), "-n", "20000", "-c", "8", "-m", "50", "-H", "Content-Type: application/json", "-d", str(event), f"http://{broker.http}/v1/topics/{topic}/events"],
                            capture_output=True, text=True, timeout=120).stdout
    assert "20000 succeeded, 0 failed, 0 errored, 0 timeout" in output, output
    assert len(values(broker, topic)) == 20_000


@pytest.mark.control
def test_a_drain_loses_nothing(new_broker):
    """SIGTERM while streams come and go: what was acknowledged is stored, and what was not begun the client knows of."""
    node = new_broker()
    accepted, running = [], threading.Event()

    async def load() -> None:
        async with httpx.AsyncClient(http1=False, http2=True, base_url=f"http://{node.http}", timeout=30) as client:
            async def one(first: int) -> None:
                number = first
                while True:
                    try:
                        reply = await client.post("/v1/topics/drained/events", content=json.dumps(number), headers=JSON)
                    except httpx.TransportError:
                        return
                    if reply.status_code == 503:
                        return
                    assert reply.status_code == 201, reply.text
                    accepted.append(number)
                    number += 50
                    if len(accepted) > 500:
                        running.set()

            await asyncio.gather(*(one(first) for first in range(50)))

    loader = threading.Thread(target=lambda: asyncio.run(load()))
    loader.start()
    assert running.wait(30)
    node.stop()
    loader.join(30)
    assert not loader.is_alive()
    node.start()
    assert set(accepted) <= set(values(node, "drained"))
