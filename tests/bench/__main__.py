"""`make bench`: measure every figure on this machine and print one table."""

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.bench import load
from tests.bench.bench import BODY, Bench, Measurement
from tests.bench.children import listening
from tests.bench.disk import at_rest
from tests.bench.figures import command_run, completion, delete, doors, memory, posts, queued, relay, start, tarpit
from tests.bench.host import describe
from tests.bench.lines import Figure
from tests.bench.report import table, write_json

FIGURES: dict[str, Measurement] = {
    "posts": posts.measure,
    "relay": relay.measure,
    "queue": queued.measure,
    "tarpit": tarpit.measure,
    "delete": delete.measure,
    "command": command_run.measure,
    "doors": doors.measure,
    "completion": completion.measure,
    "start": start.measure,
    "memory": memory.measure,
}
FULL_LIMIT_S = 4500
QUICK_LIMIT_S = 300
QUICK_S = 120
REAL_DISK = Path("/var/tmp")  # /tmp is memory on many systems


def main() -> int:
    """Measure, print, and return 0 when every bar is met."""
    options = _options()
    signal.signal(signal.SIGALRM, _too_long)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # so that what was started is ended, too
    signal.alarm(QUICK_LIMIT_S if options.quick else FULL_LIMIT_S)
    parent = options.data or (REAL_DISK if REAL_DISK.is_dir() else None)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="patchbay-bench-", dir=parent) as folder:
        rested = at_rest(Path(folder), *((1, 3) if options.quick else (30, 600)))
        host = {
            **describe(Path(folder)),
            "loader": load.WRK or "our own",
            "quick": options.quick,
        }
        with listening("receiver") as receiver:
            host["loader's ceiling /s"] = round(most := load.ceiling(receiver, BODY, 1 if options.quick else 2))
        print("\n".join(f"{name:20} {value}" for name, value in host.items()), flush=True)
        bench = Bench(Path(folder), options.quick, most)
        figures: dict[str, Figure] = {}
        for name in options.figure or FIGURES:
            if figures and not options.quick:
                rested += bench.rest()
            started = time.monotonic()
            figures[name] = FIGURES[name](bench)
            print(f"... {name}, {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
            for missed in (line for line in figures[name].lines if not line.ok):
                print(f"    missed: {missed.what}, {missed.value:,.2f} {missed.unit}", file=sys.stderr, flush=True)
    lost = sum(figure.lost for figure in figures.values())
    took = time.monotonic() - began
    late = f" A quick run has to end within {QUICK_S} s." if options.quick and took > QUICK_S else ""
    print(f"\n{table(figures)}\n\nLost in all: {lost}.")
    print(f"Took {took:.0f} s, {rested:.0f} s of them until the disk was at rest.{late}")
    if options.json:
        write_json(options.json, host, figures)
    return 0 if not late and all(line.ok for figure in figures.values() for line in figure.lines) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("figure", nargs="*", choices=[*FIGURES, []], help="measure only these")
    parser.add_argument("--quick", action="store_true", help="smaller sizes, under 2 minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything to a file, too")
    parser.add_argument("--data", type=Path, metavar="DIR", help="where data lies while measuring: a real disk")
    return parser.parse_args()


def _too_long(*_: object) -> None:
    raise TimeoutError("the benchmark took far longer than it should; it ended everything it had started")


if __name__ == "__main__":
    sys.exit(main())
