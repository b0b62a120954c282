/** The lines of a receipt: what was used, then what changed the sum, so that they add up to the cost. */

import { formatDecimal } from '../core/money.ts';
import { floorAt, minus, type Ratio } from '../core/ratio.ts';
import type { UsageLine } from '../core/usage.ts';
import type { LineName } from './units.ts';

/** Decimal places of a line; what is finer goes into the line `rounding`. */
const PLACES = 18;
const ATOM = 10n ** BigInt(PLACES - 6);

interface Line {
  readonly unit: string;
  readonly count: number;
  readonly price: Ratio;
  readonly cost: Ratio;
}

/** Collects the lines of one request; all amounts in dollars. */
export class UsageLines {
  readonly #lines: Line[] = [];

  add(unit: string, count: bigint, price: Ratio): void {
    if (count === 0n) return;
    const cost = { n: price.n * count, d: price.d };
    this.#lines.push({ unit, count: Number(count), price, cost });
  }

  /** Takes units out again that are free. */
  addFree(unit: string, count: bigint, price: Ratio): void {
    if (price.n !== 0n) this.add(`free:${unit}`, count, { n: -price.n, d: price.d });
  }

  /** What a step of the price rule made of the sum before it. */
  adjust(name: LineName, before: Ratio, after: Ratio): void {
    const price = minus(after, before);
    if (price.n !== 0n) this.#lines.push({ unit: name, count: 1, price, cost: price });
  }

  /** The lines, and one more for what the cost was rounded up by. */
  toUsage(cost: bigint): UsageLine[] {
    let sum = 0n;
    const usage = this.#lines.map(({ unit, count, price, cost: exact }) => {
      const shown = floorAt(exact, PLACES);
      sum += shown;
      return {
        ...{ unit, count },
        price: formatDecimal(floorAt(price, PLACES), PLACES),
        cost: formatDecimal(shown, PLACES),
      };
    });
    const rounding = cost * ATOM - sum;
    if (rounding !== 0n) {
      const text = formatDecimal(rounding, PLACES);
      usage.push({ unit: 'rounding', count: 1, price: text, cost: text });
    }
    return usage;
  }
}
