import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { configReference } from '../../scripts/config-reference.ts';
import { configJsonSchema } from '../../src/config/schema.ts';

describe('the JSON Schema of the config', () => {
  it('is current in the repository; npm run schema writes it', async () => {
    const file = new URL('../../schema/coinslot.schema.json', import.meta.url);
    const committed: unknown = JSON.parse(await readFile(file, 'utf8'));
    assert.deepEqual(committed, JSON.parse(JSON.stringify(configJsonSchema())));
  });

  it('is what the reference in the docs says; npm run schema writes it', async () => {
    const page = await readFile(new URL('../../docs/configuration.md', import.meta.url), 'utf8');
    assert.equal(page.split('<!-- reference -->')[1]?.trim(), configReference());
  });

  it('knows every key of the price list and refuses others', () => {
    const schema = JSON.parse(JSON.stringify(configJsonSchema()));
    const route = schema.properties.routes.additionalProperties;
    assert.equal(route.additionalProperties, false);
    assert.deepEqual(route.required, ['upstream', 'price']);
    assert.equal(schema.additionalProperties, false);
    assert.equal(schema.required, undefined);
  });
});
