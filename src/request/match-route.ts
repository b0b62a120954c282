/** Step 1: which route is this? Default deny: what no route names is 404, never free. */

import { MethodNotAllowed, RouteNotFound } from '../core/errors.ts';
import { parseTarget, type Target } from '../core/path.ts';
import type { Route } from '../core/route.ts';

export interface Match extends Target {
  readonly route: Route;
}

/** Finds the route of a method and raw target. Throws RequestMalformed, RouteNotFound, MethodNotAllowed. */
export type MatchRoute = (method: string, target: string) => Match;

interface Node {
  readonly literal: Map<string, Node>;
  param: Node | null;
  rest: Methods | null;
  here: Methods | null;
}
type Methods = Map<string, Route>;

/** Compiles the routes into a tree of segments: a literal beats `:param`, which beats `*`. */
export function compileRoutes(routes: readonly Route[]): MatchRoute {
  const root = newNode();
  for (const route of routes) add(root, route);
  return (method, target) => {
    const parsed = parseTarget(target);
    const methods = find(root, parsed.path === '/' ? [] : parsed.path.slice(1).split('/'), 0);
    if (!methods) throw new RouteNotFound(`No route for ${parsed.path}.`);
    const route =
      methods.get(method) ??
      (method === 'HEAD' ? methods.get('GET') : undefined) ??
      methods.get('*');
    if (!route)
      throw new MethodNotAllowed(`${method} is not a method of ${parsed.path}.`, [
        ...methods.keys(),
      ]);
    return { route, path: parsed.path, query: parsed.query };
  };
}

function newNode(): Node {
  return { literal: new Map(), param: null, rest: null, here: null };
}

function add(root: Node, route: Route): void {
  let node = root;
  const segments = route.pattern === '/' ? [] : route.pattern.slice(1).split('/');
  for (const segment of segments) {
    if (segment === '*') {
      node.rest ??= new Map();
      node.rest.set(route.method, route);
      return;
    }
    if (segment.startsWith(':')) {
      node.param ??= newNode();
      node = node.param;
    } else {
      let next = node.literal.get(segment);
      if (!next) {
        next = newNode();
        node.literal.set(segment, next);
      }
      node = next;
    }
  }
  node.here ??= new Map();
  node.here.set(route.method, route);
}

/** The most specific match; a literal that leads nowhere gives way to `:param` and `*`. */
function find(node: Node, segments: readonly string[], at: number): Methods | null {
  const segment = segments[at];
  if (segment === undefined) return node.here;
  const literal = node.literal.get(segment);
  const deeper =
    (literal && find(literal, segments, at + 1)) ??
    (node.param && find(node.param, segments, at + 1));
  return deeper ?? node.rest;
}
