"""Attacks by one client, each on a broker of its own, while others are served; tools/attack-test runs it. Exits 1 when an
attack reached somebody else, memory or descriptors beyond what is allowed."""

import argparse
import fnmatch
import os
import pathlib
import resource
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from harness import attack, attacks_http, attacks_kafka, attacks_waiting  # noqa: E402, F401

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools/attack-test", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help="names or patterns of cases; all without")
    parser.add_argument("--short", action="store_true", help="the form of tools/test: smaller, and not all cases")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--notes", action="store_true", help="print how the attacker was answered")
    parser.add_argument("--binary", default=str(REPOSITORY / ".build/release/millrace"))
    options = parser.parse_args()
    wanted = [one for one in attack.CASES if not options.cases or any(fnmatch.fnmatch(one.name, pattern) for pattern in options.cases)]
    if options.short and not options.cases:
        wanted = [one for one in wanted if one.is_short]
    if options.list:
        for one in wanted:
            print(f"{one.name:26} {'' if one.is_short else '(long form only) '}{one.about}")
        return 0
    if not wanted:
        parser.error("no such case")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536) if hard > 0 else 65536, hard))
    began, failed = time.monotonic(), []
    print(f"At most {attack.STALL_SECONDS} s without an answer for others, {attack.PEAK_MB} MB at the peak, {attack.KEPT_MB} MB and {attack.KEPT_DESCRIPTORS} descriptors more within {attack.REST_SECONDS:.0f} s after.\n")
    print(attack.HEADING, flush=True)
    for one in wanted:
        outcome = attack.run_case(one, os.path.abspath(options.binary), options.short)
        print(outcome.line(), flush=True)
        if options.notes and outcome.notes:
            print(f"{'':26} {', '.join(outcome.notes[:4])}{f' and {len(outcome.notes) - 4} more' if len(outcome.notes) > 4 else ''}")
        if outcome.faults:
            failed.append(one.name)
    print(f"\nattack-test: {len(wanted) - len(failed)} of {len(wanted)} cases hold, {time.monotonic() - began:.0f} s." + (f" FAILED: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
