import type { AddressInfo, Server } from 'node:net';

export function listeningUrl(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
