/** @file Which pages of other sites may ask from browsers. */

/** What tells a browser that the page of this origin may read the answer; empty where it may not. */
export function corsHeaders(request: Request, allowed: readonly string[]): Readonly<Record<string, string>> {
  const origin = request.headers.get('origin')
  if (origin === null || allowed.length === 0) return {}
  if (allowed.includes('*'))
    return { 'access-control-allow-origin': '*', 'access-control-expose-headers': 'x-request-id' }
  if (!allowed.includes(origin)) return { vary: 'Origin' }
  return { 'access-control-allow-origin': origin, 'access-control-expose-headers': 'x-request-id', vary: 'Origin' }
}

/** Whether a browser asks whether it may ask. */
export function isPreflight({ method, headers }: Request): boolean {
  return method === 'OPTIONS' && headers.has('access-control-request-method')
}

/** What a preflight is answered; nothing is allowed where the origin is not. */
export function preflightHeaders(cors: Readonly<Record<string, string>>): Record<string, string> {
  if (cors['access-control-allow-origin'] === undefined) return {}
  return {
    'access-control-allow-methods': 'GET, POST',
    // Clients of OpenAI add headers of their own, as x-stainless-lang.
    'access-control-allow-headers': '*, Authorization',
    'access-control-max-age': '600',
  }
}
