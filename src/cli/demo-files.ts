/** The demo's folder: its config, its secrets and its database, so that every command works on it by hand. */

import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { systemClock } from '../core/clock.ts';
import type { EvmDevnet } from '../devnet/start-evm-devnet.ts';
import { openLedger } from '../ledger/open-ledger.ts';

export interface DemoFiles {
  readonly folder: string;
  /** As one would type it. */
  readonly configFile: string;
  remove(): Promise<void>;
}

const FOLDER = '.coinslot-demo';
const DATABASE = 'demo.db';

/** Writes the files into `.coinslot-demo` here, or into a temporary folder when another demo is using that. */
export async function writeDemoFiles(
  chain: EvmDevnet,
  upstream: string,
  payTo: string,
  settlementKey: string,
): Promise<DemoFiles> {
  const folder = (await freeFolder(FOLDER)) ?? (await mkdtemp(join(tmpdir(), 'coinslot-demo-')));
  const configFile = join(folder, 'coinslot.yaml');
  await writeFile(configFile, demoConfig(chain, upstream, payTo));
  await writeFile(join(folder, '.env'), `SETTLEMENT_KEY=${settlementKey}\n`, { mode: 0o600 });
  return {
    folder,
    configFile: relative('', configFile),
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

/** An earlier demo that was killed left its folder; one that still runs holds its database. */
async function freeFolder(folder: string): Promise<string | null> {
  const database = join(folder, DATABASE);
  if (existsSync(database)) {
    const url = `sqlite:${database}`;
    try {
      await (
        await openLedger({ url, clock: systemClock, exclusive: true, onFatal: () => {} })
      ).close();
    } catch {
      return null;
    }
  }
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder);
  return folder;
}

function demoConfig(chain: EvmDevnet, upstream: string, payTo: string): string {
  return `database: sqlite:${DATABASE}
upstreams:
  api: { url: ${upstream} }
payments:
  free: { callsPerDay: 10 }
  prepaid: {}
  x402:
    payTo: { eip155: "${payTo}" }
    networks:
      ${chain.network}: { rpc: ${chain.rpcUrl}, settleWith: "\${SETTLEMENT_KEY}", pollMs: 20 }
routes:
  POST /summarize:    { upstream: api, price: $0.006, description: Summarise a text }
  POST /memory/store: { upstream: api, price: $0.002, description: Remember a text }
  POST /broken:       { upstream: api, price: $0.01, description: "Always fails, so costs nothing" }
  GET /health:        { upstream: api, price: free }
`;
}
