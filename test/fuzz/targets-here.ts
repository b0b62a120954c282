/** Parsers of what the operator writes and of what servers answer to the payer. */

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { CommandFailed } from '../../src/cli/command-failed.ts';
import { EXIT } from '../../src/cli/exit-codes.ts';
import { readRequestArguments, requestWords } from '../../src/cli/request-arguments.ts';
import { readOffers } from '../../src/client/read-offers.ts';
import { receiptOf } from '../../src/client/receipt.ts';
import { readYaml } from '../../src/config/read-yaml.ts';
import { parseRouteKey } from '../../src/config/routes.ts';
import {
  parseCidr,
  parseDatabase,
  parseDuration,
  parseHttpUrl,
  parseListen,
  parseOrigin,
  parsePublicUrl,
  parseSize,
  ScalarError,
} from '../../src/config/scalars.ts';
import { ConfigError, parseConfig } from '../../src/config.ts';
import {
  formatDecimal,
  formatUsd,
  MoneyFormatError,
  parseDecimal,
  parseUsd,
} from '../../src/core/money.ts';
import { formatPrice } from '../../src/pricing/format-price.ts';
import { parsePrice } from '../../src/pricing/parse-price.ts';
import { PriceFormatError } from '../../src/pricing/price-problems.ts';
import { encodeHeader } from '../../src/rails/x402/protocol.ts';
import {
  GOOD_402_V1,
  GOOD_402_V2,
  GOOD_CONFIG,
  GOOD_NETWORKS,
  GOOD_SETTLED,
} from './good-messages.ts';
import { jsons, nearly, texts } from './inputs.ts';
import { assertSame, outcomeOf, outcomeOfAsync, type Target, textOf } from './target.ts';

const money: Target = {
  name: 'money',
  inputs: texts('$0.006', '0.006', '$1', '12345678901234.123456', '9223372036854.775807'),
  check(input) {
    const text = textOf(input);
    const decimal = outcomeOf(() => parseDecimal(text, 6), [MoneyFormatError]);
    if ('result' in decimal)
      assertSame(parseDecimal(formatDecimal(decimal.result, 6), 6), decimal.result);
    const usd = outcomeOf(() => parseUsd(text), [MoneyFormatError]);
    if ('result' in usd) assertSame(parseUsd(formatUsd(usd.result)), usd.result);
    const price = outcomeOf(() => parsePrice(text), [PriceFormatError]);
    if ('result' in price) assertSame(parsePrice(formatPrice(price.result)), price.result);
    return [decimal, usd, price]
      .map((one) => ('refusal' in one ? one.refusal : 'read'))
      .join(' | ');
  },
};

const SCALARS: readonly (readonly [
  name: string,
  parse: (text: string) => unknown,
  again: boolean,
])[] = [
  ['duration', parseDuration, false],
  ['size', parseSize, false],
  ['listen', parseListen, false],
  ['cidr', parseCidr, true],
  ['url', parseHttpUrl, true],
  ['public url', parsePublicUrl, true],
  ['origin', parseOrigin, true],
  ['database', parseDatabase, true],
  ['route', parseRouteKey, false],
];

const scalars: Target = {
  name: 'config-scalars',
  inputs: texts(
    '30s',
    '64KiB',
    '127.0.0.1:4020',
    '[::1]:4020',
    '10.0.0.0/8',
    'https://a.example/x',
    'sqlite:a.db',
    'GET /a/:id',
  ),
  check(input) {
    const text = textOf(input);
    return SCALARS.map(([name, parse, again]) => {
      const outcome = outcomeOf(() => parse(text), [ScalarError]);
      if ('refusal' in outcome) return '';
      if (again) assertSame(parse(String(outcome.result)), outcome.result);
      return name;
    }).join(' ');
  },
};

const config: Target = {
  name: 'config',
  inputs: fc.oneof(nearly(GOOD_CONFIG), jsons()),
  check(input) {
    const outcome = outcomeOf(() => parseConfig(input, {}), [ConfigError]);
    return 'refusal' in outcome ? outcome.refusal : `read ${outcome.result.routes.length}`;
  },
};

const yaml: Target = {
  name: 'config-yaml',
  inputs: texts(
    stringify(GOOD_CONFIG),
    'a: &a [1]\nb: *a\n',
    'a: 1\na: 2\n',
    '? [x]\n: y\n',
    '!!binary aGk=',
    'a: {b: [c, {d: e}]}',
  ),
  check(input) {
    const text = textOf(input);
    const outcome = outcomeOf(() => readYaml(text, 'coinslot.yaml'), [ConfigError]);
    if ('refusal' in outcome) return outcome.refusal;
    const { value, lineOf } = outcome.result;
    const lines = text.split(/\r\n|\n|\r/).length;
    for (const at of [[], ['a'], ['routes', 'POST /summarize', 'price'], ['a', 0, '__proto__']]) {
      const line = lineOf(at);
      assert.ok(line === undefined || (line >= 1 && line <= lines + 1), `line ${line} of ${lines}`);
    }
    const read = outcomeOf(() => parseConfig(value, {}, { file: 'f', lineOf }), [ConfigError]);
    return 'refusal' in read ? `yaml, ${read.refusal}` : 'a config';
  },
};

const offers: Target = {
  name: 'client-offers',
  inputs: fc.record({
    header: fc.option(
      fc.oneof(
        nearly(GOOD_402_V2).map((value) => encodeHeader(Object(value))),
        texts(),
      ),
    ),
    body: fc.oneof(
      nearly(GOOD_402_V1, GOOD_402_V2, GOOD_NETWORKS).map((value) => JSON.stringify(value)),
      texts(),
    ),
  }),
  async check(input) {
    const { header = null, body = '' } = Object(input) as { header?: unknown; body?: unknown };
    const response = new Response(textOf(body), { status: 402 });
    if (header !== null) setHeader(response, 'payment-required', textOf(header));
    const read = await readOffers(response);
    assert.equal(response.bodyUsed, false, 'the body is still unread');
    await response.body?.cancel();
    return read === null
      ? 'no offers'
      : `${read.source} ${Math.min(3, read.offers.length)} ${read.unreadable.length > 0}`;
  },
};

const receipt: Target = {
  name: 'client-receipt',
  inputs: fc.oneof(
    nearly(GOOD_SETTLED).map((value) => encodeHeader(Object(value))),
    texts('0.006', '12', encodeHeader(GOOD_SETTLED)),
  ),
  check(input) {
    const response = new Response(null);
    const names = ['payment-response', 'x-payment-cost', 'x-payment-id', 'x-free-calls-remaining'];
    for (const name of names) setHeader(response, name, textOf(input));
    const read = receiptOf(response);
    return `${read?.success} ${read?.cost !== null} ${read?.freeCallsRemaining !== undefined}`;
  },
};

/** What no HTTP client lets through can't come in either. */
function setHeader(response: Response, name: string, value: string): void {
  outcomeOf(() => response.headers.set(name, value), [TypeError]);
}

const requestArguments: Target = {
  name: 'cli-request',
  inputs: fc.record({
    words: fc.array(texts('POST', 'http://127.0.0.1/x', 'https://a.example'), { maxLength: 3 }),
    header: fc.array(texts('a: b', 'Content-Type: text/plain', ':'), { maxLength: 2 }),
    data: fc.option(texts('{"a":1}', 'text').filter((text) => !text.startsWith('@'))),
  }),
  async check(input) {
    const { words, header, data } = input as {
      words: string[];
      header: string[];
      data: string | null;
    };
    const flags = { header, ...(data === null ? {} : { data }) };
    assert.equal(typeof requestWords(words, flags), 'string');
    const read = () => readRequestArguments(words, flags, EXIT.failed);
    const outcome = await outcomeOfAsync(read, [CommandFailed]);
    if ('refusal' in outcome) return outcome.refusal;
    assert.doesNotThrow(() => new URL(outcome.result.url));
    return `${outcome.result.method.slice(0, 4)} ${outcome.result.body !== null}`;
  },
};

export const LOCAL_TARGETS: readonly Target[] = [
  ...[money, scalars, config, yaml, offers, receipt, requestArguments],
];
