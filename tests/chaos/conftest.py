"""What do the tests of the catalogue run against? The same houses as the end-to-end tests."""

from tests.e2e.conftest import chat_fleet, chat_servers, make_gateway

__all__ = ["chat_fleet", "chat_servers", "make_gateway"]
