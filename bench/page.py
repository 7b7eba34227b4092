"""What is said of a run? The text of docs/BENCHMARK.md: goals, losses and wins, every figure, and what was on."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench.goals import Verdict, judge, with_unit
from bench.peers import SWITCHED_ON
from bench.table import OURS, Row, Spread, ratios_of, spreads
from gateway.elsewhere import FOREIGN

PICTURES = "bench"
"""The plots' folder, beside the page."""
BEGIN, END = "<!-- written by bench/page.py -->", "<!-- end of what bench/page.py writes -->"
"""What stands outside of these marks was written by others and is kept."""
LESS_IS_BETTER = (
    "CPU us/request",
    "CPU us/event",
    "p50 ms",
    "lag p99 ms",
    "memory KiB/stream",
    "close seen upstream ms, SSE",
    "close seen upstream ms, JSON",
    "memory MiB idle",
    "start s",
)
"""Ends of the figures by which the gateway is set beside each of the others."""
SHIPPED = {"nginx": next(foreign.default for foreign in FOREIGN if foreign.name == "NGINX_IMAGE")}
"""The image of a peer that docker-compose.yml runs; what is measured is whatever is installed."""
BUSY_LOAD = 1.5
"""Load average from which on other work has spoiled the figures."""


def render(about: dict[str, Any], rows: Sequence[Row], pictures: Mapping[str, str]) -> str:
    """The page, between its marks.

    Args:
        about: what the results say of the run.
        rows: its repetitions.
        pictures: the plots' titles, by their files' names.
    """
    peers = list(dict.fromkeys(row["peer"] for row in rows))
    parts = [
        "# What a request costs",
        _introduction(about, rows),
        "## The goals",
        _goals(judge(rows)),
        "## Beside the others",
        _comparison(rows, [peer for peer in peers if peer not in {OURS, "direct"}]),
        *(f"![{title}]({PICTURES}/{file})" for file, title in pictures.items()),
        "## What was switched on",
        _table(["", "version", "does, besides passing bytes on"], _switched_on(about, peers)),
        "## The machine",
        _machine(about),
        "## Every figure",
        f"Medians of {_repetitions(rows)}, lowest and highest in brackets. bench/README.md says how each is measured.",
        *_figures(rows, peers),
        *_notes(rows),
    ]
    return "\n".join([BEGIN, "\n\n".join(parts), END])


def put_between_marks(page: str, text: str, *, below: bool = False) -> str:
    """The page with its old text replaced; what others wrote before and behind it is kept.

    Args:
        page: as it is.
        text: its first and last line are the marks by which it is found again.
        below: a text that is not there yet comes last; otherwise it comes first.
    """
    lines = text.splitlines()
    before, begin, rest = page.partition(lines[0])
    _, end, after = rest.partition(lines[-1])
    if begin and end:
        return before + text + after
    parts = (page.rstrip(), text) if below else (text, page.rstrip())
    return "\n\n".join(filter(None, parts)) + "\n"


def _introduction(about: dict[str, Any], rows: Sequence[Row]) -> str:
    busy = about["load_average"][0] > BUSY_LOAD
    warning = (
        "\n\n**The machine was busy when the run began: the figures are larger than a quiet machine's.**"
        if busy
        else ""
    )
    return (
        f"Measured on {about['date'][:10]} at commit {about['commit']}, {_repetitions(rows)} by turns; written by "
        "`python -m bench.run --write` and by nobody's hand. A model server in C that does no work stands behind each "
        "gateway, a load generator in C before it; the gateway has one core to itself. CPU counts all of a gateway's "
        "processes. Ratios are taken within each repetition; compare them, and not the times of two machines." + warning
    )


def _goals(verdicts: Sequence[Verdict]) -> str:
    missed = sum((verdict.excess(verdict.goal.must) or 0) > 0 for verdict in verdicts)
    unseen = sum(verdict.seen is None for verdict in verdicts)
    lines = [
        [
            verdict.goal.what,
            with_unit(str(verdict.seen), verdict.goal.unit) if verdict.seen else "-",
            *(
                f"{verdict.goal.stated(limit)}: {_loud(verdict.against(limit))}"
                for limit in (verdict.goal.must, verdict.goal.moonshot)
            ),
        ]
        for verdict in verdicts
    ]
    summary = (
        f"Of {len(verdicts)} musts {len(verdicts) - missed - unseen} are met, {missed} missed and {unseen} not "
        "measured. The median is judged. What is due is the number of events that there would be if each stream "
        "began anew the moment it ended."
    )
    return summary + "\n\n" + _table(["goal", "seen", "must", "moonshot"], lines)


def _loud(words: str) -> str:
    return words if words == "met" else f"**{words}**"


def _comparison(rows: Sequence[Row], others: Sequence[str]) -> str:
    names = [name for name in spreads(rows) if name.endswith(LESS_IS_BETTER)]
    lines = []
    count = {"won": 0, "level": 0, "lost": 0}
    for name in names:
        found = [ratios_of(rows, name, other) for other in others]
        outcomes = [outcome(seen) if seen else "" for seen in found]
        for word in filter(None, outcomes):
            count[word] += 1
        cells = [
            f"{Spread.of(seen)} {_loud_loss(word)}" if seen else "-" for seen, word in zip(found, outcomes, strict=True)
        ]
        if any(found):
            lines.append([name, *cells])
    summary = (
        f"The gateway's figure divided by the other's, less being better in every line: {count['lost']} are lost, "
        f"{count['level']} level (their spread reaches over 1) and {count['won']} won. What "
        "each of them does besides is said below."
    )
    return summary + "\n\n" + _table(["", *others], lines)


def outcome(ratios: Sequence[float]) -> str:
    """`won`, `lost`, or `level` where repetitions say both."""
    seen = Spread.of(ratios)
    if seen.high < 1:
        return "won"
    return "lost" if seen.low > 1 else "level"


def _loud_loss(word: str) -> str:
    return f"**{word}**" if word == "lost" else word


def _switched_on(about: dict[str, Any], peers: Sequence[str]) -> list[list[str]]:
    return [[peer, _version(about["versions"].get(peer, ""), peer), SWITCHED_ON[peer]] for peer in peers]


def _version(said: str, peer: str) -> str:
    """Its last line of what it says its version is, and what the stack runs instead."""
    shipped = f" (installed here and so measured; the stack runs {SHIPPED[peer]})" if peer in SHIPPED else ""
    return "".join(said.splitlines()[-1:]) + shipped


def _machine(about: dict[str, Any]) -> str:
    loads = ", ".join(f"{load:.1f}" for load in about["load_average"])
    return _table(
        ["", ""],
        [
            ["processor", f"{about['model']}, {about['cores']} cores"],
            ["memory", f"{about['memory_gib']} GiB"],
            ["kernel", f"Linux {about['kernel']}"],
            ["Python of the gateway", about["python"]],
            ["load average before the run", loads],
            ["begun", about["date"]],
        ],
    )


def _figures(rows: Sequence[Row], peers: Sequence[str]) -> Iterator[str]:
    """A heading and a table for each load; what stands alone comes last, under one heading."""
    seen = spreads(rows)
    groups: dict[str, list[str]] = {}
    for name in seen:
        groups.setdefault(name.rpartition(": ")[0], []).append(name)
    alone = [name for load, names in groups.items() if not load or len(names) == 1 for name in names]
    together = {load: names for load, names in groups.items() if names[0] not in alone}
    for load, names in [*together.items(), ("", alone)]:
        yield f"### {load or 'Other'}"
        lines = [
            [name.removeprefix(f"{load}: "), *(str(seen[name].get(peer, "-")) for peer in peers)] for name in names
        ]
        yield _table(["", *peers], lines)


def _notes(rows: Sequence[Row]) -> list[str]:
    """What went otherwise than it should, and in how many repetitions."""
    counts: dict[tuple[str, str], int] = {}
    for row in rows:
        for note in row["notes"]:
            text = note.splitlines()[0]
            counts[row["peer"], text] = counts.get((row["peer"], text), 0) + 1
    lines = [f"- {peer}: {note} (in {count} of {_repetitions(rows)})" for (peer, note), count in counts.items()]
    return ["## What went otherwise", "\n".join(lines)] if lines else []


def _repetitions(rows: Sequence[Row]) -> str:
    number = max((row["repetition"] for row in rows), default=0)
    return f"{number} repetition{'' if number == 1 else 's'}"


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---"] * len(head)
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *lines))
