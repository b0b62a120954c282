import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { systemClock, utcDay } from '../../src/core/clock.ts';
import { openLedger } from '../../src/ledger/open-ledger.ts';
import { CliFolder } from './cli-folder.ts';

const YAML = `upstreams: { models: { url: "http://127.0.0.1:9" } }
payments: { prepaid: {} }
routes:
  POST /a: { upstream: models, price: $0.01, shadow: true }
`;

describe('coinslot shadow', () => {
  let folder: CliFolder;
  before(async () => {
    folder = await CliFolder.open(YAML);
  });
  after(() => folder.close());

  it('adds up the days of each route and says which would earn less than they cost', async () => {
    const ledger = await openLedger({
      url: `sqlite:${folder.path}/coinslot.db`,
      ...{ clock: systemClock, exclusive: false },
      onFatal: (error) => {
        throw error;
      },
    });
    await ledger.stampMode('live');
    const listed = { calls: 1, earned: 10_000n, cost: 30_000n };
    const known = { calls: 2, unpriced: 0, cost: 20_000n, listed, units: { inputTokens: 5 } };
    const unknown = { ...known, listed: { calls: 0, earned: 0n, cost: 0n }, unpriced: 1 };
    const [today, before] = [utcDay(Date.now()), utcDay(Date.now() - 86_400_000)];
    await ledger.addShadow([
      { ...known, day: today, route: 'POST /a' },
      { ...unknown, day: today, route: 'POST /b' },
    ]);
    await ledger.addShadow([
      { ...known, day: today, route: 'POST /a' },
      { ...known, day: before, route: 'POST /a' },
      { ...known, day: '2020-01-01', route: 'POST /a' },
    ]);
    await ledger.close();
    const result = (await folder.run('shadow', '--json')).json();
    assert.deepEqual((result.routes as object[])[0], {
      ...{ route: 'POST /a', calls: 6, unpriced: 0, wouldEarn: '0.06' },
      units: { inputTokens: 15 },
      atListPrices: { calls: 3, wouldEarn: '0.03', cost: '0.09' },
      isUnderpriced: true,
    });
    assert.equal((result.days as object[]).length, 3);
    const { stdout } = await folder.run('shadow', '--days', '1');
    assert.match(stdout, /^POST \/a +4 +0 +\$0\.04 +\$0\.06 +underpriced/m);
    assert.match(stdout, /^POST \/b +2 +1 +\$0\.02 +unknown/m);
  });
});
