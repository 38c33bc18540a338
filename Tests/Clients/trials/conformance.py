"""Runs everything on this machine that shows whether clients are served as by Apache Kafka, and prints tables of what came of it:

  * the client suite but for the cases that are not about Kafka's protocol, by client;
  * Kafka's own command-line tools beside an Apache Kafka, as tools/compare-java-tools does (MILLRACE_KAFKA);
  * the bytes of all messages in all versions, by the Swift tests and by Kafka's definitions (MILLRACE_KAFKA_MESSAGES);
  * what is known to have broken clients on other brokers (Tests/Clients/quirks.toml), each by the tests that it names.

What this machine has not is skipped, and its row says so. Exits 1 when anything failed or did not run. --write-page writes the
tables into the documentation, with date and commit."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import importlib.metadata
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import xml.etree.ElementTree as ElementTree

from harness.broker import Broker, BrokerFailure
from harness.clients import exchange, named
from trials import java_tools
from trials.command import REPOSITORY, SKIPPED, kafka_launcher, parser, remove_on_sigterm, say

SUITE = REPOSITORY / "Tests/Clients/suite"
PAGE = REPOSITORY / "Sources/KafkaServer/KafkaServer.docc/Conformance.md"
# Files of the suite that are about the gateway, our own commands, disks and deaths, memory, the terms of TLS, and the tools themselves.
# A file that is not named here is about Kafka's clients.
OTHERS = (
    "access_change attack_stage command_line damage deaths examples forwarder gateway gateway_access http2 kinesis memory metrics "
    "openapi power_disk reading repeats sqs subscription tls_terms tools").split()
GOLDEN = r"KafkaWireTests\.GoldenMessageTests/"


@dataclasses.dataclass
class Case:
    """What came of one test, with one set of parameters where it has some."""

    outcome: str  # passed, failed, skipped
    reason: str = ""
    clients: tuple[str, ...] = ()


@dataclasses.dataclass
class Row:
    name: str
    version: str = ""
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def count(self, case: Case) -> None:
        setattr(self, case.outcome, getattr(self, case.outcome) + 1)


Results = dict[tuple[str, str], list[Case]]  # by the file of the suite, or target and suite of Swift, and by the test's name


def cases(file) -> Results:
    """What a JUnit file tells; of a case that was tried again the last try."""
    last: dict[tuple[str, str, str], Case] = {}
    for test in ElementTree.parse(file).getroot().iter("testcase"):
        kinds = {child.tag: child for child in test}
        found = next((kinds[kind] for kind in ("failure", "error", "skipped") if kind in kinds), None)
        outcome = "passed" if found is None else "skipped" if found.tag == "skipped" else "failed"
        reason = "" if found is None else (found.get("message") or "").strip().partition("\n")[0]
        clients = tuple(one.get("value") for one in test.iter("property") if one.get("name") == "client")
        name = test.get("name", "")
        last[test.get("classname", ""), re.split(r"[\[(]", name)[0], name] = Case(outcome, reason, clients)
    results: Results = collections.defaultdict(list)
    for (place, test, _), case in last.items():
        results[place, test].append(case)
    return results


def crashed(what: str) -> Results:
    """A run without results is a failure of its own."""
    return {(what, "the whole run"): [Case("failed", "it ended before it had results")]}


# MARK: What is run


def run_clients(binary: str, folder: str) -> Results:
    unknown = [name for name in OTHERS if not (SUITE / f"test_{name}.py").exists()]
    assert not unknown, unknown
    files = [str(file) for file in sorted(SUITE.glob("test_*.py")) if file.stem.removeprefix("test_") not in OTHERS]
    junit = os.path.join(folder, "clients.xml")
    subprocess.run([sys.executable, "-m", "pytest", "-q", "--binary", binary, f"--junitxml={junit}", *files], cwd=REPOSITORY)
    return cases(junit) if os.path.exists(junit) else crashed("client suite")


def run_swift(quirks: list[dict], skips_build: bool, folder: str) -> Results:
    names = sorted({name for quirk in quirks for name in quirk.get("tests", []) if "::" not in name})
    # A suite may stand in another.
    patterns = [GOLDEN, *(r"{}\.(\w+/)*{}/{}\(".format(*re.split(r"[./]", name)) for name in names)]
    command = ["swift", "test", *(["--skip-build"] if skips_build else []), "--filter", "|".join(f"^{pattern}" for pattern in patterns)]
    subprocess.run([*command, "--xunit-output", os.path.join(folder, "swift.xml")], cwd=REPOSITORY, stdout=sys.stderr)
    junit = os.path.join(folder, "swift-swift-testing.xml")
    return cases(junit) if os.path.exists(junit) else crashed("Swift tests")


def run_definitions() -> tuple[int, str]:
    """Status and last line of tools/golden-bytes."""
    ran = subprocess.run([REPOSITORY / "tools/golden-bytes", "--check"], capture_output=True, text=True)
    print(ran.stdout + ran.stderr)
    return ran.returncode, ((ran.stdout + ran.stderr).strip() or "it said nothing").splitlines()[-1]


def run_tools(binary: str, launcher: str | None) -> list[java_tools.Compared] | str:
    """How they went, or why they did not."""
    if not launcher:
        return "Skipped: there is no Apache Kafka on this machine."
    try:
        return java_tools.compare(launcher, lambda settings: Broker("millrace", binary, settings))
    except BrokerFailure as failure:
        print(failure)
        return f"Failed: {str(failure).partition(':')[0]}."


# MARK: What came of it


def version_of(client: str, launcher: str | None) -> str:
    """As the client tells it."""

    def told(*command: str) -> str:
        try:
            return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout.strip()
        except OSError:
            return ""

    if client in (named.CONFLUENT, named.KAFKA_PYTHON, named.AIOKAFKA):
        version = importlib.metadata.version(client)
        if client != named.CONFLUENT:
            return version
        import confluent_kafka

        return f"{version}, librdkafka {confluent_kafka.libversion()[0]}"
    if client == named.KCAT:
        found = re.search(r"Version (\S+).*?(librdkafka \S+)", told("kcat", "-V"))
        return ", ".join(found.groups()) if found else "not there"
    if client in named.OLDER.values():
        ask = "import kafka; print(kafka.__version__)" if client == named.OLDER[named.KAFKA_PYTHON] else "import confluent_kafka as c; print(f'{c.version()[0]}, librdkafka {c.libversion()[0]}')"
        return told(exchange.DISTRIBUTION_PYTHON, "-c", ask) or "not there"
    if client == named.JAVA:
        return told(launcher, "topics", "--version") if launcher else "not there"
    return ""


def rows_of_clients(results: Results, launcher: str | None) -> list[Row]:
    rows = {name: Row(name, version_of(name, launcher)) for name in named.ALL}
    for found in results.values():
        for case in found:
            # Where a file cannot be read, its cases are nobody's.
            for client in case.clients or ("no client",):
                rows.setdefault(client, Row(client)).count(case)
    return list(rows.values())


def golden(swift: Results, definitions: tuple[int, str]) -> list[Row]:
    tests = Row("golden bytes, Swift tests")
    for (place, _), found in swift.items():
        if place.endswith("GoldenMessageTests"):
            for case in found:
                tests.count(case)
    if not tests.passed:
        tests.failed += 1
    status, words = definitions
    by_definition = Row(f"golden bytes by Kafka's definitions: {words}")
    by_definition.count(Case("skipped" if status == SKIPPED else "failed" if status else "passed"))
    return [tests, by_definition]


def row_of_tools(compared: list[java_tools.Compared] | str, launcher: str | None) -> Row:
    row = Row("Kafka's command-line tools", version_of(named.JAVA, launcher))
    if isinstance(compared, str):
        row.count(Case("failed" if launcher else "skipped"))
        return row
    for step in compared:
        row.count(Case("failed" if step.ends_otherwise else "passed"))
    return row


def verdict(quirk: dict, results: Results) -> str:
    """Passed where each test that it names ran and none failed; one that is skipped does not count, and is told of."""
    if "none" in quirk:
        return f"nothing to test: {quirk['none']}"
    failed, skipped, passed = [], [], 0
    for name in quirk["tests"]:
        place, test = name.split("::") if "::" in name else name.rsplit("/", 1)
        found = [case for (where, case_name), all in results.items() if case_name == test and is_place(where, place) for case in all]
        if not found or any(case.outcome == "failed" for case in found):
            failed.append(f"{test} {'failed' if found else 'did not run'}")
        elif all(case.outcome == "skipped" for case in found):
            skipped.append(f"{test}: {found[0].reason}")
        else:
            passed += 1
    if failed:
        return "failed: " + "; ".join(failed)
    told = f" (skipped: {'; '.join(skipped)})" if skipped else ""
    return ("passed" if passed else "skipped") + told


def is_place(where: str, place: str) -> bool:
    """`where` is the class name of a JUnit file: Tests.Clients.suite.test_matrix, or KafkaServerTests.FetchTests."""
    if place.endswith(".py"):
        return where.endswith(f"suite.{place.removesuffix('.py')}")
    parts, (target, suite) = re.split(r"[./]", where), place.split(".")
    return parts[0] == target and parts[-1] == suite


# MARK: How it is told


def without_paths(text: str, launcher: str | None) -> str:
    for path, name in ((launcher, "MILLRACE_KAFKA"), (os.environ.get("MILLRACE_KAFKA_MESSAGES"), "MILLRACE_KAFKA_MESSAGES"), (str(REPOSITORY) + "/", "")):
        text = text.replace(path, name) if path else text
    return text


def table(head: list[str], lines: list[list]) -> list[str]:
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines), ""]


def told(rows: list[Row], results: Results, compared: list[java_tools.Compared] | str, quirks: list[tuple[dict, str]]) -> str:
    lines = table(["Client", "Version", "Passed", "Failed", "Skipped"], [[row.name, row.version, row.passed, row.failed, row.skipped] for row in rows])
    for outcome in ("failed", "skipped"):
        reasons = collections.Counter(
            f"{place.rpartition('.')[2]}: {test}: {case.reason}" if outcome == "failed" else case.reason
            for (place, test), found in results.items() for case in found if case.outcome == outcome)
        if reasons:
            lines += [f"What {outcome}, and why:", "", *(f"- {reason}" + (f" ({count} cases)" if count > 1 else "") for reason, count in sorted(reasons.items())), ""]
    lines += ["## Kafka's command-line tools", ""]
    if isinstance(compared, str):
        lines += [compared, ""]
    else:
        same = sum(step.verdict == "same" for step in compared)
        lines += [f"{len(compared)} calls on an Apache Kafka and here: {same} print the same lines and end with the same status. The others:", ""]
        lines += table(["Call", "Beside Apache Kafka"], [[step.step.name, step.verdict] for step in compared if step.verdict != "same"])
    lines += ["## Quirks", "", *table(["Number", "What clients count on", "Tests", "Here"], [[quirk["number"], quirk["what"], len(quirk.get("tests", [])), words] for quirk, words in quirks])]
    return "\n".join(lines)


def commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=REPOSITORY, capture_output=True, text=True).stdout.strip()

    return git("rev-parse", "--short=12", "HEAD") + (" with changes" if git("status", "--porcelain") else "")


def page(tables: str, run: str, launcher: str | None) -> str:
    variables = [name for name, value in (("MILLRACE_KAFKA", launcher), ("MILLRACE_KAFKA_MESSAGES", os.environ.get("MILLRACE_KAFKA_MESSAGES"))) if value]
    given = f", with {' and '.join(f'`{name}`' for name in variables)}" if variables else ""
    return f"""# Conformance

What clients, Kafka's tools and hand-made requests find when they take Millrace for Apache Kafka.

Written by `tools/conformance --write-page`{given},
on {run}.

A case that uses several clients counts for each of them. A call of a tool has failed when it ends with another status than on Apache
Kafka. What is known to have broken clients on other brokers, and the tests that show that it is not so here, stands in
`Tests/Clients/quirks.toml`.

## Clients

{tables}"""


def main() -> int:
    arguments = parser("conformance", __doc__)
    arguments.add_argument("--skip-build", action="store_true", help="the Swift tests are built already")
    arguments.add_argument("--write-page", action="store_true", help="write the tables into the documentation, too")
    options = arguments.parse_args()
    remove_on_sigterm()
    launcher = kafka_launcher()
    run = f"{datetime.date.today().isoformat()}, at commit {commit()}"  # of what begins now, whatever is changed meanwhile
    quirks = tomllib.loads((REPOSITORY / "Tests/Clients/quirks.toml").read_text())["quirk"]
    with tempfile.TemporaryDirectory() as folder:
        say("== Swift tests")
        swift = run_swift(quirks, options.skip_build, folder)
        say("== Golden bytes")
        definitions = run_definitions()
        say("== Client suite")
        clients = run_clients(options.binary, folder)
    say("== Kafka's command-line tools")
    compared = run_tools(options.binary, launcher)
    results = {**swift, **clients}
    rows = [*rows_of_clients(clients, launcher), row_of_tools(compared, launcher), *golden(swift, definitions)]
    judged = [(quirk, verdict(quirk, results)) for quirk in quirks]
    tables = without_paths(told(rows, results, compared, judged), launcher)
    print(f"\n{tables}")
    if options.write_page:
        PAGE.write_text(page(tables, run, launcher))
    failed = sum(row.failed for row in rows) + sum(words.startswith("failed") for _, words in judged)
    failed += sum(case.outcome == "failed" for found in swift.values() for case in found)
    say(f"{failed} failed" if failed else "nothing failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
