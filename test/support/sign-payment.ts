/** Signs a payment as the payer would, and returns the headers of the paid request instead of sending it. */

import { payFetch, privateKeyWallet } from '../../src/client/index.ts';

export async function signPayment(
  url: string,
  privateKey: string,
  init: RequestInit = {},
): Promise<Headers> {
  let headers: Headers | undefined;
  const spy: typeof fetch = async (input, more) => {
    const request = new Request(input, more);
    const paid = request.headers.has('payment-signature') || request.headers.has('x-payment');
    if (!paid) return await fetch(request);
    headers = request.headers;
    // A definite refusal, so that the payer does not send again.
    return new Response(null, { status: 402 });
  };
  await payFetch(spy, { wallet: privateKeyWallet(privateKey), budget: { perCall: '$1' } })(
    url,
    init,
  );
  if (!headers) throw new Error('nothing was signed');
  return headers;
}
