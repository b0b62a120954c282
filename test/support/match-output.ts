/** Compares printed output with what a document says; `…` stands for what differs each time. */

const ANY = '…';

/** Says where they differ, or nothing. `…` is any text in a line; a line of its own any number of lines. */
export function textMismatch(expected: string, actual: string): string | undefined {
  const pattern = trimmed(expected)
    .map((line) => (line.trim() === ANY ? '(?:.*\n)*?' : `${lineLike(line)}[ \t]*\n`))
    .join('');
  const text = `${trimmed(actual).join('\n')}\n`;
  if (new RegExp(`^${pattern}$`).test(text)) return undefined;
  return `expected\n${expected.trimEnd()}\nbut it was\n${text.trimEnd()}`;
}

/**
 * Says where they differ, or nothing. Both are JSON, the actual one alone or on the last line. A string with `…` matches
 * strings, `"…"` any value; the key `"…"` any further keys, the element `"…"` at the end any further elements.
 */
export function jsonMismatch(expected: string, actual: string): string | undefined {
  const [wanted, got] = [parse(expected), parse(actual) ?? parse(trimmed(actual).at(-1) ?? '')];
  if (wanted === undefined) return 'the block is not JSON';
  if (got === undefined) return `expected JSON, but it was\n${actual.trimEnd()}`;
  const path = differs(wanted.value, got.value, '$');
  return path && `differs at ${path}; it was\n${JSON.stringify(got.value, null, 2)}`;
}

function differs(wanted: unknown, got: unknown, path: string): string | undefined {
  if (wanted === ANY) return undefined;
  if (typeof wanted === 'string' && typeof got === 'string' && wanted.includes(ANY))
    return new RegExp(`^${literally(wanted)}$`, 's').test(got) ? undefined : path;
  if (typeof wanted !== 'object' || wanted === null || typeof got !== 'object' || got === null)
    return Object.is(wanted, got) ? undefined : path;
  if (Array.isArray(wanted) !== Array.isArray(got)) return path;
  return Array.isArray(wanted)
    ? arraysDiffer(wanted, got as unknown[], path)
    : objectsDiffer(wanted as JsonObject, got as JsonObject, path);
}

function arraysDiffer(wanted: unknown[], got: unknown[], path: string): string | undefined {
  const open = wanted.at(-1) === ANY;
  const named = open ? wanted.slice(0, -1) : wanted;
  if (got.length < named.length || (!open && got.length > named.length)) return `${path}.length`;
  for (const [index, item] of named.entries()) {
    const found = differs(item, got[index], `${path}[${index}]`);
    if (found) return found;
  }
  return undefined;
}

type JsonObject = Readonly<Record<string, unknown>>;

function objectsDiffer(wanted: JsonObject, got: JsonObject, path: string): string | undefined {
  for (const key of Object.keys(wanted)) {
    if (key === ANY) continue;
    if (!Object.hasOwn(got, key)) return `${path}.${key}`;
    const found = differs(wanted[key], got[key], `${path}.${key}`);
    if (found) return found;
  }
  if (Object.hasOwn(wanted, ANY)) return undefined;
  const extra = Object.keys(got).find((key) => !Object.hasOwn(wanted, key));
  return extra && `${path}.${extra}`;
}

function parse(text: string): { readonly value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return undefined;
  }
}

/** Lines without the empty ones at both ends, without carriage returns and blanks at their end. */
function trimmed(text: string): string[] {
  return text
    .replace(/^\s*\n/, '')
    .trimEnd()
    .split('\n')
    .map((line) => line.trimEnd());
}

/** Blanks are as many as a table of other values needs. */
function lineLike(line: string): string {
  return literally(line).replace(/ +/g, '[ \\t]+');
}

function literally(text: string): string {
  return text
    .trimEnd()
    .split(ANY)
    .map((part) => part.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'))
    .join('.*');
}
