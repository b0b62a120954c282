/** Who is at the other end: forwarded headers count only when they come from a trusted proxy. */

import { BlockList, isIP, isIPv6 } from 'node:net';
import type { Remote } from '../core/exchange.ts';

export interface RemoteSource {
  readonly socketAddress: string;
  readonly encrypted: boolean;
  /** Value of a header by lower-case name. */
  readonly header: (name: string) => string | undefined;
}

export interface RemoteOptions {
  /** CIDRs of proxies whose forwarded headers count. */
  readonly trustProxy: readonly string[];
  /** The address under which the operator publishes the gateway; wins over every header. */
  readonly publicUrl: string | null;
}

const HOST = /^[A-Za-z0-9.-]{1,253}(?::\d{1,5})?$|^\[[0-9A-Fa-f:.]{2,45}\](?::\d{1,5})?$/;

/** Compiles the trust list; the result is called once a request. */
export function compileRemoteOf(options: RemoteOptions): (source: RemoteSource) => Remote {
  const trusted = compileTrust(options.trustProxy);
  const published = options.publicUrl === null ? null : new URL(options.publicUrl);
  return ({ socketAddress, encrypted, header }) => {
    const direct = plainAddress(socketAddress);
    const behindProxy = trusted(direct);
    const address = behindProxy ? clientOf(header('x-forwarded-for'), direct, trusted) : direct;
    const forwarded = behindProxy ? last(header('x-forwarded-proto')) : undefined;
    const scheme =
      forwarded === 'https' || (forwarded === undefined && encrypted) ? 'https' : 'http';
    if (published) {
      const publishedScheme = published.protocol === 'https:' ? 'https' : 'http';
      return { address, scheme: publishedScheme, host: published.host };
    }
    const named =
      (behindProxy ? last(header('x-forwarded-host')) : undefined) ?? header('host') ?? '';
    return { address, scheme, host: HOST.test(named) ? named : 'localhost' };
  };
}

/** The right-most address that no trusted proxy added: everything left of it the client could have made up. */
function clientOf(
  forwardedFor: string | undefined,
  direct: string,
  trusted: (address: string) => boolean,
): string {
  let client = direct;
  for (const hop of (forwardedFor ?? '').split(',').reverse()) {
    const address = plainAddress(hop.trim());
    if (isIP(address) === 0) break;
    client = address;
    if (!trusted(address)) break;
  }
  return client;
}

function compileTrust(cidrs: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const cidr of cidrs) {
    const [base = '', bits] = cidr.split('/');
    const family = isIPv6(base) ? 'ipv6' : 'ipv4';
    list.addSubnet(base, Number(bits ?? (family === 'ipv6' ? 128 : 32)), family);
  }
  return (address) => cidrs.length > 0 && list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
}

/** `::ffff:10.0.0.1` is how a dual-stack socket writes 10.0.0.1. */
function plainAddress(address: string): string {
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address;
}

/** The value nearest to us in a comma-separated list: the one that our own proxy wrote. */
function last(list: string | undefined): string | undefined {
  return list?.split(',').at(-1)?.trim();
}
