import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { tempDir } from '../support/temp-dir.ts';

const FIXTURE = fileURLToPath(new URL('fixtures/leaves-server-open.ts', import.meta.url));

function runFixture(close: 'yes' | 'no'): { status: number | null; output: string } {
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const { status, stderr } = spawnSync(process.execPath, [FIXTURE], {
    env: { ...env, COINSLOT_TEST_CLOSE: close },
    encoding: 'utf8',
  });
  return { status, output: stderr };
}

it('a test file that leaves a server open fails and says what it left', () => {
  const { status, output } = runFixture('no');
  assert.notEqual(status, 0);
  assert.match(output, /left open: TCPServerWrap/);
});

it('a test file that closes everything passes', () => {
  assert.equal(runFixture('yes').status, 0);
});

it('a temporary folder is there during the test and gone after it', async (t) => {
  let folder = '';
  await t.test('uses it', (inner) => {
    folder = tempDir(inner);
    writeFileSync(join(folder, 'x'), '1');
    assert.ok(existsSync(folder));
  });
  assert.ok(!existsSync(folder));
});
