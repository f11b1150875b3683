/** @file Addresses of storage that the workspace lends for an hour, and how they are renewed once they have expired. */

import { ServiceError } from '../../../http/service-error.js'
import { isObject } from '../../../values.js'
import type { DatabricksClient } from '../connect.js'

/** An address with the headers that belong to it. Both are secret. */
export interface LentAddress {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
}

const LENT_FOR_MS = 3_600_000
/** Addresses in a row that have expired before they were used. */
const RENEWALS = 3

/** When an address may end, as the service wants it: without fractions of seconds. */
export function expireTime(now = Date.now()): string {
  return new Date(now + LENT_FOR_MS).toISOString().replace(/\.\d+Z$/, 'Z')
}

/** Whether storage said that the time of an address is over, as AWS, Azure and Google Cloud word it. */
function isExpired(error: unknown): boolean {
  if (!(error instanceof ServiceError) || (error.status !== 400 && error.status !== 403)) return false
  const { errorCode, message } = error
  if (errorCode === 'ExpiredToken') return true
  if (errorCode === 'AccessDenied') return message.includes('Request has expired')
  return errorCode === 'AuthenticationFailed' && message.includes('Signature not valid in the specified time frame')
}

/**
 * Asks storage with an address, and with a new one while it has expired.
 * @param lend Gives the address; with `isRenewed` a new one.
 */
export async function withAddress<T>(
  lend: (isRenewed: boolean) => Promise<LentAddress>,
  ask: (address: LentAddress) => Promise<T>,
): Promise<T> {
  for (let renewals = 0; ; renewals++) {
    try {
      return await ask(await lend(renewals > 0))
    } catch (error) {
      if (!isExpired(error) || renewals >= RENEWALS) throw error
    }
  }
}

/** An address as the service gives it. @throws ServiceError where it gives none */
export function addressOf(given: unknown, client: DatabricksClient, what: string): LentAddress {
  const { url, headers = [] } = isObject(given) ? given : {}
  if (typeof url !== 'string' || !URL.canParse(url) || !Array.isArray(headers)) {
    throw new ServiceError(
      `[databricks] expected ${client.server} to lend an address for ${what}, got none; try again later`,
    )
  }
  const pairs = headers.filter(isObject).map(({ name, value }) => [String(name), String(value)] as const)
  return { url, headers: Object.fromEntries(pairs) }
}

/** The addresses of the parts of one upload: some are asked for at once, and each is renewed alone. */
export class PartAddresses {
  readonly #client: DatabricksClient
  readonly #path: string
  readonly #sessionToken: string
  readonly #batch: number
  readonly #parts: number | undefined
  readonly #signal: AbortSignal | undefined
  readonly #lent = new Map<number, Promise<LentAddress>>()

  constructor(
    client: DatabricksClient,
    {
      path,
      sessionToken,
      batch,
      parts,
      signal,
    }: {
      path: string
      sessionToken: string
      batch: number
      parts: number | undefined
      signal: AbortSignal | undefined
    },
  ) {
    this.#client = client
    this.#path = path
    this.#sessionToken = sessionToken
    this.#batch = batch
    this.#parts = parts
    this.#signal = signal
  }

  /** The address of a part, from 1. */
  lend(part: number, isRenewed: boolean): Promise<LentAddress> {
    if (isRenewed || !this.#lent.has(part)) {
      const left = this.#parts === undefined ? this.#batch : Math.min(this.#batch, this.#parts - part + 1)
      const count = isRenewed ? 1 : left
      const batch = this.#ask(part, count)
      for (let number = part; number < part + count; number++) {
        const one = batch.then((addresses) => addresses.get(number) ?? this.#missing(number))
        // Whoever needs it sees the failure; the others of the batch are never asked for.
        one.catch(() => {})
        if (isRenewed || !this.#lent.has(number)) this.#lent.set(number, one)
      }
    }
    const address = this.#lent.get(part) as Promise<LentAddress>
    this.#lent.delete(part)
    return address
  }

  async #ask(part: number, count: number): Promise<Map<number, LentAddress>> {
    const what = `part ${part} of ${this.#path}`
    const answer = await this.#client.json<{ upload_part_urls?: unknown }>({
      method: 'POST',
      path: '/api/2.0/fs/create-upload-part-urls',
      json: {
        path: this.#path,
        session_token: this.#sessionToken,
        start_part_number: part,
        count,
        expire_time: expireTime(),
      },
      what: `addresses for parts of ${this.#path}`,
      // Addresses that nobody uses do no harm.
      isRepeatable: true,
      signal: this.#signal,
    })
    const list = Array.isArray(answer.upload_part_urls) ? answer.upload_part_urls.filter(isObject) : []
    return new Map(list.map((each) => [Number(each.part_number), addressOf(each, this.#client, what)]))
  }

  #missing(part: number): never {
    throw new ServiceError(
      `[databricks] expected ${this.#client.server} to lend an address for part ${part} of ${this.#path}, got none; try again later`,
    )
  }
}
