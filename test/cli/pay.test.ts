import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import {
  answerPaid,
  BASE_SEPOLIA,
  demand,
  offer,
  PRIVATE_KEY,
  requiredV2,
  serve,
  servePaid,
} from '../client/servers.ts';
import { runCli } from './run-cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'coinslot-pay-'));
after(() => rmSync(folder, { recursive: true }));

const WALLET = { WALLET_KEY: PRIVATE_KEY };

function lastLine(text: string): Record<string, unknown> {
  return JSON.parse(text.trimEnd().split('\n').at(-1) ?? '');
}

describe('coinslot pay', { concurrency: true }, () => {
  test('prints the answer on stdout and what it cost on stderr, and ends with 0', async () => {
    await using server = await servePaid();
    const run = await runCli(
      ['pay', `${server.url}/a`, '-d', '{"text":"x"}', '-H', 'X-A: b: c'],
      WALLET,
    );
    assert.deepEqual([run.code, run.stdout], [0, '{"ok":true}']);
    assert.match(
      run.stderr,
      /^\ncost {9}\$0\.006 \(x402, eip155:84532\)\ntransaction {2}0x(?:fe){32}\npayment {6}pay_1\n$/,
    );
    const [first, paid] = server.received;
    assert.deepEqual(
      [paid?.method, paid?.body, paid?.headers['x-a']],
      ['POST', '{"text":"x"}', 'b: c'],
    );
    assert.equal(paid?.headers['content-type'], 'application/json');
    assert.equal(first?.payment, undefined);
  });

  test('--json prints one object with the documented names as the last line', async () => {
    await using server = await servePaid();
    await using node = await serve((request, response) => {
      const { method, params } = JSON.parse(request.body) as {
        method: string;
        params: [{ to: string }];
      };
      const known = method === 'eth_call' && params[0].to === BASE_SEPOLIA.asset;
      response.end(
        JSON.stringify({
          jsonrpc: '2.0',
          id: 1,
          result: known ? `0x${'0'.repeat(58)}0f4240` : null,
        }),
      );
    });
    const run = await runCli(['pay', 'GET', server.url, '--json', '--rpc', node.url], WALLET);
    assert.equal(run.code, 0);
    assert.deepEqual(lastLine(run.stdout), {
      status: 200,
      cost: '0.006',
      currency: 'USD',
      rail: 'x402',
      network: 'eip155:84532',
      transaction: `0x${'fe'.repeat(32)}`,
      paymentId: 'pay_1',
      balance: '1',
      body: { ok: true },
    });
    assert.match(run.stderr, /balance {6}1 USDC/);
  });

  test('2: a price over --max or --per-day is not signed', async () => {
    await using server = await servePaid();
    const over = await runCli(['pay', server.url, '--max', '$0.005', '--json'], WALLET);
    assert.equal(over.code, 2);
    const { status, cost, error } = lastLine(over.stdout);
    assert.deepEqual(
      [status, cost, (error as { code: string }).code],
      [402, '0', 'budget_exceeded'],
    );
    assert.match(
      over.stderr,
      /costs \$0\.006, more than the limit of \$0\.005[\s\S]*--max '\$0\.006'/,
    );

    const journal = join(folder, 'spend.db');
    const day = ['pay', server.url, '--journal', journal, '--per-day', '0.01'];
    assert.equal((await runCli(day, WALLET)).code, 0);
    const second = await runCli(day, WALLET);
    assert.equal(second.code, 2);
    assert.match(second.stderr, /\$0\.006 of the \$0\.01 for today/);
    assert.equal(server.paid().length, 1);
  });

  test('3: no wallet, no payable offer, or a refused payment', async () => {
    await using server = await serve((request, response) =>
      demand(
        response,
        requiredV2(request.path === '/solana' ? [offer({ network: 'solana:mainnet' })] : [offer()]),
      ),
    );
    const bare = await runCli(['pay', server.url]);
    assert.deepEqual([bare.code, bare.stdout], [3, '{"error":"payment required"}']);
    assert.match(bare.stderr, /neither a wallet nor a key[\s\S]*WALLET_KEY/);
    const foreign = await runCli(['pay', `${server.url}/solana`], WALLET);
    assert.equal(foreign.code, 3);
    assert.match(foreign.stderr, /an EVM wallet can't pay on solana:/);
    assert.equal(server.paid().length, 0);
    const refused = await runCli(['pay', server.url], WALLET);
    assert.equal(refused.code, 3);
    assert.equal(server.paid().length, 1);
  });

  test('4: an unknown outcome, which the same command with the same journal asks for again', async () => {
    let isUp = false;
    await using server = await servePaid((request, response) => {
      if (isUp) answerPaid(request, response);
      else response.writeHead(503, { 'Retry-After': '0', 'X-Payment-Id': 'pay_9' }).end();
    });
    const command = ['pay', server.url, '--journal', join(folder, 'unknown.db'), '--json'];
    const unknown = await runCli(command, WALLET);
    assert.equal(unknown.code, 4);
    const result = lastLine(unknown.stdout);
    assert.deepEqual([result.status, result.cost, result.paymentId], [503, null, 'pay_9']);
    assert.match(unknown.stderr, /Repeat the very same call/);
    isUp = true;
    assert.equal((await runCli(command, WALLET)).code, 0);
    assert.equal(new Set(server.paid().map((one) => one.payment)).size, 1);
  });

  test('5: an error of the server for which nothing was charged', async () => {
    await using server = await servePaid((_request, response) => {
      const headers = {
        'X-Payment-Id': 'pay_3',
        'X-Payment-State': 'released',
        'X-Payment-Cost': '0',
      };
      response.writeHead(502, headers).end('{"code":"upstream_failed"}');
    });
    const run = await runCli(['pay', server.url], WALLET);
    assert.deepEqual([run.code, run.stdout], [5, '{"code":"upstream_failed"}']);
    assert.match(run.stderr, /cost {9}\$0 /);
    assert.match(run.stderr, /answered 502\. Nothing was charged/);
  });

  test('a key pays, its balance is read, and a free call says how many are left', async () => {
    await using server = await serve((request, response) => {
      const keyed = request.headers['x-api-key'] === 'cs_test_k';
      if (request.path === '/_pay/balance') response.end(keyed ? '{"balance":"0.994"}' : '{}');
      else if (keyed)
        response.setHeader('X-Payment-Id', 'pay_k').setHeader('X-Payment-Cost', '0.006').end('ok');
      else
        response
          .setHeader('X-Payment-Id', 'pay_f')
          .setHeader('X-Free-Calls-Remaining', '7')
          .end('ok');
    });
    const keyed = await runCli(['pay', server.url, '--json'], { COINSLOT_API_KEY: 'cs_test_k' });
    const { rail, cost, balance, transaction } = lastLine(keyed.stdout);
    assert.deepEqual([rail, cost, balance, transaction], ['prepaid', '0.006', '0.994', null]);
    const free = await runCli(['pay', server.url]);
    assert.match(free.stderr, /cost {9}\$0 \(free\)\npayment {6}pay_f\nfree calls {3}7 left/);
  });

  test('bodies come from files and stdin', async () => {
    await using server = await serve((_request, response) => response.end());
    const file = join(folder, 'body.bin');
    writeFileSync(file, Buffer.from([0xff, 0x00, 0x41]));
    assert.equal((await runCli(['pay', 'put', server.url, '-d', `@${file}`])).code, 0);
    assert.equal((await runCli(['pay', server.url, '-d', '@-'], {}, '{"a":1}')).code, 0);
    const [binary, piped] = server.received;
    assert.deepEqual([binary?.method, binary?.headers['content-type']], ['PUT', undefined]);
    assert.equal(binary?.headers['content-length'], '3');
    assert.deepEqual(
      [piped?.method, piped?.body, piped?.headers['content-type']],
      ['POST', '{"a":1}', 'application/json'],
    );
  });

  test('1: wrong usage and no connection, and a private key never shows', async () => {
    const secret = 'ab'.repeat(31);
    const wrong: [string[], RegExp, Record<string, string>?][] = [
      [['pay'], /missing required argument/],
      [['pay', 'example.com'], /Name one URL/],
      [['pay', 'http://a', 'http://b', 'GET'], /Name one URL/],
      [['pay', 'GE T', 'http://a'], /not an HTTP method/],
      [['pay', 'http://a', '--max', 'much'], /Write dollars/],
      [['pay', 'http://a', '-H', 'no colon'], /'Name: value'/],
      [['pay', 'GET', 'http://a', '-d', 'x'], /GET can't have a body/],
      [['pay', 'http://a', '-d', '@/does/not/exist'], /ENOENT/],
      [['pay', 'http://a', '--wallet-key', `0x${secret}ab`], /name of an environment variable/],
      [['pay', 'http://a'], /private key/, { WALLET_KEY: secret }],
      [['pay', 'http://127.0.0.1:9/'], /ECONNREFUSED|bad port/],
    ];
    const runs = await Promise.all(wrong.map(([args, , env]) => runCli(args, env)));
    for (const [index, run] of runs.entries()) {
      const [args, message] = wrong[index] ?? assert.fail();
      assert.equal(run.code, 1, args.join(' '));
      assert.match(run.stderr, message);
      assert.ok(!(run.stderr + run.stdout).includes(secret), 'a key was printed');
    }
  });

  test('the help lists every exit code', async () => {
    const run = await runCli(['pay', '--help']);
    assert.equal(run.code, 0);
    for (const code of [0, 1, 2, 3, 4, 5])
      assert.match(run.stdout, new RegExp(`^ {2}${code} {2}\\w`, 'm'));
  });

  test('a redirect is not followed with a payment, and control characters of a server do not reach the terminal', async () => {
    await using server = await servePaid((_request, response) => {
      response.writeHead(307, { location: '/away', 'X-Payment-Id': 'pay_\u0080[2J' }).end();
    });
    const run = await runCli(['pay', server.url], WALLET);
    assert.equal(run.code, 1);
    assert.match(run.stderr, /redirects to \/away/);
    assert.ok(!run.stderr.includes('\u0080'));
    assert.equal(server.received.length, 2);
  });

  test('an answer that breaks off ends with 1 and the id to look it up', async () => {
    await using server = await servePaid((_request, response) => {
      response.writeHead(200, { 'X-Payment-Id': 'pay_b', 'content-length': '100' });
      response.write('half', () => response.destroy());
    });
    const run = await runCli(['pay', server.url], WALLET);
    assert.equal(run.code, 1);
    assert.match(run.stderr, /broke off[\s\S]*\/_pay\/payments\/pay_b/);
  });
});
