/** Checks of prices and of what stands around them; they read the input itself, beside the other problems. */

import type { Price } from '../core/price.ts';
import type { Units } from '../core/work.ts';
import { currenciesOf } from '../pricing/currencies-of.ts';
import { matchGlob } from '../pricing/match-glob.ts';
import { type PriceSurroundings, parsePrice } from '../pricing/parse-price.ts';
import { PriceFormatError } from '../pricing/price-problems.ts';
import { countOfText } from '../pricing/read-amounts.ts';
import { customUnitProblem } from '../pricing/units.ts';
import type { PathSegments, ProblemList } from './problems.ts';
import { isSection, type Section, section } from './section.ts';

/** Adds the problems of every price, of the routes' own units, and of the model gateway. */
export function checkPrices(input: unknown, problems: ProblemList): void {
  const rates = section(input, 'rates');
  const routes = section(input, 'routes');
  for (const key of Object.keys(routes)) {
    if (!isSection(routes[key])) continue;
    const { price } = section(routes, key);
    const customUnits = checkUnits(section(routes, key, 'units'), ['routes', key], problems);
    checkPrice(price, { customUnits }, rates, ['routes', key, 'price'], problems);
  }
  if (isSection(section(input).models)) checkModels(section(input, 'models'), rates, problems);
}

/** The route's own units with what bounds them, for its price. */
function checkUnits(units: Section, route: PathSegments, problems: ProblemList): Units {
  return Object.fromEntries(
    Object.keys(units).map((name): [string, number] => {
      const { header, json, max } = section(units, name);
      const problem = customUnitProblem(name);
      if (problem !== null)
        problems.add(
          [...route, 'units', name],
          problem,
          'Choose another name, such as gpuMs or pages.',
        );
      else if (isSection(units[name]) && (header === undefined) === (json === undefined))
        problems.add(
          [...route, 'units', name],
          header === undefined ? 'does not say where it is read' : 'is read from two places',
          'Write either header: x-gpu-ms or json: usage.pages.',
        );
      return [name, countOfText(max) ?? 1];
    }),
  );
}

function checkPrice(
  rule: unknown,
  surroundings: PriceSurroundings,
  rates: Section,
  at: PathSegments,
  problems: ProblemList,
): void {
  let price: Price;
  try {
    price = parsePrice(rule, surroundings);
  } catch (error) {
    if (!(error instanceof PriceFormatError)) throw error;
    for (const problem of error.problems)
      problems.add([...at, ...problem.at], problem.message, problem.hint);
    return;
  }
  for (const symbol of currenciesOf(price))
    if (!Object.hasOwn(rates, symbol))
      problems.add(
        at,
        `needs what ${symbol} is worth in dollars`,
        `Add it under rates, such as rates: { ${symbol}: { usd: "1.08" } }.`,
      );
}

function checkModels(models: Section, rates: Section, problems: ProblemList): void {
  const providers = section(models, 'providers');
  const names = Object.keys(providers);
  const known = names.length === 0 ? 'Name one under providers.' : `Known: ${names.join(', ')}.`;
  for (const name of names)
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name))
      problems.add(
        ['models', 'providers', name],
        'is not a name of letters, digits and ._-',
        'Write a name such as openai: it stands before the slash in openai/gpt-4o.',
      );
  if (isSection(models.providers) && names.length === 0)
    problems.add(['models', 'providers'], 'has no provider', 'Add one, or remove models.');
  const prices = section(models, 'prices');
  for (const pattern of Object.keys(prices)) {
    const at = ['models', 'prices', pattern];
    const provider = /^([^/*]+)\//.exec(pattern)?.[1];
    if (pattern !== '*' && !pattern.includes('/') && !pattern.includes('*'))
      problems.add(at, 'is not provider/model', 'Write for example openai/gpt-4o or local/*.');
    else if (provider !== undefined && !names.includes(provider))
      problems.add(at, `"${provider}" is not a provider`, known);
    checkPrice(prices[pattern], { isCapped: true }, rates, at, problems);
  }
  if (models.markup === undefined && Object.keys(prices).length === 0)
    problems.add(
      ['models'],
      'has no price, so no model could be sold',
      'Add markup: 20% over list prices, or prices by model.',
    );
  checkAliases(section(models, 'aliases'), providers, known, problems);
}

function checkAliases(
  aliases: Section,
  providers: Section,
  known: string,
  problems: ProblemList,
): void {
  for (const [alias, targets] of Object.entries(aliases)) {
    if (alias === '' || alias.includes('/') || alias.includes('*'))
      problems.add(
        ['models', 'aliases', alias],
        'is not a name',
        'Write a name without a slash or a star, such as fast.',
      );
    for (const [index, target] of (Array.isArray(targets) ? targets : []).entries()) {
      if (typeof target !== 'string') continue;
      const at = ['models', 'aliases', alias, index];
      const [provider = '', ...rest] = target.split('/');
      const model = rest.join('/');
      if (model === '')
        problems.add(at, `"${target}" is not provider/model`, 'Write for example openai/gpt-4o.');
      else if (!Object.hasOwn(providers, provider))
        problems.add(at, `"${provider}" is not a provider`, known);
      else checkHasModel(section(providers, provider), provider, model, at, problems);
    }
  }
}

function checkHasModel(
  { models }: Section,
  provider: string,
  model: string,
  at: PathSegments,
  problems: ProblemList,
): void {
  if (!Array.isArray(models)) return;
  if (!models.some((pattern) => typeof pattern === 'string' && matchGlob(pattern, model)))
    problems.add(
      at,
      `${provider} has no model "${model}"`,
      `Add it to models.providers.${provider}.models, or name another.`,
    );
}
