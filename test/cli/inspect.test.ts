import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type InspectedAnswer, inspectAnswer } from '../../src/cli/inspection.ts';
import { encodeHeader } from '../../src/rails/x402/protocol.ts';
import { BASE_SEPOLIA, demand, offer, PAY_TO, requiredV2, serve } from '../client/servers.ts';
import { runCli } from './run-cli.ts';

const offerV1 = {
  scheme: 'exact',
  network: 'base-sepolia',
  maxAmountRequired: '7000',
  resource: '',
  description: '',
  mimeType: '',
  payTo: PAY_TO,
  maxTimeoutSeconds: 60,
  asset: BASE_SEPOLIA.asset,
};

function answer(
  status: number,
  headers: Record<string, string> = {},
  body: unknown = {},
): InspectedAnswer {
  return {
    status,
    headers: new Headers(headers),
    body: JSON.stringify(body),
    sentCredential: false,
  };
}

test('offers of the v2 header and of the v1 body are shown, with dollars for USDC only', () => {
  const accepts = [offer(), offer({ asset: PAY_TO }), offer({ network: 'solana:mainnet' })];
  const { offers, warnings, raw } = inspectAnswer(
    answer(
      402,
      { 'payment-required': requiredV2(accepts) },
      { x402Version: 1, accepts: [offerV1] },
    ),
  );
  assert.deepEqual(
    offers.map((one) => [one.version, one.networkName, one.price, one.notPayable === null]),
    [
      [2, 'Base Sepolia', '$0.006', true],
      [2, 'Base Sepolia', null, false],
      [2, null, null, false],
      [1, 'Base Sepolia', '$0.007', true],
    ],
  );
  assert.deepEqual([warnings, raw], [[], {}]);
});

test('challenges are named by scheme, whatever stands inside their quotes', () => {
  const header =
    'LSAT macaroon="a, Basic x=1", invoice="b", L402 version="0", token="c", Payment id="d"';
  assert.deepEqual(inspectAnswer(answer(402, { 'www-authenticate': header })).challenges, [
    'LSAT',
    'L402',
    'Payment',
  ]);
});

test('a header that does not parse is warned of and shown as it came', () => {
  const { offers, warnings, raw } = inspectAnswer(
    answer(
      402,
      { 'payment-required': 'not base64!', 'content-type': 'application/json' },
      { x402Version: 1, accepts: [offerV1] },
    ),
  );
  assert.equal(offers.length, 1);
  assert.match(warnings[0] ?? '', /^PAYMENT-REQUIRED can't be read: header is not standard base64/);
  assert.deepEqual(raw, { 'payment-required': 'not base64!' });
});

test('one unreadable offer is warned of by its field and hides no other', () => {
  const header = requiredV2([offer(), { ...offer(), amount: '-1' }]);
  const { offers, warnings } = inspectAnswer(answer(402, { 'payment-required': header }));
  assert.equal(offers.length, 1);
  assert.match(warnings[0] ?? '', /accepts\[1\]\.amount/);
});

test('401, 402, 403 and answers of proxies are told apart', () => {
  const meaning = (status: number, more: Partial<InspectedAnswer> = {}) =>
    inspectAnswer({ ...answer(status), ...more }).meaning;
  assert.match(meaning(401), /check the key/);
  assert.match(meaning(402), /A fee is due/);
  assert.match(meaning(402, { sentCredential: true }), /credential may be fine/);
  assert.match(meaning(403), /valid and not allowed/);
  assert.match(meaning(502), /proxy.*402/);
  assert.match(meaning(504), /proxy.*402/);
  assert.match(meaning(502, { body: '{"code":"upstream_failed"}' }), /The server failed/);
  assert.match(meaning(200), /No payment was needed/);
  const empty = inspectAnswer({ ...answer(402), body: '' });
  assert.match(empty.warnings[0] ?? '', /proxy may have removed/);
});

test('fuzz: any answer is explained, without control characters', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.json(),
    fc.constantFrom(requiredV2(), encodeHeader({ x402Version: 2, accepts: [1] })),
    fc.stringMatching(/^[\w ,="\\]{0,80}$/),
  );
  const header = fc.option(text.map((value) => value.replace(/[^\x20-\x7e]/g, ' ')));
  fc.assert(
    fc.property(
      fc.integer({ min: 200, max: 599 }),
      header,
      header,
      text,
      (status, required, challenge, body) => {
        const headers = new Headers();
        if (required !== null) headers.set('payment-required', required);
        if (challenge !== null) headers.set('www-authenticate', challenge);
        const inspection = inspectAnswer({ status, headers, body, sentCredential: false });
        const strings: string[] = [];
        JSON.stringify(inspection, (_, value) => {
          if (typeof value === 'string') strings.push(value);
          return value;
        });
        for (const one of strings) assert.doesNotMatch(one, /[\p{Cc}\u202e]/u);
      },
    ),
    { numRuns: 2000 },
  );
});

describe('coinslot inspect', { concurrency: true }, () => {
  test('explains a 402 without paying and suggests the command that pays', async () => {
    await using server = await serve((_request, response) =>
      demand(response, requiredV2([offer({ amount: '9000' }), offer()])),
    );
    const run = await runCli(
      ['inspect', `${server.url}/a?b=c`, '-d', `{"it's":1}`, '-H', 'X-A: b'],
      {
        WALLET_KEY: `0x${'00'.repeat(31)}2a`,
      },
    );
    assert.equal(run.code, 0);
    assert.equal(server.received.length, 1);
    assert.equal(server.paid().length, 0);
    assert.match(run.stdout, /^402 {2}A fee is due/);
    assert.match(run.stdout, /network {3}Base Sepolia \(eip155:84532\)\n {2}price {5}\$0\.006/);
    assert.match(
      run.stdout,
      /next: WALLET_KEY=0x… coinslot pay POST 'http:\/\/127\.0\.0\.1:\d+\/a\?b=c' -d '\{"it'\\''s":1\}' -H 'X-A: b' --max '\$0\.006'\n$/,
    );
  });

  test('--json has everything on one line, and unreadable offers end with 1', async () => {
    await using server = await serve((_request, response) => demand(response, 'garbage!'));
    const run = await runCli(['inspect', 'GET', server.url, '--json']);
    assert.equal(run.code, 1);
    const { status, method, warnings, raw, offers } = JSON.parse(run.stdout);
    assert.deepEqual(
      [status, method, warnings.length, raw, offers],
      [402, 'GET', 1, { 'payment-required': 'garbage!' }, []],
    );
  });

  test('an endless answer is not read to its end, and wrong usage ends with 2', async () => {
    await using server = await serve((_request, response) => {
      response.writeHead(200);
      const write = () => {
        while (response.write('x'.repeat(65_536)));
      };
      response.on('drain', write).on('error', () => {});
      write();
    });
    assert.equal((await runCli(['inspect', server.url])).code, 0);
    assert.equal((await runCli(['inspect', 'example.com'])).code, 2);
    assert.equal((await runCli(['inspect', server.url, '--bogus'])).code, 2);
  });
});
