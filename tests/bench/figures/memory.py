"""Memory under a steady load: what comes in is posted, relayed and settled, and nothing of it stays."""

import time
from statistics import median

from tests.bench.bench import BODY, Bench
from tests.bench.children import listening
from tests.bench.lines import AtMost, Figure, Line
from tests.bench.load import Load, loading
from tests.bench.server import first_start, login, memory_mb, outgoing_hook, serving

RATE = 500
"""Posts a second, each of them relayed: far below what the server can do, as a server usually runs."""
SAMPLE_S = 1.0
GROWTH = AtMost(1.1)
"""The contract says flat; this is what we call so."""


def measure(bench: Bench) -> Figure:
    """Compare the last fifth of a load of ten minutes with its second fifth; the first fills caches."""
    seconds = bench.pick(600, 10)
    workspace = first_start(bench.data("memory"))
    samples: list[float] = []
    with listening("receiver") as receiver, serving(workspace.data) as server:
        outgoing_hook(server.url, login(server.url), f"{receiver}/in")
        load = Load(url=server.url + workspace.hook_path, body=BODY, connections=16, seconds=seconds, rate=RATE)
        began = time.monotonic()
        with loading(load) as underway:
            while not underway.ended(SAMPLE_S) and time.monotonic() - began < 2 * seconds:
                samples.append(memory_mb(server.pid))
            shot = underway.finish()
        server.stop()
    fifth = max(1, len(samples) // 5)
    line = Line(
        what=f"after {seconds / 60:.1f} min of {RATE}/s relayed",
        value=median(samples[-fifth:]),
        unit="MB",
        bar=GROWTH,
        peer=median(samples[fifth : 2 * fifth]),
        peer_name="early",
        note="; ".join(filter(None, (f"answered {shot.rate:,.0f}/s", shot.faults))),
    )
    return Figure((line,))
