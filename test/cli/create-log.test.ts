import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createLog } from '../../src/cli/create-log.ts';
import { parseConfig } from '../../src/config.ts';

const SECRETS = {
  UPSTREAM_KEY: 'upstream-"quoted"-secret',
  SETTLEMENT_KEY: `0x${'3c'.repeat(32)}`,
  RPC_KEY: 'abcdefghijklmnop0123456789',
  SECRET: 'quote-secret-quote-secret-quote-secret',
};

const config = parseConfig(
  {
    upstreams: {
      models: {
        url: 'https://models.example',
        headers: { authorization: `Bearer \${UPSTREAM_KEY}` },
      },
    },
    payments: {
      x402: {
        payTo: { eip155: '0x70997970C51812dc3A010C7d01b50e0d17dc79C8' },
        networks: {
          'eip155:84532': {
            rpc: [`https://rpc.example/v2/\${RPC_KEY}`],
            settleWith: `\${SETTLEMENT_KEY}`,
          },
        },
      },
    },
    routes: { 'GET /a': { upstream: 'models', price: '$1' } },
    secret: `\${SECRET}`,
  },
  SECRETS,
);

function logged(write: (log: ReturnType<typeof createLog>) => void): string {
  const lines: string[] = [];
  write(createLog(config, 'info', { write: (line) => void lines.push(line) }));
  return lines.join('');
}

describe('the log of the gateway', () => {
  it('shows no secret of the config, wherever a library put it', () => {
    for (const secret of Object.values(SECRETS)) {
      const line = logged((log) => {
        const error = new Error(`fetch of https://x.example/${secret} failed`, {
          cause: new Error(secret),
        });
        log.error({ error, deep: { list: [{ note: `see ${secret}` }] } }, `about ${secret}`);
      });
      const { msg } = JSON.parse(line) as { msg: string };
      assert.equal(msg, 'about [secret]');
      assert.ok(!line.includes(secret) && !line.includes(JSON.stringify(secret).slice(1, -1)));
    }
  });

  it('hides credentials of callers by the name of their field', () => {
    const line = logged((log) =>
      log.info({ headers: { 'x-api-key': 'cs_live_1', 'x-payment': 'eyJ4' }, key: 'k-1' }, 'seen'),
    );
    for (const secret of ['cs_live_1', 'eyJ4', 'k-1']) assert.ok(!line.includes(secret), secret);
  });

  it('keeps what is no secret, one JSON line per entry', () => {
    const line = logged((log) => log.warn({ payment: 'pay_1', error: new Error('no') }, 'late'));
    const entry = JSON.parse(line) as {
      level: string;
      payment: string;
      error: { message: string };
    };
    assert.equal(entry.level, 'warn');
    assert.equal(entry.payment, 'pay_1');
    assert.equal(entry.error.message, 'no');
  });
});
