/**
 * A stand-in for an EVM node that answers everything at once: every wallet is rich, every transfer
 * succeeds and is mined by the time it is asked for. Nothing is checked here, so all cost that is
 * measured is the server's own. The path of the URL names the settlement key that sends.
 */

import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { keccak256 } from '../../src/chains/evm/keccak.ts';
import { answerCall, contractCodeOf } from './contract-answers.ts';
import { listeningUrl } from './listening-url.ts';
import { receiptOf } from './mined-receipt.ts';
import { runProcess } from './run-process.ts';

interface RpcCall {
  readonly id: unknown;
  readonly method: string;
  readonly params: readonly unknown[];
}

/** Old receipts are forgotten, or a long run would fill the memory. */
const RECEIPTS_MAX = 20_000;
const BLOCK_MS = 2_000;

/** Asked by viem first and unknown to most nodes; it then does without. */
class NotSupported extends Error {}

class Chain {
  readonly #receipts = new Map<string, unknown>();
  readonly #sent = new Map<string, number>();

  answer(sender: string, { method, params }: RpcCall): unknown {
    switch (method) {
      case 'eth_chainId':
        return '0x14a34';
      case 'eth_blockNumber':
        return hex(blockNow());
      case 'eth_getBlockByNumber':
        return block(String(params[0]));
      case 'eth_maxPriorityFeePerGas':
      case 'eth_gasPrice':
        return '0xf4240';
      case 'eth_getBalance':
        return '0x21e19e0c9bab2400000';
      case 'eth_getCode':
        return contractCodeOf(String(params[0]));
      case 'eth_getTransactionCount':
        return hex(this.#sent.get(sender) ?? 0);
      case 'eth_estimateGas':
        return '0x15f90';
      case 'eth_call':
        return answerCall(params[0] as { to: string; data: string }, blockNow());
      case 'eth_sendRawTransaction':
        return this.#mine(sender, String(params[0]));
      case 'eth_sendRawTransactionSync':
        return this.#receipts.get(this.#mine(sender, String(params[0])));
      case 'eth_getTransactionReceipt':
        return this.#receipts.get(String(params[0])) ?? null;
      case 'eth_getLogs':
        return [];
      case 'eth_fillTransaction':
        throw new NotSupported(method);
      default:
        throw new Error(`${method} is not known here`);
    }
  }

  #mine(sender: string, raw: string): string {
    const hash = `0x${Buffer.from(keccak256(Buffer.from(raw.slice(2), 'hex'))).toString('hex')}`;
    this.#receipts.set(hash, receiptOf(raw, hash, sender, blockNow()));
    this.#sent.set(sender, (this.#sent.get(sender) ?? 0) + 1);
    if (this.#receipts.size > RECEIPTS_MAX)
      for (const oldest of this.#receipts.keys()) {
        this.#receipts.delete(oldest);
        break;
      }
    return hash;
  }
}

runProcess(async () => {
  const chain = new Chain();
  const server = createServer({ keepAliveTimeout: 600_000 }, async (request, response) => {
    const sender = request.url?.slice(1) ?? '';
    const message = JSON.parse(await textOf(request)) as RpcCall | RpcCall[];
    const reply = Array.isArray(message)
      ? message.map((call) => replyTo(chain, sender, call))
      : replyTo(chain, sender, message);
    const text = JSON.stringify(reply);
    response.writeHead(200, {
      'Content-Type': 'application/json',
      'Content-Length': Buffer.byteLength(text),
    });
    response.end(text);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: listeningUrl(server),
    async close() {
      server.close();
      server.closeAllConnections();
    },
  };
});

function replyTo(chain: Chain, sender: string, call: RpcCall): object {
  const head = { jsonrpc: '2.0', id: call.id };
  try {
    return { ...head, result: chain.answer(sender, call) };
  } catch (error) {
    if (!(error instanceof NotSupported)) process.stderr.write(`instant chain: ${String(error)}\n`);
    return { ...head, error: { code: -32601, message: String(error) } };
  }
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

function blockNow(): number {
  return Math.floor(Date.now() / BLOCK_MS);
}

/** By its number, or the newest; a block's hash is its number, as in the receipts. */
function block(tag: string): object {
  const number = tag.startsWith('0x') ? Number(tag) : blockNow();
  return {
    number: hex(number),
    hash: `0x${number.toString(16).padStart(64, '0')}`,
    timestamp: hex(Math.floor(Date.now() / 1000)),
    baseFeePerGas: '0xf4240',
    gasLimit: '0x3938700',
    gasUsed: '0x0',
    transactions: [],
  };
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
