import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { loadConfig } from '../../src/config.ts';
import { CliFolder } from './cli-folder.ts';

const ENV = {
  OPENAI_API_KEY: 'a-key',
  PAY_TO: '0x70997970C51812dc3A010C7d01b50e0d17dc79C8',
  SETTLEMENT_KEY: `0x${'12'.repeat(32)}`,
};

describe('coinslot init', () => {
  let folder: CliFolder;
  beforeEach(async () => {
    folder = await CliFolder.open(null);
  });
  afterEach(() => folder.close());

  it('writes a config for USDC on Base that loads once its variables are set', async () => {
    const { exitCode, stdout } = await folder.run('init');
    assert.equal(exitCode, 0);
    assert.match(stdout, /coinslot start/);
    const config = await loadConfig(join(folder.path, 'coinslot.yaml'), ENV);
    assert.equal(config.mode, 'live');
    assert.deepEqual(Object.keys(config.payments.x402?.networks ?? {}), ['eip155:8453']);
    assert.equal(config.payments.x402?.networks['eip155:8453']?.settleWith, ENV.SETTLEMENT_KEY);
    assert.deepEqual(config.payments.order, ['prepaid', 'x402', 'free']);
  });

  it('with --testnet writes one for Base Sepolia, with a remote facilitator', async () => {
    const result = await folder.run('init', '--testnet', '--json');
    assert.equal(result.json().network, 'eip155:84532');
    const config = await loadConfig(join(folder.path, 'coinslot.yaml'), ENV);
    assert.equal(config.mode, 'test');
    const network = config.payments.x402?.networks['eip155:84532'];
    assert.deepEqual([network?.rpc].flat(), ['https://sepolia.base.org']);
    assert.deepEqual([network?.facilitator].flat(), ['https://x402.org/facilitator']);
  });

  it('names every variable in .env.example, and the config fails while they are empty', async () => {
    for (const flags of [[], ['--testnet']]) {
      await folder.run('init', '--force', ...flags);
      const yaml = await readFile(join(folder.path, 'coinslot.yaml'), 'utf8');
      const example = await readFile(join(folder.path, '.env.example'), 'utf8');
      const used = [...yaml.replace(/^#.*$/gm, '').matchAll(/\$\{(\w+)\}/g)].map(
        ([, name]) => name,
      );
      const named = [...example.matchAll(/^(\w+)=/gm)].map(([, name]) => name);
      assert.deepEqual(named.sort(), used.sort());
      await folder.write('.env', example);
      const { exitCode, stderr } = await folder.run('keys', 'list');
      assert.equal(exitCode, 2);
      assert.match(stderr, /OPENAI_API_KEY is empty/);
    }
  });

  it('tells editors where the schema is', async () => {
    await folder.run('init');
    const yaml = await readFile(join(folder.path, 'coinslot.yaml'), 'utf8');
    assert.match(yaml, /^# yaml-language-server: \$schema=\.\/\S*coinslot\.schema\.json\n/);
  });

  it('never writes over a file, unless forced', async () => {
    const file = await folder.write('coinslot.yaml', 'mine');
    const refused = await folder.run('init');
    assert.equal(refused.exitCode, 1);
    assert.match(refused.stderr, /coinslot\.yaml exists already\n {2}.*--force/);
    assert.equal(await readFile(file, 'utf8'), 'mine');
    assert.equal((await folder.run('init', '--force')).exitCode, 0);
    assert.notEqual(await readFile(file, 'utf8'), 'mine');
  });

  it('makes the folder that it is told to write into', async () => {
    const { exitCode } = await folder.run('init', '--dir', 'deep/er');
    assert.equal(exitCode, 0);
    assert.ok(await readFile(join(folder.path, 'deep/er/coinslot.yaml'), 'utf8'));
  });
});
