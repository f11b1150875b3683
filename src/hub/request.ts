/** @file One GET to the Hub, with its token and its words for what it refuses. */

import { get, type HttpAnswer, type HttpOptions, type HttpTarget } from './http.js'
import { type HubSubject, refusal, what } from './hub-error.js'
import type { HubSettings } from './settings.js'

export interface RequestOptions extends HttpOptions {
  readonly settings: HubSettings
  readonly subject: HubSubject
}

/**
 * Asks until there is an answer of success, redirects followed.
 * @throws HubError when there is none after all attempts; the signal's reason when it is aborted
 */
export async function request(url: string, options: RequestOptions): Promise<HttpAnswer> {
  return await get(url, hubTarget(options), options)
}

/** A file or an answer of the Hub. */
export function hubTarget({ settings, subject }: Pick<RequestOptions, 'settings' | 'subject'>): HttpTarget {
  const { endpoint, token, answerTimeout, pieceTimeout } = settings
  return {
    what: what(subject),
    server: endpoint,
    where: 'hub',
    setting: ', and HF_ENDPOINT if it is set',
    token,
    answerTimeout,
    pieceTimeout,
    refusal: (response) => refusal(response, subject, settings),
  }
}
