"""What does the admin API refuse that no other path does? Changes of what was not read, and of what a file rules."""

from gateway.core.errors import GatewayError


class PreconditionRequiredError(GatewayError):
    """A change must say which version it was decided on."""

    status = 428
    type = "invalid_request_error"
    code = "precondition_required"


class PreconditionFailedError(GatewayError):
    """Somebody changed it since it was read."""

    status = 412
    type = "invalid_request_error"
    code = "precondition_failed"


class StaticError(GatewayError):
    """The settings or a file rule it: they are where to change it."""

    status = 409
    type = "invalid_request_error"
    code = "static_resource"
