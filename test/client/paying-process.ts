/** Pays `calls` times in parallel from a shared journal: URL, journal, calls, perDay. Prints `{ paid, over }`. */

import { BudgetExceeded, payFetch, privateKeyWallet } from '../../src/client/index.ts';
import { PRIVATE_KEY } from './servers.ts';

const [url = '', journal = '', calls = '1', perDay = '$1'] = process.argv.slice(2);
const fetch402 = payFetch(fetch, {
  wallet: privateKeyWallet(PRIVATE_KEY),
  budget: { perCall: '$0.05', perDay },
  journal,
});
const results = await Promise.allSettled(
  Array.from({ length: Number(calls) }, () => fetch402(url)),
);
for (const result of results)
  if (result.status === 'rejected' && !(result.reason instanceof BudgetExceeded))
    throw result.reason;
const paid = results.filter((result) => result.status === 'fulfilled').length;
console.log(JSON.stringify({ paid, over: results.length - paid }));
