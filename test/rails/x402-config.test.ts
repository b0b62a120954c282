import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { z } from 'zod';
import { toChecksumAddress } from '../../src/chains/evm/sign.ts';
import { isTestnet, x402Schema } from '../../src/rails/x402/config.ts';

const PAY_TO = '0x209693Bc6afc0C5328bA36FaF03C514EF312287C';
const KEY = `0x${'5e'.repeat(32)}`;
const RPC = 'https://node.example.com/v2/api-key';
const ASSET = { address: PAY_TO, name: 'Coin', version: '1', decimals: 6, symbol: 'COIN' };

const config = (network: object = {}, id = 'eip155:8453', payTo: unknown = PAY_TO) => ({
  payTo: { eip155: payTo },
  networks: { [id]: { rpc: RPC, settleWith: KEY, ...network } },
});

function problems(value: unknown): string[] {
  const parsed = x402Schema.safeParse(value);
  if (parsed.success) return [];
  return parsed.error.issues
    .flatMap((issue) => (issue.code === 'invalid_key' ? issue.issues : issue))
    .map((issue) => `${issue.path.join('.')}: ${issue.message}`);
}

describe('payments.x402', () => {
  it('takes one node or many, a key or facilitators, and an own token', () => {
    assert.deepEqual(problems(config()), []);
    assert.deepEqual(problems(config({ rpc: [RPC, 'http://127.0.0.1:8545'] })), []);
    const remote = {
      settleWith: undefined,
      facilitator: ['https://a.example', 'https://b.example'],
    };
    assert.deepEqual(problems(config(remote)), []);
    assert.deepEqual(problems(config({ asset: ASSET, confirmations: 3 }, 'eip155:137')), []);
  });

  const wrong: readonly (readonly [string, unknown, RegExp])[] = [
    [
      'no settler',
      config({ settleWith: undefined }),
      /eip155:8453: needs settleWith or facilitator/,
    ],
    ['two settlers', config({ facilitator: 'https://a.example' }), /and not both/],
    ['an unknown token', config({}, 'eip155:137'), /eip155:137.asset: is missing/],
    ['another family', config({}, 'solana:mainnet'), /CAIP-2/],
    ['no network', { payTo: { eip155: PAY_TO }, networks: {} }, /networks: has no network/],
    ['no rpc', config({ rpc: undefined }), /rpc: /],
    ['an empty list of nodes', config({ rpc: [] }), /rpc/],
    ['a websocket', config({ rpc: 'wss://node.example.com' }), /http or https/],
    ['a password in a URL', config({ rpc: 'https://me:secret@node.example.com' }), /http or https/],
    ['a short address', config({}, 'eip155:8453', '0x1234'), /40 hexadecimal digits/],
    ['the zero address', config({}, 'eip155:8453', `0x${'0'.repeat(40)}`), /zero address/],
    ['a wrong checksum', config({}, 'eip155:8453', PAY_TO.replace('Bc', 'bc')), /checksum/],
    ['a short key', config({ settleWith: '0x1234' }), /not a private key/],
    ['key 0', config({ settleWith: `0x${'0'.repeat(64)}` }), /not a private key/],
    ['a key above the order', config({ settleWith: `0x${'f'.repeat(64)}` }), /not a private key/],
    ['an unknown key', config({ setleWith: KEY }), /setleWith/],
    ['no confirmations', config({ confirmations: 0 }), /confirmations/],
  ];
  for (const [name, value, reason] of wrong)
    it(`refuses ${name}`, () => {
      assert.match(problems(value).join('\n'), reason);
    });

  it('never shows a key that it refuses', () => {
    const secret = `0x${'5e'.repeat(31)}`;
    assert.doesNotMatch(problems(config({ settleWith: secret })).join(), /5e5e/);
  });

  it('takes addresses in one case as they are', () => {
    assert.deepEqual(problems(config({}, 'eip155:8453', PAY_TO.toLowerCase())), []);
    assert.deepEqual(problems(config({}, 'eip155:8453', `0x${PAY_TO.slice(2).toUpperCase()}`)), []);
  });

  it('knows the checksum of every address', () => {
    const addresses = fc
      .uint8Array({ minLength: 20, maxLength: 20 })
      .filter((bytes) => bytes[0] !== 0);
    fc.assert(
      fc.property(addresses, (bytes) => {
        const address = toChecksumAddress(`0x${Buffer.from(bytes).toString('hex')}`);
        assert.deepEqual(problems(config({}, 'eip155:8453', address)), []);
      }),
      { numRuns: 50 },
    );
  });

  it('can be shown to editors as JSON Schema', () => {
    const schema = JSON.stringify(z.toJSONSchema(x402Schema, { io: 'input', target: 'draft-7' }));
    assert.match(schema, /settleWith/);
  });

  it('tells test networks from real money, and takes unknown ones for real', () => {
    const networks = ['eip155:84532', 'eip155:11155111', 'eip155:8453', 'eip155:999999'];
    assert.deepEqual(networks.map(isTestnet), [true, true, false, false]);
  });
});
