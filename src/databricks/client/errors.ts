/** @file What a workspace refuses and why, in words that say what to do. The forms in which it says so are many. */

import { shorten, withoutSecrets } from '../../errors.js'
import type { RefusedAnswer } from '../../http/rest.js'
import { ServiceError } from '../../http/service-error.js'
import { isObject } from '../../values.js'

/** Who asked, as far as remedies speak of it. */
export interface Asker {
  readonly server: string
  /** Kind of credentials: `pat`, `oauth-m2m`. */
  readonly authType: string
  /** Where they come from, as people know it: `DATABRICKS_TOKEN`, `the profile "dev" of ~/.databrickscfg`. */
  readonly source: string
}

interface Said {
  readonly errorCode?: string | undefined
  readonly message: string
}

/** The error for an answer that is none of success. */
export function databricksError({ status, headers, text }: RefusedAnswer, what: string, asker: Asker): ServiceError {
  const requestId = headers.get('x-databricks-request-id') ?? headers.get('x-request-id') ?? requestIdIn(text)
  const details = { status, requestId: requestId ?? undefined }
  const location = headers.get('location')
  if (status >= 300 && status < 400) return redirected(status, location ?? '', what, asker, details)
  const { errorCode, message } = saidIn(text)
  const got = [`HTTP ${status}`, errorCode, message && JSON.stringify(shorten(withoutSecrets(message)))]
  const known = requestId ? ` (request ${requestId})` : ''
  return new ServiceError(
    `[databricks] expected ${asker.server} to serve ${what}, got ${got.filter(Boolean).join(', ')}${known}; ` +
      remedy(status, errorCode, message, asker),
    { ...details, errorCode },
  )
}

/** Whether an error says that what was asked for is not there, in any of the ways in which workspaces say it. */
export function isMissing(error: unknown): boolean {
  if (!(error instanceof ServiceError)) return false
  const { status, errorCode, message } = error
  // Jobs, runs and clusters answer 400 for an id that they do not have.
  return status === 404 || (errorCode === 'INVALID_PARAMETER_VALUE' && /does not exist|doesn't exist/.test(message))
}

function saidIn(text: string): Said {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    // Some parts answer in plain text, proxies in front of them in HTML.
    const [, errorCode, message = ''] = /^([A-Z][A-Z_]+): (.*)/s.exec(text) ?? []
    if (errorCode !== undefined) return { errorCode, message: message.trim() }
    const [, shown = text] = /<pre[^>]*>(.*?)<\/pre>/s.exec(text) ?? /<title>(.*?)<\/title>/s.exec(text) ?? []
    return {
      message: shown
        .replace(/<[^>]*>/g, ' ')
        .replace(/\s+/g, ' ')
        .trim(),
    }
  }
  if (!isObject(json)) return { message: text.trim() }
  const { error_code, message, error, error_description, detail, status, scimType } = json
  // SCIM, which knows users and groups, has a form of its own.
  if (typeof detail === 'string')
    return {
      errorCode: `SCIM_${status}`,
      message: [scimType, detail].filter((part) => typeof part === 'string').join(' '),
    }
  const said = [message, error_description, error].find((part) => typeof part === 'string')
  const code = [error_code, error].find((part) => typeof part === 'string')
  return { errorCode: code as string | undefined, message: (said as string | undefined) ?? '' }
}

/** Some services name the request in `details` alone. */
function requestIdIn(text: string): string | undefined {
  return /"request_id"\s*:\s*"([\w-]{1,100})"/.exec(text)?.[1]
}

function redirected(
  status: number,
  location: string,
  what: string,
  { server }: Asker,
  details: { readonly status: number; readonly requestId: string | undefined },
): ServiceError {
  if (location.includes('error=private-link-validation-error'))
    return new ServiceError(
      `[databricks] expected ${server} to serve ${what}, but the workspace takes requests through a private link alone; run it ` +
        'inside the network that has the endpoint (AWS PrivateLink, Azure Private Link, Private Service Connect)',
      { ...details, errorCode: 'PRIVATE_LINK_VALIDATION_ERROR' },
    )
  return new ServiceError(
    `[databricks] expected ${server} to serve ${what}, got HTTP ${status}, a redirect as to a login page; check that DATABRICKS_HOST ` +
      'is the address of a workspace, such as https://adb-1234567890123456.7.azuredatabricks.net, and has no path',
    details,
  )
}

function remedy(status: number, errorCode: string | undefined, message: string, { authType, source }: Asker): string {
  const credentials = `the credentials (${authType}, from ${source})`
  if (/IP (?:address|access list)|blocked by/i.test(message))
    return 'an access list of the workspace lets nobody in from this address: ask an administrator'
  // A personal access token that is wrong or over gets 403 from Databricks, too.
  if (status === 401 || /invalid (?:access )?token|token (?:is|has) expired/i.test(message))
    return `it does not take ${credentials}: they may have expired, or belong to another workspace`
  if (status === 403) return `${credentials} may not do this: ask for the permission, or use others`
  if (status === 404 || /does not exist|doesn't exist/.test(message))
    return 'check the name, and that the credentials may see it'
  if (errorCode === 'RESOURCE_ALREADY_EXISTS' || status === 409)
    return 'it is there already: use another name, or delete it first'
  if (status === 429) return 'the workspace had too many requests: try again later, or ask for fewer (rateLimit)'
  return status >= 500 ? 'try again later' : 'correct what it says'
}
