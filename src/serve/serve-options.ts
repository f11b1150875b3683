/** @file The options of `serve`: where it listens, and the limits of connections. */

import { integer, listOf, number, text } from '../options/rules.js'
import type { OptionTable } from '../options/table.js'

export interface ServeOptions {
  /**
   * The address to listen at. On others than loopback addresses everybody on the network may ask: give `apiKeys`.
   * @default '127.0.0.1'
   */
  host?: string
  /**
   * The port; 0 takes a free one.
   * @default 8000
   */
  port?: number
  /**
   * Names by which requests may call a server on a loopback address, beside localhost and the like. Others are refused:
   * a page of another site could call it by a name of its own.
   * @default none
   */
  allowedHosts?: readonly string[]
  /**
   * Connections at a time; further ones wait for the system to take them.
   * @default 1024
   */
  maxConnections?: number
  /**
   * Seconds in which the headers of a request must be there.
   * @default 20
   */
  headersTimeout?: number
  /**
   * Seconds that a connection without a request is kept.
   * @default 60
   */
  keepAliveTimeout?: number
}

const SECONDS = number({ above: 0, max: 86_400 })

export const SERVE_OPTIONS = {
  host: {
    rule: text,
    default: '127.0.0.1',
    help: 'the address to listen at; 0.0.0.0: all of this machine',
    flag: { name: '--host', argument: 'address', group: 'Server' },
  },
  port: {
    rule: integer({ min: 0, max: 65_535 }),
    default: 8000,
    help: 'the port; 0: a free one',
    flag: { name: '--port', argument: 'number' },
  },
  allowedHosts: {
    rule: listOf(text, 'names of hosts'),
    otherwise: 'none beside localhost and its addresses',
    help: 'a name by which requests may call a server on a loopback address',
    flag: { name: '--allowed-host', argument: 'name', isRepeatable: true },
  },
  maxConnections: {
    rule: integer({ min: 1 }),
    default: 1024,
    help: 'connections at a time',
    flag: { name: '--max-connections', argument: 'count' },
  },
  headersTimeout: {
    rule: SECONDS,
    default: 20,
    help: 'seconds in which the headers of a request must be there',
    flag: { name: '--headers-timeout', argument: 'seconds' },
  },
  keepAliveTimeout: {
    rule: SECONDS,
    default: 60,
    help: 'seconds that a connection without a request is kept',
    flag: { name: '--keep-alive-timeout', argument: 'seconds' },
  },
} as const satisfies OptionTable<ServeOptions>
