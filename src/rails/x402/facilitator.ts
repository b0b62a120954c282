/** A remote facilitator (x402 v2 §7): asked to verify and to settle; what it says is never believed alone. */

import { collectBody } from '../../core/exchange.ts';
import type { JsonObject } from './protocol.ts';

/** The facilitator gave no usable answer; `sent` tells whether it may have received the payment. */
export class FacilitatorUnavailable extends Error {
  override readonly name = 'FacilitatorUnavailable';
  readonly sent: boolean;
  constructor(message: string, sent: boolean) {
    super(message);
    this.sent = sent;
  }
}

/** Body of `/verify` and `/settle`, as JSON text. */
export type FacilitatorRequest = string;

export type VerifyAnswer =
  | { readonly valid: true }
  | { readonly valid: false; readonly reason: string };

export type SettleAnswer =
  | { readonly success: true; readonly transaction: string }
  | { readonly success: false; readonly reason: string };

export interface FacilitatorClient {
  /** Rejects with FacilitatorUnavailable, as the others do. */
  verify(url: string, request: FacilitatorRequest): Promise<VerifyAnswer>;
  settle(url: string, request: FacilitatorRequest, timeoutMs: number): Promise<SettleAnswer>;
  /** Whether it serves scheme `exact` on a network, under its v2 id or its v1 name. */
  supports(url: string, names: readonly string[]): Promise<boolean>;
}

const VERIFY_TIMEOUT_MS = 5_000;
const ANSWER_BYTES_MAX = 256 * 1024;

/** Errors of a connection that never stood: nothing was sent. */
const NOT_SENT: ReadonlySet<unknown> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
]);

export function createFacilitatorClient(
  fetchJson: typeof fetch = (...request) => fetch(...request),
): FacilitatorClient {
  async function ask(url: string, timeoutMs: number, body?: string): Promise<JsonObject> {
    let response: Response;
    let text: string;
    try {
      response = await fetchJson(url, {
        ...(body === undefined ? {} : { method: 'POST', body }),
        headers: { 'content-type': 'application/json', accept: 'application/json' },
        signal: AbortSignal.timeout(timeoutMs),
        redirect: 'error',
      });
      const bytes = await collectBody(response.body, ANSWER_BYTES_MAX);
      text = new TextDecoder().decode(bytes ?? undefined);
    } catch (error) {
      throw new FacilitatorUnavailable(describe(url, error), !isNotSent(error));
    }
    const value = parseObject(text);
    if (value === null)
      throw new FacilitatorUnavailable(`${hostOf(url)} answered HTTP ${response.status}`, true);
    return value;
  }

  return {
    async verify(url, request) {
      const answer = await ask(`${url}/verify`, VERIFY_TIMEOUT_MS, request);
      if (answer.isValid === true) return { valid: true };
      if (answer.isValid !== false)
        throw new FacilitatorUnavailable(`${hostOf(url)} did not say whether it is valid`, true);
      return { valid: false, reason: reasonOf(answer.invalidReason) };
    },
    async settle(url, request, timeoutMs) {
      const answer = await ask(`${url}/settle`, timeoutMs, request);
      if (answer.success === true)
        return {
          success: true,
          transaction: typeof answer.transaction === 'string' ? answer.transaction : '',
        };
      if (answer.success !== false)
        throw new FacilitatorUnavailable(`${hostOf(url)} did not say whether it settled`, true);
      return { success: false, reason: reasonOf(answer.errorReason) };
    },
    async supports(url, names) {
      const { kinds } = await ask(`${url}/supported`, VERIFY_TIMEOUT_MS);
      if (!Array.isArray(kinds)) return false;
      return kinds.some((kind) => kind?.scheme === 'exact' && names.includes(kind?.network));
    },
  };
}

/** A reason that fits a code of ours; a stranger's text goes into headers and records. */
function reasonOf(reason: unknown): string {
  return typeof reason === 'string' && /^[a-zA-Z0-9_.:-]{1,100}$/.test(reason)
    ? reason
    : 'facilitator_refused';
}

function parseObject(text: string): JsonObject | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as JsonObject) : null;
  } catch {
    return null;
  }
}

function describe(url: string, error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return `${hostOf(url)}: ${cause instanceof Error ? cause.message : String(cause)}`;
}

function isNotSent(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined;
  if (typeof cause !== 'object' || cause === null) return false;
  return NOT_SENT.has((cause as { code?: unknown }).code);
}

/** Only the host: a path may carry an account's id. */
function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : 'the facilitator';
}
