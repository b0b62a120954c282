import { ConfigError, type ConfigProblem, parseConfig } from '../../src/config.ts';

/** A private key of no account that matters. */
export const TEST_KEY = `0x${'ab'.repeat(32)}`;
export const TEST_ADDRESS = '0x70997970C51812dc3A010C7d01b50e0d17dc79C8';

type Section = Record<string, unknown>;

/** The smallest config with every rail, with some of its top-level keys replaced. */
export function configWith(changes: Section = {}): Section {
  return {
    upstreams: { models: { url: 'https://api.example.com' } },
    payments: { free: { callsPerDay: 10 }, prepaid: {} },
    routes: { 'POST /summarize': { upstream: 'models', price: '$0.006' } },
    ...changes,
  };
}

/** A config with one route whose fields are given. */
export function withRoute(key: string, route: unknown = {}): Section {
  return configWith({
    routes: { [key]: { upstream: 'models', price: '$0.006', ...(route as Section) } },
  });
}

/** The x402 section for some networks. */
export function x402With(...networks: string[]): Section {
  const network = { rpc: ['http://127.0.0.1:8545'], facilitator: ['http://127.0.0.1:8402'] };
  return {
    payTo: { eip155: TEST_ADDRESS },
    networks: Object.fromEntries(networks.map((name) => [name, network])),
  };
}

/** The problems of a config; throws when it has none. */
export function problemsOf(
  input: unknown,
  env: Record<string, string | undefined> = {},
): readonly ConfigProblem[] {
  try {
    parseConfig(input, env);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  throw new Error('the config has no problem');
}

/** The one problem at a path; throws when there is none, or when another place has a problem too. */
export function problemAt(
  path: string,
  input: unknown,
  env: Record<string, string | undefined> = {},
): ConfigProblem {
  const problems = problemsOf(input, env);
  const [only, ...others] = problems;
  if (only?.path !== path || others.length > 0)
    throw new Error(`expected one problem at ${path}, found: ${JSON.stringify(problems)}`);
  return only;
}
