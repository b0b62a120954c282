import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

interface LockedPackage {
  readonly resolved?: string;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const lock = JSON.parse(
  readFileSync(new URL('../../package-lock.json', import.meta.url), 'utf8'),
) as { packages: Readonly<Record<string, LockedPackage>> };

test('the lock file has the binaries of every platform, so that npm ci works on each', () => {
  // An npm that cannot see a platform's package drops it from the lock without a word.
  for (const [path, { optionalDependencies = {} }] of Object.entries(lock.packages))
    for (const name of Object.keys(optionalDependencies))
      assert.ok(
        `node_modules/${name}` in lock.packages || `${path}/node_modules/${name}` in lock.packages,
        `${path} wants ${name}`,
      );
});

test('the lock file names no registry', () => {
  for (const [path, { resolved }] of Object.entries(lock.packages))
    assert.equal(resolved, undefined, path);
});
