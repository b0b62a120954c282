/** The text that a stream has brought so far, for the case that it ends without stating its usage. */

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
/** More text than this is counted by its bytes. */
const TEXT_BYTES_MAX = 1024 * 1024;
const BYTES_PER_TOKEN = 4;
/** Some servers say one thing under two names that begin like this. */
const REASONING = 'reasoning';

/** Where an event carries text. */
export interface DeltaShape {
  /** The member that holds it, such as `delta`: an object with texts. */
  readonly member: string;
  /** Whether the member may be a text itself. */
  readonly isText: boolean;
  /** Which members of that object are text that the model wrote. */
  readonly texts: readonly string[];
}

interface Name {
  readonly bytes: Buffer;
  readonly isReasoning: boolean;
}

export class DeltaText {
  readonly #names: readonly Name[];
  /** As written in JSON, escapes included: most streams never need it. */
  #bytes: Buffer = Buffer.alloc(0);
  #length = 0;
  #overflow = 0;
  /** The last text of the current member. */
  #lastFrom = 0;
  #lastName: Name | null = null;

  constructor(texts: readonly string[]) {
    this.#names = texts.map((name) => ({
      bytes: Buffer.from(name),
      isReasoning: name.startsWith(REASONING),
    }));
  }

  /** Takes the text that is the value of a name which ends here; gives where to go on. */
  takeText(bytes: Buffer, from: number, to: number): number {
    const colon = skipSpace(bytes, from, to);
    if (colon >= to || bytes[colon] !== COLON) return from;
    const value = skipSpace(bytes, colon + 1, to);
    if (value >= to || bytes[value] !== QUOTE) return value;
    const end = stringEnd(bytes, value + 1, to);
    this.#append(bytes, value + 1, end, null);
    return end + 1;
  }

  /** Bytes of what is kept. */
  get length(): number {
    return this.#length;
  }

  get text(): string {
    return this.textFrom(0);
  }

  /** What came behind so many bytes. Decoded; what cannot be decoded is given as it stands. */
  textFrom(length: number): string {
    const written = this.#bytes.toString('utf8', length, this.#length);
    try {
      return JSON.parse(`"${written}"`) as string;
    } catch {
      return written;
    }
  }

  /** Tokens of what was too long to be kept. */
  get tokensBeyond(): number {
    return Math.ceil(this.#overflow / BYTES_PER_TOKEN);
  }

  /** Takes the texts of the object that begins here; gives its end. */
  takeObject(bytes: Buffer, from: number, to: number): number {
    this.#lastName = null;
    let depth = 0;
    let name: Name | null = null;
    for (let at = from; at < to; at++) {
      const byte = bytes[at];
      if (byte === 0x7b || byte === 0x5b) depth++;
      else if (byte === 0x7d || byte === 0x5d) {
        depth--;
        if (depth === 0) return at;
      } else if (byte === QUOTE) {
        const end = stringEnd(bytes, at + 1, to);
        const next = skipSpace(bytes, end + 1, to);
        if (next < to && bytes[next] === COLON) {
          name = this.#nameAt(bytes, at + 1, end);
          at = next;
        } else {
          if (name !== null) this.#append(bytes, at + 1, end, name);
          at = end;
        }
      }
    }
    return to;
  }

  #nameAt(bytes: Buffer, from: number, to: number): Name | null {
    for (const name of this.#names)
      if (name.bytes.length === to - from && startsWith(bytes, from, name.bytes)) return name;
    return null;
  }

  #append(bytes: Buffer, from: number, to: number, name: Name | null): void {
    const length = to - from;
    if (length <= 0 || this.#isRepeated(bytes, from, to, name)) return;
    if (this.#length + length > TEXT_BYTES_MAX) {
      this.#overflow += length;
      return;
    }
    if (this.#length + length > this.#bytes.length) {
      const grown = Buffer.allocUnsafe(
        Math.max(this.#length + length, 2 * this.#bytes.length, 512),
      );
      this.#bytes.copy(grown, 0, 0, this.#length);
      this.#bytes = grown;
    }
    const kept = this.#bytes;
    // A token is a few bytes: a call of the machine's copy costs more.
    if (length < 64)
      for (let at = 0; at < length; at++) kept[this.#length + at] = bytes[from + at] as number;
    else bytes.copy(kept, this.#length, from, to);
    this.#lastFrom = this.#length;
    this.#lastName = name;
    this.#length += length;
  }

  /** `reasoning` and `reasoning_content` are the same text where both are there. */
  #isRepeated(bytes: Buffer, from: number, to: number, name: Name | null): boolean {
    const last = this.#lastName;
    if (!name?.isReasoning || !last?.isReasoning || name === last) return false;
    if (this.#length - this.#lastFrom !== to - from) return false;
    return bytes.compare(this.#bytes, this.#lastFrom, this.#length, from, to) === 0;
  }
}

/** Whether these bytes stand there. */
export function startsWith(bytes: Buffer, at: number, word: Buffer): boolean {
  for (let i = 0; i < word.length; i++) if (bytes[at + i] !== word[i]) return false;
  return true;
}

/** Whether these bytes stand right before. */
export function endsWith(bytes: Buffer, end: number, word: Buffer): boolean {
  return end >= word.length && startsWith(bytes, end - word.length, word);
}

/** Texts that are longer than this are worth a call of the machine's own search. */
const SHORT_BYTES = 48;

/** The quote that ends a string. */
function stringEnd(bytes: Buffer, from: number, to: number): number {
  const near = Math.min(to, from + SHORT_BYTES);
  let at = from;
  while (at < near && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1;
  if (at < near) return at;
  while (at < to) {
    const quote = bytes.indexOf(QUOTE, at);
    if (quote === -1 || quote >= to) return to;
    let slash = quote;
    while (slash > at && bytes[slash - 1] === BACKSLASH) slash--;
    at = quote + 1;
    // An even number of backslashes escape each other, and not the quote.
    if ((quote - slash) % 2 === 0) return quote;
  }
  return to;
}

function skipSpace(bytes: Buffer, from: number, to: number): number {
  let at = from;
  while (at < to && (bytes[at] as number) <= 0x20) at++;
  return at;
}
