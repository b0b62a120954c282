import { configJsonSchema } from './schema.ts';

interface SchemaNode {
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly additionalProperties?: SchemaNode | boolean;
  readonly items?: SchemaNode;
  readonly anyOf?: readonly SchemaNode[];
  readonly examples?: readonly unknown[];
}

let root: SchemaNode | null = null;

/** The keys that the section at a path can have; empty when it is not a section of fixed keys. */
export function knownKeys(at: readonly (string | number)[]): string[] {
  return Object.keys(nodeAt(at)?.properties ?? {}).filter((key) => key !== '$schema');
}

/** An example of the value at a path, as it is written in YAML. */
export function schemaExample(at: readonly (string | number)[]): string | undefined {
  const example = nodeAt(at)?.examples?.[0];
  return example === undefined ? undefined : String(example);
}

function nodeAt(at: readonly (string | number)[]): SchemaNode | undefined {
  root ??= configJsonSchema() as SchemaNode;
  let node: SchemaNode | undefined = root;
  for (const part of at) node = childOf(node, part);
  return node;
}

function childOf(node: SchemaNode | undefined, part: string | number): SchemaNode | undefined {
  if (!node) return undefined;
  if (typeof part === 'number' && node.items) return node.items;
  if (node.properties && Object.hasOwn(node.properties, part)) return node.properties[part];
  if (typeof node.additionalProperties === 'object') return node.additionalProperties;
  for (const branch of node.anyOf ?? []) {
    const child = childOf(branch, part);
    if (child) return child;
  }
  return undefined;
}
