/** Requests for inference as strangers send them, and the answers of upstreams. */

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { RequestMalformed } from '../../src/core/errors.ts';
import { dialectFor } from '../../src/upstreams/index.ts';
import { TEST_TOKENIZER } from '../support/model-conduct.ts';
import { nearly, texts } from './inputs.ts';
import { outcomeOf, type Target, textOf } from './target.ts';

const CAP = 100;

const GOOD_CHAT = {
  ...{
    model: 'gpt-4o',
    max_tokens: 5,
    n: 2,
    stream: true,
    stream_options: { include_usage: false },
  },
  messages: [
    { role: 'system', content: 'x' },
    { role: 'user', content: [{ type: 'text', text: 'y' }] },
    { role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:,', detail: 'low' } }] },
  ],
  tools: [{ type: 'function', function: { name: 'f', parameters: {} } }],
};

const GOOD_RESPONSE = {
  ...{ model: 'gpt-4o', instructions: 'x', max_output_tokens: 5, store: false },
  input: [{ role: 'user', content: [{ type: 'input_text', text: 'y' }] }],
  tools: [{ type: 'function', name: 'f' }],
};

const GOOD_MESSAGE = {
  ...{ model: 'claude', max_tokens: 5, system: [{ type: 'text', text: 'x' }] },
  messages: [{ role: 'user', content: [{ type: 'tool_result', content: 'y' }] }],
  thinking: { type: 'enabled', budget_tokens: 2 },
};

/** Every request is refused by name, or bounded. */
function requests(name: string, path: string, good: object): Target {
  const dialect = dialectFor(path, null, { tokenizer: TEST_TOKENIZER });
  return {
    name,
    inputs: fc.oneof(
      nearly(good).map((value) => JSON.stringify(value)),
      texts(JSON.stringify(good)),
    ),
    check(input) {
      const body = Buffer.from(textOf(input));
      const request = { method: 'POST', path, query: '', headers: [], body, outputTokensMax: CAP };
      const outcome = outcomeOf(() => dialect.read(request), [RequestMalformed]);
      if ('refusal' in outcome) return outcome.refusal;
      const { work, isProbe, body: sent } = outcome.result;
      if (isProbe) return 'probe';
      for (const [unit, bound] of Object.entries(work.bounds))
        assert.ok(Number.isSafeInteger(bound) && bound >= 0, `${unit} ${bound}`);
      const body2 = JSON.parse(Buffer.from(sent).toString());
      const limits = ['max_tokens', 'max_completion_tokens', 'max_output_tokens'];
      const most = Math.max(...limits.map((limit) => Number(body2[limit] ?? 0)));
      assert.ok(most >= 1 && most <= CAP, `limit ${most}`);
      const again = dialect.read({ ...request, body: sent });
      assert.deepEqual(again.work.bounds.outputTokens, work.bounds.outputTokens);
      return `bounded ${Object.keys(work.bounds).length} ${sent === body}`;
    },
  };
}

const EVENT = 'data: {"choices":[{"index":0,"delta":{"content":"a\\nb"}}],"usage":null}\n\n';
const USAGE = 'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n';

const stream: Target = {
  name: 'model-stream',
  inputs: texts(EVENT, USAGE, `${EVENT}${USAGE}data: [DONE]\n\n`, '\r\n', 'data:', ': c\n'),
  check(input) {
    const answer = Buffer.from(textOf(input));
    const body = Buffer.from(JSON.stringify(GOOD_CHAT));
    const path = '/v1/chat/completions';
    const reading = dialectFor(path, null, { tokenizer: TEST_TOKENIZER }).read({
      ...{ method: 'POST', path, query: '', headers: [], body, outputTokensMax: CAP },
    });
    const pass = (size: number) => {
      const meter = reading.meter({ status: 200, headers: [] });
      const out: Uint8Array[] = [];
      for (let at = 0; at < answer.length; at += size) {
        const left = meter.pass(answer.subarray(at, at + size));
        if (left) out.push(left);
      }
      const rest = meter.end();
      return { out: Buffer.concat(rest ? [...out, rest] : out), measured: meter.measured() };
    };
    const whole = pass(answer.length + 1);
    const pieces = pass(7);
    assert.ok(whole.out.equals(pieces.out));
    assert.deepEqual(pieces.measured, whole.measured);
    assert.ok(whole.out.length <= answer.length);
    return `${whole.measured.by} ${whole.out.length === answer.length}`;
  },
};

export const UPSTREAM_TARGETS: readonly Target[] = [
  requests('request-chat', '/v1/chat/completions', GOOD_CHAT),
  requests('request-responses', '/v1/responses', GOOD_RESPONSE),
  requests('request-messages', '/v1/messages', GOOD_MESSAGE),
  stream,
];
