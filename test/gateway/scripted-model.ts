/** A model server whose answer a test writes byte by byte, and the pieces that such answers are made of. */

import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';

export interface ScriptedModel {
  readonly url: string;
  /** Resolves once a request has come. */
  readonly asked: Promise<void>;
  /** Resolves once the gateway gave an answer up. */
  readonly left: Promise<void>;
}

export async function scriptedModel(
  t: TestContext,
  answer: (response: ServerResponse, request: IncomingMessage) => Promise<void> | void,
): Promise<ScriptedModel> {
  const asked = Promise.withResolvers<void>();
  const left = Promise.withResolvers<void>();
  const server = createServer((request, response) => {
    asked.resolve();
    response.on('error', () => {});
    response.on('close', () => {
      if (!response.writableFinished) left.resolve();
    });
    request.resume().on('end', () => void answer(response, request));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url, asked: asked.promise, left: left.promise };
}

/** The head of an event stream. */
export function eventHead(response: ServerResponse, headers: object = {}): void {
  response.writeHead(200, { 'content-type': 'text/event-stream', ...headers });
  response.flushHeaders();
}

/** Chunks of a chat completion with this text, one for each word. */
export function chatChunks(text: string): string {
  return (text.match(/\s?\S+/g) ?? [])
    .map((content) => chunkOf([{ index: 0, delta: { content }, finish_reason: null }]))
    .join('');
}

/** The chunk that states usage, whatever stands for the counts. */
export function usageChunk(prompt: unknown, completion: unknown): string {
  return chunkOf([], { usage: { prompt_tokens: prompt, completion_tokens: completion } });
}

export const CHAT_END = 'data: [DONE]\n\n';

function chunkOf(choices: object[], more: object = {}): string {
  const chunk = { id: 'c', object: 'chat.completion.chunk', created: 1, model: 'gpt-4o-mini' };
  return `data: ${JSON.stringify({ ...chunk, choices, ...more })}\n\n`;
}
