"""Attacks by one client, each on a broker of its own, while others are served. Exits 1 when an attack reached somebody else, or
took memory or descriptors beyond what is allowed."""

from __future__ import annotations

import fnmatch
import resource
import sys
import time

from trials.attack import cases_access, cases_http, cases_kafka, cases_waiting, stage
from trials.command import parser, remove_on_sigterm

# Their cases are registered when they are imported.
MODULES = (cases_access, cases_http, cases_kafka, cases_waiting)


def main() -> int:
    arguments = parser("attack-test", __doc__)
    arguments.add_argument("cases", nargs="*", help="names or patterns of cases; all without")
    arguments.add_argument("--short", action="store_true", help="the form of tools/test: smaller, and not all cases")
    arguments.add_argument("--list", action="store_true")
    arguments.add_argument("--notes", action="store_true", help="print how the attacker was answered")
    options = arguments.parse_args()
    wanted = [one for one in stage.CASES if not options.cases or any(fnmatch.fnmatch(one.name, pattern) for pattern in options.cases)]
    if options.short and not options.cases:
        wanted = [one for one in wanted if one.is_short]
    if options.list:
        for one in wanted:
            print(f"{one.name:26} {'' if one.is_short else '(long form only) '}{one.about}")
        return 0
    if not wanted:
        arguments.error("no such case")
    remove_on_sigterm()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536) if hard > 0 else 65536, hard))
    began, failed = time.monotonic(), []
    print(f"At most {stage.STALL_SECONDS} s without an answer for others, {stage.PEAK_MB} MB at the peak, {stage.KEPT_MB} MB and {stage.KEPT_DESCRIPTORS} descriptors more within {stage.REST_SECONDS:.0f} s after.\n")
    print(stage.HEADING, flush=True)
    for one in wanted:
        outcome = stage.run_case(one, options.binary, options.short)
        print(outcome.line(), flush=True)
        if options.notes and outcome.notes:
            print(f"{'':26} {', '.join(outcome.notes[:4])}{f' and {len(outcome.notes) - 4} more' if len(outcome.notes) > 4 else ''}")
        if outcome.faults or outcome.waits:
            failed.append(one.name)
    print(f"\nattack-test: {len(wanted) - len(failed)} of {len(wanted)} cases hold, {time.monotonic() - began:.0f} s." + (f" FAILED: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
