/** Every field of an x402 payment with the values that break parsers, comparisons and signatures elsewhere. */

/** A payment as JSON, v1 or v2. */
export type PaymentJson = Record<string, unknown>;

export interface HostilePayment {
  /** Which field, and what is in it. */
  readonly name: string;
  /** The bytes inside the base64 of the header. */
  readonly json: string;
}

/** No way to write a whole number. */
const NO_NUMBERS: readonly unknown[] = [
  ...[
    '0.05',
    '1e-7',
    '1e4',
    '-1',
    '-10000',
    '+10000',
    '0x10',
    '0x2710',
    '010000',
    '1_0000',
    '10,000',
  ],
  ...[
    ' 10000',
    '10000 ',
    '10000\n',
    '10000\0',
    '10000n',
    '１００００',
    '١٠٠٠٠',
    '10000\u200b',
    '½',
    '',
  ],
  ...['NaN', 'Infinity', '-0', '0b1', '0o7', '10000;', '9'.repeat(79), '9'.repeat(5_000)],
  ...[
    String(1n << 256n),
    null,
    true,
    false,
    10_000,
    0,
    -1,
    0.05,
    [],
    ['10000'],
    {},
    { value: '1' },
  ],
];

/** No way to write bytes in hexadecimal, whatever their count. */
const NO_HEX: readonly unknown[] = [
  ...['', '0x', '0', '0x0', '0xg', 'x'.repeat(42), `0X${'a'.repeat(40)}`, `0x${'а'.repeat(40)}`],
  ...[`0x${'ａ'.repeat(40)}`, `0x${'a'.repeat(39)}`, `0x${'a'.repeat(41)}`, `0x${'a'.repeat(63)}`],
  ...[`0x${'a'.repeat(4_200)}`, ` 0x${'a'.repeat(40)}`, `0x${'a'.repeat(40)}\n`, 'a'.repeat(40)],
  ...[
    `0x${'a'.repeat(38)}\0\0`,
    'vitalik.eth',
    null,
    true,
    0,
    1e21,
    [],
    {},
    [`0x${'a'.repeat(40)}`],
  ],
];

/** Hexadecimal, and of nobody here. */
const OTHERS: readonly unknown[] = [
  `0x${'0'.repeat(40)}`,
  `0x${'f'.repeat(40)}`,
  '0x000000000000000000000000000000000000dEaD',
];

const NO_TEXT: readonly unknown[] = [null, 0, true, [], {}, ['exact']];

const WRONG: Readonly<Record<string, readonly unknown[]>> = {
  x402Version: [0, 3, -1, 2.5, '2', '1', null, true, [], [2], {}, 1e21],
  scheme: [
    '',
    'Exact',
    'EXACT',
    'exact ',
    ' exact',
    'exact\0',
    '__proto__',
    'constructor',
    ...NO_TEXT,
  ],
  network: [
    ...[
      '',
      'eip155',
      'eip155:',
      'eip155:1',
      'eip155:84532',
      'eip155:08453',
      'eip155:8453 ',
      'EIP155:8453',
    ],
    ...[
      'eip155:8453\0',
      'eip155:８４５３',
      'eip155:0x2105',
      'ethereum',
      'solana:mainnet',
      'toString',
    ],
    ...NO_TEXT,
  ],
  amount: [...NO_NUMBERS, '0', '1', '9999', '10001', String((1n << 256n) - 1n)],
  address: [...NO_HEX, ...OTHERS],
  asset: [...NO_HEX, ...OTHERS, '0x036CbD53842c5426634e7929541eC2318f3dCF7e', 'USDC'],
  time: [...NO_NUMBERS, String((1n << 256n) - 1n), '4102444800000'],
  seconds: [-1, 0.5, '60', null, true, [], {}, 1e300],
  nonce: [...NO_HEX, ...OTHERS, `0x${'00'.repeat(31)}`, `0x${'00'.repeat(33)}`, '1'],
  object: [null, 0, 1, true, '', 'x', [], [[]], [{}], '{}', '[object Object]'],
};

const V2_FIELDS: Readonly<Record<string, readonly unknown[]>> = {
  'accepted.scheme': WRONG.scheme ?? [],
  'accepted.network': WRONG.network ?? [],
  'accepted.amount': WRONG.amount ?? [],
  'accepted.asset': WRONG.asset ?? [],
  'accepted.payTo': WRONG.address ?? [],
  'accepted.maxTimeoutSeconds': WRONG.seconds ?? [],
  'accepted.extra': WRONG.object ?? [],
  'accepted.extra.quote': [null, '', 0, [], {}, 'x', 'q'.repeat(46), '../..', '__proto__'],
  accepted: WRONG.object ?? [],
};

const V1_FIELDS: Readonly<Record<string, readonly unknown[]>> = {
  scheme: WRONG.scheme ?? [],
  network: [...(WRONG.network ?? []), 'Base', 'BASE', 'base ', 'base-sepolia', 'bаse'],
};

const FIELDS: Readonly<Record<string, readonly unknown[]>> = {
  x402Version: WRONG.x402Version ?? [],
  payload: WRONG.object ?? [],
  'payload.authorization': WRONG.object ?? [],
  'payload.authorization.from': WRONG.address ?? [],
  'payload.authorization.to': WRONG.address ?? [],
  'payload.authorization.value': WRONG.amount ?? [],
  'payload.authorization.validAfter': WRONG.time ?? [],
  'payload.authorization.validBefore': [...(WRONG.time ?? []), '0', '1', '1700000000'],
  'payload.authorization.nonce': WRONG.nonce ?? [],
  'payload.signature': WRONG.nonce ?? [],
};

/** Each field of a good payment, one after the other, with each hostile value, and missing. */
export function* hostileFields(good: PaymentJson): Generator<HostilePayment> {
  const isV2 = good.x402Version === 2;
  for (const [field, values] of Object.entries({ ...FIELDS, ...(isV2 ? V2_FIELDS : V1_FIELDS) })) {
    yield { name: `${field} missing`, json: JSON.stringify(put(good, field, undefined)) };
    for (const value of values) {
      const json = JSON.stringify(put(good, field, value));
      yield { name: `${field} = ${JSON.stringify(value).slice(0, 60)}`, json };
    }
    // JSON.stringify writes no such numbers, and JSON.parse reads the last one as Infinity.
    for (const raw of ['NaN', 'Infinity', '1e400', '0x10', "'a'", 'undefined']) {
      const json = JSON.stringify(put(good, field, '@')).replace('"@"', raw);
      yield { name: `${field} = ${raw}`, json };
    }
    const name = field.split('.').at(-1) ?? '';
    const moved = JSON.stringify(good).replace(`"${name}":`, `"__proto__":{},"${name}s":`);
    yield { name: `${field} hidden behind __proto__`, json: moved };
  }
}

/** A copy of the object in which one field, named by its path, has another value; undefined removes it. */
export function put(object: PaymentJson, path: string, value: unknown): PaymentJson {
  const copy = structuredClone(object);
  const names = path.split('.');
  const last = names.pop() ?? '';
  let at = copy;
  for (const name of names) at = at[name] as PaymentJson;
  if (value === undefined) delete at[last];
  else at[last] = value;
  return copy;
}

/** JSON that is no payment, or one payment to one parser and another to the next. */
export function* hostileJson(good: PaymentJson): Generator<HostilePayment> {
  const json = JSON.stringify(good);
  const twice = (name: string, value: string): string =>
    json.replace(`"${name}":`, `"${name}":${value},"${name}":`);
  const all: Record<string, string> = {
    nothing: '',
    'one brace': '{',
    null: 'null',
    'a list': `[${json}]`,
    'a text': JSON.stringify(json),
    'a number': '402',
    'two payments': json + json,
    'a payment and more': `${json}x`,
    'a byte order mark': `\ufeff${json}`,
    'a NUL in front': `\0${json}`,
    comments: `/**/${json}`,
    'single quotes': json.replaceAll('"', "'"),
    'a trailing comma': json.replace(/}$/, ',}'),
    'value twice': twice('value', '"1"'),
    'payload twice': twice('payload', '{}'),
    'nonce twice, once escaped': json.replace('"nonce":', '"n\\u006fnce":"0x00","nonce":'),
    'x402Version twice': twice('x402Version', '1'),
    '__proto__ twice': json.replace('{', '{"__proto__":{"payload":1},"__proto__":{},'),
    'all of it in __proto__': `{"__proto__":${json}}`,
    'all of it in constructor.prototype': `{"constructor":{"prototype":${json}}}`,
    'thirty-three lists deep': json.replace(/}$/, `,"a":${'['.repeat(33)}${']'.repeat(33)}}`),
    'three thousand lists deep': '['.repeat(3_000),
    'three thousand objects deep': '{"a":'.repeat(1_000),
  };
  for (const [name, text] of Object.entries(all)) yield { name, json: text };
}
