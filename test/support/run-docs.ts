/**
 * Executes a Markdown document: every fenced block is run, loaded or compared, and none is passed over.
 *
 *     sh                          run in order in one folder; must succeed; exported variables last
 *     sh exit="1"                 must end with this code
 *     sh background until="text"  started, and ended at the end of the document
 *     sh norun="why"              not run, for a reason; its packages, npm scripts and commands must exist
 *     ts, js                      type-checked, then run; file="x.ts" gives it a name; `types` only checks
 *     yaml                        loaded as a config, a part of one laid over the last whole one
 *     text, http                  must equal what the block before printed, `…` stands for anything;
 *                                 text is the terminal, http the output alone
 *     json                        the same, compared as JSON
 *     text figure                 a drawing, only to be looked at
 *     any file="x"                written to the folder, whatever its language
 */

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createProgram } from '../../src/cli/main.ts';
import { readYaml } from '../../src/config/read-yaml.ts';
import { parseConfig } from '../../src/config.ts';
import { type DocsBlock, DocsError, docsError, parseBlocks } from './docs-blocks.ts';
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
  sh: ['exit', 'background', 'until', 'norun'],
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

export interface DocsReport {
  readonly blocks: number;
  /** The blocks that were not run, with their reasons. */
  readonly notRun: readonly string[];
}

/** Runs a document in a fresh folder; throws a DocsError that names every block that is wrong, up to a command that fails. */
export async function runDocument(
  text: string,
  folder: string,
  env: Readonly<Record<string, string>> = {},
): Promise<DocsReport> {
  const blocks = parseBlocks(text);
  const workspace = new DocsWorkspace(folder, env);
  const progress: Progress = { workspace, output: undefined, config: CONFIG };
  try {
    for (const [index, block] of blocks.entries()) {
      checkAttributes(block);
      if (isProgram(block)) workspace.write(fileOf(block, index), block.code);
    }
    // All at once, before anything runs: they may import each other, and checking takes a second.
    checkTypes(blocks, folder);
    await runBlocks(blocks, progress);
  } finally {
    await workspace.close();
  }
  const notRun = blocks.filter(({ attributes }) => attributes.norun !== undefined);
  return {
    blocks: blocks.length,
    notRun: notRun.map(({ line, attributes }) => `line ${line}: ${attributes.norun}`),
  };
}

async function runBlocks(blocks: readonly DocsBlock[], progress: Progress): Promise<void> {
  const problems: string[] = [];
  for (const [index, block] of blocks.entries()) {
    try {
      await runBlock(block, index, progress);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      problems.push(error instanceof DocsError ? message : `line ${block.line}: ${message}`);
      // What follows builds on a command, but not on what is only compared or loaded.
      if (block.language === 'sh' || isProgram(block)) break;
    }
  }
  if (problems.length > 0) throw new DocsError(problems.join('\n\n'));
}

function checkAttributes({ language, attributes, line }: DocsBlock): void {
  const allowed = ATTRIBUTES[language] ?? ('file' in attributes ? ['file'] : undefined);
  if (allowed === undefined)
    throw docsError(line, `nobody can check ${language}: give it a file="…" or another language`);
  for (const name of Object.keys(attributes))
    if (!allowed.includes(name)) throw docsError(line, `${language} has no attribute ${name}`);
  if ('background' in attributes !== 'until' in attributes)
    throw docsError(line, 'background and until="…" belong together');
  if (attributes.norun === '') throw docsError(line, 'norun="…" says why');
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
  if ('norun' in attributes) return await checkNotRun(block);
  if (attributes.until !== undefined) {
    progress.output = await workspace.runInBackground(script, attributes.until);
    return;
  }
  // A program replaces the shell, which could then not leave its variables: a shell of its own.
  const finished = await workspace.run(isProgram(block) ? `(${script})` : script);
  const expected = Number(attributes.exit ?? 0);
  if (finished.code !== expected)
    throw docsError(line, `ended with ${finished.code}; it printed\n${finished.terminal}`);
  progress.output = finished;
}

function compareOutput({ language, code, line }: DocsBlock, progress: Progress): void {
  const { output } = progress;
  if (output === undefined)
    throw docsError(
      line,
      `${language} is output: put it right behind the command that prints it, or mark a drawing as text figure`,
    );
  progress.output = undefined;
  const mismatch =
    language === 'json'
      ? jsonMismatch(code, output.stdout)
      : textMismatch(code, language === 'http' ? output.stdout : output.terminal);
  if (mismatch !== undefined) throw docsError(line, mismatch);
}

async function loadYaml({ code, line }: DocsBlock, progress: Progress): Promise<void> {
  const { value } = readYaml(code, `line ${line}`);
  if (typeof value !== 'object' || value === null) throw docsError(line, 'not a config');
  const part = value as Yaml;
  const config = { ...progress.config, ...part };
  parseConfig(config, { ...sampleEnv(config), ...(await progress.workspace.env()) });
  if ('routes' in part && 'upstreams' in part) progress.config = part;
}

/** Variables that the document has not set get a value that such a variable could have. */
function sampleEnv(config: Yaml): Record<string, string> {
  const names = JSON.stringify(config).matchAll(/\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g);
  return Object.fromEntries(
    [...names].map(([, name = '']) => [name, `0x${'11'.repeat(/PAY_?TO/.test(name) ? 20 : 32)}`]),
  );
}

/** What is not run is at least shell, and names only packages, npm scripts and commands that exist. */
async function checkNotRun({ code, line }: DocsBlock): Promise<void> {
  const syntax = spawnSync('bash', ['-n'], { input: code, encoding: 'utf8' });
  if (syntax.status !== 0) throw docsError(line, syntax.stderr);
  const { name, dependencies, devDependencies, scripts } = readManifest();
  const packages = { ...dependencies, ...devDependencies, [name]: '' };
  const program = await createProgram();
  const commands = new Set(program.commands.map((command) => command.name()));
  for (const command of code.replace(/#.*$/gm, '').split(/\n|&&|\|/)) {
    const words = command.split(/\s+/).filter((word) => word !== '' && !word.startsWith('-'));
    if (words[0] === 'npx') words.shift();
    const [tool, verb = '', ...rest] = words;
    const isWrong =
      (tool === name && !commands.has(verb)) ||
      (tool === 'npm' &&
        ['i', 'install'].includes(verb) &&
        !rest.every((one) => one in packages)) ||
      (tool === 'npm' && verb === 'run' && !((rest[0] ?? '') in scripts));
    if (isWrong) throw docsError(line, `there is no such thing: ${command.trim()}`);
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
  if (run.status !== 0) throw docsError(1, `types: ${run.stdout}${run.stderr}`);
}

function isProgram({ language }: DocsBlock): boolean {
  return language === 'ts' || language === 'js';
}

function fileOf({ language, attributes }: DocsBlock, index: number): string {
  return attributes.file ?? `block-${index + 1}.${language}`;
}
