/** Inputs that parsers dislike: near misses of good ones, long ones, deep ones, names that every object has. */

import fc from 'fast-check';

const NASTY = [
  ...[
    '',
    ' ',
    '\0',
    '\n',
    '\r\n',
    '\t',
    '\\',
    '/',
    '//',
    '..',
    '.',
    '%',
    '%2F',
    '%00',
    '%zz',
    '%e2%80',
  ],
  ...[
    '\ud800',
    '\u2028',
    '\ufeff',
    'é',
    '日本',
    '🙂',
    '"',
    "'",
    '`',
    '$',
    '{',
    '}',
    '[',
    ']',
    ':',
    ',',
  ],
  ...[
    '-1',
    '0',
    '00',
    '1e9',
    '0x',
    '0X1F',
    'NaN',
    'Infinity',
    '-0',
    '9'.repeat(78),
    '1'.repeat(400),
  ],
  ...['__proto__', 'constructor', 'toString', 'valueOf', 'hasOwnProperty', 'then', 'length'],
  ...['null', 'true', '[]', '{}', 'eyJhIjoxfQ==', '====', 'a'.repeat(9_000)],
];

/** Any text: ordinary, nasty, mixed of both, and long runs of one part. */
export function texts(...good: readonly string[]): fc.Arbitrary<string> {
  const part = fc.oneof(
    fc.string({ maxLength: 12 }),
    fc.string({ unit: 'binary', maxLength: 8 }),
    fc.constantFrom(...NASTY),
    fc.constantFrom(...(good.length > 0 ? good : ['x'])),
  );
  const run = fc
    .tuple(part, fc.integer({ min: 1, max: 2_000 }))
    .map(([text, times]) => text.repeat(times).slice(0, 20_000));
  return fc.oneof(
    { weight: 4, arbitrary: fc.array(part, { maxLength: 6 }).map((parts) => parts.join('')) },
    { weight: 6, arbitrary: fc.constantFrom(...(good.length > 0 ? good : [''])).chain(mutated) },
    { weight: 1, arbitrary: run },
  );
}

/** A text with some of its characters gone, doubled, replaced or joined by a nasty part. */
export function mutated(text: string): fc.Arbitrary<string> {
  const cut = fc.record({
    at: fc.nat({ max: Math.max(0, text.length) }),
    length: fc.nat({ max: 8 }),
    put: fc.oneof(
      fc.constantFrom(...NASTY),
      fc.string({ maxLength: 4 }),
      fc.constant(text.slice(0, 2_000)),
    ),
  });
  return fc.array(cut, { maxLength: 3 }).map((cuts) => {
    let changed = text;
    for (const { at, length, put } of cuts)
      changed = changed.slice(0, at) + put + changed.slice(at + length);
    return changed;
  });
}

/** Any JSON value, with names in it that every object has by nature. */
export function jsons(): fc.Arbitrary<unknown> {
  const name = fc.oneof(
    fc.constantFrom('__proto__', 'toString', 'valueOf', 'constructor', 'then'),
    fc.string({ maxLength: 6 }),
  );
  const { json } = fc.letrec<{ json: unknown }>((tie) => ({
    json: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      fc.oneof(
        fc.string({ maxLength: 10 }),
        fc.constantFrom(...NASTY),
        fc.double(),
        fc.boolean(),
        fc.constant(null),
      ),
      fc.array(tie('json'), { maxLength: 4 }),
      fc.array(fc.tuple(name, tie('json')), { maxLength: 4 }).map(ownEntries),
    ),
  }));
  return json.map(plain);
}

/** A good value with other JSON in some places, and some places gone. */
export function nearly(...good: readonly unknown[]): fc.Arbitrary<unknown> {
  const change = fc.record({
    path: fc.array(fc.nat({ max: 20 }), { maxLength: 5 }),
    value: fc.oneof(jsons(), fc.constantFrom(...NASTY), fc.constant(undefined)),
  });
  return fc
    .tuple(fc.constantFrom(...good), fc.array(change, { maxLength: 3 }))
    .map(([value, changes]) =>
      plain(changes.reduce((now, one) => replaced(now, one.path, one.value), value)),
    );
}

function replaced(node: unknown, path: readonly number[], value: unknown): unknown {
  const [first, ...rest] = path;
  if (first === undefined || typeof node !== 'object' || node === null) return value;
  const keys = Object.keys(node);
  if (keys.length === 0) return value;
  const chosen = keys[first % keys.length];
  const entries = Object.entries(node).map(
    ([key, inner]) => [key, key === chosen ? replaced(inner, rest, value) : inner] as const,
  );
  return Array.isArray(node) ? entries.map(([, inner]) => inner) : ownEntries(entries);
}

/** As JSON.parse makes objects: `__proto__` is a name like any other. */
function ownEntries(entries: readonly (readonly [string, unknown])[]): object {
  const made = {};
  for (const [name, value] of entries)
    Object.defineProperty(made, name, {
      value,
      enumerable: true,
      configurable: true,
      writable: true,
    });
  return made;
}

/** What is left of a value after it has travelled as JSON. */
function plain(value: unknown): unknown {
  const text = JSON.stringify(value);
  return text === undefined ? null : JSON.parse(text);
}
