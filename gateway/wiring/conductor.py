"""What plans a request and gets it its answer?"""

from collections import defaultdict
from functools import partial
from random import Random

from gateway.backends.availability import Availability
from gateway.backends.board import Board
from gateway.backends.breaker import Breaker
from gateway.backends.common import is_one_for_all
from gateway.backends.roster import Roster
from gateway.cache.choices import CacheSalt
from gateway.cache.salt import Salts
from gateway.proxy.attempts import Attempts
from gateway.proxy.counters import Counters
from gateway.proxy.dispatcher import Addresses, Dispatcher, Wire
from gateway.proxy.fallback import Fallbacks
from gateway.proxy.forwarder import Forwarder, StreamMeans
from gateway.proxy.planner import Planner
from gateway.proxy.retry import RetryBudget
from gateway.proxy.salting import SaltingPlanner
from gateway.proxy.search import Searcher
from gateway.proxy.seats import SeatLimits, Seats
from gateway.routing.policies import Means, Policies, Policy
from gateway.routing.registry import Registry
from gateway.upstream.http11 import Http11Client
from gateway.wiring.parts import Rooms, Voice


def build_planner(rooms: Rooms) -> Planner:
    """What plans requests; only with CACHE_SALT=org it is asked whose they are."""
    settings, fleet = rooms.settings, rooms.fleet
    registry, context_of = Registry(fleet.live.groups), fleet.view.max_model_len
    if settings.cache_salt is CacheSalt.OFF:
        return Planner(registry, settings, context_of)
    return SaltingPlanner(registry, settings, context_of, Salts(settings.backend_api_key.get_secret_value()))


def build_attempts(voice: Voice, addresses: Addresses, board: Board, breaker: Breaker, policy: Policy) -> Attempts:
    """What counts and judges attempts, and notes them where traces are on."""
    if voice.tracing is None:
        return Attempts(board, breaker, policy, voice.metrics, voice.clock)
    from gateway.proxy.traced import TracedAttempts  # noqa: PLC0415 -- as what it notes them for

    return TracedAttempts(voice.tracing.tracer, addresses, board, breaker, policy, voice.metrics, voice.clock)


def build_forwarder(rooms: Rooms, planner: Planner, client: Http11Client) -> Forwarder:
    """The room that gets a planned request its answer; workers share turns, seats and circuits, not retry budgets."""
    settings, _, voice, (store, *_), (live, board, breaker, _) = rooms
    clock, metrics, gauges = voice.clock, voice.metrics, voice.gauges
    addresses = Addresses()
    rng = Random()  # noqa: S311 -- for balance, no secret
    counters = Counters(store, partial(is_one_for_all, shared=settings.backends_shared))
    means = Means(counters.next_turn, lambda name: board.in_flight(board.index(name)), clock, rng)
    policies = Policies(settings.balancing_policy, means)
    policy = policies.of(live.groups)
    limits = SeatLimits(settings.max_inflight_per_backend, settings.max_queued_per_backend, settings.queue_timeout_secs)
    seats = None
    if limits.limit:
        seats = Seats(counters, limits, clock, gauges.seats)
    attempts = build_attempts(voice, addresses, board, breaker, policy)
    budgets = defaultdict[str, RetryBudget](lambda: RetryBudget(clock, rng))
    gauges.retry_budget = lambda: min((budget.left() for budget in budgets.values()), default=1.0)
    availability = Availability(board, breaker, clock, settings.backend_probe_interval_secs)
    dispatcher = Dispatcher(
        Wire(client, addresses, settings.backend_api_key.get_secret_value()),
        policy,
        availability,
        attempts,
        Searcher(attempts, budgets, availability, seats, metrics),
    )
    fallbacks = Fallbacks(live.groups, planner, dispatcher, metrics)

    def follow(roster: Roster) -> None:
        """What is kept by a group's or a backend's name or address begins, or ends, with it."""
        names = {group.name for group in roster.groups}
        counters.follow(roster.groups)
        addresses.keep({backend.url for _, backend in roster.backends()})
        for name in budgets.keys() - names:
            del budgets[name]
        if seats is not None:
            gauges.seats.update(dict.fromkeys(names, 0))
        availability.forget()
        dispatcher.follow(policies.of(roster.groups))
        fallbacks.follow(roster.groups)

    follow(live.roster)
    live.listen(follow)
    return Forwarder(
        dispatcher,
        fallbacks,
        settings,
        client_write_secs=settings.client_write_timeout_secs,
        streams=StreamMeans(settings.max_event_bytes, gauges.gaps.of),
        clock=clock,
    )
