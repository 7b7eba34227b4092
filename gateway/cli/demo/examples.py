"""What can a newcomer paste? Requests and faults, with the demo's own addresses, key and processes."""

import sys
from collections.abc import Sequence
from shutil import which
from typing import NamedTuple

SQL_QUESTION = "CREATE TABLE orders (id INT, customer TEXT, total INT); Total per customer?"

CURL = """\
curl -N {url}/v1/chat/completions -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\
  -d '{{"model": "qwen", "stream": true, "messages": [{{"role": "user", "content": "Why is the sky blue?"}}]}}'

curl {url}/v1/text2sql -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\
  -d '{{"messages": [{{"role": "user", "content": "{question}"}}]}}'

curl {url}/v1/rerank -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\
  -d '{{"model": "bge-reranker-v2-m3", "query": "red fruit", "documents": ["a red apple", "a grey stone"]}}'
"""

PYTHON = """\
from openai import OpenAI  # pip install openai

client = OpenAI(base_url="{url}/v1", api_key="{key}", timeout=5400, max_retries=0)
messages = [{{"role": "user", "content": "Why is the sky blue?"}}]
for chunk in client.chat.completions.create(model="qwen", messages=messages, stream=True):
    print(chunk.choices[0].delta.content or "", end="", flush=True)
"""


def examples(url: str, key: str) -> list[tuple[str, str]]:
    """Titles and texts, ready to paste."""
    texts = (("curl", CURL), ("OpenAI's SDK", PYTHON))
    return [(title, text.format(url=url, key=key, question=SQL_QUESTION)) for title, text in texts]


OPERATORS = """\
export GATEWAY_URL={url} ADMIN_API_KEY={key}
{gateway} keys create --org initech --rpm 60
{gateway} usage --by model
{gateway} backends drain chat0
{gateway} state
"""


def for_operators(url: str, key: str) -> str:
    """Commands that ask the demo's gateway, ready to paste; `gateway` by its path where the shell would not find it."""
    gateway = "gateway" if which("gateway") else f"{sys.executable} -m gateway"
    return OPERATORS.format(url=url, key=key, gateway=gateway)


BREAK = """\
  kill {pid}          # {name} dies, for good; the next request to it, or a probe within 10 s, finds out
  kill -STOP {pid}    # {name} stands still; kill -CONT lets it go on
  curl -X POST {control}/stop-engine    # its engine hangs, and /health says 200; /resume-engine ends that
  curl -X PUT {control}/faults -d '{{"name": "status", "status": 500}}'    # it fails; curl -X DELETE ends that
  curl -X PUT {control}/faults -d '{{"name": "eof_mid_stream"}}'    # its streams break off; DELETE ends that, too"""


class Server(NamedTuple):
    """A simulated server: its process, its address, and where it is told to misbehave."""

    name: str
    pid: int
    url: str
    control: str


def how_to_break(servers: Sequence[Server]) -> str:
    """Who runs where, and what the first of them can be made to do, ready to paste."""
    width = max(len(server.name) for server in servers)
    rows = [f"  {name:<{width}}  pid {pid}  {url}  control {control}" for name, pid, url, control in servers]
    return "\n".join([*rows, BREAK.format(**servers[0]._asdict())])
