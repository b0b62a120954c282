export type Section = Readonly<Record<string, unknown>>;

/** The section at a path of unchecked input; empty when there is none. */
export function section(input: unknown, ...path: readonly string[]): Section {
  let node = input;
  for (const key of path)
    node = isSection(node) && Object.hasOwn(node, key) ? node[key] : undefined;
  return isSection(node) ? node : {};
}

export function isSection(node: unknown): node is Section {
  return typeof node === 'object' && node !== null && !Array.isArray(node);
}
