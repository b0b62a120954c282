import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  installInto,
  type PackedPackage,
  packPackage,
  readManifest,
} from './support/pack-package.ts';
import { findFiles, ROOT } from './support/source-files.ts';
import { tempDir } from './support/temp-dir.ts';

const PACKED_BYTES_MAX = 600_000;
const manifest = readManifest();
const optionalPeers = Object.keys(manifest.peerDependenciesMeta ?? {});

describe('the packed package', () => {
  const folder = tempDir({ after });
  let packed: PackedPackage;
  let userFolder: string;
  let payerFolder: string;

  before(async () => {
    packed = await packPackage(folder);
    userFolder = installInto(join(folder, 'user'), packed, Object.keys(manifest.dependencies));
    payerFolder = installInto(
      join(folder, 'payer'),
      packed,
      Object.keys(manifest.dependencies).filter((name) => name.startsWith('@noble/')),
    );
  });

  function runModule(cwd: string, name: string, code: string): string {
    writeFileSync(join(cwd, name), code);
    return execFileSync(process.execPath, [name], { cwd, encoding: 'utf8' });
  }

  function typeCheck(cwd: string, code: string, options: object): void {
    const compilerOptions = {
      ...{ module: 'nodenext', target: 'es2024', strict: true, noEmit: true, skipLibCheck: true },
      ...options,
    };
    const files = ['check.ts'];
    writeFileSync(join(cwd, 'check.ts'), code);
    writeFileSync(join(cwd, 'package.json'), '{ "type": "module" }');
    writeFileSync(join(cwd, 'tsconfig.json'), JSON.stringify({ compilerOptions, files }));
    const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
    const { status, stdout } = spawnSync(process.execPath, [tsc, '-p', cwd], { encoding: 'utf8' });
    assert.equal(status, 0, stdout);
  }

  it('has every file that package.json promises', () => {
    const targets = Object.values(manifest.exports).flatMap((target) =>
      typeof target === 'string' ? [target] : Object.values(target),
    );
    assert.ok(targets.length >= 4);
    for (const target of [...targets, ...Object.values(manifest.bin)])
      assert.ok(existsSync(join(packed.folder, target)), `${target} is not in the package`);
    for (const name of manifest.files)
      assert.ok(existsSync(join(packed.folder, name)), `${name} is not in the package`);
  });

  it('has a command that can be executed', () => {
    for (const target of Object.values(manifest.bin)) {
      const file = join(packed.folder, target);
      assert.match(readFileSync(file, 'utf8'), /^#!\/usr\/bin\/env node\n/);
      assert.ok((statSync(file).mode & 0o111) === 0o111, `${target} is not executable`);
    }
    const bin = join(userFolder, 'node_modules', manifest.name, manifest.bin.coinslot ?? '');
    const version = execFileSync(process.execPath, [bin, '--version'], { encoding: 'utf8' });
    assert.equal(version, `${manifest.version}\n`);
  });

  it('has what users need and nothing else, and stays small', () => {
    const strangers = packed.files.filter(
      (path) =>
        !/^(bin|dist|migrations|schema|examples)\/|^(package\.json|README\.md|LICENSE|CHANGELOG\.md)$/.test(
          path,
        ) ||
        /(^|\/)(test|bench|scripts)\/|\.(test|bench)\.|\.map$|\.db|\.env(?!\.example$)/.test(
          path,
        ) ||
        // Examples are there to be read and copied; everything else is compiled.
        /^(?!examples\/).*(?<!\.d)\.ts$/.test(path),
    );
    assert.deepEqual(strangers, []);
    assert.ok(packed.packedBytes < PACKED_BYTES_MAX, `${packed.packedBytes} bytes packed`);
  });

  it('has one compiled file for each source file', () => {
    const compiled = packed.files.filter((path) => /^dist\/.*\.js$/.test(path));
    const sources = findFiles(['src/**/*.ts']).map((path) =>
      path.replace(/^src/, 'dist').replace(/\.ts$/, '.js'),
    );
    assert.deepEqual(compiled.sort(), sources);
  });

  it('serves from the package: its migrations and its worker are found', () => {
    const output = runModule(
      userFolder,
      'serve.js',
      `import { createGateway, parseConfig } from 'coinslot';
       const gateway = await createGateway(parseConfig({
         database: 'sqlite:coinslot.db',
         upstreams: { api: { url: 'http://127.0.0.1:9' } },
         payments: { order: ['free'], free: { callsPerDay: 0 } },
         routes: { 'GET /x': { upstream: 'api', price: '$0.01' } },
       }, {}));
       const response = await gateway.fetch(new Request('http://127.0.0.1/nothing'));
       await gateway.close();
       console.log(response.status);`,
    );
    assert.equal(output, '404\n');
  });

  it('serves without any of its optional peers installed', () => {
    assert.ok(optionalPeers.length > 0);
    for (const name of optionalPeers)
      assert.ok(!existsSync(join(userFolder, 'node_modules', name)), name);
    runModule(userFolder, 'load.js', `await import('coinslot');`);
  });

  it('has types for each of its entries', () => {
    mkdirSync(join(userFolder, 'node_modules/@types'), { recursive: true });
    typeCheck(
      userFolder,
      `import { createGateway, defineConfig, parseConfig, type Gateway } from 'coinslot';
       import { payFetch, privateKeyWallet } from 'coinslot/client';
       export const gateway: Promise<Gateway> = createGateway(parseConfig(defineConfig({ upstreams: {}, routes: {} }), {}));
       export const paying: typeof fetch = payFetch(fetch, { wallet: privateKeyWallet('0x01'), budget: { perCall: '$1' } });
       // @ts-expect-error: a wallet is no number; an entry without types would let it pass
       payFetch(fetch, { wallet: 7, budget: { perCall: '$1' } });`,
      { types: [], typeRoots: [join(ROOT, 'node_modules/@types')] },
    );
  });

  it('lets the payer load with nothing but @noble installed, and no server module', () => {
    const output = runModule(
      payerFolder,
      'load.js',
      `import { registerHooks } from 'node:module';
       const loaded = [];
       registerHooks({
         resolve(specifier, context, next) {
           const result = next(specifier, context);
           loaded.push(result.url);
           return result;
         },
       });
       const { payFetch, privateKeyWallet } = await import('coinslot/client');
       payFetch(fetch, { wallet: privateKeyWallet('0x' + '11'.repeat(32)), budget: { perCall: '$0.01' } });
       console.log(JSON.stringify(loaded));`,
    );
    const loaded = JSON.parse(output) as string[];
    assert.ok(loaded.some((url) => url.endsWith('/dist/client/index.js')));
    const strangers = loaded.filter(
      (url) =>
        !/\/coinslot\/dist\/(client\/|core\/|rails\/[^/]+\/(client|protocol)|chains\/[^/]+\/(sign|keccak)(-[a-z0-9-]+)?\.js)/.test(
          url,
        ) && !url.includes('/@noble/'),
    );
    assert.deepEqual(strangers, []);
  });

  it('has types for the payer that need no types of Node', () => {
    typeCheck(
      payerFolder,
      `import { payFetch, privateKeyWallet } from 'coinslot/client';
       export const paying: typeof fetch = payFetch(fetch, { wallet: privateKeyWallet('0x01'), budget: { perCall: '$1' } });`,
      { types: [], lib: ['es2024', 'dom'] },
    );
  });

  it('publishes the schema of its config', () => {
    const url = runModule(
      userFolder,
      'schema.js',
      `console.log(import.meta.resolve('coinslot/config-schema'));`,
    );
    const schema = JSON.parse(readFileSync(new URL(url.trim()), 'utf8'));
    assert.equal(typeof schema.properties.routes, 'object');
  });
});

describe('the lockfile', () => {
  const lockfile = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'));

  it('agrees with package.json', () => {
    const locked = lockfile.packages[''];
    assert.equal(lockfile.version, manifest.version);
    for (const field of [
      ...(['name', 'version', 'bin', 'engines', 'dependencies'] as const),
      ...(['devDependencies', 'peerDependencies', 'peerDependenciesMeta'] as const),
    ])
      assert.deepEqual(locked[field], manifest[field], field);
  });

  it('names no host that a package came from', () => {
    const resolved = Object.values<{ resolved?: string }>(lockfile.packages).map(
      (one) => one.resolved,
    );
    assert.deepEqual(
      resolved.filter((url) => url !== undefined),
      [],
    );
  });
});
