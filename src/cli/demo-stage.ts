/** The stage of the demo: chain, upstream, gateway and ledger, started together and ended together. */

import type { Config } from '../config.ts';
import { systemClock } from '../core/clock.ts';
import type { Ledger } from '../core/ports/ledger.ts';
import { type SampleUpstream, startSampleUpstream } from '../devnet/sample-upstream.ts';
import { type EvmDevnet, startEvmDevnet } from '../devnet/start-evm-devnet.ts';
import { createGateway } from '../gateway.ts';
import { openLedger } from '../ledger/open-ledger.ts';
import { serveNode } from '../serve/node.ts';
import { writeDemoFiles } from './demo-files.ts';
import { loadConfigOf } from './options.ts';

/** What the demo runs on; all of it local, all of it gone when it closes. */
export interface DemoStage {
  readonly url: string;
  readonly chain: EvmDevnet;
  readonly upstream: SampleUpstream;
  /** A second view of the gateway's ledger, as the CLI has it. */
  readonly ledger: Ledger;
  /** Config of the running gateway, for the other commands. */
  readonly configFile: string;
  /** Address that receives the payments. */
  readonly payTo: string;
  /** The account that pays. */
  readonly payer: { readonly address: string; readonly privateKey: string };
  close(): Promise<void>;
}

/** Transactions are mined at once; this only keeps chain time fresh, and a faster chain keeps too many states. */
const BLOCK_TIME_SECONDS = 3;

/** Rejects when something does not start; what had started is then ended. */
export async function openDemoStage(port: number): Promise<DemoStage> {
  const closers: (() => Promise<void> | void)[] = [];
  const close = async (): Promise<void> => {
    for (const closer of closers.splice(0).reverse()) await closer();
  };
  try {
    const chain = await startEvmDevnet({ blockTimeSeconds: BLOCK_TIME_SECONDS });
    closers.push(() => chain.close());
    const upstream = await startSampleUpstream();
    closers.push(() => upstream.close());
    const [settler, earner, payer] = chain.accounts;
    if (!settler || !earner || !payer) throw new Error('the devnet has too few accounts');
    const files = await writeDemoFiles(chain, upstream.url, earner.address, settler.privateKey);
    closers.push(() => files.remove());
    const config = await loadConfigOf({ config: files.configFile });
    const gateway = await createGateway(config);
    closers.push(() => gateway.close());
    const server = await listen(gateway, config, port);
    closers.push(() => server.close());
    const ledger = await openLedger({
      url: config.database,
      clock: systemClock,
      exclusive: false,
      onFatal: fail,
    });
    closers.push(() => ledger.close());
    return {
      url: server.url,
      chain,
      upstream,
      ledger,
      configFile: files.configFile,
      payTo: earner.address,
      payer,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The usual port when it is free, any other when it is not. */
async function listen(
  gateway: Awaited<ReturnType<typeof createGateway>>,
  config: Config,
  port: number,
): ReturnType<typeof serveNode> {
  const options = {
    host: '127.0.0.1',
    headerBytes: config.limits.headerBytes,
    requestMs: config.timeouts.requestMs,
    trustProxy: [],
    publicUrl: null,
  };
  try {
    return await serveNode(gateway, { ...options, port });
  } catch {
    return await serveNode(gateway, { ...options, port: 0 });
  }
}

function fail(error: Error): never {
  throw error;
}
