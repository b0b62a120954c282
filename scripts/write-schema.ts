/** Writes the JSON Schema of the config file; editors complete and check `coinslot.yaml` by it. */

import { mkdir, writeFile } from 'node:fs/promises';
import { configJsonSchema } from '../src/config/schema.ts';

const folder = new URL('../schema/', import.meta.url);
await mkdir(folder, { recursive: true });
await writeFile(
  new URL('coinslot.schema.json', folder),
  `${JSON.stringify(configJsonSchema(), null, 2)}\n`,
);
