"""Times of ported models, as lines for the terminal and as a table in Markdown."""

from benchmarks import tables
from benchmarks.measure import Record

PEERS = {
    "hand-written": "the hand-written module",
    "tf_keras graph": "tf_keras",
    "Keras 3 torch": "Keras 3, torch",
    "Keras 3 JAX": "Keras 3, JAX jitted",
}

STARTED = {"tf_keras": "tf_keras", "Keras 3 torch": "Keras 3, torch"}
"""Peers whose processes are timed from their start, by their names in tables."""

HEADER = f"{'':<18}{'batch':>6}{'ported':>12}" + "".join(f"{peer:>16}" for peer in PEERS)


def ported_line(model: str, batch: int, record: Record) -> str:
    """Return the line of a ported model and a batch for the terminal."""
    ours = tables.microseconds(record["microseconds"]["ported"]["median"])
    ratios = record["our time over theirs"]
    cells = "".join(f"{tables.ratio(ratios[peer]) if peer in ratios else '':>16}" for peer in PEERS)
    reasons = "".join(f"\n  {peer}: {reason}" for peer, reason in record["absent"].items())
    return f"{model:<18}{batch:>6,}{ours:>12}{cells}{reasons}"


def start_line(model: str, record: Record) -> str:
    """Return the seconds from the start of a process to the first prediction, for the terminal."""
    times = (f"{name} {t['median'] / 1e6:.2f}" for name, t in record["microseconds"].items())
    return f"{model}, seconds from start to first prediction: {', '.join(times)}"


def pages_line(model: str, record: Record) -> str:
    """Return the times of a ported model on the largest batch by the size of pages, for the terminal."""
    times = (f"{name} {tables.microseconds(time)}" for name, time in record.items())
    return f"{model}, µs on the largest batch: {', '.join(times)}"


def ported_table(results: Record) -> str:
    """Return the table of ported models, in Markdown."""
    rows = []
    pages = results["ported"].get("pages", {})
    for model, batches in results["ported"]["batches"].items():
        start = results["ported"]["start"][model]["our time over theirs"]
        last = batches[max(batches, key=int)]
        for batch, row in batches.items():
            cells = [tables.settled_ratio(row, peer) for peer in PEERS]
            starts = [tables.ratio(start[peer]) if peer in start and batch == "1" else "" for peer in STARTED]
            ours = tables.microseconds(row["microseconds"]["ported"]["median"])
            huge = tables.microseconds(pages[model]["huge pages"]) if model in pages and row is last else ""
            rows.append([model, f"{int(batch):,}", ours, huge, *cells, *starts])
    starts = [f"start, {name}" for name in STARTED.values()]
    header = ["model", "batch", "µs", "µs, huge pages", *PEERS.values(), *starts]
    return tables.markdown(header, rows)
