"""What is a client's connection doing? The word for it says what the bytes mean that come next."""

from enum import Enum


class State(Enum):
    """What a connection is doing; `connection.ClientSocket.state` tells it from what the connection holds.

    | state | what it holds | what comes next is |
    |---|---|---|
    | `IDLE` | nothing | the beginning of a head |
    | `HEAD` | a part of a head | more of that head, for as long as a head may take |
    | `BODY` | a request, not all of its body | more of that body |
    | `ANSWERING` | a request, all of it | nothing that is run: a second request ends the reading, the answer goes on |
    | `UNTAKEN` | an answer that the client does not take | the same, until all of it was taken: then as `IDLE` |
    | `DEAF` | at most an answer on its way out | thrown away: only the client's departure is still of interest |

    A request begins in `HEAD` or, when all of its head came at once, in `IDLE`. Its answer ends in `IDLE` again, in
    `UNTAKEN`, or closes the connection. What is refused, cut, or answered before its end leaves it `DEAF` until it is
    closed. tests/server/test_state.py goes through the rows.
    """

    IDLE = "idle"
    HEAD = "head"
    BODY = "body"
    ANSWERING = "answering"
    UNTAKEN = "untaken"
    DEAF = "deaf"
