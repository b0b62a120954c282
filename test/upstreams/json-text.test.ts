import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { RequestMalformed } from '../../src/core/errors.ts';
import { JsonText } from '../../src/upstreams/json-text.ts';

const textOf = (json: JsonText): string => Buffer.from(json.toBytes()).toString('utf8');
const read = (text: string): JsonText => new JsonText(Buffer.from(text));

describe('a JSON text', () => {
  it('is changed where it is told, and nowhere else', () => {
    const json = read(' {"a" : 1e400,"b":{ },"c":[{"d":"}\\""}], "e":{"f":1} }\n');
    json.set(['a'], '5');
    json.set(['b', 'x'], '1');
    json.set(['b', 'y'], '2');
    json.set(['c', 0, 'd'], 'null');
    json.set(['e', 'g'], '3');
    json.set(['z'], '"new"');
    json.set(['none', 'x'], '1');
    assert.equal(
      textOf(json),
      ' {"a" : 5,"b":{ "x":1,"y":2},"c":[{"d":null}], "e":{"f":1,"g":3} ,"z":"new"}\n',
    );
  });

  it('takes what JSON.parse takes, sets what it is told, and throws nothing but a refusal', () => {
    const value = fc.dictionary(fc.string(), fc.jsonValue());
    fc.assert(
      fc.property(value, fc.string(), fc.jsonValue(), fc.nat(3), (body, name, put, space) => {
        const json = read(JSON.stringify(body, null, space));
        json.set([name], JSON.stringify(put));
        const expected = JSON.parse(JSON.stringify(body));
        Object.defineProperty(expected, name, { value: put, enumerable: true, configurable: true });
        assert.deepEqual(JSON.parse(textOf(json)), JSON.parse(JSON.stringify(expected)));
      }),
    );
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'{}[]",:\\ue1 \n') }), (text) => {
        try {
          read(`{${text}}`);
        } catch (error) {
          assert.ok(error instanceof RequestMalformed, String(error));
        }
      }),
      { numRuns: 2_000 },
    );
  });
});
