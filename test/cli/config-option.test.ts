import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { CliFolder } from './cli-folder.ts';

describe('every command of the CLI', () => {
  let folder: CliFolder;
  before(async () => {
    folder = await CliFolder.open(null);
  });
  after(() => folder.close());

  it('leads to init when there is no config', async () => {
    for (const args of [['start'], ['ledger', 'audit']]) {
      const { exitCode, stderr } = await folder.run(...args);
      assert.equal(exitCode, 2);
      assert.equal(stderr, 'coinslot.yaml: there is no such file. Make one with: coinslot init\n');
    }
  });

  it('prints every problem of the config with its line, and the same as JSON', async () => {
    const bad = await folder.write('bad.yaml', 'listn: 1\nroutes:\n  GET /a: { price: 1 }\n');
    const result = await folder.run('ledger', 'audit', '--config', bad, '--json');
    assert.equal(result.exitCode, 2);
    const lines = result.stderr.trimEnd().split('\n');
    assert.match(lines[1] ?? '', /^bad\.yaml:1: listn: unknown key\. Did you mean listen\?$/);
    const { error } = result.json() as { error: { code: string; problems: { line: number }[] } };
    assert.equal(error.code, 'config_invalid');
    assert.equal(error.problems.length, lines.length);
  });

  it('reads variables from .env beside the config; the environment wins', async () => {
    const yaml = `database: sqlite:\${NAME}.db
upstreams: { m: { url: "http://127.0.0.1:9" } }
payments: { prepaid: {} }
routes: { GET /a: { upstream: m, price: $1 } }
`;
    await folder.write('env.yaml', yaml);
    await folder.write('.env', 'NAME="from-file"\n');
    const file = await folder.run('keys', 'list', '--config', 'env.yaml');
    assert.match(file.stderr, /from-file\.db/);
    folder.env.NAME = 'from-env';
    const env = await folder.run('keys', 'list', '--config', 'env.yaml');
    assert.match(env.stderr, /from-env\.db/);
  });

  it('finds coinslot.config.ts when there is no coinslot.yaml', async () => {
    await folder.write('coinslot.config.ts', 'export default { upstream: 1 };');
    const { stderr } = await folder.run('keys', 'list');
    assert.match(stderr, /^coinslot\.config\.ts: /m);
  });

  it('answers a wrong command line with code 2, and with 0 when asked for help', async () => {
    for (const args of [['keys'], ['ledger', 'audit', '--nope'], ['keys', 'rotate']])
      assert.equal((await folder.run(...args)).exitCode, 2, args.join(' '));
    assert.equal((await folder.run('payments', 'list', '--help')).exitCode, 0);
  });

  it('lists all commands and the exit codes in its help', async () => {
    const { exitCode, stdout } = await folder.run('--help');
    assert.equal(exitCode, 0);
    for (const command of [
      'init',
      'start',
      'demo',
      'devnet',
      'pay',
      'inspect',
      'keys',
      'payments',
      'ledger',
    ])
      assert.match(stdout, new RegExp(`^ {2}${command}\\b`, 'm'));
    assert.match(stdout, /Exit codes:\n {2}0 /);
    assert.match((await folder.run('--version')).stdout, /^\d+\.\d+\.\d+\n$/);
  });
});
