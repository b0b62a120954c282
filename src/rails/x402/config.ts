/** `payments.x402`: where wallet payments go, on which networks, and who settles them. */

import { keccak_256 } from '@noble/hashes/sha3.js';
import { z } from 'zod';
import { parseUsd } from '../../core/money.ts';
import { USDC } from './protocol.ts';

/** Order of secp256k1: a private key is between 1 and one less. */
const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;

/** Test chains beyond those whose USDC is known here. */
const TEST_CHAINS: ReadonlySet<string> = new Set(
  [1337, 31_337, 11_155_111, 11_155_420, 421_614, 80_002, 43_113, 1_328, 11_124, 5_042_002].map(
    (id) => `eip155:${id}`,
  ),
);

const ADDRESS_HINT = 'Write 0x and 40 hexadecimal digits.';

const address = z
  .string()
  .refine((text) => /^0x[0-9a-fA-F]{40}$/.test(text), {
    error: `is not an address\n${ADDRESS_HINT}`,
    abort: true,
  })
  .refine((text) => !isMixedCase(text) || text === checksumAddress(text), {
    error: 'has a wrong checksum (EIP-55)\nCopy the address again: a letter was changed.',
  })
  .refine((text) => BigInt(text) !== 0n, {
    error: 'is the zero address\nWrite your own address: money sent there is lost.',
  })
  .meta({ examples: ['0x209693Bc6afc0C5328bA36FaF03C514EF312287C'] });

// No check here may put the value into its message: it is a secret.
const privateKey = z
  .string()
  .refine((text) => /^0x[0-9a-fA-F]{64}$/.test(text) && isKey(BigInt(text)), {
    error: `is not a private key\nWrite "\${NAME}" and set NAME to 0x and 64 hexadecimal digits.`,
  })
  .describe('Private key that sends settlements and pays their gas; it receives nothing.')
  .meta({ examples: [`\${SETTLEMENT_KEY}`] });

const url = (example: string) =>
  z
    .string()
    .refine(isHttpUrl, { error: `is not an http or https URL\nWrite for example ${example}.` })
    .meta({ examples: [example] });

const oneOrMore = (example: string) => z.union([url(example), z.array(url(example)).min(1)]);

const count = (example: number, max: number) =>
  z
    .int()
    .min(1)
    .max(max)
    .meta({ examples: [example] });

const assetSchema = z
  .strictObject({
    address,
    name: z.string().min(1).max(100).describe('Name in the EIP-712 domain of the contract.'),
    version: z.string().min(1).max(20).describe('Version in the EIP-712 domain of the contract.'),
    decimals: z
      .int()
      .min(2)
      .max(18)
      .meta({ examples: [6] }),
    symbol: z.string().min(1).max(20),
  })
  .describe('A dollar token with EIP-3009 that emits AuthorizationUsed right before Transfer.');

const networkSchema = z
  .strictObject({
    rpc: oneOrMore('https://mainnet.base.org').describe('Nodes to read from, the first one first.'),
    settleWith: privateKey.optional(),
    facilitator: oneOrMore('https://x402.org/facilitator')
      .optional()
      .describe('Remote facilitators that settle instead of an own key.'),
    asset: assetSchema.optional(),
    confirmations: count(1, 10_000)
      .optional()
      .describe('Blocks until a settlement is final; default: the top-level confirmations.'),
    recheckBlocks: z
      .int()
      .min(0)
      .max(10_000)
      .default(64)
      .describe('Blocks within which a settled payment is looked for again after a reorganisation.')
      .meta({ examples: [64] }),
    maxFeeGwei: count(200, 1_000_000)
      .default(200)
      .describe('What one unit of gas may cost; above it a settlement waits, within its validity.'),
    pollMs: count(500, 60_000)
      .default(500)
      .describe('How often pending settlements are looked for, in milliseconds.'),
  })
  .superRefine((network, context) => {
    if ((network.settleWith === undefined) === (network.facilitator === undefined))
      context.addIssue({
        code: 'custom',
        message: `needs settleWith or facilitator, and not both\nWrite settleWith: "\${SETTLEMENT_KEY}" or facilitator: https://….`,
      });
  });

const networkId = z.string().refine((id) => /^eip155:[1-9][0-9]{0,15}$/.test(id), {
  error:
    'is not a network that is available\nWrite a CAIP-2 id such as eip155:8453 or eip155:84532.',
});

const gasSponsoringSchema = z
  .strictObject({
    perDay: z
      .int()
      .min(0)
      .max(1000)
      .default(1)
      .describe('Permits of one wallet whose gas is paid on one day (UTC).')
      .meta({ examples: [1] }),
    minPrice: z
      .string()
      .refine(isDollars, { error: 'is not an amount of dollars\nWrite for example $0.05.' })
      .default('$0.05')
      .describe('No permit goes along with a call that cannot cost this much.')
      .meta({ examples: ['$0.05'] }),
  })
  .describe('Pays the gas by which a wallet first lets Permit2 spend its token (scheme upto).');

export const x402Schema = z
  .strictObject({
    payTo: z
      .strictObject({ eip155: address.describe('Address on every EVM network.') })
      .describe('Where the money goes.'),
    networks: z.record(networkId, networkSchema),
    gasSponsoring: gasSponsoringSchema.optional(),
  })
  .superRefine(({ networks }, context) => {
    if (Object.keys(networks).length === 0)
      context.addIssue({
        code: 'custom',
        path: ['networks'],
        message: 'has no network\nAdd one, such as eip155:84532.',
      });
    for (const [id, { asset }] of Object.entries(networks))
      if (asset === undefined && !USDC.has(id))
        context.addIssue({
          code: 'custom',
          path: ['networks', id, 'asset'],
          message: `is missing, and USDC on ${id} is not known here\nAdd address, name, version, decimals and symbol of the token.`,
        });
  })
  .describe('Payments by wallet (x402, schemes exact and upto).');

export type X402Config = z.output<typeof x402Schema>;
export type X402NetworkConfig = X402Config['networks'][string];

/** Whether a CAIP-2 network moves play money; an unknown one counts as real. */
export function isTestnet(network: string): boolean {
  return USDC.get(network)?.testnet ?? TEST_CHAINS.has(network);
}

function isDollars(text: string): boolean {
  try {
    return parseUsd(text) >= 0n;
  } catch {
    return false;
  }
}

function isKey(value: bigint): boolean {
  return value > 0n && value < ORDER;
}

function isHttpUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password } = new URL(text);
  return /^https?:$/.test(protocol) && username === '' && password === '';
}

function isMixedCase(hex: string): boolean {
  const digits = hex.slice(2);
  return digits !== digits.toLowerCase() && digits !== digits.toUpperCase();
}

/** EIP-55: a letter is a capital where the hash of the lower-case address has a high nibble. */
function checksumAddress(text: string): string {
  const lower = text.slice(2).toLowerCase();
  const hash = Buffer.from(keccak_256(Buffer.from(lower))).toString('hex');
  let checksummed = '0x';
  for (let i = 0; i < lower.length; i++) {
    const digit = lower.charAt(i);
    checksummed += Number.parseInt(hash.charAt(i), 16) >= 8 ? digit.toUpperCase() : digit;
  }
  return checksummed;
}
