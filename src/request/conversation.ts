/** A WebSocket connection: frames pass both ways, and whatever ends one way ends the other, in order and in time. */

import { ClientGone } from '../core/errors.ts';
import type { Body, Departure } from '../core/exchange.ts';
import { type FlowEnd, FrameFlow } from './frame-flow.ts';
import type { ConnectionMeter } from './meter-connection.ts';
import { closeFrame, type FrameSink, isControl, OPCODE } from './read-frames.ts';

export interface ConversationOptions {
  /** What the client sends. */
  readonly frames: Body;
  readonly meter: ConnectionMeter;
  /** Whether what passes costs something, so that it may use the hold up. */
  readonly isPriced: boolean;
  /** The longest message that a client may send. */
  readonly messageBytesMax: number;
  /** Until it must be over, from now: the handshake is part of it. */
  readonly timeoutMs: number;
  /** When nothing has passed for this long it is over; null: never. */
  readonly idleMs: number | null;
  /** Each ends it when it aborts. */
  readonly stopping: readonly Departure[];
  /** Gives up a client that does not take what is sent. */
  readonly breakOff: () => void;
  /** Four bytes that nobody can guess (RFC 6455 §5.3). */
  readonly mask: () => Uint8Array;
  /** Monotonic. */
  readonly nowMs: () => number;
}

/** Close codes of RFC 6455 §7.4.1. */
const GOING_AWAY = 1001;
const PROTOCOL_ERROR = 1002;
const POLICY = 1008;
const TOO_BIG = 1009;
const UPSTREAM_FAILED = 1011;

/** Both sides have this long to take the last frames and to answer a close frame. */
const CLOSING_MS = 2_000;
/** From one look at the price of time to the next, at most and at least. */
const LOOK_MS = 1_000;
const LOOK_MS_MIN = 10;
/** A timer set to more runs at once. */
const PAUSE_MS_MAX = 2 ** 31 - 1;

const ENDS = {
  hold: 'The most that this connection may cost is used up. Connect again.',
  time: 'The time of this route is over. Connect again.',
  idle: 'Nothing was sent for too long. Send pings, or connect again.',
  stop: 'The gateway is stopping. Connect again.',
  upstream: 'The upstream went away. Connect again.',
  tooBig: 'This message is larger than the gateway takes. Send a smaller one.',
  malformed: 'This is not WebSocket framing.',
} as const;

export class Conversation {
  readonly #options: ConversationOptions;
  readonly #toUpstream: FrameFlow;
  #toClient: FrameFlow | null = null;
  #timer: NodeJS.Timeout | null = null;
  readonly #endsAtMs: number;
  #passedAtMs = 0;
  #isClosing = false;
  #clientIsGone = false;

  constructor(options: ConversationOptions) {
    this.#options = options;
    this.#endsAtMs = options.nowMs() + options.timeoutMs;
    this.#toUpstream = new FrameFlow({
      source: options.frames[Symbol.asyncIterator](),
      isMasked: true,
      sink: boundMessages(options.messageBytesMax),
      onPassed: () => this.#passed(),
      onEnd: (how) => this.#clientEnded(how),
    });
  }

  /** What goes to the upstream. */
  get toUpstream(): Body {
    return this.#toUpstream;
  }

  /** What goes to the client of what the upstream sends from now on. Its end is the end of everything. */
  toClient(sent: Body): Body {
    const { meter, isPriced, nowMs, stopping } = this.#options;
    const flow = new FrameFlow({
      source: sent[Symbol.asyncIterator](),
      isMasked: false,
      sink: meter,
      onPassed: () => {
        this.#passed();
        // A message that states its usage has passed already.
        if (isPriced && !meter.fitsFor(0)) this.#end(POLICY, ENDS.hold);
      },
      onEnd: (how) => this.#upstreamEnded(how),
    });
    this.#toClient = flow;
    meter.start();
    this.#passedAtMs = nowMs();
    for (const departure of stopping) {
      departure.addEventListener('abort', this.#onStop);
      if (departure.aborted) this.#onStop();
    }
    this.#look();
    return { [Symbol.asyncIterator]: () => this.#untilOver(flow) };
  }

  #untilOver(flow: FrameFlow): AsyncIterator<Uint8Array> {
    return {
      next: async () => {
        const next = await flow.next();
        if (!next.done) return next;
        this.#over();
        if (this.#clientIsGone) throw new ClientGone('The client left without a close frame.');
        return next;
      },
      return: async () => {
        this.#over();
        // The upstream hears that the client is gone.
        this.#toUpstream.close(closeFrame(GOING_AWAY, '', this.#options.mask()));
        return await flow.return();
      },
    };
  }

  /** Nothing more will count. */
  #over(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#isClosing = true;
    this.#options.meter.end();
    for (const departure of this.#options.stopping)
      departure.removeEventListener('abort', this.#onStop);
  }

  #clientEnded(how: FlowEnd): void {
    // Its close frame passes, and the upstream's answer to it comes back.
    if (how === 'closed') return void this.#awaitEnd();
    if (how === 'malformed') return void this.#end(PROTOCOL_ERROR, ENDS.malformed);
    if (how === 'refused') return void this.#end(TOO_BIG, ENDS.tooBig);
    // Behind a close frame of ours it goes as it should.
    this.#clientIsGone = !this.#isClosing;
    this.#toUpstream.close(closeFrame(GOING_AWAY, '', this.#options.mask()));
    this.#awaitEnd();
  }

  #upstreamEnded(how: FlowEnd): void {
    if (how === 'closed') return void this.#awaitEnd();
    if (how === 'refused') return void this.#end(POLICY, ENDS.hold);
    this.#end(UPSTREAM_FAILED, how === 'gone' ? ENDS.upstream : ENDS.malformed);
  }

  /** Says why to the client, and to the upstream that it is over. */
  #end(code: number, reason: string): void {
    this.#toClient?.close(closeFrame(code, reason, null));
    this.#toUpstream.close(closeFrame(GOING_AWAY, '', this.#options.mask()));
    this.#awaitEnd();
  }

  /** Whoever does not take or answer a close frame in time is not waited for. */
  #awaitEnd(): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#toClient?.stop();
      this.#toUpstream.stop();
      this.#timer = setTimeout(this.#options.breakOff, CLOSING_MS / 4);
    }, CLOSING_MS);
  }

  #passed(): void {
    this.#passedAtMs = this.#options.nowMs();
  }

  readonly #onStop = (): void => this.#end(GOING_AWAY, ENDS.stop);

  /** Looks whether its time is over, and when to look again. */
  readonly #look = (): void => {
    if (this.#isClosing) return;
    const { nowMs, idleMs, isPriced, meter } = this.#options;
    const now = nowMs();
    const idleAtMs = this.#passedAtMs + (idleMs ?? Number.POSITIVE_INFINITY);
    if (now >= this.#endsAtMs) return void this.#end(POLICY, ENDS.time);
    if (now >= idleAtMs) return void this.#end(POLICY, ENDS.idle);
    let pauseMs = Math.min(this.#endsAtMs, idleAtMs) - now;
    if (isPriced) {
      let lookMs = LOOK_MS;
      while (lookMs >= LOOK_MS_MIN && !meter.fitsFor(lookMs)) lookMs /= 10;
      if (lookMs < LOOK_MS_MIN) return void this.#end(POLICY, ENDS.hold);
      pauseMs = Math.min(pauseMs, lookMs);
    }
    this.#timer = setTimeout(this.#look, Math.min(Math.ceil(pauseMs), PAUSE_MS_MAX));
  };
}

/** Refuses the frame that makes a message longer than that. */
function boundMessages(bytesMax: number): FrameSink {
  let bytes = 0;
  return {
    begin(frame) {
      if (isControl(frame)) return true;
      bytes = (frame.opcode === OPCODE.continuation ? bytes : 0) + frame.length;
      return bytes <= bytesMax;
    },
    payload: () => {},
  };
}
