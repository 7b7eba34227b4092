// What does OpenAI's own client for Node.js see? `node client.mjs NAME` makes one call and prints what came of it as JSON:
// {"events": [...], "answer": ..., "error": {...}}, each where there is one. GATEWAY_URL and GATEWAY_KEY say where to.
import OpenAI from "openai";

const client = new OpenAI({
  baseURL: `${process.env.GATEWAY_URL}/v1`,
  apiKey: process.env.GATEWAY_KEY,
  maxRetries: 0,
  timeout: 20_000,
});
const messages = [{ role: "user", content: "What is a gateway?" }];
const table = [{ role: "user", content: "How many rows has table users(id, name)?" }];
const chat = { model: "qwen", messages, max_tokens: 8 };
const events = [];

async function kept(stream) {
  for await (const event of stream) events.push(event);
}

async function leftAfterTwo(stream) {
  for await (const event of stream) {
    if (events.push(event) === 2) break;
  }
}

// Leaves when the test says so, by a line on standard input.
async function leftWhenTold(call) {
  const controller = new AbortController();
  process.stdin.once("data", () => controller.abort());
  try {
    return await call({ signal: controller.signal });
  } finally {
    process.stdin.destroy();
  }
}

async function untilRefused(call, most) {
  for (let count = 0; count < most; count += 1) {
    await call();
    events.push(count);
  }
}

const calls = {
  chat: () => client.chat.completions.create(chat),
  chat_streamed: async () =>
    kept(await client.chat.completions.create({ ...chat, stream: true, stream_options: { include_usage: true } })),
  completions: () => client.completions.create({ model: "qwen", prompt: "Once", max_tokens: 8 }),
  completions_streamed: async () =>
    kept(await client.completions.create({ model: "qwen", prompt: "Once", max_tokens: 8, stream: true })),
  responses: () => client.responses.create({ model: "qwen", input: "Hello", max_output_tokens: 8 }),
  responses_streamed: async () =>
    kept(await client.responses.create({ model: "qwen", input: "Hello", max_output_tokens: 8, stream: true })),
  embeddings: () => client.embeddings.create({ model: "snowflake-arctic-embed", input: ["a cat", "a cat", "tax"] }),
  models: async () => kept(await client.models.list()),
  model: () => client.models.retrieve("Qwen/Qwen2.5-7B-Instruct"),
  text2sql: () => client.post("/text2sql", { body: { messages: table } }),
  rerank: () => client.post("/rerank", { body: { query: "red fruit", documents: ["a stone", "a red fruit"] } }),
  unknown_model: () => client.chat.completions.create({ ...chat, model: "nope" }),
  many: () => untilRefused(() => client.models.list(), 10),
  left_in_mid_stream: async () =>
    leftAfterTwo(await client.chat.completions.create({ ...chat, max_tokens: 2000, stream: true })),
  left_while_waiting: () => leftWhenTold((options) => client.chat.completions.create(chat, options)),
};

const result = { events };
try {
  result.answer = await calls[process.argv[2]]();
} catch (error) {
  if (!(error instanceof OpenAI.OpenAIError)) throw error;
  const { status, code, message, requestID } = error;
  result.error = { kind: error.constructor.name, status, code, message, request_id: requestID };
}
process.stdout.write(JSON.stringify(result));
