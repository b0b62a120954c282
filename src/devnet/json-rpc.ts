/** The node answered a call with an error. */
export class RpcError extends Error {
  override readonly name = 'RpcError';
  readonly code: number;
  readonly data: unknown;
  constructor(message: string, code: number, data: unknown) {
    super(message);
    this.code = code;
    this.data = data;
  }
}

export interface RpcCall {
  readonly method: string;
  readonly params: readonly unknown[];
}

interface RpcReply {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: { readonly code: number; readonly message: string; readonly data?: unknown };
}

/** Sends several calls in one HTTP request and returns their results in order; the node runs them side by side. */
export async function rpcBatch(rpcUrl: string, calls: readonly RpcCall[]): Promise<unknown[]> {
  const response = await fetch(rpcUrl, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(calls.map((call, id) => ({ jsonrpc: '2.0', id, ...call }))),
  });
  const replies = (await response.json()) as readonly RpcReply[];
  const byId = new Map(replies.map((reply) => [reply.id, reply]));
  return calls.map((call, id) => {
    const reply = byId.get(id);
    if (reply === undefined) throw new RpcError(`${call.method}: no answer`, -32603, undefined);
    if (reply.error !== undefined)
      throw new RpcError(
        `${call.method}: ${reply.error.message}`,
        reply.error.code,
        reply.error.data,
      );
    return reply.result;
  });
}
