/** @file What is told of a request that is over: figures, and nothing that a prompt, an answer or a key says. */

/** A line of the log. Fields that do not apply are left out. */
export interface RequestLogEntry {
  /** When it came, as ISO 8601. */
  readonly time: string
  /** The header `x-request-id` of the answer. */
  readonly id: string
  readonly method: string
  /** The route, as `/v1/models/{id}`; `unknown` for every other path. */
  readonly route: string
  /** 499 where the client went away first. */
  readonly status: number
  readonly milliseconds: number
  /** A model that there is. */
  readonly model?: string
  readonly stream?: boolean
  readonly promptTokens?: number
  readonly cachedTokens?: number
  readonly completionTokens?: number
  /** Until the first token came. */
  readonly firstTokenMilliseconds?: number
  /** `code` or `type` of the error that was answered. */
  readonly error?: string
  /** What failed inside of the server, where it did: an error of the engine or of the files. */
  readonly reason?: string
}

/** An entry while its request is answered. */
export type OpenLogEntry = { -readonly [Name in keyof RequestLogEntry]: RequestLogEntry[Name] }
