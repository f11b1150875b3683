/** @file The routes by method and path, and what stands in the braces of a path. */

import { ApiError } from './api-error.js'

const ROUTES = [
  { method: 'GET', path: '/', isOpen: true },
  { method: 'GET', path: '/health', isOpen: true },
  { method: 'GET', path: '/ready', isOpen: true },
  { method: 'GET', path: '/metrics' },
  { method: 'GET', path: '/openapi.json', isOpen: true },
  { method: 'GET', path: '/v1/models' },
  { method: 'GET', path: '/v1/models/{id}' },
  { method: 'POST', path: '/v1/chat/completions' },
  { method: 'POST', path: '/v1/completions' },
  { method: 'POST', path: '/v1/responses' },
  { method: 'POST', path: '/v1/load_lora_adapter' },
  { method: 'POST', path: '/v1/unload_lora_adapter' },
] as const satisfies readonly { method: 'GET' | 'POST'; path: string; isOpen?: true }[]

type RoutePath = (typeof ROUTES)[number]['path']

export interface FoundRoute {
  readonly path: RoutePath
  readonly isOpen: boolean
  /** What stands in the braces, decoded; empty where there are none. */
  readonly id: string
}

const MODELS = '/v1/models/'

/** Routes of OpenAI that programs may try, and what to tell them. */
const NOT_DONE: Readonly<Record<string, string>> = {
  '/v1/embeddings': 'lowrank serves models that write text, and has no embeddings',
}

/**
 * @throws ApiError 404 where there is no such path, 405 where it takes another method
 */
export function findRoute(method: string, path: string): FoundRoute {
  const id = path.startsWith(MODELS) ? decoded(path.slice(MODELS.length)) : ''
  const route = ROUTES.find((known) => (id === '' ? known.path === path : known.path === '/v1/models/{id}'))
  if (route === undefined) {
    const instead = NOT_DONE[path] ?? 'GET /openapi.json lists the routes'
    throw new ApiError(404, 'invalid_request_error', `There is no such route; ${instead}.`, { code: 'unknown_url' })
  }
  if (route.method !== method && !(route.method === 'GET' && method === 'HEAD')) {
    const allow = route.method === 'GET' ? 'GET, HEAD' : route.method
    const message = `Expected ${allow} for ${route.path}, got another method.`
    throw new ApiError(405, 'invalid_request_error', message, { code: 'method_not_allowed', headers: { allow } })
  }
  return { path: route.path, isOpen: 'isOpen' in route, id }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
