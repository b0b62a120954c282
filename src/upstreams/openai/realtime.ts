/** Usage of OpenAI's Realtime over WebSocket: each `response.done` states its own, so they add up. */

import type { Units } from '../../core/work.ts';
import { isObject } from '../json-text.ts';
import { countIn, objectIn, type Stated, unitsOf } from '../stated-usage.ts';

/** What happened on one connection. */
export interface RealtimeState {
  readonly units: Units;
  /** Responses that were counted already; a frame that comes twice counts once. */
  readonly responses: ReadonlySet<string>;
}

export const REALTIME_START: RealtimeState = { units: {}, responses: new Set() };

/** One frame in either direction: a message, its bytes, and the tokens it states. Never throws. */
export function addRealtimeFrame(
  state: RealtimeState,
  from: 'client' | 'upstream',
  frame: string | Uint8Array,
): RealtimeState {
  const bytes = typeof frame === 'string' ? Buffer.byteLength(frame) : frame.length;
  const passed: Units =
    from === 'client' ? { messages: 1, bytesIn: bytes } : { messages: 1, bytesOut: bytes };
  const stated = from === 'upstream' && typeof frame === 'string' ? realtimeUsage(frame) : null;
  const isNew = stated !== null && !state.responses.has(stated.id);
  return {
    units: sumOf(sumOf(state.units, passed), isNew ? stated.units : {}),
    responses: isNew ? new Set([...state.responses, stated.id]) : state.responses,
  };
}

/** Connected seconds, begun ones in full. */
export function withSeconds(state: RealtimeState, elapsedMs: number): Units {
  return { ...state.units, connectedSeconds: Math.max(0, Math.ceil(elapsedMs / 1000)) };
}

/** What a frame of the upstream states; null for every other frame. */
export function realtimeUsage(
  frame: string,
): { readonly id: string; readonly units: Stated } | null {
  if (!frame.includes('"usage"')) return null;
  let event: unknown;
  try {
    event = JSON.parse(frame);
  } catch {
    return null;
  }
  if (!isObject(event)) return null;
  if (event.type === 'response.done') {
    const response = objectIn(event, 'response');
    const usage = objectIn(response, 'usage');
    return usage && { id: idOf(response?.id), units: tokensOf(usage) };
  }
  if (event.type !== 'conversation.item.input_audio_transcription.completed') return null;
  const usage = objectIn(event, 'usage');
  return usage && { id: `heard ${idOf(event.item_id)}`, units: tokensOf(usage) };
}

function idOf(id: unknown): string {
  return typeof id === 'string' ? id : '';
}

function tokensOf(usage: unknown): Stated {
  const input = objectIn(usage, 'input_token_details');
  const output = objectIn(usage, 'output_token_details');
  return unitsOf({
    inputTokens: countIn(usage, 'input_tokens'),
    outputTokens: countIn(usage, 'output_tokens'),
    cachedInputTokens: countIn(input, 'cached_tokens'),
    inputAudioTokens: countIn(input, 'audio_tokens'),
    outputAudioTokens: countIn(output, 'audio_tokens'),
  });
}

function sumOf(some: Units, more: Units): Units {
  const sum: Record<string, number> = { ...some };
  for (const [unit, count] of Object.entries(more))
    sum[unit] = Math.min((sum[unit] ?? 0) + count, Number.MAX_SAFE_INTEGER);
  return sum;
}
