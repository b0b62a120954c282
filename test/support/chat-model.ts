/** A model server that speaks OpenAI's chat completions, and fails on demand. */

import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface ChatRequest {
  readonly authorization: string | undefined;
  readonly model: string;
  readonly max_tokens?: number;
  readonly messages: readonly { readonly role: string; readonly content: string }[];
}

export interface ChatReply {
  /** Default 200. */
  readonly status?: number;
  readonly content?: string | null;
  /** Default `stop`. */
  readonly finishReason?: string;
  /** Sent instead of a chat completion. */
  readonly raw?: string;
}

export interface ChatModel {
  /** With its version, as `OPENAI_BASE_URL` has it. */
  readonly baseUrl: string;
  readonly requests: readonly ChatRequest[];
  /** Answers this from now on; null: sensibly again. */
  reply(reply: ChatReply | null): void;
  /** Stops listening, so that connections are refused. */
  close(): Promise<void>;
}

export async function startChatModel(t: {
  after(end: () => Promise<void>): void;
}): Promise<ChatModel> {
  const requests: ChatRequest[] = [];
  let fixed: ChatReply | null = null;
  const server = createServer(async (request, response) => {
    const asked = await readRequest(request);
    requests.push(asked);
    const { status = 200, content, finishReason = 'stop', raw } = fixed ?? sensible(asked);
    const message = { role: 'assistant', content };
    const choices = [{ index: 0, message, finish_reason: finishReason }];
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(raw ?? JSON.stringify({ object: 'chat.completion', choices }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const close = async (): Promise<void> => {
    if (!server.listening) return;
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  };
  t.after(close);
  return {
    baseUrl: `http://127.0.0.1:${port}/v1`,
    requests,
    reply: (reply) => {
      fixed = reply;
    },
    close,
  };
}

async function readRequest(request: IncomingMessage): Promise<ChatRequest> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = JSON.parse(Buffer.concat(chunks).toString()) as ChatRequest;
  return { ...body, authorization: request.headers.authorization };
}

/** Obeys like a model: a list in its task is what it chooses from, or the keys of the JSON that it answers. */
function sensible({ messages }: ChatRequest): ChatReply {
  const task = messages.find(({ role }) => role === 'system')?.content ?? '';
  const text = messages.findLast(({ role }) => role === 'user')?.content ?? '';
  const names = JSON.parse(/\[.*?\]/.exec(task)?.[0] ?? '[]') as string[];
  if (names.length === 0) return { content: `${text.split('.')[0]}.` };
  if (!/JSON object/.test(task)) return { content: `${names[0]}.` };
  const object = Object.fromEntries(names.map((name) => [name, `the ${name}`]));
  return { content: `\`\`\`json\n${JSON.stringify(object)}\n\`\`\`` };
}
