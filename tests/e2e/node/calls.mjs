// Makes the calls that it is told on standard input by OpenAI's SDK for Node, and prints what an application sees of each.
import { text } from "node:stream/consumers";
import OpenAI from "openai";

const { baseURL, calls } = JSON.parse(await text(process.stdin));
const client = new OpenAI({ baseURL, apiKey: "sk-x", maxRetries: 0 });

const INTERFACES = {
  chat: (body, options) => client.chat.completions.create(body, options),
  accumulated: (body, options) => client.chat.completions.stream(body, options).finalChatCompletion(),
  completions: (body, options) => client.completions.create(body, options),
  responses: (body, options) => client.responses.create(body, options),
  embeddings: (body, options) => client.embeddings.create(body, options),
};

function describe(error) {
  const { status, code, type, param, message } = error;
  return { class: error.constructor.name, isAPIError: error instanceof OpenAI.APIError, status, code, type, param, message };
}

async function make({ name, call, body, headers, timeout }) {
  const seen = { name, parts: [], error: null };
  try {
    const answer = await INTERFACES[call](body, { headers, timeout });
    if (body.stream && call !== "accumulated") {
      for await (const part of answer) seen.parts.push(part);
    } else {
      seen.parts.push(answer);
    }
  } catch (error) {
    seen.error = describe(error);
  }
  return seen;
}

const seen = [];
for (const call of calls) seen.push(await make(call));
console.log(JSON.stringify(seen));
