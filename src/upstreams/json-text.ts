/**
 * A JSON body that is changed in its text: unknown fields, the order of keys and numbers beyond a double stay as
 * they were written. A key that stands twice is refused, since two parsers would read two requests.
 */

import { RequestMalformed } from '../core/errors.ts';

export type JsonObject = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Where a value stands in the text; members and items are known down to `PLACES_DEPTH`. */
interface Place {
  readonly start: number;
  end: number;
  readonly members: Map<string, Place> | null;
  readonly items: Place[] | null;
}

const DEPTH_MAX = 100;
const PLACES_DEPTH = 3;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export class JsonText {
  readonly value: JsonObject;
  readonly #text: string;
  readonly #root: Place;
  readonly #bytes: Uint8Array;
  readonly #edits: { readonly at: number; readonly end: number; readonly text: string }[] = [];

  /** Throws RequestMalformed for what is no JSON object in UTF-8, is nested too deep, or has a key twice. */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    let value: unknown;
    try {
      this.#text = utf8.decode(bytes);
      value = JSON.parse(this.#text);
    } catch {
      throw new RequestMalformed('The body is not JSON in UTF-8.');
    }
    if (!isObject(value)) throw new RequestMalformed('The body is not a JSON object.');
    this.value = value;
    this.#root = new PlaceReader(this.#text).read();
  }

  /** Sets a member, whose parents are there already, to some JSON. */
  set(path: readonly (string | number)[], json: string): void {
    const name = path.at(-1);
    let parent: Place | undefined = this.#root;
    for (const step of path.slice(0, -1))
      parent = typeof step === 'number' ? parent?.items?.[step] : parent?.members?.get(step);
    if (parent?.members == null || typeof name !== 'string') return;
    const place = parent.members.get(name);
    if (place) this.#edits.push({ at: place.start, end: place.end, text: json });
    else {
      const others = this.#edits.some(({ at, end }) => at === end && at === parent.end - 1);
      const comma = parent.members.size > 0 || others ? ',' : '';
      const at = parent.end - 1;
      this.#edits.push({ at, end: at, text: `${comma}${JSON.stringify(name)}:${json}` });
    }
  }

  /** The very same bytes where nothing was set. */
  toBytes(): Uint8Array {
    if (this.#edits.length === 0) return this.#bytes;
    let text = '';
    let at = 0;
    for (const edit of this.#edits.toSorted((a, b) => a.at - b.at)) {
      text += this.#text.slice(at, edit.at) + edit.text;
      at = edit.end;
    }
    return Buffer.from(text + this.#text.slice(at));
  }
}

/** Walks over a text that JSON.parse has found good. */
class PlaceReader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  read(): Place {
    this.#skipSpace();
    return this.#value(0);
  }

  #value(depth: number): Place {
    if (depth > DEPTH_MAX) throw new RequestMalformed('The body is nested too deep.');
    const start = this.#at;
    const first = this.#text[start];
    if (first === '{') return this.#object(depth);
    if (first === '[') return this.#array(depth);
    if (first === '"') this.#string();
    else while (!/[\s,\]}]/.test(this.#text[this.#at] ?? ',')) this.#at++;
    return { start, end: this.#at, members: null, items: null };
  }

  #object(depth: number): Place {
    const members = new Map<string, Place>();
    const names = new Set<string>();
    const place: Place = { start: this.#at++, end: 0, members, items: null };
    this.#skipSpace();
    while (this.#text[this.#at] !== '}') {
      const name = this.#key();
      if (names.has(name))
        throw new RequestMalformed(
          `The body has the key ${JSON.stringify(name.slice(0, 40))} twice.`,
        );
      names.add(name);
      this.#skip(':');
      const value = this.#value(depth + 1);
      if (depth < PLACES_DEPTH) members.set(name, value);
      this.#skip(',');
    }
    place.end = ++this.#at;
    return place;
  }

  #array(depth: number): Place {
    const items: Place[] = [];
    const place: Place = { start: this.#at++, end: 0, members: null, items };
    this.#skipSpace();
    while (this.#text[this.#at] !== ']') {
      const value = this.#value(depth + 1);
      if (depth < PLACES_DEPTH) items.push(value);
      this.#skip(',');
    }
    place.end = ++this.#at;
    return place;
  }

  #key(): string {
    const start = this.#at;
    this.#string();
    const written = this.#text.slice(start, this.#at);
    return written.includes('\\') ? (JSON.parse(written) as string) : written.slice(1, -1);
  }

  #string(): void {
    let at = this.#at;
    for (;;) {
      at = this.#text.indexOf('"', at + 1);
      let escapes = 0;
      while (this.#text[at - 1 - escapes] === '\\') escapes++;
      if (escapes % 2 === 0) break;
    }
    this.#at = at + 1;
  }

  /** One sign if it is there, and the space around it. */
  #skip(sign: string): void {
    this.#skipSpace();
    if (this.#text[this.#at] !== sign) return;
    this.#at++;
    this.#skipSpace();
  }

  #skipSpace(): void {
    let code = this.#text.charCodeAt(this.#at);
    while (code === 32 || code === 10 || code === 13 || code === 9)
      code = this.#text.charCodeAt(++this.#at);
  }
}
