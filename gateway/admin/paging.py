"""How are long lists given? In pages as OpenAI's are: the last id of one is where the next begins."""

from collections.abc import Callable, Sequence
from typing import Annotated, Generic, Literal, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field

MAX_PAGE = 1000
MAX_CURSOR = 300

Item = TypeVar("Item")
Shown = TypeVar("Shown", bound=BaseModel)
Name = Callable[[Item], str]

Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="Entries of a page.")]
After = Annotated[
    str,
    Query(
        max_length=MAX_CURSOR,
        pattern=r"^[^\x00-\x1f\x7f]*$",
        description="`last_id` of the page before; empty: the first page.",
    ),
]


class Page(BaseModel, Generic[Shown]):
    """One page of a list."""

    object: Literal["list"] = "list"
    data: list[Shown]
    has_more: bool = Field(description="Whether another page follows.")
    last_id: str | None = Field(description="What `after` takes for the next page; null: the page is empty.")


def page_of(found: Sequence[Item], limit: int, show: Callable[[Item], Shown], name: Name[Item]) -> Page[Shown]:
    """A page of `limit` entries, of which one more than that was asked for, to see whether there are more."""
    kept = found[:limit]
    return Page(data=[show(one) for one in kept], has_more=len(found) > limit, last_id=name(kept[-1]) if kept else None)


def behind(fixed: Sequence[Item], after: str, name: Name[Item]) -> tuple[list[Item], str]:
    """What of the settings' own a page has, and behind which name it goes on with what the database has.

    The settings' own come first, in their order: two lists cannot be merged by name, as each database sorts by its own
    rules.
    """
    names = [name(one) for one in fixed]
    if after in names:
        return list(fixed[names.index(after) + 1 :]), ""
    return ([], after) if after else (list(fixed), "")
