/** Which part of the source may import which other: one table, no list of exceptions. */

import { type Import, importsOf, type SourceFile } from './source-files.ts';

export interface Zone {
  /** The row of the table. */
  readonly name: ZoneName;
  /** Which rail or chain, where the row speaks of its own folder. */
  readonly own: string;
}

/** The row of the table: what it may import besides files of its own row and folder. `own:` is the same rail or chain only. */
const TABLE = {
  core: [],
  pricing: ['core'],
  storage: ['core'],
  upstreams: ['core'],
  chains: ['core', 'own:chains:sign'],
  'chains:sign': ['core'],
  'rails:protocol': ['core'],
  'rails:config': ['core', 'own:rails:protocol'],
  'rails:client': ['core', 'own:rails:protocol', 'chains:sign'],
  'rails:server': [
    ...['core', 'own:rails:protocol', 'own:rails:config', 'own:rails:client'],
    ...['chains', 'chains:sign'],
  ],
  'rails:index': ['core', 'rails:server', 'rails:config', 'rails:protocol'],
  config: ['core', 'pricing', 'rails:config'],
  ledger: ['core', 'storage'],
  request: ['core', 'pricing'],
  settlement: ['core', 'storage', 'ledger'],
  facilitator: ['core', 'storage', 'ledger'],
  operator: ['core', 'storage', 'ledger'],
  serve: ['core', 'request'],
  client: ['core', 'rails:client', 'rails:protocol', 'chains:sign'],
  gateway: [
    ...['core', 'pricing', 'storage', 'upstreams', 'chains', 'chains:sign', 'config', 'ledger'],
    ...['rails:index', 'rails:server', 'rails:config', 'rails:protocol'],
    ...['request', 'settlement', 'facilitator', 'operator', 'serve'],
  ],
  index: ['core', 'config', 'gateway', 'serve'],
  devnet: ['core', 'chains', 'chains:sign'],
  cli: ['*'],
} as const satisfies Record<string, readonly string[]>;

type ZoneName = keyof typeof TABLE;

/** The row that a file belongs to; throws when the table has no place for it. */
export function zoneOf(path: string): Zone {
  const [, first = '', ...rest] = path.split('/');
  if (rest.length === 0) {
    const name = first.replace(/\.ts$/, '');
    if (name === 'config' || name === 'gateway' || name === 'index') return { name, own: '' };
  } else if (first === 'rails') {
    if (rest.length === 1 && rest[0] === 'index.ts') return { name: 'rails:index', own: '' };
    if (rest.length === 2) return { name: railZone(rest[1] ?? ''), own: rest[0] ?? '' };
  } else if (first === 'chains') {
    if (rest.length === 2)
      return {
        name: /^(sign|keccak)(-[a-z0-9-]+)?\.ts$/.test(rest[1] ?? '') ? 'chains:sign' : 'chains',
        own: rest[0] ?? '',
      };
  } else if (first in TABLE && first !== 'gateway' && first !== 'index') {
    return { name: first as ZoneName, own: '' };
  }
  throw new Error(`${path} has no place in the layers: the table names every folder`);
}

/** `protocol.ts` may be spread over `protocol-….ts`, and `client.ts` over `client-….ts`; everything not named in the table runs on the server. */
function railZone(file: string): ZoneName {
  if (/^protocol(-[a-z0-9-]+)?\.ts$/.test(file)) return 'rails:protocol';
  if (file === 'config.ts') return 'rails:config';
  if (/^client(-[a-z0-9-]+)?\.ts$/.test(file)) return 'rails:client';
  return 'rails:server';
}

export function allows(from: Zone, to: Zone): boolean {
  if (from.name === to.name) return from.own === to.own;
  const row: readonly string[] = TABLE[from.name];
  if (row.includes('*') || row.includes(to.name)) return true;
  return row.includes(`own:${to.name}`) && from.own === to.own;
}

export class ImportGraph {
  readonly #imports: ReadonlyMap<string, readonly Import[]>;

  constructor(files: readonly SourceFile[]) {
    this.#imports = new Map(files.map((file) => [file.path, importsOf(file)]));
  }

  get paths(): string[] {
    return [...this.#imports.keys()];
  }

  has(path: string): boolean {
    return this.#imports.has(path);
  }

  importsOf(path: string): readonly Import[] {
    return this.#imports.get(path) ?? [];
  }

  /** The source files that a file imports. */
  targetsOf(path: string): string[] {
    return this.importsOf(path).flatMap(({ file }) => (file?.endsWith('.ts') ? [file] : []));
  }

  /** Every file that this one needs, itself included, types and lazy imports too. */
  reach(path: string): Set<string> {
    const reached = new Set<string>([path]);
    for (const at of reached) for (const target of this.targetsOf(at)) reached.add(target);
    return reached;
  }
}

/** One line for each import that the table does not allow. */
export function importViolations(graph: ImportGraph): string[] {
  return graph.paths.flatMap((path) =>
    graph
      .targetsOf(path)
      .filter((target) => !allows(zoneOf(path), zoneOf(target)))
      .map((target) => `${path} (${zoneOf(path).name}) may not import ${target}`),
  );
}

/** The folder that counts for cycles: each rail and each chain is one of its own, `config.ts` belongs to `config/`. */
export function folderOf(path: string): string {
  const [, first = '', second = '', third] = path.split('/');
  const shared = first === 'rails' || first === 'chains';
  return shared && third !== undefined ? `${first}/${second}` : first.replace(/\.ts$/, '');
}

/** A cycle as the names along it, the first repeated at the end. */
export function findCycle(edges: ReadonlyMap<string, Iterable<string>>): string[] | undefined {
  const done = new Set<string>();
  const way: string[] = [];
  const visit = (at: string): string[] | undefined => {
    if (way.includes(at)) return [...way.slice(way.indexOf(at)), at];
    if (done.has(at)) return undefined;
    way.push(at);
    for (const next of edges.get(at) ?? []) {
      const cycle = visit(next);
      if (cycle) return cycle;
    }
    way.pop();
    done.add(at);
    return undefined;
  };
  for (const at of edges.keys()) {
    const cycle = visit(at);
    if (cycle) return cycle;
  }
  return undefined;
}
