/** Writes the WebAssembly of Keccak-f[1600], step by step as its specification has them (FIPS 202 §3.2). */

/** 64-bit words of the state; (x, y) is lane 5y + x. */
export const LANES = 25;
/** Bytes of a block of keccak-256. */
export const RATE = 136;

const ROUNDS = 24;
const RATE_LANES = RATE / 8;
/** Round constants lie behind state and input, so that a round reads its own by its number. */
const CONSTANTS_AT = 0x8000;

/** Rotation of each lane in ρ, and the round constants of ι, both as the specification generates them. */
const ROTATIONS = rotations();
const CONSTANTS = constants();

// Locals: the parameter, where the next block lies, the round, and three groups of lanes.
const BLOCKS = 0;
const BLOCK_AT = 1;
const ROUND_AT = 2;
const A = 3;
const B = A + LANES;
const C = B + LANES;
const D = C + 5;
const WIDE_LOCALS = LANES + LANES + 5 + 1;

// Opcodes of the WebAssembly core specification §5.4.
const LOOP = [0x03, 0x40];
const END = 0x0b;
const BR_IF = 0x0d;
const I64_LOAD = 0x29;
const I64_STORE = 0x37;
const I32_CONST = 0x41;
const I32_NE = 0x47;
const I32_ADD = 0x6a;
const I32_SUB = 0x6b;
const I64_CONST = 0x42;
const I64_AND = 0x83;
const I64_XOR = 0x85;
const I64_ROTL = 0x89;
const I32 = 0x7f;
const I64 = 0x7e;

/** A module that exports `memory` and `absorb(blocks)`: the state lies at 0, the blocks behind it. */
export function keccakModule(): Uint8Array<ArrayBuffer> {
  const locals = [2, 2, I32, ...unsigned(WIDE_LOCALS), I64];
  const code = [...locals, ...absorb(), END];
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, [1, 0x60, 1, I32, 0]), // one type: (i32) → ()
    ...section(3, [1, 0]), // one function of that type
    ...section(5, [1, 0x00, 1]), // one memory of one page, 64 KiB
    ...section(7, [2, ...name('memory'), 0x02, 0, ...name('absorb'), 0x00, 0]),
    ...section(10, [1, ...sized(code)]),
    ...section(11, [
      1,
      0x00,
      I32_CONST,
      ...signed(CONSTANTS_AT),
      END,
      ...sized(bytesOf(CONSTANTS)),
    ]),
  ]);
}

function absorb(): number[] {
  const load = lanes((lane) => [
    I32_CONST,
    0,
    I64_LOAD,
    3,
    ...unsigned(8 * lane),
    ...set(A + lane),
  ]);
  const store = lanes((lane) => [
    I32_CONST,
    0,
    ...get(A + lane),
    I64_STORE,
    3,
    ...unsigned(8 * lane),
  ]);
  const mix = lanes((lane) =>
    lane < RATE_LANES
      ? [...get(BLOCK_AT), I64_LOAD, 3, ...unsigned(8 * (LANES + lane)), ...xorInto(A + lane)]
      : [],
  );
  return [
    ...load,
    ...LOOP,
    ...mix,
    ...[I32_CONST, ...signed(CONSTANTS_AT), ...set(ROUND_AT)],
    ...LOOP,
    ...round(),
    ...[...get(ROUND_AT), I32_CONST, 8, I32_ADD, ...tee(ROUND_AT)],
    ...[I32_CONST, ...signed(CONSTANTS_AT + 8 * ROUNDS), I32_NE, BR_IF, 0, END],
    ...[...get(BLOCK_AT), I32_CONST, ...signed(RATE), I32_ADD, ...set(BLOCK_AT)],
    ...[...get(BLOCKS), I32_CONST, 1, I32_SUB, ...tee(BLOCKS), BR_IF, 0, END],
    ...store,
  ];
}

function round(): number[] {
  const code: number[] = [];
  // θ: each column's parity into its neighbours.
  for (let x = 0; x < 5; x++) {
    code.push(...get(A + x));
    for (let y = 1; y < 5; y++) code.push(...get(A + 5 * y + x), I64_XOR);
    code.push(...set(C + x));
  }
  for (let x = 0; x < 5; x++) {
    code.push(...get(C + ((x + 1) % 5)), I64_CONST, 1, I64_ROTL);
    code.push(...get(C + ((x + 4) % 5)), I64_XOR, ...set(D));
    for (let y = 0; y < 5; y++) {
      // ρ and π: the lane turns, and moves to its new place.
      const lane = 5 * y + x;
      const place = 5 * ((2 * x + 3 * y) % 5) + y;
      code.push(...get(A + lane), ...get(D), I64_XOR);
      code.push(I64_CONST, ...signed(ROTATIONS[lane] ?? 0), I64_ROTL, ...set(B + place));
    }
  }
  // χ: each lane with the next two of its row; a ∧ ¬b is b ⊕ all ones, then ∧.
  for (let y = 0; y < 5; y++)
    for (let x = 0; x < 5; x++) {
      const next = get(B + 5 * y + ((x + 1) % 5));
      const afterNext = get(B + 5 * y + ((x + 2) % 5));
      code.push(...get(B + 5 * y + x), ...next, I64_CONST, 0x7f, I64_XOR, ...afterNext);
      code.push(I64_AND, I64_XOR, ...set(A + 5 * y + x));
    }
  // ι
  return [...code, ...get(ROUND_AT), I64_LOAD, 3, 0, ...xorInto(A)];
}

function rotations(): number[] {
  const found = Array<number>(LANES).fill(0);
  let [x, y] = [1, 0];
  for (let t = 0; t < 24; t++) {
    found[5 * y + x] = (((t + 1) * (t + 2)) / 2) % 64;
    [x, y] = [y, (2 * x + 3 * y) % 5];
  }
  return found;
}

/** Bits of a shift register, at the places 2^j − 1 of each constant. */
function constants(): bigint[] {
  let register = 1;
  return Array.from({ length: ROUNDS }, () => {
    let constant = 0n;
    for (let j = 0; j <= 6; j++) {
      if ((register & 1) === 1) constant |= 1n << BigInt(2 ** j - 1);
      register = (register << 1) ^ (register >= 0x80 ? 0x171 : 0);
    }
    return constant;
  });
}

function lanes(codeOf: (lane: number) => number[]): number[] {
  return Array.from({ length: LANES }, (_, lane) => codeOf(lane)).flat();
}

function get(local: number): number[] {
  return [0x20, ...unsigned(local)];
}

function set(local: number): number[] {
  return [0x21, ...unsigned(local)];
}

function tee(local: number): number[] {
  return [0x22, ...unsigned(local)];
}

/** What is on the stack into a local. */
function xorInto(local: number): number[] {
  return [...get(local), I64_XOR, ...set(local)];
}

function section(id: number, content: number[]): number[] {
  return [id, ...sized(content)];
}

function sized(content: readonly number[]): number[] {
  return [...unsigned(content.length), ...content];
}

function name(text: string): number[] {
  return sized([...new TextEncoder().encode(text)]);
}

function bytesOf(words: readonly bigint[]): number[] {
  const view = new DataView(new ArrayBuffer(8 * words.length));
  for (const [index, word] of words.entries()) view.setBigUint64(8 * index, word, true);
  return [...new Uint8Array(view.buffer)];
}

/** LEB128, as all numbers of a module are written (§5.2.2). */
function unsigned(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)];
}

function signed(value: number): number[] {
  return value < 0x40 ? [value] : [(value & 0x7f) | 0x80, ...signed(value >>> 7)];
}
