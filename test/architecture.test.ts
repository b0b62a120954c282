import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import {
  allows,
  findCycle,
  folderOf,
  ImportGraph,
  importViolations,
  zoneOf,
} from './support/import-rules.ts';
import { ROOT, readSourceFiles, sourceFileOf } from './support/source-files.ts';

const files = readSourceFiles(['src/**/*.ts']);
const graph = new ImportGraph(files);

describe('the import rules of the source', () => {
  it('finds the source at all', () => {
    assert.ok(files.length > 50);
    for (const file of ['src/index.ts', 'src/client/index.ts', 'src/gateway.ts'])
      assert.ok(graph.has(file), file);
  });

  it('knows the place of every file', () => {
    for (const { path } of files) assert.doesNotThrow(() => zoneOf(path));
  });

  it('imports only what the table of the layers allows, types included', () => {
    assert.deepEqual(importViolations(graph), []);
  });

  it('imports only files that exist', () => {
    for (const { path } of files)
      for (const { file } of graph.importsOf(path))
        if (file !== undefined)
          assert.ok(existsSync(join(ROOT, file)), `${path} imports ${file}, which does not exist`);
  });

  it('never imports itself by the name of the package, which no rule could follow', () => {
    for (const { path } of files)
      for (const { specifier } of graph.importsOf(path))
        assert.doesNotMatch(specifier, /^(coinslot(\/|$)|#|file:|\/)/, path);
  });

  it('has no cycle between files', () => {
    const edges = new Map(files.map(({ path }) => [path, graph.targetsOf(path)]));
    assert.equal(findCycle(edges)?.join(' → '), undefined);
  });

  it('has no cycle between folders', () => {
    const edges = new Map<string, Set<string>>();
    for (const { path } of files) {
      const from = folderOf(path);
      const targets = edges.get(from) ?? new Set();
      for (const target of graph.targetsOf(path))
        if (folderOf(target) !== from) targets.add(folderOf(target));
      edges.set(from, targets);
    }
    assert.equal(findCycle(edges)?.join(' → '), undefined);
  });
});

describe('the public entry', () => {
  it('only re-exports: nothing is made in src/index.ts', () => {
    const index = files.find(({ path }) => path === 'src/index.ts');
    assert.ok(index);
    for (const statement of index.tree.statements)
      assert.match(statement.getText(), /^export (type )?\{[^}]*\} from '/);
  });
});

describe('the payer', () => {
  const reached = graph.reach('src/client/index.ts');

  it('reaches no server code, whatever it imports', () => {
    const allowed = new Set(['client', 'core', 'rails:client', 'rails:protocol', 'chains:sign']);
    const server = [...reached].filter((path) => !allowed.has(zoneOf(path).name));
    assert.deepEqual(server, []);
    assert.ok(reached.has('src/client/pay-fetch.ts'));
  });

  it('needs no npm package but @noble, and modules of Node only when they are used', () => {
    const found: string[] = [];
    for (const path of reached)
      for (const { specifier, file, lazy, typeOnly } of graph.importsOf(path)) {
        if (file !== undefined || typeOnly || specifier.startsWith('@noble/')) continue;
        if (lazy && specifier.startsWith('node:')) continue;
        found.push(`${path}: ${specifier}`);
      }
    assert.deepEqual(found, []);
  });
});

describe('the vocabulary', () => {
  it('is pure: core and pricing import no module of Node and no package', () => {
    const found: string[] = [];
    for (const { path } of files)
      if (['core', 'pricing'].includes(zoneOf(path).name))
        for (const { specifier, file } of graph.importsOf(path))
          if (file === undefined) found.push(`${path}: ${specifier}`);
    assert.deepEqual(found, []);
  });
});

describe('the import rules themselves', () => {
  const allowed = (from: string, to: string): boolean => allows(zoneOf(from), zoneOf(to));

  it('refuse what the table does not name', () => {
    assert.equal(allowed('src/core/money.ts', 'src/pricing/cost-of.ts'), false);
    assert.equal(allowed('src/client/wallet.ts', 'src/ledger/claim.ts'), false);
    assert.equal(allowed('src/client/wallet.ts', 'src/chains/evm/recover.ts'), false);
    assert.equal(allowed('src/client/wallet.ts', 'src/rails/x402/server.ts'), false);
    assert.equal(allowed('src/rails/x402/server.ts', 'src/rails/prepaid/protocol.ts'), false);
    assert.equal(allowed('src/rails/x402/protocol.ts', 'src/rails/x402/server.ts'), false);
    assert.equal(allowed('src/rails/x402/client.ts', 'src/rails/x402/server.ts'), false);
    assert.equal(allowed('src/rails/x402/server.ts', 'src/ledger/claim.ts'), false);
    assert.equal(allowed('src/chains/evm/sign.ts', 'src/chains/evm/recover.ts'), false);
    assert.equal(allowed('src/gateway.ts', 'src/devnet/usdc.ts'), false);
    assert.equal(allowed('src/request/in-flight.ts', 'src/rails/index.ts'), false);
    assert.equal(allowed('src/serve/node.ts', 'src/gateway.ts'), false);
  });

  it('allow what the table names', () => {
    assert.equal(allowed('src/client/wallet.ts', 'src/chains/evm/sign.ts'), true);
    assert.equal(allowed('src/rails/x402/server.ts', 'src/chains/evm/recover.ts'), true);
    assert.equal(allowed('src/rails/x402/client.ts', 'src/rails/x402/protocol.ts'), true);
    assert.equal(allowed('src/config/routes.ts', 'src/rails/x402/config.ts'), true);
    assert.equal(allowed('src/gateway.ts', 'src/ledger/claim.ts'), true);
    assert.equal(allowed('src/cli/demo.ts', 'src/devnet/usdc.ts'), true);
  });

  it('refuse a folder that the table does not know', () => {
    assert.throws(() => zoneOf('src/utils/x.ts'), /no place/);
    assert.throws(() => zoneOf('src/rails/x402/deep/x.ts'), /no place/);
  });

  it('see type imports, re-exports, lazy imports and import types', () => {
    const file = sourceFileOf(
      'src/core/x.ts',
      `import type { A } from '../ledger/a.ts';
       export { b } from '../request/b.ts';
       export const c = () => import('../cli/c.ts');
       export type D = import('../gateway.ts').Gateway;`,
    );
    const violations = importViolations(new ImportGraph([file]));
    assert.deepEqual(
      violations.map((text) => text.split(' ').at(-1)),
      ['src/ledger/a.ts', 'src/request/b.ts', 'src/cli/c.ts', 'src/gateway.ts'],
    );
  });

  it('find a cycle and name its way', () => {
    const edges = new Map([
      ['a', ['b']],
      ['b', ['c', 'd']],
      ['c', []],
      ['d', ['b']],
    ]);
    assert.deepEqual(findCycle(edges), ['b', 'd', 'b']);
    edges.set('d', ['c']);
    assert.equal(findCycle(edges), undefined);
  });
});
