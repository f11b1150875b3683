/** @file Which endpoint is asked, how fast and for how much: options first, then the variables of OpenAI's clients. */

import { describeValue } from '../errors.js'
import type { Secret } from '../http/secret.js'
import { OptionError } from '../lowrank-error.js'
import { integer, number, textOf } from '../options/rules.js'
import type { OptionTable, Resolved } from '../options/table.js'

/** An endpoint with OpenAI's interface, and what may be asked of it. */
export interface EndpointOptions {
  /**
   * Address before `/chat/completions`, such as `http://127.0.0.1:8080/v1`.
   * @default OPENAI_BASE_URL, then https://api.openai.com/v1
   */
  baseUrl?: string
  /**
   * API key, sent to this address alone; never part of an error or a file.
   * @default OPENAI_API_KEY, or none
   */
  apiKey?: string
  /**
   * Requests that are open at the same time.
   * @default 4
   */
  concurrency?: number
  /**
   * Requests within any 60 seconds, tries included.
   * @default no limit
   */
  requestsPerMinute?: number
  /**
   * Tokens of requests and replies within any 60 seconds: estimated before a reply, counted after it.
   * @default no limit
   */
  tokensPerMinute?: number
  /**
   * Seconds that a reply may take, at most 300: `fetch` of Node waits no longer.
   * @default 120
   */
  timeout?: number
  /**
   * Times that a request is sent again after HTTP 408, 409, 429 or 5xx, a broken connection or no reply in time.
   * @default 6
   */
  maxRetries?: number
  /**
   * Price of a million tokens of requests, in any currency.
   * @default 0
   */
  inputPrice?: number
  /**
   * Price of a million tokens of replies.
   * @default 0
   */
  outputPrice?: number
  /**
   * What all requests together may cost; one that might pass it is not sent.
   * @default no limit
   */
  maxCost?: number
}

/** The options of an endpoint, to be part of the table of every function that asks one. */
export const ENDPOINT_OPTIONS = {
  baseUrl: {
    rule: textOf('an address such as http://127.0.0.1:8080/v1'),
    otherwise: 'OPENAI_BASE_URL, then https://api.openai.com/v1',
    help: 'address of the endpoint, before /chat/completions',
    flag: { name: '--base-url', argument: 'url', group: 'Endpoint' },
  },
  apiKey: {
    rule: { ...textOf('an API key as text'), isSecret: true },
    otherwise: 'OPENAI_API_KEY, or none',
    help: 'API key of the endpoint; better kept in OPENAI_API_KEY',
  },
  concurrency: {
    rule: integer({ min: 1, max: 1000 }),
    default: 4 as number,
    help: 'requests that are open at the same time',
    flag: { name: '--concurrency', argument: 'number' },
  },
  requestsPerMinute: {
    rule: integer({ min: 1 }),
    otherwise: 'no limit',
    help: 'requests within any 60 seconds',
    flag: { name: '--requests-per-minute', argument: 'number' },
  },
  tokensPerMinute: {
    rule: integer({ min: 1 }),
    otherwise: 'no limit',
    help: 'tokens of requests and replies within any 60 seconds',
    flag: { name: '--tokens-per-minute', argument: 'number' },
  },
  timeout: {
    rule: number({ above: 0, max: 300 }),
    default: 120 as number,
    help: 'seconds that a reply may take',
    flag: { name: '--timeout', argument: 'seconds' },
  },
  maxRetries: {
    rule: integer({ min: 0, max: 100 }),
    default: 6 as number,
    help: 'times that a request is sent again where the endpoint is busy or does not answer',
    flag: { name: '--max-retries', argument: 'number' },
  },
  inputPrice: {
    rule: number({ min: 0 }),
    default: 0 as number,
    help: 'price of a million tokens of requests',
    flag: { name: '--input-price', argument: 'price', group: 'Cost' },
  },
  outputPrice: {
    rule: number({ min: 0 }),
    default: 0 as number,
    help: 'price of a million tokens of replies',
    flag: { name: '--output-price', argument: 'price' },
  },
  maxCost: {
    rule: number({ min: 0 }),
    otherwise: 'no limit',
    help: 'what all requests together may cost; one that might pass it is not sent',
    flag: { name: '--max-cost', argument: 'cost' },
  },
} as const satisfies OptionTable<EndpointOptions>

/** `EndpointOptions` with their defaults. */
export type ResolvedEndpoint = Resolved<EndpointOptions, typeof ENDPOINT_OPTIONS>

/** Where requests go, and what is sent along. */
export interface Address {
  /** Without a slash at its end. */
  readonly baseUrl: string
  readonly key: Secret | undefined
}

const OPENAI = 'https://api.openai.com/v1'

/** @throws OptionError for an address or a key that cannot be one */
export function readAddress({ baseUrl, apiKey }: Pick<EndpointOptions, 'baseUrl' | 'apiKey'>): Address {
  const { OPENAI_BASE_URL, OPENAI_API_KEY } = process.env
  const [address, name] = baseUrl === undefined ? [OPENAI_BASE_URL || OPENAI, 'OPENAI_BASE_URL'] : [baseUrl, 'baseUrl']
  // Before anything shows it.
  if (address.includes('@'))
    throw new OptionError(
      `[endpoint] expected an address without name and password for ${name}; give the key in OPENAI_API_KEY`,
    )
  if (!URL.canParse(address) || !/^https?:/.test(address) || /[?#]/.test(address))
    throw new OptionError(
      `[endpoint] expected an http or https address without ? and # for ${name}, got ${describeValue(address)}; write it as ` +
        'http://127.0.0.1:8080/v1',
    )
  const key = (apiKey ?? OPENAI_API_KEY)?.trim()
  if (key && !/^[\x21-\x7e]+$/.test(key))
    throw new OptionError(
      `[endpoint] expected a key for ${apiKey === undefined ? 'OPENAI_API_KEY' : 'apiKey'}, got text that cannot be sent as one; correct it`,
    )
  return { baseUrl: address.replace(/\/+$/, ''), key: key ? { value: key } : undefined }
}
