import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';

const client = new URL('../../src/client/index.ts', import.meta.url);

test('loading the payer loads no module of Node, no driver and no server library', () => {
  const program = `
    import { registerHooks } from 'node:module';
    const loaded = [];
    registerHooks({
      resolve(specifier, context, next) {
        if (!specifier.startsWith('.')) loaded.push(specifier);
        return next(specifier, context);
      },
    });
    await import(${JSON.stringify(client.href)});
    console.log(JSON.stringify(loaded.filter((one) => !one.startsWith('file:'))));
  `;
  const output = execFileSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
  });
  const loaded = JSON.parse(output) as string[];
  assert.ok(loaded.length > 0);
  assert.deepEqual(
    loaded.filter((specifier) => !specifier.startsWith('@noble/')),
    [],
  );
});
