/**
 * @file Which proxy a request goes through: HTTPS_PROXY, HTTP_PROXY and NO_PROXY, or the same in lower case, as curl
 * and Python's requests read them. Sends nothing.
 */

import { BlockList, isIP } from 'node:net'
import { OptionError } from '../lowrank-error.js'

/** A proxy of the environment. */
export interface ProxyServer {
  /** Its origin, without name and password. */
  readonly url: string
  /** The variable that names it. */
  readonly variable: string
  /** What `proxy-authorization` says; undefined: nothing. */
  readonly authorization: string | undefined
}

/**
 * The proxy for an address; undefined: it is asked without one, as this machine itself always is.
 * @throws OptionError for a variable that names no proxy
 */
export function proxyFor(address: string): ProxyServer | undefined {
  const { protocol, hostname, port } = new URL(address)
  const isSafe = protocol === 'https:'
  const [variable, value] = setting(isSafe ? 'HTTPS_PROXY' : 'HTTP_PROXY')
  if (value === '') return undefined
  const host = hostname.replace(/^\[|\]$/g, '').toLowerCase()
  if (isLoopback(host) || isExcepted(host, port === '' ? (isSafe ? '443' : '80') : port)) return undefined
  return parseProxy(value, variable)
}

/** Whether the environment names a proxy at all. */
export function hasProxy(): boolean {
  return setting('HTTPS_PROXY')[1] !== '' || setting('HTTP_PROXY')[1] !== ''
}

/** The lower-case spelling goes first, as in curl. */
function setting(name: string): readonly [name: string, value: string] {
  for (const variable of [name.toLowerCase(), name]) {
    const value = process.env[variable]?.trim()
    if (value) return [variable, value]
  }
  return [name, '']
}

function parseProxy(value: string, variable: string): ProxyServer {
  const address = value.includes('://') ? value : `http://${value}`
  if (!URL.canParse(address) || !/^https?:\/\//i.test(address)) {
    // The value itself may hold a password.
    throw new OptionError(
      `[http] expected the address of an http or https proxy for ${variable}, got another; write it as http://HOST:PORT`,
    )
  }
  const { origin, username, password } = new URL(address)
  const pair = `${decoded(username)}:${decoded(password)}`
  const authorization = pair === ':' ? undefined : `Basic ${Buffer.from(pair).toString('base64')}`
  return { url: origin, variable, authorization }
}

/** A password may have a `%` of its own. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** Addresses of this machine, which no proxy can reach. */
function isLoopback(host: string): boolean {
  return host === 'localhost' || host.endsWith('.localhost') || inRange('127.0.0.0', 8, host) || host === '::1'
}

/** Entries of NO_PROXY: `*`, a host with all below it, an address, a range of addresses; with a port or without. */
function isExcepted(host: string, port: string): boolean {
  return setting('NO_PROXY')[1]
    .toLowerCase()
    .split(/[\s,]+/)
    .some((entry) => entry !== '' && matches(entry, host, port))
}

function matches(entry: string, host: string, port: string): boolean {
  if (entry === '*') return true
  const [, range = '', bits = ''] = /^([\d.]+|[\da-f:]+)\/(\d{1,3})$/.exec(entry) ?? []
  if (bits !== '') return inRange(range, Number(bits), host)
  const [, name = entry, wanted] = isIP(entry) ? [] : (/^(.+?)(?::(\d+))?$/.exec(entry) ?? [])
  if (wanted !== undefined && wanted !== port) return false
  const bare = name.replace(/^\*?\./, '').replace(/^\[|\]$/g, '')
  return host === bare || (isIP(host) === 0 && host.endsWith(`.${bare}`))
}

function inRange(network: string, bits: number, host: string): boolean {
  const family = isIP(network)
  if (family === 0 || bits > (family === 4 ? 32 : 128)) return false
  const range = new BlockList()
  range.addSubnet(network, bits, family === 4 ? 'ipv4' : 'ipv6')
  const own = isIP(host)
  return own !== 0 && range.check(host, own === 4 ? 'ipv4' : 'ipv6')
}
