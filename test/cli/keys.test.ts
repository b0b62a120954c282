import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { CliFolder } from './cli-folder.ts';

const YAML = `upstreams:
  models: { url: "http://127.0.0.1:9" }
payments: { prepaid: {} }
routes:
  POST /a: { upstream: models, price: $0.01 }
  GET /b: { upstream: models, price: $0.02 }
`;

describe('coinslot keys', () => {
  let folder: CliFolder;
  before(async () => {
    folder = await CliFolder.open(YAML);
  });
  after(() => folder.close());

  const json = async (...args: string[]) => {
    const result = await folder.run('keys', ...args, '--json');
    assert.equal(result.exitCode, 0, result.stderr);
    return result.json();
  };

  it('list on a database that is not there says so and makes none', async () => {
    const { exitCode, stderr } = await folder.run('keys', 'list');
    assert.equal(exitCode, 1);
    assert.match(stderr, /there is no database .*coinslot\.db yet\n {2}\S/);
    await assert.rejects(readFile(join(folder.path, 'coinslot.db')), { code: 'ENOENT' });
  });

  it('create makes a key with balance, cap and routes, and shows it once', async () => {
    const created = await json(
      'create',
      '--topup',
      '$5',
      '--per-day',
      '1.5',
      '--routes',
      'POST /a,GET  /b',
      '--name',
      'Ann',
    );
    const { id, key, prefix, ...rest } = created;
    assert.match(String(id), /^key_/);
    assert.match(String(key), /^cs_live_/);
    assert.ok(String(key).startsWith(String(prefix)));
    assert.deepEqual(
      { ...rest, createdAt: null },
      {
        ...{ balance: '5', currency: 'USD', mode: 'live', perDay: '1.5', name: 'Ann' },
        ...{ routes: ['POST /a', 'GET /b'], createdAt: null, revokedAt: null },
      },
    );
    const listed = await json('list');
    assert.deepEqual(listed.keys, [{ id, prefix, ...rest }]);
    assert.ok(!JSON.stringify(listed).includes(String(key)));
  });

  it('topup adds to the balance, exactly', async () => {
    const { id } = await json('create', '--topup', '0.1');
    assert.equal((await json('topup', String(id), '$0.2')).balance, '0.3');
  });

  it('rotate gives a new secret with the same id and balance', async () => {
    const old = await json('create', '--topup', '$5');
    const rotated = await json('rotate', String(old.id));
    assert.equal(rotated.id, old.id);
    assert.equal(rotated.balance, '5');
    assert.notEqual(rotated.key, old.key);
  });

  it('revoke stops a key for ever: no top up and no new secret', async () => {
    const { id } = await json('create');
    assert.notEqual((await json('revoke', String(id))).revokedAt, null);
    for (const args of [
      ['topup', String(id), '$1'],
      ['rotate', String(id)],
    ]) {
      const { exitCode, stderr } = await folder.run('keys', ...args);
      assert.equal(exitCode, 1);
      assert.match(stderr, /is revoked/);
    }
  });

  it('says in one line and a hint what is wrong, with a code for scripts', async () => {
    const unknown = await folder.run('keys', 'rotate', 'key_nobody', '--json');
    assert.equal(unknown.exitCode, 1);
    assert.match(unknown.stderr, /^coinslot: there is no key key_nobody\n {2}See .*keys list\n$/);
    assert.equal((unknown.json().error as { code: string }).code, 'key_unknown');
    const route = await folder.run('keys', 'create', '--routes', 'GET /zzz');
    assert.equal(route.exitCode, 2);
    assert.match(route.stderr, /no route is called "GET \/zzz"\n {2}Routes: POST \/a, GET \/b/);
    // An unquoted $5 is an empty argument in most shells.
    const empty = await folder.run('keys', 'create', '--topup=');
    assert.equal(empty.exitCode, 2);
    assert.match(empty.stderr, /'\$5'/);
  });

  it('is refused when the config accepts no keys', async () => {
    const off = await folder.write(
      'off.yaml',
      YAML.replace('prepaid: {}', 'free: { callsPerDay: 1 }'),
    );
    const { exitCode, stderr } = await folder.run('keys', 'create', '--config', off);
    assert.equal(exitCode, 2);
    assert.match(stderr, /accepts no API keys\n {2}Add prepaid/);
  });

  it('is refused when the database holds money of the other mode', async () => {
    await json('create');
    const test = await folder.write('test.yaml', `mode: test\n${YAML}`);
    for (const args of [['create'], ['list']]) {
      const { exitCode, stderr } = await folder.run('keys', ...args, '--config', test);
      assert.equal(exitCode, 2);
      assert.match(stderr, /holds live money and the config is for test money.*can't mix/);
    }
  });

  it('prints tables and plain words for people', async () => {
    const created = await folder.run('keys', 'create', '--topup', '$1', '--name', 'Bob');
    assert.match(created.stdout, /^cs_live_\S+\n\nid {7}key_\S+\nbalance {2}\$1\n/);
    const { stdout } = await folder.run('keys', 'list');
    assert.match(stdout, /^ID +BALANCE +PER DAY +ROUTES +NAME +CREATED +STATE\n/);
    assert.match(stdout, /\$1 +- +all +Bob +\d{4}-\d\d-\d\d +active/);
  });
});
