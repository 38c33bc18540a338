"""Makes Tests/Fuzz/Seeds anew, from the golden messages of KafkaWireTests and a few bytes by hand. Small: a few KB a target."""

import json
import pathlib
import re
import shutil
import struct
import sys

HERE = pathlib.Path(__file__).parent
REPOSITORY = HERE.parents[1]
sys.path.insert(0, str(REPOSITORY / "Tests/Clients"))

from harness import bombs, wire  # noqa: E402

# The order of FuzzMessages.swift.
APIS = [int(re.search(r"\d+", line)[0]) for line in "0 1 2 3 8 9 10 11 12 13 14 15 16 18 19 20 21 22 23 32 33 35 37 42 44 47 60 75 29 30 31 48 49 50 51 20000 20001 17 36 24 25 26 27 28 61 65 66 68 69 34 38 39 40 41 43 45 46 55 57 74 76 77 78 79 90 91 92".split()]


def write(target: str, name: str, content: bytes) -> None:
    folder = HERE / "Seeds" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def golden():
    """(place in the list, version above the lowest, body) of the fullest message of each API's first and last version."""
    for place, api in enumerate(APIS):
        path = next((REPOSITORY / "Tests/KafkaWireTests/Golden").glob(f"{api:02}_*.txt"))
        lines = [line.split() for line in path.read_text().splitlines() if line.startswith("request ")]
        lowest = min(int(line[1][1:]) for line in lines)
        full = [line for line in lines if line[2] == "full" and len(line) > 3]
        for line in {id(one): one for one in full[:1] + full[-1:]}.values():
            yield place, int(line[1][1:]) - lowest, bytes.fromhex(line[3])


def batch(values: list[bytes], **fields) -> bytes:
    """With one time for all, so that the same seeds come out of every run."""
    return wire.Batch(values, timestamp=1_700_000_000_000, **fields).encode()


def batches() -> dict[str, bytes]:
    plain = batch([b"one", b"two", b"three"])
    keyed = batch([b""], body=wire.record(0, b"key", b"value"))
    found = {"plain": plain, "keyed": keyed, "idempotent": batch([b"x"], producer_id=7, producer_epoch=0, base_sequence=0)}
    inner = b"".join(wire.record(n, b"k%d" % n, b"value " * 8) for n in range(3))
    import gzip
    found["gzip"] = batch([b""] * 3, attributes=bombs.GZIP, body=gzip.compress(inner, mtime=0))
    found["snappy"] = batch([b""] * 3, attributes=bombs.SNAPPY, body=bytes([len(inner) & 0x7F | 0x80, len(inner) >> 7, 0xF0, len(inner) - 1]) + inner)
    frame = struct.pack("<I", 0x184D2204) + b"\x60\x40" + bytes([bombs.xxh32(b"\x60\x40") >> 8 & 0xFF])
    found["lz4"] = batch([b""] * 3, attributes=bombs.LZ4, body=frame + struct.pack("<I", len(inner) | 1 << 31) + inner + bytes(4))
    found["zstd"] = batch([b""] * 3, attributes=bombs.ZSTD, body=struct.pack("<I", 0xFD2FB528) + b"\x00\x38" + struct.pack("<I", len(inner) << 3 | 1)[:3] + inner)
    return found


def main() -> None:
    shutil.rmtree(HERE / "Seeds", ignore_errors=True)
    for place, version, body in golden():
        write("messages", f"{place:02}-{version}", bytes([place, version]) + body)
        write("handlers", f"{place:02}-{version}", bytes([place, version]) + struct.pack(">H", len(body)) + body)
    for name, seed in batches().items():
        write("batches", name, b"\0" + seed)
        write("batches", f"{name}-mended", b"\1" + seed)
        write("handlers", f"produce-{name}", bytes([254, 0]) + struct.pack(">H", len(seed)) + seed)
        write("handlers", f"compacted-{name}", bytes([254, 1]) + struct.pack(">H", len(seed)) + seed)
    # Steps of two producers of transactions, by FuzzHandlers.swift: kind, id, producer id, epoch, partition, flags.
    step = lambda kind, *values: bytes([253, kind]) + struct.pack(">H", 5) + bytes(values)
    look = step(7, 0, 0, 0, 0, 0) + step(8, 0, 0, 0, 0, 0)
    for name, steps in {
        "old": step(0, 0, 0, 0, 0, 0) + step(1, 0, 0, 0, 0, 0) + step(5, 0, 0, 0, 0, 0) + step(2, 0, 0, 0, 0, 0) + step(3, 0, 0, 0, 0, 0) + look + step(4, 0, 0, 0, 0, 0),
        "new": step(0, 0, 0, 0, 0, 1) + step(5, 0, 0, 0, 0, 1) + step(3, 0, 0, 0, 0, 1) + step(4, 0, 0, 0, 0, 1) + step(5, 0, 0, 1, 1, 1) + step(4, 0, 0, 1, 0, 3) + look,
        "fenced": step(0, 0, 0, 0, 0, 0) + step(5, 0, 0, 0, 0, 1) + step(0, 0, 0, 0, 0, 0) + step(5, 0, 0, 0, 0, 17) + step(4, 0, 0, 0, 0, 1),
        "short": step(0, 1, 0, 0, 0, 2) + step(5, 1, 1, 0, 0, 1) + look + step(6, 1, 1, 1, 0, 2) + step(4, 1, 1, 0, 0, 1),
        "verify": step(0, 0, 0, 0, 0, 0) + step(1, 0, 0, 0, 1, 1) + step(1, 0, 0, 0, 1, 3) + step(5, 0, 0, 0, 1, 2) + step(5, 0, 0, 0, 1, 4)}.items():
        write("handlers", f"transaction-{name}", steps)
    write("handlers", "raw", bytes([255, 0]) + struct.pack(">H", 12) + wire.int32(8) + wire.int16(18) + wire.int16(0) + wire.int32(1))
    for flags in range(4):
        write("recovery", f"nothing-{flags}", bytes([flags]))
        for kind in range(5):
            write("recovery", f"edit-{flags}-{kind}", bytes([flags]) + b"".join(bytes([file, kind]) + struct.pack(">H", 61 * file) + bytes([4]) + b"\0\1\2\xff" for file in range(0, 9, 3)))
    event = json.dumps({"id": "a\u00e9", "type": "t", "a": [1, -2.5e10, True, None, {"b": "\ud83d\ude00\\n"}]}).encode()
    for name, text in {"event": event, "array": b"[" + event + b", {} ,1,\"x\"]", "lines": event + b"\n" + b"{}\r\n\n [] \n" + event + b"\n" * 70, "deep": b"[" * 40 + b"]" * 40,
                       "utf8": '{"ü":"€😀\\ud83d\\ude00"}'.encode(), "bad": b'{"a":01,}'}.items():
        write("json", name, text)
    record = bytes([23, 3, 3, 0, 40]) + bytes(40)
    for name, text in {"words": b"\0\xffGET / HTTP/1.1\r\n\r\n", "hello": b"\0\x03" + bytes([22, 3, 1, 0, 6, 1, 0, 0, 2, 3, 3]), "after": b"\1\xff" + record * 2, "none": b"\1\xff",
                       "slowly": b"\2\0", "edited": b"\2\xff" + bytes([0, 3, 1, 0, 60, 9, 2, 8, 1]),
                       "keys": b"\3\0" + bytes([0, 15, 3, 0] * 3), "unread": b"\3\x80" + bytes([0, 15, 93, 9] * 8), "short": b"\3\0" + bytes([3, 255] * 12),
                       "again": b"\3\1" + bytes([3, 1, 2, 0, 3, 1]), "bad": b"\3\0" + bytes([3, 4, 4, 40])}.items():
        write("tls", name, text)
    claims = b'{"iss":"i","sub":"s","aud":["a"],"exp":1000100.5,"nbf":1,"iat":1,"jti":"j","scope":"x y","groups":["g"],"email":"a@b","email_verified":true}'
    keys = b'{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"k","use":"sig","alg":"EdDSA"},' \
           b'{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},{"kty":"RSA","e":"AQAB","n":"AQ"}]}'
    issuers = b'{"issuers":[{"issuer":["https://h","h"],"audience":"a","jwks":"file:///k","algorithms":["ES256"],"token_use":"id","types":["JWT"],' \
              b'"subject_claim":"s","scope_claim":"c","groups_claim":"g","prefix":"p/","skew_seconds":5,"authorized_party":true}]}'
    for name, text in {"parts": b"\0eyJhbGciOiJFZERTQSJ9.e30.AA", "signed": b'\1{"alg":"EdDSA","kid":"k","typ":"JWT"}\0' + claims, "none": b'\1{"alg":"none"}\0' + claims,
                       "critical": b'\1{"alg":"EdDSA","crit":["exp"]}\0' + claims, "keys": b"\2" + keys, "message": b"\3n,a=s,\1auth=Bearer e30.e30.AA\1host=h\1port=1\1\1",
                       "issuers": b"\4" + issuers, "address": b"\5https://[::1]:443/keys?x", "plain": b"\5http://127.0.0.1:80/"}.items():
        write("tokens", name, text)
    shake, ask = lambda version, place: bytes([1, version + 1, place]), lambda op, version, token: bytes([op, version + 1]) + struct.pack(">H", len(token)) + token
    first = b"n,,n=alice,r=fyko"
    final = b"c=biws,r=fykoCQkJCQkJCQkJCQkJCQkJCQkJ,p=" + b"QUFB" * 11 + b"QQ=="
    for name, steps in {"plain": shake(1, 0) + ask(2, 2, b"\0alice\0pencil") + bytes([7, 0, 4]), "scram": bytes([0, 0]) + shake(1, 1) + ask(2, 1, first) + ask(2, 1, final),
                        "raw": shake(0, 1) + bytes([3]) + struct.pack(">H", len(first)) + first, "bearer": shake(1, 3) + ask(2, 2, b"n,,\1auth=Bearer a.b.c\1\1") + bytes([7, 1]) + ask(2, 2, b"\1"),
                        "renewed": shake(1, 0) + ask(2, 2, b"\0alice\0pencil") + bytes([7, 0, 5, 8, 0]) + shake(1, 0) + ask(2, 2, b"\0alice\0pencil") + bytes([7, 4])}.items():
        write("sasl", name, b"\1" + steps)
    github, stripe, standard = b"sha256=" + b"00" * 32, b"t=1614265330,v1=" + b"00" * 32 + b",v0=1", b"v1," + b"A" * 43 + b"= v1a," + b"A" * 86 + b"=="
    proxy = bytes.fromhex("0d0a0d0a000d0a515549540a2111001b0a0102030a000001303923840300040000000004000103030000")
    subject = bytes.fromhex("301d310b3009060355040613024445310e300c06035504030c05612c62203c")
    for name, text in {"github": b"\0\0" + github + b"\0id\0{}", "stripe": b"\0\1" + stripe + b"\0{}", "shopify": b"\0\2" + b"A" * 43 + b"=\0id\0{}", "slack": b"\0\3v0=" + b"00" * 32 + b"\x001614265330\0{}",
                       "standard": b"\0\4" + standard + b"\x001614265330\0msg_1\0{}", **{f"signed-{n}": bytes([1, n, 128, 10, 0, 3]) + b'{"a":1}' for n in range(5)},
                       "aws": b"\2POST\0/a%20b\0b=2&a=%7e1\0AWS4-HMAC-SHA256 Credential=AK/20150830/r/sqs/aws4_request, SignedHeaders=host;x-amz-date, Signature=" + b"00" * 32 + b"\0h:80\x0020150830T000000Z\0x-a\0b\0body",
                       "twilio": b"\3" + b"A" * 27 + b"=\0https://a.b/x?bodySHA256=00\0A=b&C=%2B1", "proxy": b"\4" + proxy, "local": b"\4" + proxy[:12] + bytes([32, 0, 0, 0]),
                       "forwarded": b'\5\0for="[::1]:80";by=x, for=10.0.0.1', "forwarded-for": b"\5\x011.2.3.4, [::1]:5\x0010.0.0.2", "key": b"\6gk_abcdefghijkl_" + b"A" * 49, "basic": b"\6YTpi",
                       "subject": b"\7" + subject + b"\0RULE:^CN=(.*?),(a|b)+[^x-z]{1,3}$/$1-$2/L,DEFAULT"}.items():
        write("signatures", name, text)
    # The order of SQSOperation.
    operations = re.findall(r'= "(\w+)"', (REPOSITORY / "Sources/SQSWire/SQSOperation.swift").read_text())
    captured = (REPOSITORY / "Tests/SQSWireTests/CapturedRequests.txt").read_text()
    for operation, body in re.findall(r"AmazonSQS\.(\w+).*?\n\n(.*?)\n\n", captured, re.DOTALL):
        write("sqs", operation, bytes([operations.index(operation)]) + body.encode())
    write("sqs", "form", b"\xff/0/q\0Action=SendMessage&MessageBody=a+%C3%A9&MessageAttribute.1.Name=b&MessageAttribute.1.Value.DataType=Binary&MessageAttribute.1.Value.BinaryValue=AA%3D%3D")
    post = b"POST /v1/topics/t/events?x=%20y HTTP/1.1\r\nHost: a:80\r\nContent-Type: application/json\r\n"
    chunks = b"5;a=\"b\"\r\nhello\r\n0A\r\n0123456789\r\n0\r\nX-T: 1\r\n\r\n"
    for name, text in {"get": b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "post": post + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n{}", "chunked": post + b"Transfer-Encoding: chunked\r\n\r\n" + chunks,
                       "chunks": chunks, "absolute": b"GET http://a/b HTTP/1.0\r\n\r\n", "star": b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
                       "carriage-return-in-a-name": b"POST /v1?topics9y HTTP/1.1\r\nHt: \r\na:80: an\r\nCOntent\rLength: e\r\nengt"}.items():
        write("http", name, text)
    head = lambda stream, flags, what, *fields: bytes([10, stream, flags, what, len(fields)]) + b"".join(bytes(field) for field in fields)
    body = lambda stream, flags, count, byte: bytes([13, stream, flags]) + struct.pack(">H", count) + bytes([byte])
    plain = lambda kind, flags, stream, payload: bytes([kind, flags, stream]) + struct.pack(">H", len(payload)) + payload
    json_, gzip_, good, bad, one, two = (0, 1, 0), (6, 1, 8), (2, 0, 3), (2, 0, 4), (3, 0, 5), (3, 0, 6)
    event = plain(0, 1, 1, b'{"n":1}')
    frames = {
        "get": head(1, 5, 0), "post": head(1, 4, 1, json_) + event, "long": head(1, 4, 1, json_) + body(1, 0, 16384, 32) * 3 + body(1, 1, 9, 49),
        "many": head(1, 5, 0) + bytes([14, 40]), "reset": head(1, 4, 1, json_) + plain(3, 0, 1, bytes(4)), "ping": plain(6, 0, 0, bytes(8)) + bytes([14, 9]),
        "settings": plain(4, 0, 0, b"\0\1\0\0\0\0") + plain(4, 0, 0, b"\0\4\0\0\0\1") + head(1, 5, 4) + plain(8, 0, 1, b"\0\0\x40\0"),
        "continued": head(1, 1, 0, json_) + plain(9, 4, 1, b"\0\1a\1b"), "trailers": head(1, 4, 1, json_) + plain(0, 0, 1, b"{}") + plain(1, 5, 1, b"\0\1a\1b"),
        "remembered": head(1, 5, 0, (0, 1, 0), (14, 3, 0)) + head(3, 5, 0, (14, 3, 0)), "padded": head(1, 4, 1, json_) + plain(0, 9, 1, b"\3{}\0\0\0"),
        "clients": head(1, 4, 1, json_, bad, one) + head(3, 4, 1, json_, good, two) + plain(0, 1, 1, b"{}") + plain(0, 1, 3, b"{}") + head(5, 5, 0, one),
        "typed": head(1, 4, 3, json_) + event, "packed": head(1, 4, 2, json_, gzip_) + plain(0, 1, 1, b"\x1f\x8b"), "keyed": head(1, 4, 1, json_, (4, 1, 9)) + event + head(3, 4, 1, json_, (4, 1, 9)) + plain(0, 1, 3, b'{"n":1}'),
        "wrong": plain(0, 1, 9, b"x") + head(2, 5, 0) + plain(8, 0, 0, bytes(4)), "records": head(1, 5, 5) + head(3, 5, 4) + plain(8, 0, 0, b"\0\1\0\0"), "expects": head(1, 4, 1, json_, (7, 0, 7)),
        "block": bytes([11, 1, 5]) + struct.pack(">H", 5) + b"\x82\x86\x84\x41\0", "end": plain(7, 0, 0, bytes(8)), "bytes": bytes([12]) + struct.pack(">H", 24) + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    }
    for place, (name, text) in enumerate(frames.items()):
        for kind in (0, 1):
            write("http2", f"{name}-{kind}", bytes([kind, (0, 1, 7, 30)[place % 4], 2]) + text)


if __name__ == "__main__":
    main()
