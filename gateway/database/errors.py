"""What can a database refuse? The libraries' exceptions in the gateway's own words."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc

from gateway.core.errors import BadRequestError, GatewayError, NotFoundError, UnavailableError

NO_SUCH_TABLE = ("no such table", "no such column", "UndefinedTable", "UndefinedColumn")


class DatabaseUnavailableError(UnavailableError):
    """The database did not answer, or cannot be written now; what was asked may be asked again.

    Attributes:
        detail: what else operators want to know. It names hosts, users and files, and is in no client's answer: `str`
            has it, for the log and for operators; `message` has not.
    """

    code = "database_unavailable"

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.message}: {self.detail}" if self.detail else self.message


class SchemaError(DatabaseUnavailableError):
    """The database's schema is not this version's; an operator must run `gateway db upgrade`."""

    code = "database_schema"


class ConflictError(GatewayError):
    """Somebody else changed it first, or the name is taken: read again, and decide anew."""

    status = 409
    type = "invalid_request_error"
    code = "conflict"


class NoSuchRecordError(NotFoundError):
    """There is no such key, organization, model or backend."""

    code = "not_found"


class UnfitValueError(BadRequestError):
    """The database cannot hold the value: a NUL in a text, a number beyond 64 bits."""

    code = "invalid_value"


@contextmanager
def translated() -> Iterator[None]:
    """Raise the gateway's own errors for the libraries'.

    Raises:
        ConflictError: a unique name is taken.
        UnfitValueError: a value cannot be stored.
        SchemaError: a table or column is missing.
        DatabaseUnavailableError: anything else, a time-out included.
    """
    try:
        yield
    except exc.IntegrityError as error:
        raise ConflictError("the name or key is taken already") from error
    except (exc.DataError, OverflowError) as error:
        raise UnfitValueError("the database cannot hold one of the values") from error
    except exc.DBAPIError as error:
        raise _of_driver(error.orig) from error
    except sqlite3.Error as error:  # of a statement that SQLAlchemy did not see
        raise _of_driver(error) from error
    except (exc.TimeoutError, TimeoutError) as error:
        raise DatabaseUnavailableError("the database did not answer in time") from error
    except (exc.SQLAlchemyError, OSError) as error:
        raise DatabaseUnavailableError("the database cannot be used", type(error).__name__) from error


def _of_driver(cause: BaseException | None) -> DatabaseUnavailableError:
    """What a driver's failure means; drivers show names and addresses, never a password or a statement's values."""
    words = f"{type(cause).__name__}: {cause}".partition("\n")[0]
    if any(sign in words for sign in NO_SUCH_TABLE):
        return SchemaError("the database's tables are not this version's: run `gateway db upgrade`")
    return DatabaseUnavailableError("the database cannot be used", words)
