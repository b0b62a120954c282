/** Coinslot: put it in front of an HTTP API, write a price beside each route, and callers pay per call. */

export {
  type Config,
  ConfigError,
  type ConfigInput,
  defineConfig,
  loadConfig,
  parseConfig,
} from './config.ts';
export { createGateway, type Gateway, type GatewayOptions } from './gateway.ts';
export { type RunningServer, serveNode } from './serve/node.ts';
