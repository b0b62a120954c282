import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { meteredStage } from './metered-stage.ts';
import { CHAT_END, eventHead, scriptedModel, usageChunk } from './scripted-model.ts';

const MB = 1_048_576;
const EVENTS = 4_096;
const EVENT = `data: {"choices":[{"index":0,"delta":{"content":"${'x'.repeat(16_300)}"}}]}\n\n`;
/** What the sockets of both sides and the queue between them hold, on a machine with large socket buffers. */
const ON_THE_WAY_MAX = 24 * MB;

test('a metered stream of 64 MB is nowhere kept: while its reader waits its writer waits, and all of it arrives', async (t) => {
  let written = 0;
  const model = await scriptedModel(t, async (response) => {
    eventHead(response);
    for (let event = 0; event < EVENTS; event++) {
      written += EVENT.length;
      if (!response.write(EVENT)) await once(response, 'drain');
    }
    response.end(usageChunk(20, 4_000) + CHAT_END);
  });
  const s = await meteredStage(t, { upstreams: { models: { url: model.url } } });
  const sent = request(`${s.gateway.url}/v1/chat/completions`, {
    ...{ method: 'POST', headers: { 'x-api-key': s.key, 'content-type': 'application/json' } },
  });
  sent.end(
    JSON.stringify({
      ...{ model: 'gpt-4o-mini', stream: true, max_tokens: 4_000 },
      messages: [{ role: 'user', content: 'Write on and on.' }],
    }),
  );
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  // Nothing is read yet. The writer comes to rest once all that may wait on the way is full.
  for (let before = -1; before !== written; ) {
    before = written;
    await sleep(150);
  }
  assert.ok(written > 0 && written < ON_THE_WAY_MAX, `${written} bytes were taken unread`);
  let read = 0;
  let tail = '';
  for await (const chunk of response as AsyncIterable<Buffer>) {
    read += chunk.length;
    tail = (tail + chunk.toString('latin1')).slice(-1_000);
  }
  assert.ok(read > EVENTS * EVENT.length, `${read} bytes`);
  assert.match(tail, /\[DONE\]\n\nevent: payment-receipt\n/);
  assert.match(tail, /"unit":"outputTokens","count":4000/);
});
