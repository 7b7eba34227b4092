"""A request counts in its organization's account and in its key's, under the limits that were published last."""

from gateway.catalog.errors import CatalogUnavailableError
from gateway.core.principal import MASTER, AccountLimits, Principal
from gateway.limits.allowances import MAX_REMEMBERED, Allowances, organization_limits
from gateway.limits.settings import LimitsSettings

SETTINGS = LimitsSettings(org_daily_token_limit=500)
DEFAULT = organization_limits(SETTINGS)
OWN = AccountLimits(tokens_per_day=7)
KEY = Principal("org:acme", "k1", limits=AccountLimits(tokens_per_minute=3))


class Published:
    """A catalog in memory, which counts how often it is asked."""

    def __init__(self) -> None:
        self.number = 1
        self.limits: dict[str, AccountLimits] = {}
        self.asked = 0
        self.broken = False

    def version(self) -> int:
        return self.number

    def organization(self, name: str) -> AccountLimits | None:
        self.asked += 1
        if self.broken:
            raise CatalogUnavailableError("gone")
        return self.limits.get(name)


def test_without_a_catalog_the_settings_hold_for_everybody() -> None:
    allowances = Allowances(SETTINGS, None)
    assert allowances.caller("ip:192.0.2.7", MASTER).claims == (("ip:192.0.2.7", DEFAULT),)
    assert allowances.caller("org:acme", KEY).claims == (("org:acme", DEFAULT), ("key:k1", KEY.limits))


def test_an_organization_is_looked_up_once_until_something_is_published() -> None:
    catalog = Published()
    allowances = Allowances(SETTINGS, catalog)
    for _ in range(3):
        assert allowances.caller("org:acme", KEY).claims[0].limits is DEFAULT or allowances.default == DEFAULT
    assert catalog.asked == 1
    catalog.limits["org:acme"] = OWN
    catalog.number += 1
    assert allowances.caller("org:acme", KEY).claims == (("org:acme", OWN), ("key:k1", KEY.limits))
    assert catalog.asked == 2


def test_a_request_that_was_admitted_before_a_keys_limits_changed_leaves_the_new_ones_in_force() -> None:
    catalog = Published()
    allowances = Allowances(SETTINGS, catalog)
    lowered = Principal("org:acme", "k1", limits=AccountLimits(tokens_per_minute=1))
    allowances.caller("org:acme", KEY)
    catalog.number += 1
    assert allowances.caller("org:acme", KEY).claims[1].limits == KEY.limits  # whose body ends now
    caller = allowances.caller("org:acme", lowered)
    assert caller.claims[1].limits == lowered.limits
    assert allowances.caller("org:acme", lowered) is caller


def test_where_nothing_was_published_nobody_is_asked() -> None:
    catalog = Published()
    catalog.number = 0
    assert Allowances(SETTINGS, catalog).caller("org:acme", MASTER).claims[0].limits == DEFAULT
    assert catalog.asked == 0


def test_a_catalog_that_cannot_be_read_is_asked_again_and_the_settings_hold_meanwhile() -> None:
    catalog = Published()
    catalog.broken = True
    allowances = Allowances(SETTINGS, catalog)
    assert allowances.caller("org:acme", MASTER).claims[0].limits == DEFAULT
    catalog.broken = False
    catalog.limits["org:acme"] = OWN
    assert allowances.caller("org:acme", MASTER).claims[0].limits == OWN


def test_what_is_remembered_is_bounded() -> None:
    allowances = Allowances(SETTINGS, None)
    for number in range(2 * MAX_REMEMBERED):
        allowances.caller(f"ip:{number}", MASTER)
    assert len(allowances._callers) <= MAX_REMEMBERED


def test_a_key_that_is_shown_from_several_addresses_counts_in_each_and_in_its_own_account() -> None:
    allowances = Allowances(SETTINGS, None)
    key = Principal("", "k1")
    here, there = (allowances.caller(address, key) for address in ("ip:192.0.2.7", "ip:192.0.2.8"))
    assert [claim.account for claim in here.claims] == ["ip:192.0.2.7", "key:k1"]
    assert [claim.account for claim in there.claims] == ["ip:192.0.2.8", "key:k1"]
    assert allowances.caller("ip:192.0.2.7", key) is here
    assert allowances.caller("ip:192.0.2.7", MASTER).claims == here.claims[:1]


def test_what_is_held_for_a_caller_is_forgotten_with_the_limits_that_it_was_lent_under() -> None:
    catalog = Published()
    allowances = Allowances(SETTINGS, catalog)
    before = allowances.caller("org:acme", MASTER)
    catalog.number += 1
    assert allowances.caller("org:acme", MASTER) is not before
