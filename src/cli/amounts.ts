/** Ledger amounts for people and programs: atoms always, decimals and symbol where the asset is known. */

import type { Config } from '../config.ts';
import { type Asset, formatDecimal, USD } from '../core/money.ts';
import { assetOf } from '../rails/x402/network.ts';

export interface AmountView {
  readonly atoms: string;
  /** Decimal of `symbol`. */
  readonly amount?: string;
  readonly symbol?: string;
  /** The same, where the asset is dollars of a prepaid balance. */
  readonly usd?: string;
}

export interface Amounts {
  view(assetId: string, atoms: bigint): AmountView;
  text(assetId: string, atoms: bigint): string;
}

/** Knows the assets of a config: dollars, the token of each network, and the gas paid there. */
export function amountsOf(config: Config): Amounts {
  const assets = new Map<string, Asset>([[USD.id, USD]]);
  for (const [network, settings] of Object.entries(config.payments.x402?.networks ?? {})) {
    const token = assetOf(network, settings);
    assets.set(token.id, token);
    const gas = { id: `${network}/gas-nano`, symbol: 'gas', decimals: 9 };
    assets.set(gas.id, gas);
  }
  return {
    view(assetId, atoms) {
      const asset = assets.get(assetId);
      if (!asset) return { atoms: atoms.toString() };
      const amount = formatDecimal(atoms, asset.decimals);
      const usd = assetId === USD.id ? { usd: amount } : {};
      return { atoms: atoms.toString(), amount, symbol: asset.symbol, ...usd };
    },
    text(assetId, atoms) {
      const asset = assets.get(assetId);
      if (!asset) return `${atoms} atoms of ${assetId}`;
      return `${formatDecimal(atoms, asset.decimals)} ${asset.symbol}`;
    },
  };
}
