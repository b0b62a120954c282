/** JSON-RPC 2.0 over HTTP to several nodes of one chain: calls made together travel together, and the next node answers when one does not. */

import { openPost, type Post } from './post-json.ts';

/** No node answered usably: nothing is known. Never the same thing as a revert. */
export class RpcUnavailable extends Error {
  override readonly name = 'RpcUnavailable';
}

/** A node understood the call and refused it, for example because the execution reverts. */
export class RpcRefused extends Error {
  override readonly name = 'RpcRefused';
  readonly code: number;
  readonly data: unknown;
  constructor(message: string, code: number, data: unknown) {
    super(message);
    this.code = code;
    this.data = data;
  }
}

export interface JsonRpc {
  /** Rejects with RpcRefused or RpcUnavailable. Calls of one turn of the event loop share a request. */
  call(method: string, params: readonly unknown[]): Promise<unknown>;
  close(): Promise<void>;
}

export interface JsonRpcOptions {
  /** Asked in this order; one that answered is asked first from then on. */
  readonly urls: readonly string[];
  /** How long one node may take for one request. Default 4 s. */
  readonly timeoutMs?: number;
  /** Calls in one request at most; public nodes refuse long ones. Default 20. */
  readonly batchMax?: number;
  readonly post?: Post;
}

interface Call {
  readonly method: string;
  readonly params: readonly unknown[];
  resolve(result: unknown): void;
  reject(error: Error): void;
}

interface Node {
  readonly url: string;
  /** False once the node has refused a request of several calls. */
  takesBatches: boolean;
}

interface Reply {
  readonly id?: unknown;
  readonly result?: unknown;
  readonly error?: { readonly code?: unknown; readonly message?: unknown; readonly data?: unknown };
}

/** Rate limits, internal errors and missing data are the node's own trouble: another node may do better. */
const NODE_TROUBLE: ReadonlySet<unknown> = new Set([-32603, -32005, -32002, -32001, -32016, 429]);

/** To one node at a time. */
const CONNECTIONS = 16;

/** Opens no connection until the first call. */
export function openJsonRpc(options: JsonRpcOptions): JsonRpc {
  const { timeoutMs = 4_000, batchMax = 20 } = options;
  const { post, close } = options.post
    ? { post: options.post, close: async () => {} }
    : openPost(CONNECTIONS);
  const nodes: Node[] = options.urls.map((url) => ({ url, takesBatches: true }));
  let preferred = 0;
  let queue: Call[] = [];
  let closed = false;

  async function send(calls: readonly Call[]): Promise<void> {
    let open = calls;
    let problem = 'no node is configured';
    for (let i = 0; i < nodes.length && open.length > 0; i++) {
      const index = (preferred + i) % nodes.length;
      const node = nodes[index] as Node;
      const left = await ask(node, open, post, timeoutMs).catch((error: unknown) => {
        problem = `${hostOf(node.url)}: ${error instanceof Error ? error.message : String(error)}`;
        return open;
      });
      if (left.length === 0) preferred = index;
      else if (left !== open) problem = `${hostOf(node.url)}: the node could not answer`;
      open = left;
    }
    for (const call of open) call.reject(new RpcUnavailable(`${call.method}: ${problem}`));
  }

  function flush(): void {
    const calls = queue;
    queue = [];
    for (let i = 0; i < calls.length; i += batchMax) void send(calls.slice(i, i + batchMax));
  }

  return {
    call(method, params) {
      if (closed) return Promise.reject(new RpcUnavailable(`${method}: closed`));
      return new Promise((resolve, reject) => {
        if (queue.push({ method, params, resolve, reject }) === 1) setImmediate(flush);
      });
    },
    async close() {
      closed = true;
      await close();
    },
  };
}

/** Asks one node and settles every call that it answered; returns the calls that another node must answer. */
async function ask(
  node: Node,
  calls: readonly Call[],
  post: Post,
  timeoutMs: number,
): Promise<readonly Call[]> {
  if (!node.takesBatches && calls.length > 1) return askOneByOne(node, calls, post, timeoutMs);
  const messages = calls.map(({ method, params }, id) => ({ jsonrpc: '2.0', id, method, params }));
  const body = JSON.stringify(messages.length === 1 ? messages[0] : messages);
  const { status, text } = await postInTime(node.url, body, post, timeoutMs);
  const replies = parseReplies(text);
  if (calls.length > 1 && !Array.isArray(replies) && !isTrouble(status, replies)) {
    node.takesBatches = false;
    return askOneByOne(node, calls, post, timeoutMs);
  }
  if (replies === null) throw new Error(`HTTP ${status} without a JSON-RPC answer`);
  const byId = new Map<unknown, Reply>();
  for (const reply of Array.isArray(replies) ? replies : [replies])
    if (typeof reply === 'object' && reply !== null) byId.set(reply.id, reply);
  return calls.filter((call, id) => !settle(call, byId.get(id)));
}

function isTrouble(status: number, reply: Reply | null): boolean {
  return status >= 500 || status === 429 || NODE_TROUBLE.has(reply?.error?.code);
}

async function askOneByOne(
  node: Node,
  calls: readonly Call[],
  post: Post,
  timeoutMs: number,
): Promise<readonly Call[]> {
  const left = await Promise.all(
    calls.map((call) => ask(node, [call], post, timeoutMs).catch(() => [call])),
  );
  return left.flat();
}

function settle(call: Call, reply: Reply | undefined): boolean {
  if (reply === undefined) return false;
  if (reply.error === undefined || reply.error === null) {
    if (!('result' in reply)) return false;
    call.resolve(reply.result);
    return true;
  }
  const { code, message, data } = reply.error;
  if (NODE_TROUBLE.has(code)) return false;
  const text = `${call.method}: ${String(message)}`;
  call.reject(new RpcRefused(text, typeof code === 'number' ? code : 0, data));
  return true;
}

function parseReplies(text: string): Reply | Reply[] | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Reply | Reply[]) : null;
  } catch {
    return null;
  }
}

async function postInTime(
  url: string,
  body: string,
  post: Post,
  timeoutMs: number,
): ReturnType<Post> {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(new Error(`no answer in ${timeoutMs} ms`)), timeoutMs);
  try {
    return await post(url, body, abort.signal);
  } finally {
    clearTimeout(timer);
  }
}

/** Only the host: the path of a node's URL is often its API key. */
function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : 'the node';
}
