import { closestWord } from '../core/closest-word.ts';

/** One thing wrong with a price: where in it, what, and what to write instead. */
export interface PriceProblem {
  /** Keys from the price down: `['per', 'inputToken']`. */
  readonly at: readonly (string | number)[];
  readonly message: string;
  readonly hint: string;
}

/** A price rule that cannot be used; lists every problem at once, and speaks of the first. */
export class PriceFormatError extends Error {
  override readonly name = 'PriceFormatError';
  readonly problems: readonly PriceProblem[];
  readonly hint: string;
  constructor(problems: readonly PriceProblem[]) {
    super(problems[0]?.message ?? 'is not a price');
    this.problems = problems;
    this.hint = problems[0]?.hint ?? '';
  }
}

type Fields = Readonly<Record<string, unknown>>;

/** A place in a price that is being read. Readers answer null for what they refused here. */
export class Place {
  readonly at: readonly (string | number)[];
  readonly problems: PriceProblem[];

  constructor(at: readonly (string | number)[] = [], problems: PriceProblem[] = []) {
    this.at = at;
    this.problems = problems;
  }

  in(key: string | number): Place {
    return new Place([...this.at, key], this.problems);
  }

  refuse(message: string, hint: string): null {
    this.problems.push({ at: this.at, message, hint });
    return null;
  }

  /** The keys of a section, of which only some may be there; null for what is no section. */
  section(value: unknown, known: readonly string[] | null, hint: string): Fields | null {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      return this.refuse(value === undefined ? 'is missing' : 'must be a section of keys', hint);
    for (const key of Object.keys(value))
      if (known !== null && !known.includes(key)) {
        const meant = closestWord(key, known);
        const advice = meant ? `Did you mean ${meant}?` : `Known here: ${known.join(', ')}.`;
        this.in(key).refuse('unknown key', advice);
      }
    return value as Fields;
  }

  /** A list, each item read by itself; null when one of them was refused. */
  list<T>(value: unknown, read: (item: unknown, place: Place) => T | null, hint: string) {
    if (!Array.isArray(value) || value.length === 0)
      return this.refuse('must be a list with at least one item', hint);
    const items = value.map((item, index) => read(item, this.in(index)));
    return allOf(items);
  }
}

/** The items, unless one of them was refused. */
export function allOf<T>(items: readonly (T | null)[]): T[] | null {
  const read = items.filter((item) => item !== null);
  return read.length === items.length ? read : null;
}

/** The value of a key of its own. */
export function field(fields: Fields, key: string): unknown {
  return Object.hasOwn(fields, key) ? fields[key] : undefined;
}

/** Text from outside as it may stand in a message. */
export function quoted(value: unknown): string {
  const text = typeof value === 'string' ? value : typeof value === 'number' ? `${value}` : '';
  if (text === '') return 'this';
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 39)}…` : text);
}
