import type { Dialect } from '../core/ports/dialect.ts';
import type { Route } from '../core/route.ts';
import type { DialectOptions } from './dialect-options.ts';
import { dialectFor, dialectKindOf } from './index.ts';
import type { ModelGateway } from './model-gateway.ts';
import type { Tokenizer } from './tokens.ts';

interface Behind {
  readonly upstreams: Readonly<Record<string, { readonly kind?: string | undefined }>>;
  /** With what the operator says of their requests. */
  readonly routes: readonly { readonly id: string; readonly reading: Partial<DialectOptions> }[];
}

/** An upstream of a plain kind has no dialect; any other is recognised by the path of each request. */
export function compileDialects(
  { upstreams, routes }: Behind,
  tokenizer: Tokenizer | null,
  models: ModelGateway | null,
): (route: Route, path: string) => Dialect {
  const known = new Map<string, Dialect>();
  const readings = new Map(routes.map(({ id, reading }) => [id, reading]));
  return ({ id, upstream, units }, path) => {
    if (models?.upstreams.get(upstream) !== undefined) return models.dialectOf(path);
    const kind = upstreams[upstream]?.kind === 'http' ? 'generic' : dialectKindOf(path);
    const name = `${id} ${kind}`;
    const dialect =
      known.get(name) ?? dialectFor(path, kind, { ...readings.get(id), units, tokenizer });
    known.set(name, dialect);
    return dialect;
  };
}
