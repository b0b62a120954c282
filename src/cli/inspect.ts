import type { Command } from 'commander';
import { EXIT } from './exit-codes.ts';
import { type InspectedOffer, type Inspection, inspectAnswer } from './inspection.ts';
import { withJson } from './options.ts';
import { report } from './report.ts';
import {
  type RequestFlags,
  readRequestArguments,
  requestWords,
  shellQuote,
  unreachable,
  withRequestOptions,
} from './request-arguments.ts';

interface InspectFlags extends RequestFlags {
  readonly json?: boolean;
}

/** A 402 is small; an answer that is not one may be anything. */
const BODY_BYTES_MAX = 256 * 1024;
const TIMEOUT_MS = 30_000;

/** Adds `coinslot inspect`: what an unpaid request is answered, in words. */
export function registerInspect(program: Command): void {
  const command = program
    .command('inspect')
    .description('send a request unpaid and explain the answer: offers of a 402, a 401, a 403')
    .argument('<target...>', 'URL [METHOD]');
  withJson(withRequestOptions(command)).action(inspect);
}

async function inspect(words: readonly string[], flags: InspectFlags): Promise<void> {
  const { method, url, headers, body } = await readRequestArguments(words, flags, EXIT.usage);
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const response = await fetch(url, { method, headers, body, redirect: 'manual', signal }).catch(
    (error: unknown) => {
      throw unreachable(url, error);
    },
  );
  const inspection = inspectAnswer({
    status: response.status,
    headers: response.headers,
    body: await readStart(response),
    sentCredential: ['x-api-key', 'authorization', 'payment-signature', 'x-payment'].some((name) =>
      headers.has(name),
    ),
  });
  const next = nextStep(inspection, [method, url], flags);
  report(flags.json === true, { url, method, ...inspection, next }, () =>
    [...describe(inspection), ...(next === null ? [] : ['', `next: ${next}`])].join('\n'),
  );
  if (inspection.warnings.length > 0) process.exitCode = EXIT.failed;
}

/** The first bytes of the body; an answer that breaks off or never ends is read as far as it comes. */
async function readStart(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const chunk of response.body ?? []) {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > BODY_BYTES_MAX) break;
    }
  } catch {
    // The status and the headers say enough.
  }
  return Buffer.concat(chunks).toString('utf8');
}

function nextStep(
  inspection: Inspection,
  words: readonly string[],
  flags: InspectFlags,
): string | null {
  const request = requestWords(words, flags);
  const headers = (flags.header ?? [])
    .filter((line) => !/^(?:x-api-key|authorization)\s*:/i.test(line))
    .map((line) => ` -H ${shellQuote(line)}`)
    .join('');
  switch (inspection.status) {
    case 401:
      return `coinslot inspect ${request}${headers} -H 'x-api-key: <your key>'`;
    case 402: {
      const cheapest = cheapestPayable(inspection.offers);
      if (cheapest === null)
        return `coinslot pay ${request}${headers} --api-key <key with a balance>`;
      return `WALLET_KEY=0x… coinslot pay ${request}${headers} --max '${cheapest.price}'`;
    }
    case 403:
      return `WALLET_KEY=0x… coinslot pay ${request}${headers}, or use a key that includes this route`;
    default:
      return null;
  }
}

function cheapestPayable(offers: readonly InspectedOffer[]): InspectedOffer | null {
  return offers.reduce<InspectedOffer | null>((best, offer) => {
    if (offer.notPayable !== null) return best;
    return best === null || BigInt(offer.amount) < BigInt(best.amount) ? offer : best;
  }, null);
}

function describe(inspection: Inspection): string[] {
  const lines = [`${inspection.status}  ${inspection.meaning}`];
  if (inspection.detail !== null) lines.push(`the server says: ${inspection.detail}`);
  for (const [index, offer] of inspection.offers.entries())
    lines.push('', ...describeOffer(offer, index));
  if (inspection.challenges.length > 0)
    lines.push('', `WWW-Authenticate: ${inspection.challenges.join(', ')}`);
  if (inspection.freeCallsRemaining !== null)
    lines.push('', `free calls left: ${inspection.freeCallsRemaining}`);
  for (const warning of inspection.warnings) lines.push('', `warning: ${warning}`);
  for (const [name, value] of Object.entries(inspection.raw)) lines.push(`  ${name}: ${value}`);
  return lines;
}

function describeOffer(offer: InspectedOffer, index: number): string[] {
  const { networkName, network } = offer;
  return [
    `offer ${index + 1}  x402 v${offer.version}`,
    `  scheme    ${offer.scheme}`,
    `  network   ${networkName === null ? network : `${networkName} (${network})`}`,
    `  price     ${offer.price ?? `${offer.amount} atoms of an unknown token`}`,
    `  asset     ${offer.asset}`,
    `  pay to    ${offer.payTo}`,
    `  valid     at most ${offer.maxTimeoutSeconds} s`,
    ...(offer.notPayable === null ? [] : [`  this payer can't pay it: ${offer.notPayable}`]),
  ];
}
