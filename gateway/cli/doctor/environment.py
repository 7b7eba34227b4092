"""Is `.env` whole, its keys strong, its own alone, and read alike by Compose and the gateway?"""

import re
import stat
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from urllib.parse import urlsplit

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from gateway.cli.check.compose_file import COMPOSE_FILE, Compose, UnreadableError
from gateway.cli.check.exposure import SAFE_LENGTH, SHORT, exposures
from gateway.cli.doctor.finding import Check, Finding, Subject, error, ok, warning
from gateway.cli.doctor.host import Host
from gateway.cli.doctor.site import Site
from gateway.core.keys import why_unfit
from gateway.settings import ConfigurationError, Settings, is_secret, load, names

OTHERS = stat.S_IRWXG | stat.S_IRWXO
MIN_DIFFERENT = 8
"""Below it, or SAFE_LENGTH, a key is taken for one that somebody thought up: 128 random bits are 22 characters."""
ALSO_SECRET = ("GRAFANA_ADMIN_PASSWORD",)
WITH_PASSWORDS = ("DATABASE_URL", "REDIS_URL")
INIT = ".venv/bin/gateway init"
NEW_KEY = "openssl rand -hex 32   # makes one; `gateway init` writes a whole file of them"
_INTERPOLATED = re.compile(r"\$\{([A-Z][A-Z0-9_]*)")


@dataclass(frozen=True, slots=True)
class Facts:
    """The file, and what others make of it.

    Args:
        path: of the file that the gateway's container is given.
        mode: its rights; None where there is none.
        mistakes: what the gateway itself says against the settings.
        exposed: what `gateway check` says of secrets that leave the host in clear; of short keys there is a check here.
        values: by name, as the gateway reads the file.
        handed: what Compose gives to the gateway's container; empty where it does not say.
        compose_sets: names that the Compose file itself gives to the gateway.
        exported: what the environment has of names that the Compose files read.
        closed: why it cannot be read; empty where it can, or is not there.
        repeated: names that it states more than once, and how often.
    """

    path: Path
    mode: int | None = None
    mistakes: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()
    values: Mapping[str, str] = field(default_factory=dict)
    handed: Mapping[str, str | None] = field(default_factory=dict)
    compose_sets: frozenset[str] = frozenset()
    exported: Mapping[str, str] = field(default_factory=dict)
    closed: str = ""
    repeated: Mapping[str, int] = field(default_factory=dict)


def gather(host: Host, site: Site) -> Facts:
    """Read the file as the gateway does, and what Compose makes of it."""
    path = settings_file(site)
    try:
        text = path.read_bytes().decode("utf-8", "replace")  # what is no UTF-8 is among the mistakes
        mode = path.stat().st_mode
    except (FileNotFoundError, IsADirectoryError):
        return Facts(path)
    except OSError as error_:
        return Facts(path, closed=str(error_.strerror))
    read = dotenv_values(stream=StringIO(text))
    names_stated = Counter(part.key for part in parse_stream(StringIO(text)) if part.key)
    compose = (host.text(str(site.folder / COMPOSE_FILE)) or "").replace("$$", "")
    asked = set(_INTERPOLATED.findall(compose))
    mistakes: tuple[str, ...] = ()
    exposed: list[str] = []
    try:
        exposed = exposures(in_force(site))
    except ConfigurationError as error_:
        mistakes = error_.mistakes
    return Facts(
        path,
        mode,
        mistakes,
        tuple(words for words in exposed if words != SHORT),
        {name: value for name, value in read.items() if value},
        handed_by_compose(site),
        set_by_compose(site.values),
        {name: value for name, value in host.environment().items() if name in asked and value},
        repeated={name: times for name, times in names_stated.items() if times > 1},
    )


def settings_file(site: Site) -> Path:
    """The file that the gateway's container is given."""
    return site.folder / (site.values.get("GATEWAY_ENV_FILE") or ".env")


def handed_by_compose(site: Site) -> Mapping[str, str | None]:
    """What the gateway's container would be given; empty where Compose does not say."""
    gateway = site.stack.services.get("gateway")
    return gateway.environment if gateway and site.config.good else {}


def in_force(site: Site) -> Settings:
    """The settings as the container would read them: what Compose sets itself counts, whatever the file says of it.

    Raises:
        ConfigurationError: the gateway would not start.
    """
    handed, by_compose = handed_by_compose(site), set_by_compose(site.values)
    set_there = {name.lower(): handed[name] for name in names() if name in by_compose and handed.get(name)}
    return load(settings_file(site), **set_there)


def set_by_compose(values: Mapping[str, str]) -> frozenset[str]:
    """The names that the Compose files themselves give to the gateway's container."""
    try:
        files = Compose.at_hand(values)
    except UnreadableError:
        files = None
    return frozenset(files.environment("gateway")) if files else frozenset()


def there(facts: Facts) -> Iterable[Finding]:
    """Is there one?"""
    if facts.closed:
        means = "it is not looked at, and Compose starts nothing for you either"
        mend = "sudo .venv/bin/gateway doctor, or be who owns it"
        yield error(f"{facts.path} cannot be read: {facts.closed}", means, mend)
    elif facts.mode is None:
        yield error(f"there is no {facts.path}", "Compose and the gateway have no keys: nothing starts", INIT)


def settings(facts: Facts) -> Iterable[Finding]:
    """Would the gateway start with it: required names, placeholders, unknown names, values out of range?"""
    for mistake in facts.mistakes:
        yield error(mistake, "the gateway does not start", f"edit {facts.path}; `gateway check` explains the rest")
    if facts.mode is not None and not facts.mistakes:
        yield ok("the gateway takes the settings; `gateway check` explains them")


def once(facts: Facts) -> Iterable[Finding]:
    """Does it state a name more than once?"""
    for name, times in facts.repeated.items():
        means = "the last line counts: a key that is changed in another one, or taken out there, is in force as before"
        mend = f"leave one line: grep -n {name} {facts.path}"
        yield warning(f"{facts.path} states {name} {times} times", means, mend)


def secrets(values: Mapping[str, str]) -> dict[str, list[str]]:
    """Every secret that is stated, by its name: keys, and passwords in addresses."""
    found: dict[str, list[str]] = defaultdict(list)
    for name, value in values.items():
        if name in WITH_PASSWORDS:
            try:
                found[name] += filter(None, [urlsplit(value).password])
            except ValueError:
                continue
        elif name in ALSO_SECRET:
            found[name].append(value)
        elif name in names() and is_secret(name.lower()):
            several = "list" in str(Settings.model_fields[name.lower()].annotation)
            parts = value.split(",") if several else [value]
            found[name] += [part.strip() for part in parts if part.strip()]
    return found


def weak(facts: Facts) -> Iterable[Finding]:
    """Is a key a placeholder, short, or thought up?"""
    stated = [(name, key) for name, keys in secrets(facts.values).items() for key in keys]
    found = [finding for name, key in stated for finding in _judged(name, key, facts.mistakes)]
    yield from found
    if stated and not found:
        yield ok(f"{len(stated)} keys and passwords, none of them weak")


def _judged(name: str, key: str, mistakes: Iterable[str]) -> Iterable[Finding]:
    if fault := why_unfit(key):
        if not any(said.startswith(name) for said in mistakes):  # the gateway has said so itself
            yield error(f"{name} {fault}", "anybody can guess it", NEW_KEY)
    elif len(key) < SAFE_LENGTH or len(set(key)) < MIN_DIFFERENT:
        seen = f"{name} has a key of {len(key)} characters, {len(set(key))} of them different"
        yield warning(seen, "a thief of a log, or a patient caller, can find it by trying", NEW_KEY)


def clear(facts: Facts) -> Iterable[Finding]:
    """Does a secret leave the host unencrypted?"""
    for words in facts.exposed:
        seen, _, means = words.partition(": ")
        yield warning(seen, means, f"another address in {facts.path}; `gateway check` says the same")


def shared(facts: Facts) -> Iterable[Finding]:
    """Does one key open two doors?"""
    doors: dict[str, list[str]] = defaultdict(list)
    for name, keys in secrets(facts.values).items():
        for key in set(keys):
            doors[key].append(name)
    for opened in doors.values():
        if len(opened) > 1:
            means = "whoever is given one of them has the others too, and they can be changed together only"
            yield warning(f"{' and '.join(opened)} hold the same key", means, NEW_KEY)


def rights(facts: Facts) -> Iterable[Finding]:
    """Can anybody else on this host read it?"""
    if facts.mode is not None and (mode := stat.S_IMODE(facts.mode)) & OTHERS:
        means = "every user of this host can read the keys"
        yield warning(f"{facts.path} is for others too ({mode:04o})", means, f"chmod 600 {facts.path}")


def alike(facts: Facts) -> Iterable[Finding]:
    """Does Compose hand on what the gateway would read? The two read `$`, quotes and `#` each in its own way."""
    told = {name: value for name, value in facts.values.items() if name not in facts.compose_sets}
    for name, value in told.items():
        if name in facts.handed and (facts.handed[name] or "") != value:
            yield error(
                f"{name}: Compose makes another value of the line than the gateway (neither is shown here)",
                "a `$` is a variable for Compose: the key that clients are given is not the one that is in force",
                f"write it in single quotes: {name}='...'",
            )


def shell(facts: Facts) -> Iterable[Finding]:
    """Does this shell's environment overrule the file?"""
    for name, value in facts.exported.items():
        if facts.values.get(name) == value:
            continue
        stated = "another value" if name in facts.values else "nothing"
        means = "Compose takes the environment's, in this shell alone: started from elsewhere, the stack is another one"
        yield warning(f"{name} is set in this shell, and {facts.path.name} says {stated}", means, f"unset {name}")


SUBJECT = Subject(
    ".env",
    gather,
    (
        Check("file", there),
        Check("settings", settings),
        Check("once", once),
        Check("keys", weak),
        Check("in clear", clear),
        Check("doors", shared),
        Check("rights", rights),
        Check("alike", alike),
        Check("shell", shell),
    ),
)
