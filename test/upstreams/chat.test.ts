import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { dialectFor, dialectKindOf } from '../../src/upstreams/index.ts';
import {
  bodyOf,
  CAP,
  CHAT,
  passThrough,
  read,
  refusalOf,
  requestOf,
  sse,
} from './dialect-request.ts';

const HI = [{ role: 'user', content: 'hi' }];
const ask = (more: object = {}) => ({ model: 'gpt-4o', messages: HI, ...more });

describe('the dialect of a path', () => {
  it('is known by its end, whatever stands before it', () => {
    assert.equal(dialectKindOf('/v1beta/openai/chat/completions'), 'openai-chat');
    assert.equal(dialectKindOf('/api/v1/responses'), 'openai-responses');
    assert.equal(dialectKindOf('/v1/completions'), 'openai-completions');
    assert.equal(dialectKindOf('/v1/audio/speech'), 'openai-speech');
    assert.equal(dialectKindOf('/v1/images/edits'), 'openai-images');
    assert.equal(dialectKindOf('/v1/messages'), 'anthropic-messages');
    assert.equal(dialectKindOf('/v1/messages/count_tokens'), 'generic');
    assert.equal(dialectKindOf('/summarize'), 'generic');
  });

  it('is generic for a request that is no POST', () => {
    const request = { ...requestOf(CHAT, ''), method: 'GET' };
    assert.equal(dialectFor(CHAT).read(request).isProbe, false);
  });
});

describe('the limit of a chat', () => {
  it('is put in where the request has none, under the name that the model takes', () => {
    assert.equal(JSON.parse(bodyOf(read(CHAT, ask()))).max_completion_tokens, CAP);
    for (const model of ['gemini-2.5-flash', 'llama3', 'openai/gpt-oss-20b', 'mistral-large'])
      assert.equal(JSON.parse(bodyOf(read(CHAT, ask({ model })))).max_tokens, CAP, model);
    const named = read(CHAT, ask({ model: 'mine' }), {
      outputTokensField: 'max_completion_tokens',
    });
    assert.equal(JSON.parse(bodyOf(named)).max_completion_tokens, CAP);
  });

  it('is lowered to the cap, and kept below it', () => {
    const high = read(CHAT, ask({ max_tokens: 5_000 }));
    assert.equal(JSON.parse(bodyOf(high)).max_tokens, CAP);
    assert.equal(high.work.bounds.outputTokens, CAP);
    const low = read(CHAT, ask({ max_tokens: 7 }));
    assert.equal(low.work.bounds.outputTokens, 7);
    assert.equal(bodyOf(low), JSON.stringify(ask({ max_tokens: 7 })));
  });

  it('is the greater of two, since a server may read either', () => {
    const both = read(CHAT, ask({ max_tokens: 9_999, max_completion_tokens: 5 }));
    assert.equal(both.work.bounds.outputTokens, CAP);
    assert.equal(JSON.parse(bodyOf(both)).max_tokens, CAP);
  });

  it('holds for each choice', () => {
    assert.equal(read(CHAT, ask({ n: 3, max_tokens: 10 })).work.bounds.outputTokens, 30);
    const prompts = { model: 'm', prompt: ['a', 'b'], best_of: 4, n: 2, max_tokens: 10 };
    assert.equal(read('/v1/completions', prompts).work.bounds.outputTokens, 80);
  });

  it('is refused by its name where it is no whole number from 1', () => {
    for (const value of [0, -1, 1.5, '10', true, [], {}])
      assert.match(
        refusalOf(CHAT, ask({ max_tokens: value })),
        /^max_tokens must be a whole number/,
      );
    const infinite = `{"model":"m","messages":[{"role":"user"}],"max_tokens":1e400}`;
    assert.match(refusalOf(CHAT, infinite), /^max_tokens /);
    for (const n of [0, 1.5, '2', 129]) assert.match(refusalOf(CHAT, ask({ n })), /^n must be/);
  });

  it('is put in for null', () => {
    const body = JSON.parse(bodyOf(read(CHAT, ask({ max_tokens: null, n: null }))));
    assert.equal(body.max_completion_tokens, CAP);
  });
});

describe('the body of a chat', () => {
  it('keeps everything that it need not change, to the letter', () => {
    const text =
      '\n{ "z":1e400, "model":"gpt-4o","seed":12345678901234567890,\n "max_tokens" : 99999 ,"messages":[{"role":"user","content":"\\u0041é"}], "x":{}, "a":-0.0 }\t';
    assert.equal(bodyOf(read(CHAT, text)), text.replace('99999', String(CAP)));
  });

  it('asks a stream for its usage', () => {
    const texts = [
      [ask({ max_tokens: 1, stream: true }), ',"stream_options":{"include_usage":true}}'],
      [
        ask({ stream: true, max_tokens: 1, stream_options: {} }),
        '"stream_options":{"include_usage":true}}',
      ],
      [
        ask({ stream: true, max_tokens: 1, stream_options: { include_usage: false } }),
        '{"include_usage":true}}',
      ],
      [
        ask({ stream: true, max_tokens: 1, stream_options: null }),
        '"stream_options":{"include_usage":true}}',
      ],
    ] as const;
    for (const [body, end] of texts) assert.ok(bodyOf(read(CHAT, body)).endsWith(end), end);
    const asked = ask({ max_tokens: 1, stream: true, stream_options: { include_usage: true } });
    const reading = read(CHAT, asked);
    assert.equal(bodyOf(reading), JSON.stringify(asked));
  });

  it('is the very same bytes where nothing is to change', () => {
    const request = requestOf(CHAT, ask({ max_tokens: 1 }));
    assert.equal(dialectFor(CHAT).read(request).body, request.body);
  });

  it('is refused where two readers could read two requests', () => {
    const twice = [
      '{"model":"a","model":"b","messages":[{"role":"user"}]}',
      '{"model":"a","mod\\u0065l":"b","messages":[{"role":"user"}]}',
      '{"model":"a","messages":[{"role":"user","content":"x","content":"y"}]}',
    ];
    for (const text of twice) assert.match(refusalOf(CHAT, text), /twice/);
    for (const name of ['Max_Tokens', 'MAX_TOKENS', 'max_to\u212aens', 'N', 'ſtream'])
      assert.match(refusalOf(CHAT, ask({ [name]: 1 })), /must be written/, name);
    assert.match(refusalOf(CHAT, `\ufeff${JSON.stringify(ask())}`), /not JSON/);
    assert.match(refusalOf(CHAT, Buffer.from([0x7b, 0xff, 0x7d])), /not JSON in UTF-8/);
    assert.match(refusalOf(CHAT, '['.repeat(100_000)), /not JSON/);
    assert.match(refusalOf(CHAT, `{"a":${'['.repeat(500)}${']'.repeat(500)}}`), /too deep/);
    assert.match(refusalOf(CHAT, ask(), {}, ['Content-Encoding', 'gzip']), /^Content-Encoding/);
  });

  it('is refused before any payment where the upstream would refuse it', () => {
    assert.match(refusalOf(CHAT, '[]'), /not a JSON object/);
    assert.match(refusalOf(CHAT, '{"model":'), /not JSON/);
    assert.match(refusalOf(CHAT, { messages: HI }), /^model is missing/);
    assert.match(refusalOf(CHAT, { model: 5, messages: HI }), /^model must be a text/);
    assert.match(refusalOf(CHAT, { model: 'm' }), /^messages must be a list/);
    assert.match(refusalOf(CHAT, { model: 'm', messages: [] }), /^messages/);
    assert.match(refusalOf(CHAT, { model: 'm', messages: ['x'] }), /^messages\[0\]/);
    assert.match(
      refusalOf(CHAT, { model: 'm', messages: [{ content: 'x' }] }),
      /^messages\[0\]\.role/,
    );
    assert.match(
      refusalOf(CHAT, { model: 'm', messages: [{ role: 'user', content: 5 }] }),
      /content/,
    );
    assert.match(refusalOf(CHAT, ask({ stream: 'yes' })), /^stream must be true or false/);
    assert.match(refusalOf(CHAT, ask({ tools: {} })), /^tools must be a list/);
  });

  it('is a probe where it is empty', () => {
    const reading = read(CHAT, '');
    assert.equal(reading.isProbe, true);
    assert.equal(reading.work.bounds.outputTokens, CAP);
  });
});

describe('what makes the cost of a chat unknowable', () => {
  it('is refused by its name, unless the operator vouches for it', () => {
    const fields = [
      'prediction',
      'store',
      'models',
      'plugins',
      'search_parameters',
      'chat_template',
    ];
    for (const name of fields) {
      const body = ask({ [name]: { type: 'x' } });
      assert.match(refusalOf(CHAT, body), new RegExp(`^${name} is not served`));
      assert.doesNotThrow(() => read(CHAT, body, { allow: [name] }));
    }
    assert.doesNotThrow(() => read(CHAT, ask({ store: false, models: [], prediction: null })));
    assert.match(refusalOf(CHAT, ask({ service_tier: 'priority' })), /^service_tier/);
    assert.match(refusalOf(CHAT, ask({ web_search_options: {} })), /^web_search_options/);
    assert.equal(
      read(CHAT, ask({ web_search_options: {} }), { webSearchesMax: 1 }).work.bounds.webSearches,
      1,
    );
    const tool = ask({ tools: [{ type: 'web_search' }] });
    assert.match(refusalOf(CHAT, tool), /^tools\[0\]\.type/);
    assert.match(
      refusalOf(CHAT, ask({ extra_body: { google: { cached_content: 'c' } } })),
      /cached_content/,
    );
    assert.doesNotThrow(() => read(CHAT, ask({ extra_body: { google: { thinking_config: {} } } })));
  });

  it('is bounded by the context of the model where that is known', () => {
    const body = ask({
      messages: [{ role: 'user', content: [{ type: 'file', file: { file_id: 'f' } }] }],
    });
    assert.match(refusalOf(CHAT, body), /^messages\[0\]\.content\[0\] is not served/);
    assert.equal(read(CHAT, body, { contextTokensMax: 5_000 }).work.bounds.inputTokens, 5_000);
  });
});

describe('the input of a chat', () => {
  const inputOf = (more: object, options = {}): number =>
    Number(read(CHAT, ask(more), options).work.bounds.inputTokens);

  it('counts all that the model reads: messages, tools, formats, results, unknown fields', () => {
    const least = inputOf({});
    const long = 'word '.repeat(1_000);
    const tool = { type: 'function', function: { name: 'f', description: long } };
    for (const more of [
      { messages: [{ role: 'user', content: long }] },
      { messages: [{ role: 'user', content: [{ type: 'text', text: long }] }] },
      { messages: [{ role: 'system', content: long }, ...HI] },
      { messages: [{ role: 'tool', tool_call_id: 'c', content: long }] },
      { messages: [{ role: 'assistant', tool_calls: [{ function: { arguments: long } }] }] },
      { messages: [{ role: 'user', name: long, content: 'x' }] },
      { tools: [tool] },
      { functions: [{ name: 'f', description: long }] },
      { response_format: { type: 'json_schema', json_schema: { description: long } } },
      { guided_grammar: long },
    ])
      assert.ok(inputOf(more) >= least + 990, JSON.stringify(more).slice(0, 60));
  });

  it('is bounded by bytes where the tokenizer of the model is unknown', () => {
    const messages = [{ role: 'user', content: '日本語'.repeat(100) }];
    assert.ok(inputOf({ messages }, { tokenizer: null }) >= 900);
    const inexact = { countTokens: () => 1, isExactFor: () => false };
    assert.ok(inputOf({ messages }, { tokenizer: inexact }) >= 900);
  });

  it('takes images by the rules of their model, or by what is configured', () => {
    const messages = (detail: string) => [
      { role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:,', detail } }] },
    ];
    const [low, high] = [
      inputOf({ messages: messages('low') }),
      inputOf({ messages: messages('high') }),
    ];
    assert.equal(high - low, 85 + 170 * 8 - 140);
    const mini = inputOf({ model: 'gpt-4o-mini', messages: messages('auto') });
    assert.ok(mini > 48_000);
    assert.ok(inputOf({ model: 'x', messages: messages('auto') }) > 48_000, 'the dearest rule');
    const own = inputOf({ messages: messages('high') }, { imageTokensMax: 10 });
    assert.ok(own < 100);
  });

  it('takes audio by its length', () => {
    const wav = wavOf(16_000, 2);
    const part = (data: string) => ({ type: 'input_audio', input_audio: { data, format: 'wav' } });
    const messages = [{ role: 'user', content: [part(wav.toString('base64'))] }];
    const tokens = inputOf({ messages });
    assert.ok(tokens >= 64 && tokens < 150, String(tokens));
    const slow = wavOf(1, 30_000).toString('base64');
    assert.match(
      refusalOf(CHAT, ask({ messages: [{ role: 'user', content: [part(slow)] }] })),
      /input_audio/,
    );
  });
});

describe('values of a request', () => {
  it('are found by their place, as they were asked for', () => {
    const reading = read(CHAT, ask({ max_tokens: 9_000, size: { w: 5 } }), {}, ['X-Tier', 'gold']);
    const { value } = reading.work;
    assert.equal(value('body.max_tokens'), '9000');
    assert.equal(value('body.size.w'), '5');
    assert.equal(value('body.messages.0.role'), 'user');
    assert.equal(value('header.x-tier'), 'gold');
    assert.equal(value('query.q'), '1');
    for (const place of [
      'body.size',
      'body.none',
      'body.__proto__',
      'body.constructor.name',
      'x',
      '',
    ])
      assert.equal(value(place), null, place);
    assert.equal(reading.work.model, 'gpt-4o');
  });
});

describe('an answer whose usage was only asked for by the gateway', () => {
  const chunk = { choices: [{ index: 0, delta: { content: 'Hello' } }], usage: null };
  const last = { choices: [], usage: { prompt_tokens: 5, completion_tokens: 1, total_tokens: 6 } };

  it('leaves without the usage, which counts nevertheless', () => {
    const answer = sse([chunk, last, '[DONE]']);
    const { out, measured } = passThrough(read(CHAT, ask({ stream: true })), answer);
    assert.equal(out.toString(), sse([chunk, '[DONE]']).toString());
    assert.deepEqual(measured, { units: { inputTokens: 5, outputTokens: 1 }, by: 'upstream' });
  });

  it('leaves as it is where the client asked too', () => {
    const answer = sse([chunk, last, '[DONE]']);
    const asked = ask({ stream: true, stream_options: { include_usage: true } });
    const { out, untouched } = passThrough(read(CHAT, asked), answer, [10, 50]);
    assert.deepEqual(out, answer);
    assert.equal(untouched, 3);
  });

  it('loses only an event without choices', () => {
    const full = { choices: [{ index: 0, delta: {} }], usage: last.usage };
    const filter = { choices: [], prompt_filter_results: [] };
    const answer = sse([filter, chunk, full, '[DONE]']);
    const { out } = passThrough(read(CHAT, ask({ stream: true })), answer, [3, 40, 41, 90]);
    assert.deepEqual(out, answer);
  });
});

/** A mono WAV of 16-bit samples. */
function wavOf(sampleRate: number, seconds: number): Buffer {
  const data = Buffer.alloc(2 * sampleRate * seconds);
  const head = Buffer.alloc(44);
  head.write('RIFF', 0);
  head.write('WAVEfmt ', 8);
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20);
  head.writeUInt16LE(1, 22);
  head.writeUInt32LE(sampleRate, 24);
  head.writeUInt32LE(2 * sampleRate, 28);
  head.writeUInt16LE(2, 32);
  head.writeUInt16LE(16, 34);
  head.write('data', 36);
  head.writeUInt32LE(0xffff_ffff, 40);
  return Buffer.concat([head, data]);
}
