"""Organizations are kept apart in vLLM's prefix cache, and a client may part its own users, not join others."""

import orjson

from gateway.cache.salt import Salts
from gateway.payload.splice import splice

SALTS = Salts("secret")


def salt(organization: str, body: bytes = b"{}", salts: Salts = SALTS) -> str:
    value: str = orjson.loads(splice(body, salts.member(organization, body)))["cache_salt"]
    return value


def test_an_organization_has_one_salt_at_every_gateway_that_knows_the_secret() -> None:
    assert salt("org:acme") == salt("org:acme", salts=Salts("secret"))
    assert len(salt("org:acme")) == 32


def test_organizations_and_secrets_have_salts_of_their_own() -> None:
    assert len({salt("org:acme"), salt("org:other"), salt("org:acme", salts=Salts("another"))}) == 3


def test_a_clients_own_salt_parts_its_users_within_the_organization() -> None:
    users = {salt("org:acme", b'{"cache_salt":"%d"}' % number) for number in (1, 2)}
    assert len(users | {salt("org:acme")}) == 3


def test_no_client_joins_another_organization_by_its_salt() -> None:
    wanted = salt("org:other")
    assert salt("org:acme", b'{"cache_salt":"%b"}' % wanted.encode()) != wanted
    assert salt("org:acme", b'{"cache\\u005fsalt":"%b"}' % wanted.encode()) == salt("org:acme")


def test_what_stands_elsewhere_or_is_no_text_is_no_salt() -> None:
    for body in (b'{"input":"cache_salt"}', b'{"cache_salt":null}', b'{"cache_salt":7}', b'{"cache_salt":""}'):
        assert salt("org:acme", body) == salt("org:acme")
