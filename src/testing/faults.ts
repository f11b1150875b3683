/** @file Faults of the loopback workspace: which requests meet one, and what it is. */

/** What happens to a request in place of, or besides, its answer. */
export type Fault =
  /** Answers so, and does nothing. A body that is no text is sent as JSON. */
  | {
      readonly status: number
      readonly headers?: Readonly<Record<string, string>>
      readonly body?: string | Readonly<Record<string, unknown>>
    }
  /** Ends the connection before anything is done. */
  | 'reset'
  /** Does what was asked, and ends the connection in place of the answer. */
  | 'lost-answer'
  /** Does what was asked, sends that many bytes of the answer's body, and ends the connection. */
  | { readonly cutAfter: number }
  /** Reads that many bytes of the request's body, and ends the connection; nothing is done. */
  | { readonly cutRequestAfter: number }
  /** Does what was asked, sends that many bytes of the answer's body, and then nothing more on an open connection. */
  | { readonly stallAfter: number }
  /** Waits that many milliseconds before anything is done. */
  | { readonly delay: number }
  /** Answers a list with that many pages without items, each with a token of the next, before the first real one. */
  | { readonly emptyPages: number }

/** Which requests meet a fault. */
export interface FaultRule {
  /**
   * Method of the request.
   * @default any
   */
  readonly method?: string
  /** Tested on path and query of the request, not decoded. */
  readonly path: RegExp
  /**
   * Whether it is for requests to the workspace or to the presigned addresses of its own storage.
   * @default both
   */
  readonly host?: 'workspace' | 'storage'
  /**
   * How many requests meet it.
   * @default 1
   */
  readonly times?: number
  /**
   * How many requests that match pass before it begins.
   * @default 0
   */
  readonly skip?: number
  readonly with: Fault
}

const XML = { 'content-type': 'application/xml' }
const xml = (code: string, message: string, more = ''): string =>
  `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>${message}</Message>${more}</Error>`

/** Faults as the services word them, for `with` of a rule. */
export const FAULTS = {
  /** 429 of the workspace. @param seconds what `Retry-After` says */
  rateLimited: (seconds = 0): Fault => ({
    status: 429,
    headers: { 'retry-after': String(seconds) },
    body: { error_code: 'REQUEST_LIMIT_EXCEEDED', message: 'The request was rejected because of the rate limit.' },
  }),
  /** 503 of the workspace. */
  unavailable: (seconds?: number): Fault => ({
    status: 503,
    headers: seconds === undefined ? {} : { 'retry-after': String(seconds) },
    body: { error_code: 'TEMPORARILY_UNAVAILABLE', message: 'The service is temporarily unavailable.' },
  }),
  /** A page for people, as a gateway before the workspace sends it. */
  html: (status = 502): Fault => ({
    status,
    headers: { 'content-type': 'text/html;charset=utf-8' },
    body: `<html>\n<head><title>Error ${status}</title></head>\n<body><h2>HTTP ERROR ${status}</h2>\n<pre>Bad Gateway</pre></body>\n</html>\n`,
  }),
  /** What a workspace behind a private link answers to those outside: it sends them to its page for logging in. */
  loginRedirect: (): Fault => ({
    status: 303,
    headers: { location: '/login.html?error=private-link-validation-error' },
    body: '',
  }),
  /** What a storage answers to an address whose time is over. */
  expired: (cloud: 'AWS' | 'Azure' | 'GCP' = 'AWS'): Fault => {
    if (cloud === 'GCP')
      return {
        status: 400,
        headers: XML,
        body: xml('ExpiredToken', 'Invalid argument.', '<Details>The provided token has expired.</Details>'),
      }
    if (cloud === 'AWS') return { status: 403, headers: XML, body: xml('AccessDenied', 'Request has expired') }
    const message = 'Server failed to authenticate the request.'
    const detail = 'Signature not valid in the specified time frame'
    return {
      status: 403,
      headers: { ...XML, 'x-ms-error-code': 'AuthenticationFailed' },
      body: xml('AuthenticationFailed', message, `<AuthenticationErrorDetail>${detail}</AuthenticationErrorDetail>`),
    }
  },
  /** What a storage answers to a part where a firewall permits the workspace alone. */
  partRefused: (): Fault => ({ status: 403, headers: XML, body: xml('AccessDenied', 'Access Denied') }),
  /** A resumable upload of which the storage has the first bytes. */
  partial: (bytes: number): Fault => ({
    status: 308,
    headers: bytes > 0 ? { range: `bytes=0-${bytes - 1}` } : {},
    body: '',
  }),
  /** A statement that fails: the service says so with status 200. */
  statementFailed: (message = '[DIVIDE_BY_ZERO] Division by zero.', errorCode = 'BAD_REQUEST'): Fault => ({
    status: 200,
    body: { statement_id: 'failed-by-rule', status: { state: 'FAILED', error: { error_code: errorCode, message } } },
  }),
} as const

/** Rules in the order in which they were added, with what is left of each. */
export interface FaultList {
  add(rule: FaultRule): void
  /** The fault that this request meets. It counts as met. */
  take(host: 'workspace' | 'storage', method: string, path: string): Fault | undefined
  /** Rules that have requests left to meet. */
  pending(): readonly FaultRule[]
}

export function createFaults(): FaultList {
  const entries: { readonly rule: FaultRule; skip: number; left: number }[] = []
  return {
    add: (rule) => void entries.push({ rule, skip: rule.skip ?? 0, left: rule.times ?? 1 }),
    take(host, method, path) {
      for (const entry of entries) {
        const { rule } = entry
        if (entry.left <= 0 || (rule.host ?? host) !== host || (rule.method ?? method) !== method) continue
        rule.path.lastIndex = 0
        if (!rule.path.test(path)) continue
        if (entry.skip > 0) entry.skip--
        else {
          entry.left--
          return rule.with
        }
      }
      return undefined
    },
    pending: () => entries.filter(({ left }) => left > 0).map(({ rule }) => rule),
  }
}
