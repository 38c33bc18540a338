"""Which clients a case of the suite is about, for tools/conformance. In this order:

1. its marker: `@pytest.mark.client("confluent-kafka")`;
2. the client that is one of its parameters;
3. the clients that its text names, and that of the functions and fixtures of its file that it calls: imports, words of commands, and
   the names by which the harness knows them;
4. none of them: bytes made by hand (or a program that is no client, such as openssl).

So a case belongs to somebody in any case, and one that uses several clients to each of them. What the fixtures of conftest.py do to
make topics is nobody's.
"""

from __future__ import annotations

import inspect
import re

CONFLUENT, KAFKA_PYTHON, AIOKAFKA, KCAT, JAVA, RAW = "confluent-kafka", "kafka-python", "aiokafka", "kcat", "Kafka's Java clients", "raw wire"
CLIENTS = (CONFLUENT, KAFKA_PYTHON, AIOKAFKA, KCAT)
OLDER = {CONFLUENT: "confluent-kafka of the distribution", KAFKA_PYTHON: "kafka-python of the distribution"}
ALL = (*CLIENTS, *OLDER.values(), JAVA, RAW)

WORDS = {
    CONFLUENT: r"confluent|librdkafka\(",
    # Of `kafka.protocol` only bytes are made, or its reasoning asked.
    KAFKA_PYTHON: r"kafka[-_]python|\bfrom kafka(\.admin|\.errors)? import|python_admin",
    AIOKAFKA: r"aiokafka",
    KCAT: r"""["']kcat["']""",
    JAVA: r"""\[["']MILLRACE_KAFKA["']\]|get\(["']MILLRACE_KAFKA["']\)""",
}


def clients_of(item) -> list[str]:
    """Of a case that pytest has collected."""
    marker = item.get_closest_marker("client")
    if marker:
        return list(marker.args)
    text = text_of(item)
    parameters = getattr(item, "callspec", None)
    named = [name for value in (parameters.params.values() if parameters else ()) for name in [getattr(value, "__name__", value)] if isinstance(name, str)]
    found = [client for client in CLIENTS if any(name.replace("_", "-") in (client, client.removesuffix("-kafka")) for name in named)]
    if found and "DISTRIBUTION_PYTHON" in text:
        return [OLDER[client] for client in found]
    return found or [client for client, words in WORDS.items() if re.search(words, text)] or [RAW]


def text_of(item) -> str:
    """The text of the case, of its file's fixtures that it asks for, and of what these call in their file; and what they have imported
    from a client, as an import."""
    names, seen, texts = [item.function.__name__, *item.fixturenames], set(), []
    module = vars(item.module)
    while names:
        name = names.pop()
        if name in seen or name not in module:
            continue
        seen.add(name)
        value = module[name]
        value = inspect.unwrap(getattr(value, "_get_wrapped_function", lambda: value)())  # a fixture
        home = str(getattr(value, "__module__", "") or "").partition(".")[0]
        if home in ("confluent_kafka", "cimpl", "kafka", "aiokafka"):
            texts.append("import confluent_kafka" if home == "cimpl" else f"from {home} import {name}")
        elif isinstance(value, (str, list, tuple)):
            texts.append(repr(value))
        elif (inspect.isfunction(value) or inspect.isclass(value)) and value.__module__ == item.module.__name__:
            text = inspect.getsource(value)
            texts.append(text)
            names += re.findall(r"[A-Za-z_]\w*", text)
    return "\n".join(texts)
