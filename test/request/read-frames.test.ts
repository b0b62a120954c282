import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  closeFrame,
  type FrameHead,
  FrameReader,
  type FrameSink,
  type FrameStop,
  isControl,
} from '../../src/request/read-frames.ts';
import { FrameParser, frame, MASK } from '../support/websocket-frames.ts';

/** What a reader lets pass of these chunks, and what its sink saw. */
function readAll(isMasked: boolean, chunks: readonly Uint8Array[], begin = () => true) {
  const heads: FrameHead[] = [];
  const payloads: Buffer[] = [];
  const sink: FrameSink = {
    begin(head) {
      if (!begin()) return false;
      heads.push(head);
      payloads.push(Buffer.alloc(0));
      return true;
    },
    payload(_head, bytes, isEnd) {
      const at = payloads.length - 1;
      payloads[at] = Buffer.concat([payloads[at] ?? Buffer.alloc(0), bytes]);
      if (isEnd) assert.equal(payloads[at]?.length, heads[at]?.length);
    },
  };
  const reader = new FrameReader(isMasked, sink);
  const passed: Uint8Array[] = [];
  let stop: FrameStop | null = null;
  for (const chunk of chunks) {
    const read = reader.read(chunk);
    passed.push(read.bytes);
    stop = read.stop;
    if (stop !== null) break;
  }
  return { heads, payloads, passed: Buffer.concat(passed), stop, reader };
}

/** Cuts bytes at these places. */
function split(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const at = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...at].map((from, i) => bytes.subarray(from, at[i] ?? bytes.length));
}

const cuts = fc.array(fc.nat(200_000), { maxLength: 20 });
const payload = fc.oneof(
  fc.uint8Array({ maxLength: 200 }),
  fc.integer({ min: 120, max: 70_000 }).map((length) => new Uint8Array(length)),
);
/** A message in its frames, with control frames between them. */
const message = fc
  .tuple(fc.constantFrom(1, 2), fc.array(payload, { minLength: 1, maxLength: 3 }), fc.boolean())
  .map(([opcode, parts, pings]) =>
    parts.flatMap((part, i) => [
      ...(pings ? [{ opcode: 9, part: Buffer.from('p'), isLast: true }] : []),
      { opcode: i === 0 ? opcode : 0, part: Buffer.from(part), isLast: i === parts.length - 1 },
    ]),
  );
const conversation = fc.tuple(
  fc.array(message, { maxLength: 4 }).map((all) => all.flat()),
  fc.boolean(),
);

describe('the frames of a connection', () => {
  it('pass byte for byte however they are split, and each is seen once with its whole payload', () => {
    fc.assert(
      fc.property(conversation, cuts, ([frames, isMasked], at) => {
        const mask = isMasked ? { mask: MASK } : {};
        const bytes = Buffer.concat(
          frames.map(({ opcode, part, isLast }) => frame(opcode, part, { ...mask, isLast })),
        );
        const read = readAll(isMasked, split(bytes, at));
        assert.equal(read.stop, null);
        assert.deepEqual(read.passed, bytes);
        assert.deepEqual(
          read.heads.map(({ opcode, length, isLast }) => [opcode, length, isLast]),
          frames.map(({ opcode, part, isLast }) => [opcode, part.length, isLast]),
        );
        assert.ok(read.reader.isBetweenFrames);
      }),
    );
  });

  it('are never more than came, never throw, and stop for good reason, whatever the bytes are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), cuts, fc.boolean(), (raw, at, isMasked) => {
        const bytes = Buffer.from(raw);
        const whole = readAll(isMasked, [bytes]);
        const parts = readAll(isMasked, split(bytes, at));
        assert.deepEqual(parts.passed, whole.passed, 'splits change nothing');
        assert.equal(parts.stop, whole.stop);
        assert.deepEqual(whole.passed, bytes.subarray(0, whole.passed.length));
        for (const head of whole.heads) assert.ok(!isControl(head) || head.length <= 125);
      }),
      { numRuns: 2_000 },
    );
  });

  it('stop before the frame that the sink refuses, wherever the bytes are split', () => {
    const one = frame(1, Buffer.alloc(300, 1));
    const bytes = Buffer.concat([one, one, one]);
    fc.assert(
      fc.property(cuts, (at) => {
        let left = 2;
        const read = readAll(false, split(bytes, at), () => left-- > 0);
        assert.equal(read.stop, 'refused');
        assert.equal(read.passed.length, 2 * one.length);
      }),
    );
  });

  const bad: readonly [string, Buffer][] = [
    ['a reserved bit', frame(1, Buffer.from('x'), { reserved: 4 })],
    ['an unknown opcode', frame(3, Buffer.from('x'))],
    ['a mask of a server', frame(1, Buffer.from('x'), { mask: MASK })],
    ['a long ping', frame(9, Buffer.alloc(126))],
    ['a ping in parts', frame(9, Buffer.from('x'), { isLast: false })],
    ['a rest without a beginning', frame(0, Buffer.from('x'))],
    ['a close frame of one byte', frame(8, Buffer.from('x'))],
    [
      'two beginnings',
      Buffer.concat([frame(1, Buffer.from('x'), { isLast: false }), frame(1, Buffer.from('y'))]),
    ],
    [
      'a length beyond what numbers can hold',
      Buffer.from([0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255]),
    ],
  ];
  for (const [what, bytes] of bad)
    it(`are none with ${what}`, () => {
      assert.equal(readAll(false, [bytes]).stop, 'malformed');
    });

  it('end with a close frame: what follows it does not pass', () => {
    const bytes = Buffer.concat([frame(8, Buffer.from([3, 232])), frame(1, Buffer.from('x'))]);
    const read = readAll(false, [bytes]);
    assert.equal(read.stop, 'closed');
    assert.deepEqual(read.passed, frame(8, Buffer.from([3, 232])));
  });

  it('of our own say a code and a reason of at most 123 bytes, masked towards an upstream', () => {
    for (const mask of [null, MASK]) {
      const found: Buffer[] = [];
      const parser = new FrameParser(({ opcode, isMasked, payload: body }) => {
        assert.deepEqual([opcode, isMasked], [8, mask !== null]);
        found.push(body);
      });
      parser.push(Buffer.from(closeFrame(1008, 'é'.repeat(200), mask)));
      assert.equal(found[0]?.readUInt16BE(0), 1008);
      assert.equal(found[0]?.subarray(2).toString(), 'é'.repeat(61));
    }
  });
});
