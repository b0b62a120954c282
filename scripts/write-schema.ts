/** Writes what is made from the config's checks: the JSON Schema for editors, and the reference in the docs. */

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { configJsonSchema } from '../src/config/schema.ts';
import { configReference } from './config-reference.ts';

const folder = new URL('../schema/', import.meta.url);
await mkdir(folder, { recursive: true });
await writeFile(
  new URL('coinslot.schema.json', folder),
  `${JSON.stringify(configJsonSchema(), null, 2)}\n`,
);

const page = new URL('../docs/configuration.md', import.meta.url);
const [before] = (await readFile(page, 'utf8')).split('<!-- reference -->');
await writeFile(page, `${before}<!-- reference -->\n\n${configReference()}\n`);
