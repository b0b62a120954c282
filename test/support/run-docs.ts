/**
 * Executes a Markdown document: every fenced block is run, loaded or compared, and none is passed over.
 *
 *     sh                          run in order in one folder; must succeed; exported variables last
 *     sh exit="1"                 must end with this code
 *     sh background until="text"  started, and ended at the end of the document
 *     sh unrun                    for installing: not run, but packages and npm scripts must exist
 *     ts, js                      type-checked, then run; file="x.ts" gives it a name; `types` only checks
 *     yaml                        loaded as a config, a part of one laid over the last whole one
 *     text, http                  must equal what the block before printed, `…` stands for anything
 *     json                        the same, compared as JSON
 *     text figure                 a drawing, only looked at
 *     any file="x"                written to the folder, whatever its language
 */

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readYaml } from '../../src/config/read-yaml.ts';
import { parseConfig } from '../../src/config.ts';
import { type DocsBlock, DocsError, parseBlocks } from './docs-blocks.ts';
import { DocsWorkspace, type Output } from './docs-workspace.ts';
import { jsonMismatch, textMismatch } from './match-output.ts';
import { readManifest } from './pack-package.ts';
import { ROOT } from './source-files.ts';

type Yaml = Readonly<Record<string, unknown>>;

interface Progress {
  readonly workspace: DocsWorkspace;
  /** What the last command printed; a block of output uses it up. */
  output: Output | undefined;
  /** The last whole config, which parts of configs are laid over. */
  config: Yaml;
}

const ATTRIBUTES: Readonly<Record<string, readonly string[]>> = {
  sh: ['exit', 'background', 'until', 'unrun'],
  ts: ['file', 'types', 'background', 'until'],
  js: ['file', 'types', 'background', 'until'],
  yaml: ['file'],
  text: ['file', 'figure'],
  http: [],
  json: ['file'],
};

const CONFIG: Yaml = {
  upstreams: { models: { url: 'http://127.0.0.1:9' } },
  payments: { order: ['free'], free: { callsPerDay: 10 } },
  routes: { 'GET /health': { upstream: 'models', price: 'free' } },
};

/** Runs a document in a fresh folder and answers how many blocks it had; throws DocsError at the first that fails. */
export async function runDocument(text: string, folder: string): Promise<number> {
  const blocks = parseBlocks(text);
  const workspace = new DocsWorkspace(folder);
  const progress: Progress = { workspace, output: undefined, config: CONFIG };
  try {
    for (const [index, block] of blocks.entries()) {
      checkAttributes(block);
      nameFile(block, index, workspace);
    }
    checkTypes(blocks, folder);
    for (const [index, block] of blocks.entries())
      await runBlock(block, index, progress).catch((error: unknown) => {
        if (error instanceof DocsError) throw error;
        throw new DocsError(block.line, error instanceof Error ? error.message : String(error));
      });
  } finally {
    await workspace.close();
  }
  return blocks.length;
}

function checkAttributes({ language, attributes, line }: DocsBlock): void {
  const allowed = ATTRIBUTES[language] ?? ('file' in attributes ? ['file'] : undefined);
  if (allowed === undefined)
    throw new DocsError(
      line,
      `nobody can check ${language}: give it a file="…" or another language`,
    );
  for (const name of Object.keys(attributes))
    if (!allowed.includes(name)) throw new DocsError(line, `${language} has no attribute ${name}`);
  if ('background' in attributes !== 'until' in attributes)
    throw new DocsError(line, 'background and until="…" belong together');
}

/** Programs are written before anything runs, so that all are type-checked at once and may import each other. */
function nameFile(block: DocsBlock, index: number, workspace: DocsWorkspace): void {
  if (isProgram(block)) workspace.write(fileOf(block, index), block.code);
}

async function runBlock(block: DocsBlock, index: number, progress: Progress): Promise<void> {
  const { language, attributes, code } = block;
  if (isProgram(block)) return await runProgram(block, index, progress);
  if (attributes.file !== undefined) progress.workspace.write(attributes.file, code);
  if (language === 'yaml') return await loadYaml(block, progress);
  if (language === 'sh') return await runShell(block, code, progress);
  if (attributes.file === undefined && !('figure' in attributes)) compareOutput(block, progress);
}

async function runProgram(block: DocsBlock, index: number, progress: Progress): Promise<void> {
  progress.output = undefined;
  if ('types' in block.attributes) return;
  await runShell(block, `exec node '${fileOf(block, index)}'`, progress);
}

async function runShell(block: DocsBlock, script: string, progress: Progress): Promise<void> {
  const { attributes, line } = block;
  const { workspace } = progress;
  progress.output = undefined;
  if ('unrun' in attributes) return checkUnrun(block);
  if (attributes.until !== undefined) {
    progress.output = await workspace.runInBackground(script, attributes.until);
    return;
  }
  // A program replaces the shell, which could then not leave its variables: a shell of its own.
  const finished = await workspace.run(isProgram(block) ? `(${script})` : script);
  const expected = Number(attributes.exit ?? 0);
  if (finished.code !== expected)
    throw new DocsError(line, `ended with ${finished.code}; it printed\n${finished.terminal}`);
  progress.output = finished;
}

function compareOutput({ language, code, line }: DocsBlock, progress: Progress): void {
  const { output } = progress;
  if (output === undefined)
    throw new DocsError(
      line,
      `${language} is output: put it right behind the command that prints it`,
    );
  progress.output = undefined;
  const mismatch =
    language === 'json' ? jsonMismatch(code, output.stdout) : textMismatch(code, output.terminal);
  if (mismatch !== undefined) throw new DocsError(line, mismatch);
}

/** Variables that the document has not set get a value that any secret could have. */
async function loadYaml({ code, line }: DocsBlock, progress: Progress): Promise<void> {
  const { value } = readYaml(code, `line ${line}`);
  if (typeof value !== 'object' || value === null) throw new DocsError(line, 'not a config');
  const part = value as Yaml;
  const config = { ...progress.config, ...part };
  const env = await progress.workspace.env();
  const names = code.matchAll(/\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g);
  const samples = Object.fromEntries([...names].map(([, name]) => [name, `0x${'11'.repeat(32)}`]));
  parseConfig(config, { ...samples, ...env });
  if ('routes' in part && 'upstreams' in part) progress.config = part;
}

/** Installing needs the network and changes the machine: the words are checked instead. */
function checkUnrun({ code, line }: DocsBlock): void {
  const manifest = readManifest();
  const known = { ...manifest.dependencies, ...manifest.devDependencies, [manifest.name]: '' };
  const { scripts } = manifest;
  for (const command of code.replace(/#.*$/gm, '').split(/\n|&&/)) {
    const [name = '', verb = '', ...rest] = command.trim().split(/\s+/);
    const words = rest.filter((word) => !word.startsWith('-'));
    const isKnown =
      name === '' ||
      name === 'cd' ||
      (name === 'git' && verb === 'clone') ||
      (name === 'npm' && verb === 'ci' && words.length === 0) ||
      (name === 'npm' && ['i', 'install'].includes(verb) && words.every((word) => word in known)) ||
      (name === 'npm' && verb === 'run' && words.slice(0, 1).every((word) => word in scripts)) ||
      (name === 'npm' && verb === 'test' && 'test' in scripts);
    if (!isKnown) throw new DocsError(line, `unrun knows no such command: ${command.trim()}`);
  }
}

function checkTypes(blocks: readonly DocsBlock[], folder: string): void {
  const files = blocks.flatMap((block, index) => (isProgram(block) ? [fileOf(block, index)] : []));
  if (files.length === 0) return;
  const project = join(folder, 'node_modules', '.docs-tsconfig.json');
  const compilerOptions = { types: ['node'], allowJs: true, checkJs: true, noUnusedLocals: false };
  const extended = { extends: join(ROOT, 'tsconfig.json'), compilerOptions, include: [] };
  const text = JSON.stringify({ ...extended, files: files.map((file) => join(folder, file)) });
  writeFileSync(project, text);
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
  const run = spawnSync(process.execPath, [tsc, '-p', project], { cwd: folder, encoding: 'utf8' });
  if (run.status !== 0) throw new DocsError(1, `types: ${run.stdout}${run.stderr}`);
}

function isProgram({ language }: DocsBlock): boolean {
  return language === 'ts' || language === 'js';
}

function fileOf({ language, attributes }: DocsBlock, index: number): string {
  return attributes.file ?? `block-${index + 1}.${language}`;
}
