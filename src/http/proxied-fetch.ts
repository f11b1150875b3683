/**
 * @file `fetch` that goes through the proxy that the environment names. Node has that from 24 on and only where
 * NODE_USE_ENV_PROXY says so; all versions do the same here. Every request of src/ goes through this file.
 */

import { request as connect } from 'node:http'
import { request as connectSafely } from 'node:https'
import { createRequire } from 'node:module'
import type { Socket } from 'node:net'
import type { Dispatcher } from 'undici'
import { OptionError } from '../lowrank-error.js'
import { hasProxy, type ProxyServer, proxyFor } from './proxy.js'

/** The connection was never made, so that nothing was done. */
const NEVER_SENT = ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'UND_ERR_CONNECT_TIMEOUT']
/** Milliseconds, as undici waits for a connection. */
const CONNECT_TIMEOUT = 10_000
/** A proxy lets nobody through who does not say who asks. */
const AUTHENTICATION_REQUIRED = 407
/** Nothing was done, and asking again gets the same answer. */
const REFUSED = 'LOWRANK_PROXY_REFUSED'
/** Nothing was done, and the proxy may reach the server later. */
const UNREACHED = 'LOWRANK_PROXY_UNREACHED'

/** `fetch`, through a proxy where the environment names one for the address. Redirects are looked at one by one. */
export async function proxiedFetch(url: string, init: RequestInit): Promise<Response> {
  // Deno and Bun read these variables themselves.
  if (!hasProxy() || process.versions.bun !== undefined || 'deno' in process.versions) return await fetch(url, init)
  proxyFor(url)
  // Types of two versions of undici differ in what is not used here.
  const options = { ...init, dispatcher: dispatcher() } as never
  return (await undici().fetch(url, options)) as unknown as Response
}

/**
 * undici, which Node has inside and gives to nobody. Loaded where a proxy is named, and in a way that bundlers leave
 * alone: it is CommonJS.
 * @throws OptionError where a bundle has left it behind
 */
function undici(): typeof import('undici') {
  try {
    return createRequire(import.meta.url)('undici') as typeof import('undici')
  } catch (cause) {
    const message = '[http] expected the package undici for the proxy that the environment names, got none'
    throw new OptionError(`${message}; install undici beside the bundle, or name the servers in NO_PROXY`, { cause })
  }
}

/** Whether what `fetch` threw says that the server was not reached, so that it did nothing. */
export function isNeverSent(thrown: unknown): boolean {
  return [...NEVER_SENT, UNREACHED].includes(codeOf(thrown)) || isRefusedByProxy(thrown)
}

/** Whether what `fetch` threw is a proxy's no, which stays one. */
export function isRefusedByProxy(thrown: unknown): boolean {
  return codeOf(thrown) === REFUSED
}

/**
 * What to look at, behind an error that says why there was no answer; empty where no proxy has a part in it.
 * @param url The address that was asked.
 */
export function proxyHint(url: string, thrown: unknown): string {
  const code = codeOf(thrown)
  if (code === REFUSED || code === UNREACHED) return ''
  const proxy = proxyFor(url)
  if (proxy !== undefined)
    return `. It went through the proxy ${proxy.url} (${proxy.variable}): check that one too, or name the server in NO_PROXY`
  if (hasProxy() || !(process.env.all_proxy || process.env.ALL_PROXY)) return ''
  return '. ALL_PROXY is not read: set HTTPS_PROXY where a proxy is in between'
}

function codeOf(thrown: unknown): string {
  const { cause } = (thrown ?? {}) as Error
  return (cause as NodeJS.ErrnoException | undefined)?.code ?? ''
}

let shared: Dispatcher | undefined

/** One way to the network for all requests, which keeps connections open; it finds the proxy of each. */
function dispatcher(): Dispatcher {
  shared ??= createDispatcher()
  return shared
}

function createDispatcher(): Dispatcher {
  const { Agent, buildConnector, Pool } = undici()
  const encrypt = buildConnector({})
  const tunnels = kept(
    (proxy) =>
      new Agent({
        connect: (options, callback) => {
          openTunnel(proxy, `${options.hostname}:${options.port || 443}`).then(
            (httpSocket) => encrypt({ ...options, httpSocket }, callback),
            (error: Error) => callback(error, null),
          )
        },
      }),
  )
  const pools = kept(({ url }) => new Pool(url))
  return new Agent().compose((direct) => (options, handler) => {
    const origin = new URL(String(options.origin))
    const proxy = proxyFor(origin.href)
    if (proxy === undefined) return direct(options, handler)
    if (origin.protocol === 'https:') return tunnels(proxy).dispatch(options, handler)
    // Proxies mostly open tunnels to port 443 alone: what is not encrypted is asked of the proxy itself.
    const headers = { ...headersOf(options.headers), host: origin.host, ...authorizationOf(proxy) }
    return pools(proxy).dispatch(
      { ...options, origin: proxy.url, path: origin.origin + options.path, headers },
      tellingRefusal(handler, proxy),
    )
  })
}

/** `fetch` makes an error without a reason of HTTP 407, as its standard says: here the proxy's no is the reason. */
function tellingRefusal(handler: Dispatcher.DispatchHandler, proxy: ProxyServer): Dispatcher.DispatchHandler {
  return {
    onRequestStart: (controller, context) => handler.onRequestStart?.(controller, context),
    onResponseStart(controller, status, headers, message) {
      if (status === AUTHENTICATION_REQUIRED) controller.abort(refusal(proxy, status))
      else handler.onResponseStart?.(controller, status, headers, message)
    },
    onResponseData: (controller, piece) => handler.onResponseData?.(controller, piece),
    onResponseEnd: (controller, trailers) => handler.onResponseEnd?.(controller, trailers),
    onResponseError: (controller, error) => handler.onResponseError?.(controller, error),
  }
}

/** Makes one of each proxy. */
function kept(make: (proxy: ProxyServer) => Dispatcher): (proxy: ProxyServer) => Dispatcher {
  const made = new Map<string, Dispatcher>()
  return (proxy) => {
    const key = `${proxy.url} ${proxy.authorization}`
    const one = made.get(key) ?? make(proxy)
    made.set(key, one)
    return one
  }
}

/** `fetch` gives names and values in turn, or as pairs. */
function headersOf(headers: Dispatcher.DispatchOptions['headers']): Record<string, string> {
  if (!Array.isArray(headers)) return { ...(headers as Record<string, string> | undefined) }
  const named: Record<string, string> = {}
  for (let index = 0; index < headers.length; index += 2) named[String(headers[index])] = String(headers[index + 1])
  return named
}

function authorizationOf({ authorization }: ProxyServer): Record<string, string> {
  return authorization === undefined ? {} : { 'proxy-authorization': authorization }
}

/** A connection to a server through a proxy. The `ProxyAgent` of undici does not tell why a proxy says no. */
function openTunnel(proxy: ProxyServer, server: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const open = proxy.url.startsWith('https:') ? connectSafely : connect
    const request = open(proxy.url, {
      method: 'CONNECT',
      path: server,
      headers: { host: server, ...authorizationOf(proxy) },
      agent: false,
      timeout: CONNECT_TIMEOUT,
    })
    request.on('timeout', () => {
      const message = `the proxy did not answer for ${CONNECT_TIMEOUT / 1000} s`
      request.destroy(Object.assign(new Error(message), { code: 'UND_ERR_CONNECT_TIMEOUT' }))
    })
    request.on('error', reject)
    request.on('connect', ({ statusCode = 0 }, socket) => {
      if (statusCode >= 200 && statusCode < 300) {
        socket.setTimeout(0)
        resolve(socket)
        return
      }
      socket.destroy()
      reject(refusal(proxy, statusCode))
    })
    request.end()
  })
}

/** What the proxy said in place of opening a way. */
function refusal({ url, variable, authorization }: ProxyServer, status: number): Error {
  const got = `the proxy ${url} (${variable}) answered HTTP ${status}`
  const why =
    status === AUTHENTICATION_REQUIRED
      ? `${got}: it ${authorization === undefined ? 'wants' : 'does not take'} the name and password that stand before @ in ${variable}`
      : `${got} in place of a way to the server`
  return Object.assign(new Error(why), { code: status < 500 ? REFUSED : UNREACHED })
}
