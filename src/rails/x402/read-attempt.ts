/** What a credential offers to pay with: network, scheme and signature, as far as they can be told offline. */

import { recoverAddress } from '../../chains/evm/recover.ts';
import { hashTransferAuthorization } from '../../chains/evm/sign.ts';
import { hashUptoPermit } from '../../chains/evm/sign-permit2.ts';
import { PaymentRefused } from '../../core/errors.ts';
import type { Demand } from '../../core/ports/rail.ts';
import type { Attempt } from './attempt.ts';
import type { UptoCredential, X402Credential } from './credential.ts';
import type { X402Network } from './network.ts';
import type { X402Parts } from './parts.ts';
import type { ExactEvmPayload } from './protocol.ts';
import { schemesOf } from './schemes.ts';
import type { ExactTransfer, UptoTransfer } from './transfer.ts';

/** Throws PaymentRefused for a scheme or a network that is not offered. */
export function readAttempt(parts: X402Parts, credential: X402Credential, demand: Demand): Attempt {
  const { network, signed } = match(parts, credential, demand);
  const read =
    'exact' in signed ? readExact(network, signed.exact) : readUpto(network, signed.upto);
  return {
    ...{ parts, network, credential, demand, facilitatorUrl: null, shown: null },
    transfer: read.transfer,
    credentialKey: `x402:${network.id}:${read.nonce}`,
    authentic: credential.signedBy === 'key' && read.isSigned(),
  };
}

interface Read {
  readonly transfer: ExactTransfer | UptoTransfer;
  /** What the chain lets be used only once. */
  readonly nonce: string;
  /** Whether the payer's own key signed. */
  isSigned(): boolean;
}

function match(parts: X402Parts, credential: X402Credential, { route }: Demand) {
  const { scheme, payment, exact, upto } = credential;
  const schemes = schemesOf(route);
  const isOffered = scheme === 'exact' ? schemes.exact : scheme === 'upto' && schemes.upto;
  const isKnownToVersion = scheme === 'exact' || payment.x402Version === 2;
  if (!isOffered || !isKnownToVersion)
    throw new PaymentRefused(
      'unsupported_scheme',
      schemes.upto && !schemes.exact
        ? 'Only the scheme "upto" of x402 v2 is offered here: what a call costs is measured afterwards.'
        : 'Only the scheme "exact" is offered.',
    );
  const network = parts.networks.get(credential.network);
  const signed = exact !== null ? { exact } : upto !== null ? { upto } : null;
  if (network === undefined || signed === null || (upto !== null && network.upto === null))
    throw new PaymentRefused(
      'invalid_network',
      `The network is not offered here; expected ${[...parts.networks.keys()].join(' or ')}.`,
    );
  return { network, signed };
}

function readExact(network: X402Network, { signature, authorization }: ExactEvmPayload): Read {
  const from = authorization.from.toLowerCase();
  const { address } = network.asset;
  return {
    transfer: { scheme: 'exact', asset: address, signed: { ...authorization, signature } },
    nonce: `${address.toLowerCase()}:${from}:${authorization.nonce.toLowerCase()}`,
    isSigned: () =>
      recoverAddress(hashTransferAuthorization(network.separator, authorization), signature) ===
      from,
  };
}

/** Until it is known what the call cost, the most that is permitted is what moves. */
function readUpto(network: X402Network, { payload, sponsored }: UptoCredential): Read {
  const { signature, permit2Authorization: permit } = payload;
  const from = permit.from.toLowerCase();
  const tokenPermit =
    sponsored === null ? null : { ...sponsored, owner: sponsored.from, value: sponsored.amount };
  return {
    transfer: {
      scheme: 'upto',
      signed: { ...permit, signature, tokenPermit },
      amount: permit.permitted.amount,
    },
    nonce: `permit2:${from}:${permit.nonce}`,
    isSigned: () =>
      network.upto !== null &&
      recoverAddress(hashUptoPermit(network.upto.separator, permit), signature) === from,
  };
}
