"""How are long lists given? In pages as OpenAI's are: the last id of one is where the next begins."""

from collections.abc import Callable, Iterable, Sequence
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


def merged(fixed: Iterable[Item], kept: Sequence[Item], after: str, name: Name[Item]) -> list[Item]:
    """What stands in the settings and what the database has, in the order of names, behind `after`."""
    return sorted([*(one for one in fixed if name(one) > after), *kept], key=name)
