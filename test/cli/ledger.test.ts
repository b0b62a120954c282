import assert from 'node:assert/strict';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, it } from 'node:test';
import { newId } from '../../src/core/id.ts';
import type { Ledger } from '../../src/core/ports/ledger.ts';
import { openLedger } from '../../src/ledger/open-ledger.ts';
import { CliFolder } from './cli-folder.ts';

const YAML = `upstreams:
  models: { url: "http://127.0.0.1:9" }
payments: { prepaid: {} }
routes:
  POST /a: { upstream: models, price: $0.01 }
`;

const NOW_MS = Date.parse('2026-11-21T10:00:00Z');
let counter = 0;
const random = (bytes: number) => new Uint8Array(bytes).fill(++counter % 256);

async function openLedgerOf(folder: CliFolder): Promise<Ledger> {
  return await openLedger({
    url: `sqlite:${join(folder.path, 'coinslot.db')}`,
    clock: { now: () => NOW_MS },
    exclusive: false,
    onFatal: (error) => {
      throw error;
    },
  });
}

/** A key with $1 that made two calls: one captured, one given back. */
async function seed(
  ledger: Ledger,
): Promise<{ keyId: string; captured: string; released: string }> {
  await ledger.stampMode('live');
  const keyId = newId('key', random);
  const key = { id: keyId, prefix: 'cs_live_x', secretHash: 'hash', mode: 'live' as const };
  const none = { perDay: null, routes: null, name: null };
  await ledger.createKey({ ...key, ...none, topUp: 1_000_000n, nowMs: NOW_MS });
  const hold = async (): Promise<string> => {
    const id = newId('pay', random);
    const claim = {
      ...{ id, rail: 'prepaid' as const, route: 'POST /a', payer: `key:${keyId}`, network: null },
      ...{ asset: 'USD', max: 10_000n, quoteMax: 10_000n, credentialKey: `prepaid:${id}` },
      ...{ credentialHash: 'c', digest: 'd', owner: 'proc_test', replay: 'always' as const },
      ...{ createdAtMs: NOW_MS, expiresAtMs: NOW_MS + 60_000 },
    };
    const held = await ledger.holdPrepaid({ claim, keyId, secretHash: 'hash', day: '2026-11-21' });
    assert.equal(held.outcome, 'held');
    return id;
  };
  const captured = await hold();
  const usage = [{ unit: 'calls', count: 1, price: '0.01', cost: '0.01' }];
  const atoms = { amount: 10_000n, cost: 10_000n };
  const owner = 'proc_test';
  await ledger.capture({ paymentId: captured, owner, ...atoms, usage, answer: null, job: null });
  const released = await hold();
  const why = { state: 'released' as const, reason: 'upstream_failed', answer: null };
  await ledger.release({ paymentId: released, owner, ...why });
  return { keyId, captured, released };
}

describe('coinslot payments and coinslot ledger', () => {
  let folder: CliFolder;
  let seeded: Awaited<ReturnType<typeof seed>>;
  before(async () => {
    folder = await CliFolder.open(YAML);
    const ledger = await openLedgerOf(folder);
    seeded = await seed(ledger);
    await ledger.close();
  });
  after(() => folder.close());

  const json = async (...args: string[]) => {
    const result = await folder.run(...args, '--json');
    assert.equal(result.exitCode, 0, result.stderr);
    return result.json();
  };
  const idsOf = async (...args: string[]) => {
    const { payments } = (await json('payments', 'list', ...args)) as {
      payments: { id: string }[];
    };
    return payments.map(({ id }) => id).sort();
  };

  it('payments list filters by state, rail and payer', async () => {
    const { keyId, captured, released } = seeded;
    assert.deepEqual(await idsOf(), [captured, released].sort());
    assert.deepEqual(await idsOf('--state', 'released'), [released]);
    assert.deepEqual(await idsOf('--rail', 'x402'), []);
    assert.deepEqual(
      await idsOf('--payer', `key:${keyId}`, '--rail', 'prepaid'),
      [captured, released].sort(),
    );
    assert.equal((await idsOf('--limit', '1')).length, 1);
  });

  it('payments list refuses a state that does not exist', async () => {
    const { exitCode, stderr } = await folder.run('payments', 'list', '--state=paid');
    assert.equal(exitCode, 2);
    assert.match(stderr, /settlement_unknown/);
  });

  it('payments show tells everything about one payment, with its entries', async () => {
    const shown = await json('payments', 'show', seeded.captured);
    assert.equal(shown.state, 'settled');
    assert.equal(shown.cost, '0.01');
    assert.equal(shown.amount, '10000');
    assert.equal(shown.settlement, null);
    const entries = shown.entries as { atoms: string; paymentId: string }[];
    assert.ok(entries.length >= 4);
    assert.equal(
      entries.reduce((sum, { atoms }) => sum + BigInt(atoms), 0n),
      0n,
    );
    assert.ok(entries.every(({ paymentId }) => paymentId === seeded.captured));
    const text = await folder.run('payments', 'show', seeded.released);
    assert.match(text.stdout, /^reason +upstream_failed$/m);
    const missing = await folder.run('payments', 'show', 'pay_nothing');
    assert.equal(missing.exitCode, 1);
  });

  it('payments forgive refuses what nobody owes', async () => {
    const paid = await folder.run('payments', 'forgive', seeded.captured);
    assert.equal(paid.exitCode, 1);
    assert.match(paid.stderr, /nobody is refused/);
    assert.equal((await folder.run('payments', 'forgive', 'pay_nothing')).exitCode, 1);
  });

  it('ledger balances sum to zero and show dollars', async () => {
    const { balances } = (await json('ledger', 'balances')) as {
      balances: { account: string; asset: string; atoms: string; usd: string }[];
    };
    assert.equal(
      balances.reduce((sum, { atoms }) => sum + BigInt(atoms), 0n),
      0n,
    );
    const payer = balances.find(
      ({ account }) => account.includes(seeded.keyId) && account.startsWith('payer'),
    );
    assert.equal(payer?.usd, '0.99');
  });

  it('ledger entries filters by payment and account', async () => {
    const entriesOf = async (...args: string[]) =>
      (
        (await json('ledger', 'entries', ...args)) as {
          entries: { account: string; paymentId: string }[];
        }
      ).entries;
    const all = await entriesOf();
    const ofPayment = await entriesOf('--payment', seeded.released);
    assert.ok(ofPayment.length > 0 && ofPayment.length < all.length);
    assert.ok(ofPayment.every(({ paymentId }) => paymentId === seeded.released));
    const account = all[0]?.account ?? '';
    assert.ok((await entriesOf('--account', account)).every((entry) => entry.account === account));
    assert.equal((await entriesOf('--limit', '1')).length, 1);
  });

  it('ledger audit is ok with code 0, and after a balance was forged names it with code 1', async () => {
    assert.deepEqual(await json('ledger', 'audit'), { ok: true, differences: [] });
    const database = new DatabaseSync(join(folder.path, 'coinslot.db'));
    database.exec(`UPDATE account SET balance = balance + 1 WHERE name = 'payer:${seeded.keyId}'`);
    database.close();
    const forged = await folder.run('ledger', 'audit', '--json');
    assert.equal(forged.exitCode, 1);
    const { ok, differences } = forged.json() as {
      ok: boolean;
      differences: { subject: string }[];
    };
    assert.equal(ok, false);
    assert.match(JSON.stringify(differences), new RegExp(seeded.keyId));
    assert.match((await folder.run('ledger', 'audit')).stdout, new RegExp(seeded.keyId));
  });
});
