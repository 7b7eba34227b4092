"""What does the text-to-SQL model answer? Its think and answer form, with a query over the tables of the prompt."""

import re
from collections.abc import Mapping

from gateway.simulator.content.words import keywords, stem, words

_CREATE = re.compile(r"create\s+table\s+(?:if\s+not\s+exists\s+)?[`\"\[]?(\w+)[`\"\]]?\s*\(", re.IGNORECASE)
_SHORT = re.compile(r"(?:^|\n|;)\s*(?:table\s+)?(\w+)\s*\(([\w\s,]+)\)")
_NOT_COLUMNS = frozenset({"primary", "foreign", "unique", "constraint", "check", "key", "index"})
_COUNT = frozenset({"count", "many", "number"})
_SUM = frozenset({"sum", "total", "revenue", "spent"})
_AVERAGE = frozenset({"average", "avg", "mean"})
_TOP = re.compile(r"\b(?:top|first|best|highest|largest)\s+(\d+)", re.IGNORECASE)
_NUMERIC = ("amount", "price", "total", "quantity", "value", "cost", "salary", "score", "revenue")


def answer(prompt: str, question: str) -> str:
    """A query with its reasoning.

    Args:
        prompt: everything that was said; the schema may stand anywhere in it.
        question: what the user said last.
    """
    tables = _tables(prompt)
    if not tables:
        name = (keywords(question) or ["items"])[-1]
        tables = {name if name.endswith("s") else name + "s": ["id", "name"]}
    asked = {stem(word) for word in words(_without_schema(question))}
    table = max(tables, key=lambda name: _relevance(name, tables[name], asked))
    columns = tables[table]
    query = _query(table, columns, asked, question)
    thought = (
        f"The question speaks of {', '.join(keywords(_without_schema(question))) or 'the data'}. "
        f"The table {table} has the columns {', '.join(columns)}, which is what is needed."
    )
    return f"<think>\n{thought}\n</think>\n<answer>\n```sql\n{query}\n```\n</answer>"


def _query(table: str, columns: list[str], asked: set[str], question: str) -> str:
    named = [column for column in columns if _parts(column) & asked] or columns[:2]
    number = next((column for column in columns if any(word in column.lower() for word in _NUMERIC)), columns[-1])
    grouped = _grouped_by(question, columns)
    aggregate = _aggregate(asked, number)
    if aggregate and grouped:
        order = f"\nORDER BY 2 DESC{_limit(question)}" if _limit(question) else ""
        return f"SELECT {grouped}, {aggregate}\nFROM {table}\nGROUP BY {grouped}{order};"
    if aggregate:
        return f"SELECT {aggregate}\nFROM {table};"
    limit = _limit(question)
    order = f"\nORDER BY {number} DESC{limit}" if limit else ""
    return f"SELECT {', '.join(named)}\nFROM {table}{order};"


def _aggregate(asked: set[str], number: str) -> str | None:
    if asked & _COUNT:
        return "COUNT(*)"
    if asked & _AVERAGE:
        return f"AVG({number})"
    if asked & _SUM:
        return f"SUM({number})"
    return None


def _grouped_by(question: str, columns: list[str]) -> str | None:
    """The column that `per` or `by` speaks of."""
    for match in re.finditer(r"\b(?:per|by|each|every)\s+(\w+)", question, re.IGNORECASE):
        wanted = stem(match[1].lower())
        for column in columns:
            if wanted in _parts(column):
                return column
    return None


def _limit(question: str) -> str:
    match = _TOP.search(question)
    return f"\nLIMIT {match[1]}" if match else ""


def _tables(text: str) -> Mapping[str, list[str]]:
    tables: dict[str, list[str]] = {}
    for match in _CREATE.finditer(text):
        body = _until_closed(text, match.end())
        columns = [re.match(r"\s*[`\"\[]?(\w+)", part) for part in re.split(r",(?![^(]*\))", body)]
        names = [column[1] for column in columns if column and column[1].lower() not in _NOT_COLUMNS]
        if names:
            tables[match[1]] = names
    if not tables:
        for match in _SHORT.finditer(text):
            columns_text = [part.split() for part in match[2].split(",")]
            if len(columns_text) > 1:
                tables[match[1]] = [part[0] for part in columns_text if part]
    return tables


def _until_closed(text: str, start: int) -> str:
    depth = 1
    for position in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[position], 0)
        if depth == 0:
            return text[start:position]
    return text[start:]


def _without_schema(question: str) -> str:
    return re.sub(r"create\s+table.*?\)\s*;", " ", question, flags=re.IGNORECASE | re.DOTALL)


def _relevance(name: str, columns: list[str], asked: set[str]) -> int:
    return 3 * len(_parts(name) & asked) + sum(bool(_parts(column) & asked) for column in columns)


def _parts(name: str) -> set[str]:
    return {stem(part) for part in name.lower().split("_")}
