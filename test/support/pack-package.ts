/** The package as a user gets it: compiled, packed by npm and unpacked again, all in a folder of its own. */

import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { ROOT } from './source-files.ts';

const run = promisify(execFile);

export interface PackedPackage {
  /** The unpacked package, where a dependency of this name would be installed. */
  readonly folder: string;
  /** Paths inside the package, as npm lists them. */
  readonly files: readonly string[];
  readonly packedBytes: number;
  readonly unpackedBytes: number;
}

export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly files: readonly string[];
  readonly bin: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
  readonly scripts: Readonly<Record<string, string>>;
  readonly engines: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta?: Readonly<Record<string, { readonly optional?: boolean }>>;
}

export function readManifest(): Manifest {
  return JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Manifest;
}

/** Files that npm packs whether `files` names them or not. */
const ALWAYS_PACKED = ['package.json', 'README.md', 'LICENSE', '.gitignore'];

/** Compiles into a copy, so that neither a stale `dist/` is packed nor one that another test reads is replaced. */
export async function packPackage(folder: string): Promise<PackedPackage> {
  const stage = join(folder, 'stage');
  mkdirSync(stage);
  for (const name of [...ALWAYS_PACKED, ...readManifest().files])
    if (name !== 'dist' && existsSync(join(ROOT, name)))
      cpSync(join(ROOT, name), join(stage, name), { recursive: true });
  await run(
    process.execPath,
    [
      join(ROOT, 'node_modules/typescript/bin/tsc'),
      ...['-p', join(ROOT, 'tsconfig.build.json'), '--outDir', join(stage, 'dist')],
    ],
    { cwd: ROOT },
  );
  const args = ['pack', '--json', '--offline', '--ignore-scripts', '--pack-destination', folder];
  const { stdout } = await run('npm', args, { cwd: stage });
  const [packed] = readPackList(stdout);
  if (packed === undefined) throw new Error(`npm pack said: ${stdout}`);
  await run('tar', ['-xzf', join(folder, packed.filename), '-C', folder]);
  return {
    folder: join(folder, 'package'),
    files: packed.files.map(({ path }) => path),
    packedBytes: packed.size,
    unpackedBytes: packed.unpackedSize,
  };
}

/** A folder of a user who installed the package and these dependencies, and nothing else. */
export function installInto(
  folder: string,
  packed: PackedPackage,
  names: readonly string[],
): string {
  const modules = join(folder, 'node_modules');
  for (const name of names) {
    mkdirSync(dirname(join(modules, name)), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules', name), join(modules, name));
  }
  mkdirSync(modules, { recursive: true });
  // A real folder, not a link: from its real place it sees these dependencies and no others.
  cpSync(packed.folder, join(modules, readManifest().name), { recursive: true });
  return folder;
}

interface PackList {
  readonly filename: string;
  readonly size: number;
  readonly unpackedSize: number;
  readonly files: readonly { readonly path: string }[];
}

/** npm 11 answers a list, npm 12 an object by package name. */
function readPackList(text: string): PackList[] {
  return Object.values(JSON.parse(text) as Record<string, PackList>);
}
