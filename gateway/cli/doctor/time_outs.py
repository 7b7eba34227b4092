"""Do nginx, the gateway, vLLM and Docker give up in the right order? What `gateway check` compares, as findings."""

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.cli.check.neighbours import Disagreement, Neighbours
from gateway.cli.doctor.environment import in_force
from gateway.cli.doctor.finding import Check, Finding, Subject, error, note, ok, warning
from gateway.cli.doctor.host import Host
from gateway.cli.doctor.site import Site
from gateway.settings import ConfigurationError

KILLED = "what would have finished is killed"


@dataclass(frozen=True, slots=True)
class Facts:
    """The ladder.

    Args:
        compared: with which files; empty where none was there.
        unreadable: files that are not what they should be.
        whole: whether the settings could be read, without which nothing is compared.
    """

    compared: str
    unreadable: tuple[str, ...] = ()
    disagreements: tuple[Disagreement, ...] = ()
    whole: bool = True


def gather(host: Host, site: Site) -> Facts:
    """Read the files of the folder, as `gateway check` does."""
    del host
    try:
        settings = in_force(site)
    except ConfigurationError:
        return Facts("", whole=False)
    neighbours = Neighbours.at_hand()
    compared = " ".join(neighbours.compared()).strip()
    return Facts(compared, neighbours.mistakes, tuple(neighbours.disagreements(settings)))


def ladder(facts: Facts) -> Iterable[Finding]:
    """Does each neighbour give up when it should?"""
    if not facts.whole:
        yield note("not compared: the settings are not whole", "see .env above")
        return
    for mistake in facts.unreadable:
        yield error(mistake, "nobody can read it, Compose neither", "mend the file")
    for one in facts.disagreements:
        otherwise = one.otherwise.removeprefix("or ").removeprefix("so that ") or KILLED
        yield warning(f"{one.file}: {one.so}", otherwise, f"write {one.write}")
    if not facts.disagreements and not facts.unreadable:
        yield ok(facts.compared or "vLLM's own default fits; no file of nginx or Compose is here")


SUBJECT = Subject("Time-outs", gather, (Check("ladder", ladder),))
