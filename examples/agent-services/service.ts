/** Serves the catalogue to the gateway: plain HTTP and JSON. Of payments it knows nothing but who pays. */

import { createServer, type IncomingMessage } from 'node:http';
import { ModelFailed, modelAt } from './ask-model.ts';
import { Memory } from './memory.ts';
import { BadRequest, readFields } from './read-fields.ts';
import { services } from './services.ts';

interface Answer {
  readonly status: number;
  readonly body: object;
}

const memory = new Memory(variable('MEMORY'));
const ask = modelAt({
  baseUrl: variable('OPENAI_BASE_URL'),
  apiKey: variable('OPENAI_API_KEY'),
  model: variable('OPENAI_MODEL'),
  fetch,
});
const { hostname, port } = new URL(variable('SERVICE_URL'));

const server = createServer(async (request, response) => {
  const { status, body } = await answer(request);
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(`${JSON.stringify(body)}\n`);
});
server.listen(Number(port), hostname, () => {
  console.log(`${services.size} services at http://${hostname}:${port}, for the gateway alone`);
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop);

async function answer(request: IncomingMessage): Promise<Answer> {
  try {
    const service = services.get(request.url ?? '');
    const payer = request.headers['x-payment-payer'];
    if (!service || request.method !== 'POST') return failed(404, 'There is no such service.');
    if (typeof payer !== 'string') return failed(403, 'Only the gateway may call this.');
    const fields = readFields(await readBody(request));
    return { status: 200, body: await service(fields, { ask, memory, payer }) };
  } catch (error) {
    if (error instanceof BadRequest) return failed(400, error.message);
    console.error(error);
    if (error instanceof ModelFailed) return failed(502, error.message);
    return failed(500, 'The service failed.');
  }
}

function failed(status: number, error: string): Answer {
  return { status, body: { error } };
}

/** The gateway has bounded its length. */
async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

function variable(name: string): string {
  const value = process.env[name];
  if (value) return value;
  console.error(
    `${name} is not set: copy .env.example to .env, then: node --env-file=.env service.ts`,
  );
  process.exit(1);
}

function stop(): void {
  server.close(() => memory.close());
  server.closeIdleConnections();
}
