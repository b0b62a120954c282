/**
 * A model server that speaks the wire formats of OpenAI and Anthropic, always gives the same answers, and behaves
 * as a test asks for by the header `x-test-conduct`:
 *
 *     POST …/chat/completions  …/completions  …/responses  …/embeddings  …/messages
 *     POST …/images/{generations,edits}  …/audio/{speech,transcriptions}     GET …/models
 */

import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import {
  anthropicAnswer,
  anthropicEvents,
  chatAnswer,
  chatEvents,
  type Json,
  responseAnswer,
  responseEvents,
  usageOf,
  writtenFor,
} from './model-answers.ts';
import { type Conduct, countTestTokens } from './model-conduct.ts';

export interface ModelRequest {
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

export interface ModelServer {
  /** Without a path; `${url}/v1` is the base URL of the official clients. */
  readonly url: string;
  readonly requests: readonly ModelRequest[];
  /** For all requests from now on that do not ask for another one. */
  conduct: Conduct;
}

/** A whole answer, or the events of one. */
type Reply =
  | { readonly whole: Json | Buffer; readonly type?: string }
  | { readonly events: readonly Json[]; readonly isNamed: boolean; readonly done: boolean };

class ModelRefusal extends Error {}

export async function startModelServer(t: {
  after(end: () => Promise<void>): void;
}): Promise<ModelServer> {
  const requests: ModelRequest[] = [];
  const model: { conduct: Conduct } = { conduct: {} };
  const server = createServer((request, response) => {
    void serve(request, response, model.conduct, requests).catch(() => response.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return Object.assign(model, { url, requests });
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  usual: Conduct,
  requests: ModelRequest[],
): Promise<void> {
  const path = (request.url ?? '/').split('?')[0] as string;
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  requests.push({ path, headers: request.headers, body });
  const asked = request.headers['x-test-conduct'];
  const conduct = typeof asked === 'string' ? (JSON.parse(asked) as Conduct) : usual;
  if (conduct.delayMs !== undefined) await sleep(conduct.delayMs);
  if (conduct.status !== undefined)
    return sendWhole(response, refusal(`status ${conduct.status}`), conduct, conduct.status);
  try {
    const reply = await replyTo(path, request, body, conduct);
    if ('events' in reply) return await sendEvents(response, reply, conduct);
    sendWhole(response, reply.whole, conduct, 200, reply.type);
  } catch (error) {
    if (!(error instanceof ModelRefusal)) throw error;
    sendWhole(response, refusal(error.message), conduct, 400);
  }
}

function refusal(message: string): Json {
  return { error: { message, type: 'invalid_request_error', param: null, code: null } };
}

async function replyTo(
  path: string,
  request: IncomingMessage,
  bytes: Buffer,
  conduct: Conduct,
): Promise<Reply> {
  if (path.endsWith('/models'))
    return { whole: { object: 'list', data: [{ id: 'gpt-4o', object: 'model', created: 1 }] } };
  if (/\/(?:edits|transcriptions)$/.test(path))
    return await replyToForm(path, request, bytes, conduct);
  const body = parse(bytes);
  if (typeof body.model !== 'string') throw new ModelRefusal('you must provide a model');
  if (path.endsWith('/chat/completions')) return chat(body, conduct);
  if (path.endsWith('/responses')) return responses(body, conduct);
  if (path.endsWith('/messages')) return messages(body, conduct);
  if (path.endsWith('/embeddings')) return embeddings(body, conduct);
  if (path.endsWith('/images/generations')) return images(body, conduct);
  if (path.endsWith('/audio/speech')) return { whole: Buffer.alloc(4_800, 1), type: 'audio/pcm' };
  throw new ModelRefusal(`unknown path ${path}`);
}

function chat(body: Json, conduct: Conduct): Reply {
  if (!Array.isArray(body.messages) || body.messages.length === 0)
    throw new ModelRefusal('messages must not be empty');
  const limit = body.max_completion_tokens ?? body.max_tokens ?? null;
  if (limit !== null && !(Number.isInteger(limit) && Number(limit) >= 1))
    throw new ModelRefusal('max_tokens is too small');
  const written = writtenFor(body, conduct, limit === null ? null : Number(limit));
  const choices = Number(body.n ?? 1);
  if (body.stream !== true) return { whole: chatAnswer(written, conduct, choices) };
  const options = body.stream_options as Json | null | undefined;
  const asksForUsage = options?.include_usage === true;
  const events = chatEvents(written, conduct, choices, asksForUsage);
  return { events, isNamed: false, done: true };
}

function responses(body: Json, conduct: Conduct): Reply {
  const limit = body.max_output_tokens ?? null;
  const written = writtenFor(body, conduct, limit === null ? null : Number(limit));
  if (body.stream !== true) return { whole: responseAnswer(written, conduct) };
  return { events: responseEvents(written, conduct), isNamed: true, done: false };
}

function messages(body: Json, conduct: Conduct): Reply {
  if (body.max_tokens === undefined) throw new ModelRefusal('max_tokens: Field required');
  const written = writtenFor(body, conduct, Number(body.max_tokens));
  if (body.stream !== true) return { whole: anthropicAnswer(written, conduct) };
  return { events: anthropicEvents(written, conduct), isNamed: true, done: false };
}

function embeddings(body: Json, conduct: Conduct): Reply {
  const inputs = ([] as unknown[]).concat(body.input);
  const tokens = inputs.reduce<number>((sum, input) => sum + countTestTokens(String(input)), 0);
  const embedding = body.encoding_format === 'base64' ? 'AACAPwAAAEA=' : [1, 2];
  const data = inputs.map((_, index) => ({ object: 'embedding', index, embedding }));
  const usage = usageOf({ prompt_tokens: tokens, total_tokens: tokens }, conduct);
  return { whole: { object: 'list', model: body.model, data, usage } };
}

function images(body: Json, conduct: Conduct): Reply {
  const count = Number(body.n ?? 1);
  const [input_tokens, output_tokens] = [countTestTokens(String(body.prompt)), 1_056 * count];
  const usage = usageOf(
    { input_tokens, output_tokens, total_tokens: input_tokens + output_tokens },
    conduct,
  );
  const picture = { b64_json: 'iVBORw0KGgo=' };
  if (body.stream !== true) {
    const data = Array.from({ length: count }, () => picture);
    return { whole: { created: 1, data, usage } };
  }
  const events = [
    { type: 'image_generation.partial_image', partial_image_index: 0, ...picture },
    { type: 'image_generation.completed', ...picture, usage },
  ];
  return { events, isNamed: true, done: false };
}

async function replyToForm(
  path: string,
  request: IncomingMessage,
  bytes: Buffer,
  conduct: Conduct,
): Promise<Reply> {
  const headers = { 'content-type': String(request.headers['content-type']) };
  const form = await new Response(new Uint8Array(bytes), { headers }).formData();
  if (path.endsWith('/edits'))
    return images(
      Object.fromEntries([...form].map(([name, value]) => [name, String(value)])),
      conduct,
    );
  if (!(form.get('file') instanceof File)) throw new ModelRefusal('file is required');
  const usage = usageOf({ type: 'duration', seconds: 3 }, conduct);
  return { whole: { text: 'w0 w1', usage } };
}

function parse(bytes: Buffer): Json {
  try {
    return JSON.parse(bytes.toString('utf8')) as Json;
  } catch {
    throw new ModelRefusal('could not parse the JSON body');
  }
}

function sendWhole(
  response: ServerResponse,
  whole: Json | Buffer,
  conduct: Conduct,
  status: number,
  type = 'application/json',
): void {
  const plain = Buffer.isBuffer(whole) ? whole : Buffer.from(JSON.stringify(whole));
  response.writeHead(status, {
    ...{ 'content-type': type, 'x-request-id': 'req_test' },
    ...(conduct.gzip ? { 'content-encoding': 'gzip' } : {}),
    ...conduct.headers,
  });
  if (conduct.cutAfterEvents !== undefined) {
    response.write(plain.subarray(0, plain.length / 2));
    return void setImmediate(() => response.destroy());
  }
  response.end(conduct.gzip ? gzipSync(plain) : plain);
}

async function sendEvents(
  response: ServerResponse,
  { events, isNamed, done }: Extract<Reply, { events: readonly Json[] }>,
  conduct: Conduct,
): Promise<void> {
  const end = conduct.lineEnd ?? '\n';
  const cut = conduct.cutAfterEvents ?? null;
  const written = events.slice(0, cut ?? events.length).map((event) => {
    const name = isNamed ? `event: ${event.type}${end}` : '';
    return `${name}data: ${JSON.stringify(event)}${end}${end}`;
  });
  if (done && cut === null) written.push(`data: [DONE]${end}${end}`);
  response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    ...(conduct.gzip ? { 'content-encoding': 'gzip' } : {}),
    ...conduct.headers,
  });
  response.flushHeaders();
  for (const piece of piecesOf(written, conduct))
    if (!response.write(piece)) await once(response, 'drain');
  if (cut === null) response.end();
  else setImmediate(() => response.destroy());
}

function piecesOf(written: readonly string[], conduct: Conduct): readonly (string | Buffer)[] {
  if (!conduct.gzip && conduct.pieceBytes === undefined) return written;
  const plain = Buffer.from(written.join(''));
  const all = conduct.gzip ? gzipSync(plain) : plain;
  const size = conduct.pieceBytes ?? all.length;
  return Array.from({ length: Math.ceil(all.length / size) }, (_, at) =>
    all.subarray(at * size, (at + 1) * size),
  );
}
