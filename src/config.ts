/** The config: its shape, its defaults and its checks; every problem is reported at once. */

import type { ConfigInput } from './config/schema.ts';

export { loadConfig } from './config/load-config.ts';
export type { ModelName, ModelSource, ModelsConfig } from './config/models.ts';
export {
  type Config,
  type ConfiguredRail,
  parseConfig,
  type UpstreamConfig,
} from './config/parse-config.ts';
export { ConfigError, type ConfigProblem } from './config/problems.ts';
export type { ConfiguredRoute } from './config/routes.ts';
export type { Listen } from './config/scalars.ts';
export type { ConfigInput } from './config/schema.ts';
export type { Env } from './config/substitute.ts';

/** Gives a config in code its types; changes nothing. */
export function defineConfig(input: ConfigInput): ConfigInput {
  return input;
}
