/**
 * A JSON-RPC node that misbehaves on demand: a real HTTP server in front of an honest one. What it does is set
 * per method, and changes while it runs:
 *
 *     honest      the exception to what `*` does
 *     hang        takes the request and never answers
 *     reset       closes the connection
 *     late        answers after a while
 *     twice       answers every call two times, the second time with null
 *     garbage     answers something that is not JSON
 *     wrong-id    answers under another id
 *     huge        answers that many bytes, as fast as they are taken
 *     error       answers a JSON-RPC error
 *     status      answers an HTTP status and a page of HTML
 *     swallow     says yes and forwards nothing: for eth_sendRawTransaction
 *     deaf        forwards, and never answers
 *     lie         changes the honest result
 */

import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { keccak_256 } from '@noble/hashes/sha3.js';

export type Hostility =
  | {
      readonly kind:
        | 'honest'
        | 'hang'
        | 'reset'
        | 'twice'
        | 'garbage'
        | 'wrong-id'
        | 'swallow'
        | 'deaf';
    }
  | { readonly kind: 'late'; readonly delayMs: number }
  | { readonly kind: 'huge'; readonly bytes: number }
  | { readonly kind: 'status'; readonly status: number }
  | { readonly kind: 'error'; readonly code: number; readonly message: string }
  | { readonly kind: 'lie'; readonly about: Lie };

export interface NodeCall {
  readonly id: unknown;
  readonly method: string;
  readonly params: readonly unknown[];
}

/** The result to answer in place of the honest one. */
export type Lie = (result: unknown, call: NodeCall) => unknown;

export interface HostileRpc {
  readonly url: string;
  /** From now on; `*` for every method without a rule of its own. Null makes it honest again. */
  set(method: string, hostility: Hostility | null): void;
  /** Shows the chain as it is in this block from now on; null shows all of it. */
  freezeView(block: bigint | null): void;
  /** Drops every rule, and every connection that hangs. */
  honest(): void;
  /** How many calls of a method came. */
  calls(method: string): number;
  /** Bytes of huge answers that were taken. */
  bytesTaken(): number;
  /** Nobody listens any more. */
  close(): Promise<void>;
}

interface Node {
  readonly nodeUrl: string;
  readonly rules: Map<string, Hostility>;
  readonly counts: Map<string, number>;
  readonly hanging: Set<ServerResponse>;
  view: bigint | null;
  bytesTaken: number;
}

export async function startHostileRpc(t: TestContext, nodeUrl: string): Promise<HostileRpc> {
  const node: Node = {
    ...{ nodeUrl, rules: new Map(), counts: new Map(), hanging: new Set() },
    ...{ view: null, bytesTaken: 0 },
  };
  const server = createServer((request, response) => {
    response.on('close', () => node.hanging.delete(response));
    void serve(node, request, response).catch(() => response.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const close = async (): Promise<void> => {
    if (!server.listening) return;
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  };
  t.after(close);
  return {
    ...{ url, close },
    set: (method, hostility) =>
      void (hostility === null ? node.rules.delete(method) : node.rules.set(method, hostility)),
    freezeView: (block) => {
      node.view = block;
    },
    honest() {
      node.rules.clear();
      node.view = null;
      for (const response of node.hanging) response.destroy();
    },
    calls: (method) => node.counts.get(method) ?? 0,
    bytesTaken: () => node.bytesTaken,
  };
}

async function serve(node: Node, request: IncomingMessage, response: ServerResponse) {
  let body = '';
  for await (const chunk of request) body += chunk;
  const message = JSON.parse(body) as NodeCall | NodeCall[];
  const calls = Array.isArray(message) ? message : [message];
  for (const { method } of calls) node.counts.set(method, (node.counts.get(method) ?? 0) + 1);
  const rules = calls.map(({ method }) => node.rules.get(method) ?? node.rules.get('*'));
  if (await spoil(node, rules, response)) return;
  const replies = await Promise.all(calls.map((call, at) => replyTo(node, call, rules[at])));
  // Looked at again: what was set while the honest node worked counts too.
  const isDeaf = rules.some((rule) => rule?.kind === 'deaf');
  if (isDeaf) return void node.hanging.add(response);
  const isBatch = Array.isArray(message) || replies.some((some) => some.length > 1);
  const answer = isBatch ? replies.flat() : replies[0]?.[0];
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(answer));
}

/** What spoils the whole answer, whichever call of it is meant. True when nothing more is to be said. */
async function spoil(
  node: Node,
  rules: readonly (Hostility | undefined)[],
  response: ServerResponse,
): Promise<boolean> {
  for (const rule of rules) {
    if (rule === undefined) continue;
    if (rule.kind === 'late') await pause(rule.delayMs, undefined, { ref: false });
    if (rule.kind === 'hang') node.hanging.add(response);
    if (rule.kind === 'reset') response.destroy();
    if (rule.kind === 'garbage') response.end('{"jsonrpc":"2.0","id":0,"resu');
    if (rule.kind === 'huge') await flood(node, response, rule.bytes);
    if (rule.kind === 'status')
      response.writeHead(rule.status, { location: '/' }).end('<html>no</html>');
    if (['hang', 'reset', 'garbage', 'huge', 'status'].includes(rule.kind)) return true;
  }
  return false;
}

/** Starts as a good answer does and never gets to its end. */
async function flood(node: Node, response: ServerResponse, bytes: number): Promise<void> {
  const part = Buffer.alloc(64 * 1024, '0');
  function* parts(): Generator<string | Buffer> {
    yield '{"jsonrpc":"2.0","id":0,"result":"0x';
    for (let sent = 0; sent < bytes; sent += part.length) {
      node.bytesTaken = Math.max(node.bytesTaken, sent);
      yield part;
    }
  }
  await pipeline(Readable.from(parts()), response).catch(() => {});
}

type Reply = object;

async function replyTo(node: Node, call: NodeCall, rule: Hostility | undefined): Promise<Reply[]> {
  const { id } = call;
  if (rule?.kind === 'error')
    return [{ jsonrpc: '2.0', id, error: { code: rule.code, message: rule.message } }];
  if (rule?.kind === 'swallow') return [{ jsonrpc: '2.0', id, result: hashOfRaw(call) }];
  const reply = await askHonest(node, call);
  if (rule?.kind === 'wrong-id') return [{ ...reply, id: `not ${String(id)}` }];
  if (rule?.kind === 'twice') return [reply, { jsonrpc: '2.0', id, result: null }];
  if (rule?.kind !== 'lie') return [reply];
  const { result } = reply as { result?: unknown };
  return [{ jsonrpc: '2.0', id, result: rule.about(result, call) }];
}

async function askHonest(node: Node, call: NodeCall): Promise<Reply> {
  const { view } = node;
  const seen =
    view === null ? call : { ...call, params: call.params.map((one) => past(one, view)) };
  const response = await fetch(node.nodeUrl, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...seen, jsonrpc: '2.0' }),
  });
  const reply = (await response.json()) as { result?: unknown };
  if (view === null) return reply;
  if (call.method === 'eth_blockNumber') return { ...reply, result: hexOf(view) };
  const block = (reply.result as { blockNumber?: unknown } | null | undefined)?.blockNumber;
  const isLater = typeof block === 'string' && BigInt(block) > view;
  return isLater ? { ...reply, result: null } : reply;
}

/** A parameter as a node writes it that knows no later block. */
function past(parameter: unknown, view: bigint): unknown {
  if (parameter === 'latest' || parameter === 'pending') return hexOf(view);
  if (typeof parameter !== 'object' || parameter === null || !('toBlock' in parameter))
    return parameter;
  return { ...parameter, toBlock: hexOf(view) };
}

function hashOfRaw({ params }: NodeCall): string {
  const raw = Buffer.from(String(params[0]).slice(2), 'hex');
  return `0x${Buffer.from(keccak_256(raw)).toString('hex')}`;
}

function hexOf(value: bigint): string {
  return `0x${value.toString(16)}`;
}
