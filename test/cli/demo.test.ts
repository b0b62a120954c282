import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { tempDir } from '../support/temp-dir.ts';
import { runCli } from './run-cli.ts';

describe('coinslot demo --once', () => {
  it('moves real money on a local chain, proves each step, and leaves nothing behind', async (t) => {
    const folder = tempDir(t);
    const ran = await runCli(['demo', '--once', '--port', '0'], {}, '', folder);
    assert.equal(ran.code, 0, ran.stdout + ran.stderr);
    for (const step of [1, 2, 3, 4, 5, 6])
      assert.match(ran.stdout, new RegExp(`^${step}\\. `, 'm'));
    assert.match(ran.stdout, /transaction 0x[0-9a-f]{64}/);
    assert.match(ran.stdout, /ledger \$0\.006 = chain \$0\.006/);
    assert.ok(!existsSync(join(folder, '.coinslot-demo')));
  });
});
