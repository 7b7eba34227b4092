"""What do the tests of the catalogue run against? The same houses as the end-to-end tests."""

from tests.e2e.conftest import chat, chat_fleet, chat_gateway, chat_servers, fleet, make_gateway, servers

__all__ = ["chat", "chat_fleet", "chat_gateway", "chat_servers", "fleet", "make_gateway", "servers"]
