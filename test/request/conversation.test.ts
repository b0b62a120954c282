import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { CoinslotError } from '../../src/core/errors.ts';
import type { Body, Exchange } from '../../src/core/exchange.ts';
import { Conversation } from '../../src/request/conversation.ts';
import { ConnectionMeter } from '../../src/request/meter-connection.ts';
import { Notice } from '../../src/request/notice.ts';
import { readHandshake } from '../../src/request/read-handshake.ts';
import { KEY } from '../support/websocket-client.ts';
import { type Frame, FrameParser, frame, MASK } from '../support/websocket-frames.ts';

interface Run {
  readonly toClient: readonly Frame[];
  readonly toUpstream: readonly Frame[];
  readonly units: Readonly<Record<string, number>>;
}

/** The upstream and the client send these bytes; who has nothing to send stays until the other has left. */
async function converse(
  fromUpstream: readonly Buffer[],
  fromClient: readonly Buffer[],
  messagesMax: number,
): Promise<Run> {
  const meter = new ConnectionMeter({
    ...{ messages: null, isComplete: true, nowMs: () => 0 },
    fits: ({ units }) => (units.messages ?? 0) <= messagesMax,
  });
  const left = { upstream: new Notice(), client: new Notice() };
  const conversation = new Conversation({
    ...{ meter, isPriced: true, messageBytesMax: 1_000_000 },
    frames: chunks(fromClient, left.upstream),
    ...{ timeoutMs: 10_000, idleMs: null, stopping: [new Notice()], breakOff: () => {} },
    ...{ mask: () => MASK, nowMs: () => 0 },
  });
  const toClient = collect(conversation.toClient(chunks(fromUpstream, left.client)));
  const toUpstream = collect(conversation.toUpstream);
  void toClient.finally(() => left.upstream.abort());
  void toUpstream.finally(() => left.client.abort());
  const frames = await toClient;
  return { toClient: frames, toUpstream: await toUpstream, units: meter.measured().units };
}

async function* chunks(all: readonly Buffer[], other: Notice): Body {
  yield* all;
  if (all.length > 0 || other.aborted) return;
  await new Promise<void>((resolve) => other.addEventListener('abort', resolve));
}

async function collect(body: Body): Promise<Frame[]> {
  const frames: Frame[] = [];
  const parser = new FrameParser((one) => frames.push(one));
  try {
    for await (const chunk of body) parser.push(Buffer.from(chunk));
  } catch (error) {
    assert.ok(error instanceof CoinslotError);
  }
  return frames;
}

/** Cuts bytes at these places. */
function split(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const at = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...at].map((from, i) => bytes.subarray(from, at[i] ?? bytes.length));
}

const cuts = fc.array(fc.nat(2_000), { maxLength: 12 });
const messages = fc.array(
  fc.array(fc.uint8Array({ maxLength: 140 }), { minLength: 1, maxLength: 3 }),
  { maxLength: 8 },
);

function framesOf(all: readonly (readonly Uint8Array[])[], mask?: Buffer): Buffer {
  const options = mask === undefined ? {} : { mask };
  return Buffer.concat(
    all.flatMap((parts) =>
      parts.map((part, i) =>
        frame(i === 0 ? 2 : 0, Buffer.from(part), { ...options, isLast: i === parts.length - 1 }),
      ),
    ),
  );
}

describe('a connection through the gateway', () => {
  it('gives the client whole messages up to the hold, counts exactly those, and says why it ends', async () => {
    await fc.assert(
      fc.asyncProperty(messages, cuts, fc.nat(6), async (sent, at, most) => {
        const run = await converse(split(framesOf(sent), at), [], most);
        const passed = sent.slice(0, most);
        const last = run.toClient.at(-1);
        assert.equal(last?.opcode, 8);
        assert.equal(last?.payload.readUInt16BE(0), sent.length > most ? 1008 : 1011);
        const data = run.toClient.slice(0, -1).map(({ payload }) => payload);
        assert.deepEqual(Buffer.concat(data), Buffer.concat(passed.flat()));
        assert.equal(data.length, passed.flat().length);
        assert.equal(run.units.messages, passed.length);
        assert.equal(
          run.units.bytesOut,
          passed.flat().reduce((sum, part) => sum + part.length, 0),
        );
      }),
    );
  });

  it('gives the upstream nothing but whole frames of the client, and a close frame at the end', async () => {
    await fc.assert(
      fc.asyncProperty(messages, cuts, async (sent, at) => {
        const run = await converse([], split(framesOf(sent, MASK), at), 1);
        assert.ok(run.toUpstream.every(({ isMasked }) => isMasked));
        assert.equal(run.toUpstream.at(-1)?.opcode, 8);
        const data = run.toUpstream.slice(0, -1).map(({ payload }) => payload);
        assert.deepEqual(
          data,
          sent.flat().map((part) => Buffer.from(part)),
        );
      }),
    );
  });
});

describe('a handshake', () => {
  const names = ['sec-websocket-key', 'sec-websocket-version', 'sec-websocket-protocol'];
  const header = fc.oneof(
    fc.constantFrom(KEY, '13', 'chat', 'chat, superchat', '', ',', 'a b', '258'),
    fc.string(),
  );

  it('is read or refused, whatever its headers are', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...names), header), (headers) => {
        const exchange = {
          method: 'GET',
          header: (name: string) => (Object.hasOwn(headers, name) ? headers[name] : undefined),
        } as unknown as Exchange;
        try {
          const { key, protocols } = readHandshake(exchange);
          assert.equal(Buffer.from(key, 'base64').length, 16);
          for (const protocol of protocols) assert.match(protocol, /^[!-~]+$/);
        } catch (error) {
          assert.ok(error instanceof CoinslotError, String(error));
        }
      }),
      { numRuns: 1_000 },
    );
  });
});
