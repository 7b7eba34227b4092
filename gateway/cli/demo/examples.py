"""What can a newcomer paste? Requests for curl and for OpenAI's SDK, with the demo's own address and key."""

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
