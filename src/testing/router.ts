/** @file Which route a request is for, by method and path. */

import type { Route, RouteMethod } from './route.js'

export interface FoundRoute {
  readonly route: Route
  readonly params: Readonly<Record<string, string>>
}

/** Finds routes; those that name more of a path go before those that name less, and later ones before earlier ones. */
export type Router = (method: RouteMethod, path: string) => FoundRoute | undefined

export function routerOf(routes: readonly Route[]): Router {
  const compiled = routes
    .map((route, index) => ({ route, index, ...compile(route.path) }))
    .sort((a, b) => b.literal - a.literal || b.index - a.index)
  return (method, path) => {
    for (const { route, pattern, names } of compiled) {
      if (route.method !== method) continue
      const match = pattern.exec(path)
      if (match === null) continue
      const params = names.map((name, index): [string, string] => [name, decoded(match[index + 1] ?? '')])
      return { route, params: Object.fromEntries(params) }
    }
    return undefined
  }
}

function compile(path: string): {
  readonly pattern: RegExp
  readonly names: readonly string[]
  readonly literal: number
} {
  const names: string[] = []
  let literal = 0
  const source = path.split(/(\{[^}]+\})/).map((piece) => {
    if (!piece.startsWith('{')) {
      literal += piece.length
      return piece.replace(/[.*+?^$()|[\]\\]/g, '\\$&')
    }
    const isRest = piece.endsWith('*}')
    names.push(piece.slice(1, isRest ? -2 : -1))
    return isRest ? '(.*)' : '([^/]+)'
  })
  return { pattern: new RegExp(`^${source.join('')}$`), names, literal }
}

function decoded(text: string): string {
  try {
    return text.split('/').map(decodeURIComponent).join('/')
  } catch {
    return text
  }
}
