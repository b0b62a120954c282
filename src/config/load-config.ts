import { readFile } from 'node:fs/promises';
import { basename, dirname, extname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Config, parseConfig, type Source } from './parse-config.ts';
import { ConfigError } from './problems.ts';
import { readYaml } from './read-yaml.ts';
import type { Env } from './substitute.ts';

/**
 * Loads `.yaml`, `.yml`, or a module (`.ts`, `.js`, `.mjs`) whose default export is the config. A relative
 * SQLite file is found from the config's folder, so that every command means the same database wherever
 * it is started. Throws ConfigError.
 */
export async function loadConfig(file: string, env: Env): Promise<Config> {
  const extension = extname(file).toLowerCase();
  const name = basename(file);
  let input: unknown;
  let source: Source = { file: name, lineOf: () => undefined };
  if (extension === '.yaml' || extension === '.yml') {
    const yaml = readYaml(await readText(file), name);
    input = yaml.value;
    source = { file: name, lineOf: yaml.lineOf };
  } else if (['.ts', '.mts', '.js', '.mjs'].includes(extension)) {
    input = await importDefault(file);
  } else {
    throw fileProblem(name, 'is not a config file', 'Use a file that ends in .yaml or .ts.');
  }
  const config = parseConfig(input, env, source);
  return { ...config, database: resolveDatabase(config.database, dirname(resolve(file))) };
}

function fileProblem(name: string, message: string, hint: string): ConfigError {
  return new ConfigError([{ path: '', message, hint }], name);
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw unreadable(file, error);
  }
}

function unreadable(file: string, error: unknown): ConfigError {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'ENOENT')
    return fileProblem(file, 'there is no such file', 'Make one with: coinslot init');
  return fileProblem(
    file,
    `cannot be read (${String(code)})`,
    'Check the file and its permissions.',
  );
}

/** Modules are imported once; the query makes each loading another module. */
let loadings = 0;

async function importDefault(file: string): Promise<unknown> {
  await readText(file);
  const { href } = pathToFileURL(resolve(file));
  try {
    const module: { default?: unknown } = await import(`${href}?loading=${loadings++}`);
    if (module.default !== undefined) return module.default;
  } catch (error) {
    throw fileProblem(
      basename(file),
      `failed to run: ${error instanceof Error ? error.message : String(error)}`,
      'Correct the module.',
    );
  }
  throw fileProblem(
    basename(file),
    'has no default export',
    'Write export default defineConfig({ … }).',
  );
}

function resolveDatabase(url: string, folder: string): string {
  const path = url.replace(/^sqlite:(\/\/)?/, '');
  return path.startsWith(':') ? url : `sqlite:${resolve(folder, path)}`;
}
