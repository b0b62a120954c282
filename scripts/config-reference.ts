/** The config's keys as a Markdown table, made from the same schema that checks them. */

import { configJsonSchema } from '../src/config/schema.ts';

interface Node {
  readonly description?: string;
  readonly default?: unknown;
  readonly examples?: readonly unknown[];
  readonly enum?: readonly unknown[];
  readonly properties?: Readonly<Record<string, Node>>;
  readonly additionalProperties?: Node | boolean;
}

/** One row a key: path, default or example, meaning. */
export function configReference(): string {
  const rows: string[] = ['| key | default | meaning |', '|---|---|---|'];
  describe(configJsonSchema() as Node, '', rows);
  return rows.join('\n');
}

function describe(node: Node, path: string, rows: string[]): void {
  for (const [key, child] of Object.entries(node.properties ?? {})) {
    if (key === '$schema') continue;
    const at = path === '' ? key : `${path}.${key}`;
    if (!child.properties || child.description) rows.push(row(at, child));
    describe(child, at, rows);
    const { additionalProperties: entries } = child;
    if (typeof entries === 'object' && entries.properties) describe(entries, `${at}.NAME`, rows);
  }
}

function row(path: string, node: Node): string {
  const isEmpty = typeof node.default === 'object' && JSON.stringify(node.default) === '{}';
  const known = node.default !== undefined && !isEmpty;
  const example = node.examples?.[0];
  const value = known ? code(node.default) : example === undefined ? '' : `e.g. ${code(example)}`;
  const choices = node.enum ? `One of ${node.enum.map(code).join(', ')}.` : '';
  const meaning = [node.description ?? '', choices].filter((text) => text !== '').join(' ');
  return `| \`${path}\` | ${value} | ${meaning} |`;
}

function code(value: unknown): string {
  return `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``;
}
