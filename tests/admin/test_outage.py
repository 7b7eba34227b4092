"""Where the database is, operators are told when it is away, and clients are not."""

import httpx

from gateway.database.settings import DatabaseSettings
from tests.support.admin import AdminServer
from tests.support.postgres import PostgresServer

CALLER = {"x-gateway-principal": '{"organization": "ip:192.0.2.7"}'}


def test_a_client_is_not_told_where_the_database_is_and_an_operator_is(
    postgres: PostgresServer, postgres_settings: DatabaseSettings
) -> None:
    with AdminServer(postgres_settings) as server, server.client() as operator:
        postgres.stop()
        try:
            answers = [httpx.get(f"{server.url}/v1/usage", headers=CALLER), operator.get("/admin/v1/keys")]
        finally:
            postgres.start()
    assert [answer.status_code for answer in answers] == [503, 503]
    public, own = (answer.json()["error"] for answer in answers)
    assert (public["code"], public["message"]) == ("database_unavailable", "the database cannot be used")
    assert own["message"].startswith("the database cannot be used: OperationalError: ")
    assert "connection" in own["message"]
