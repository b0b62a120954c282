/**
 * An agent that pays its own way: researches a topic, extracts from the report, stores what it found.
 *
 *     WALLET_KEY=0x… node agent.ts http://127.0.0.1:4020 "a topic"
 */

import { payFetch, privateKeyWallet, receiptOf } from 'coinslot/client';

const [gateway = 'http://127.0.0.1:4020', topic = 'HTTP 402 and machine payments'] =
  process.argv.slice(2);

const fetch402 = payFetch(fetch, {
  wallet: privateKeyWallet(process.env.WALLET_KEY ?? ''),
  budget: { perCall: '$0.01', perDay: '$1.00', hosts: [new URL(gateway).host] },
});
/** Millionths of a dollar: money is added as whole numbers. */
let total = 0n;

const { report } = await call('/research', { topic });
const { data } = await call('/extract', { text: report, fields: ['definition', 'open questions'] });
const { id, space } = await call('/memory/store', { text: `${topic}: ${JSON.stringify(data)}` });
// A free call has no payer to remember it by: it is found again by its space.
console.log(`stored   ${id}${space === undefined ? '' : ` in space ${space}`}`);
console.log(`total    ${dollars(total)}`);

async function call(path: string, body: object): Promise<Record<string, unknown>> {
  const response = await fetch402(new URL(path, gateway), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const answer = (await response.json()) as Record<string, unknown>;
  if (!response.ok) throw new Error(`${path} answered ${response.status}: ${answer.error}`);
  const receipt = receiptOf(response);
  const cost = atoms(receipt?.cost ?? '0');
  total += cost;
  console.log(
    `${dollars(cost)}   ${path}  ${receipt?.paymentId}  ${receipt?.transaction ?? 'free'}`,
  );
  return answer;
}

function atoms(cost: string): bigint {
  const [whole = '0', decimals = ''] = cost.split('.');
  return BigInt(whole + decimals.padEnd(6, '0'));
}

function dollars(amount: bigint): string {
  const digits = String(amount).padStart(7, '0');
  return `$${digits.slice(0, -6)}.${digits.slice(-6).replace(/0{1,3}$/, '')}`;
}
