/** Asks an HTTP service of the operator's for a small piece of JSON; nothing it does takes long or much. */

/** Node's fetch, loaded when it is first called: most gateways never need it. */
export const fetchLate: typeof fetch = (...request) => fetch(...request);

/** As much of `fetch` as is needed, so that a test can stand in for it. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export interface JsonRequest {
  readonly url: string;
  readonly timeoutMs: number;
  readonly bytesMax: number;
  /** Sent with POST; left out: GET. */
  readonly body?: unknown;
  /** Gives up before the time-out as well. */
  readonly signal?: AbortSignal;
}

/** Rejects on anything but a 200 with JSON of at most that size in time; redirects are not followed. */
export async function fetchJson(fetch: Fetch, request: JsonRequest): Promise<unknown> {
  const { url, body, bytesMax } = request;
  const timeout = AbortSignal.timeout(request.timeoutMs);
  const signal = request.signal ? AbortSignal.any([timeout, request.signal]) : timeout;
  const response = await fetch(url, {
    ...(body === undefined
      ? { headers: { accept: 'application/json' } }
      : {
          method: 'POST',
          headers: { accept: 'application/json', 'content-type': 'application/json' },
          body: JSON.stringify(body),
        }),
    // Where it leads to was not configured, and would get what is sent along.
    redirect: 'manual',
    signal,
  });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new Error(`it answered ${response.status}`);
  }
  return JSON.parse(await readText(response, bytesMax));
}

async function readText({ body }: Response, bytesMax: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body ?? []) {
    bytes += chunk.length;
    if (bytes > bytesMax) throw new Error(`it answered more than ${bytesMax} bytes`);
    chunks.push(chunk);
  }
  return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks));
}
