/** @file Requests through the proxy of the environment: which go there, what it sees, and what is said of its no. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { request as ask } from 'node:http'
import { createServer } from 'node:https'
import { type AddressInfo, createServer as createSocketServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { connectDatabricks } from '../../src/databricks/client/connect.js'
import { currentUser } from '../../src/databricks/client/current-user.js'
import { streamFile, uploadFile } from '../../src/databricks/client/files/files.js'
import { proxyFor } from '../../src/http/proxy.js'
import { createRest, type RefusedAnswer, type RestClient } from '../../src/http/rest.js'
import { ServiceError } from '../../src/http/service-error.js'
import { fetchModel } from '../../src/hub/fetch-model.js'
import { ENDPOINT_OPTIONS, type EndpointOptions } from '../../src/openai/endpoint-options.js'
import { OpenAIClient } from '../../src/openai/openai-client.js'
import { readOptions } from '../../src/options/table.js'
import { type LoopbackWorkspace, startWorkspace } from '../../src/testing/workspace.js'
import { lowrank } from '../cli/run-cli.js'
import { selfSigned } from '../support/certificate.js'
import { type ProxyServer, startProxy } from '../support/proxy-server.js'
import { allRows } from '../support/read-rows.js'

const PASSWORD = 'planted-proxy-p%40ss'
const BASIC = `Basic ${Buffer.from('me:planted-proxy-p@ss').toString('base64')}`
const HOST = 'workspace.test'

const closers: (() => unknown)[] = []
let workspace: LoopbackWorkspace
let proxy: ProxyServer

beforeEach(async () => {
  for (const name of ['HTTPS_PROXY', 'HTTP_PROXY', 'NO_PROXY', 'ALL_PROXY'])
    for (const variable of [name, name.toLowerCase()]) vi.stubEnv(variable, '')
  workspace = await startWorkspace()
  closers.push(() => workspace.close())
  proxy = await startProxy({ [HOST]: Number(new URL(workspace.url).port) })
  closers.push(() => proxy.close())
})
afterEach(async () => {
  vi.unstubAllEnvs()
  for (const close of closers.splice(0).reverse()) await close()
})

const TARGET = {
  where: 'service',
  setting: '',
  errorOf: ({ status, text }: RefusedAnswer, { what }: { what: string }) =>
    new ServiceError(`[service] ${what}: ${status} ${text}`, { status }),
  // No time passes between two tries.
  clock: { now: () => 0, pause: async () => {} },
}

function client(server: string, budget = 300_000): RestClient {
  const authorize = async () => ({ authorization: `Bearer ${workspace.token}` })
  return createRest({ ...TARGET, server, budget, authorize })
}

async function failure(action: Promise<unknown>): Promise<Error> {
  const error = await action.then(
    () => new Error('it did not fail'),
    (thrown: unknown) => thrown as Error,
  )
  expect(inspect(error, { depth: 9 })).not.toMatch(/planted-proxy|cGxhbnRl|bWU6cGxh/)
  return error
}

const ME = { path: '/api/2.0/preview/scim/v2/Me', what: 'who asks' }

test('a request without encryption is asked of the proxy, which alone sees name and password', async () => {
  vi.stubEnv('HTTP_PROXY', `http://me:${PASSWORD}@127.0.0.1:${proxy.port}`)
  const databricks = await connectDatabricks({ host: `http://${HOST}`, token: workspace.token })
  expect(await currentUser({ databricks })).toMatchObject({ userName: expect.any(String) })
  expect(proxy.seen).toEqual([`GET http://${HOST}${ME.path} ${BASIC}`])
  expect(workspace.requests.map(({ headers }) => headers.host)).toEqual([HOST])
  expect(workspace.requests[0]?.headers).not.toHaveProperty('proxy-authorization')
})

test('files go up and down through a proxy, in parts as streams', async () => {
  vi.stubEnv('http_proxy', `127.0.0.1:${proxy.port}`)
  const databricks = await connectDatabricks({ host: `http://${HOST}`, token: workspace.token })
  const bytes = Buffer.alloc(6 * 2 ** 20 + 17, 'row')
  await uploadFile(bytes, '/Volumes/main/chat/files/rows', { databricks, partSize: 5 * 2 ** 20 })
  const pieces: Uint8Array[] = []
  for await (const piece of streamFile('/Volumes/main/chat/files/rows', { databricks })) pieces.push(piece)
  expect(Buffer.concat(pieces).equals(bytes)).toBe(true)
  expect(proxy.seen.some((line) => line.includes('?action=initiate-upload'))).toBe(true)
})

test('a proxy sends a request once, also where Node itself is told to use one', async () => {
  vi.stubEnv('NODE_USE_ENV_PROXY', '1')
  vi.stubEnv('HTTP_PROXY', `http://127.0.0.1:${proxy.port}`)
  await client(`http://${HOST}`).json({ ...ME, isRepeatable: false })
  expect(proxy.seen).toHaveLength(1)
  expect(workspace.requests).toHaveLength(1)
})

test.each([
  ['a tunnel', `https://${HOST}`, 'HTTPS_PROXY', `CONNECT ${HOST}:443`],
  ['a plain request', `http://${HOST}`, 'HTTP_PROXY', `GET http://${HOST}${ME.path}`],
])('a proxy that asks who asks for %s is a clear error after one try', async (_, server, variable, line) => {
  vi.stubEnv(variable, `http://127.0.0.1:${proxy.port}`)
  proxy.refusals.push(407, 407)
  expect((await failure(client(server).json(ME))).message).toBe(
    `[service] cannot reach ${server} for who asks: the proxy http://127.0.0.1:${proxy.port} (${variable}) answered HTTP 407: it ` +
      `wants the name and password that stand before @ in ${variable}; check the connection`,
  )
  vi.stubEnv(variable, `http://me:${PASSWORD}@127.0.0.1:${proxy.port}`)
  expect((await failure(client(server).json(ME))).message).toContain('it does not take the name and password')
  expect(proxy.seen).toEqual([line, `${line} ${BASIC}`])
})

test('a tunnel that a proxy cannot open is tried again, whatever the request is, and one that it forbids is not', async () => {
  vi.stubEnv('HTTPS_PROXY', `http://127.0.0.1:${proxy.port}`)
  const rest = client(`https://${HOST}`)
  proxy.refusals.push(502, 503, 403)
  expect((await failure(rest.json({ ...ME, method: 'POST', json: {} }))).message).toContain(
    `(HTTPS_PROXY) answered HTTP 403 in place of a way to the server; check the connection`,
  )
  expect(proxy.seen).toHaveLength(3)
})

test('a proxy that is not there is named, without its password', async () => {
  vi.stubEnv('HTTPS_PROXY', `http://me:${PASSWORD}@127.0.0.1:${await closedPort()}`)
  const rest = client(`https://${HOST}`, 0)
  expect((await failure(rest.json(ME))).message).toMatch(
    /ECONNREFUSED.*; check the connection\. It went through the proxy http:\/\/127\.0\.0\.1:\d+ \(HTTPS_PROXY\): check that one too, or name the server in NO_PROXY$/,
  )
})

test.each(['socks5://me:planted-proxy-p@127.0.0.1:1080', 'http://me:planted-proxy-p@:x'])(
  'what is no address of a proxy is refused before anything is sent (%#)',
  async (value) => {
    vi.stubEnv('https_proxy', value)
    expect((await failure(client(`https://${HOST}`).json(ME))).message).toBe(
      '[http] expected the address of an http or https proxy for https_proxy, got another; write it as http://HOST:PORT',
    )
  },
)

test('a file of the Hub, one of a server and the reply of an endpoint are asked for through a proxy', async () => {
  for (const name of ['HF_HUB_OFFLINE', 'HF_TOKEN', 'OPENAI_API_KEY']) vi.stubEnv(name, '')
  vi.stubEnv('HTTPS_PROXY', `http://127.0.0.1:${proxy.port}`)
  proxy.refusals.push(407, 407, 407)
  const cache = await mkdtemp(join(tmpdir(), 'lowrank-proxy-'))
  closers.push(() => rm(cache, { recursive: true }))
  vi.stubEnv('HF_HUB_CACHE', cache)
  vi.stubEnv('LOWRANK_CACHE', cache)
  const options: EndpointOptions = { baseUrl: 'https://endpoint.test/v1', maxRetries: 3 }
  const endpoint = readOptions('endpoint', options, ENDPOINT_OPTIONS)
  const request = { model: 'm', messages: [{ role: 'user', content: 'Hello' }], maxTokens: 5 } as const
  const actions = [
    () => fetchModel('org/name', 'org/name'),
    () => allRows('https://rows.test/rows.jsonl'),
    () => new OpenAIClient(endpoint, { promptTokens: 0, completionTokens: 0 }).chat(request),
  ]
  for (const action of actions)
    expect((await failure(action())).message).toContain('(HTTPS_PROXY) answered HTTP 407: it wants')
  expect(proxy.seen).toEqual(['huggingface.co', 'rows.test', 'endpoint.test'].map((host) => `CONNECT ${host}:443`))
})

test.each([
  ['', 'https://a.test/x', true],
  ['*', 'https://a.test/x', false],
  ['b.test, a.test', 'https://a.test/x', false],
  ['b.test a.test', 'https://A.TEST/x', false],
  ['test', 'https://a.test/x', false],
  ['.test', 'https://a.test/x', false],
  ['*.test', 'https://a.test/x', false],
  ['.a.test', 'https://a.test/x', false],
  ['.test', 'https://attest/x', true],
  ['a.test:443', 'https://a.test/x', false],
  ['a.test:8443', 'https://a.test/x', true],
  ['a.test:8443', 'https://a.test:8443/x', false],
  ['10.0.0.0/8', 'https://10.1.2.3/x', false],
  ['10.0.0.0/8', 'https://11.1.2.3/x', true],
  ['10.0.0.0/99', 'https://10.1.2.3/x', true],
  ['10.1.2.3', 'https://10.1.2.3/x', false],
  ['2.3', 'https://10.1.2.3/x', true],
  ['fd00::/8', 'https://[fd00::1]/x', false],
  ['fe80::1', 'https://[fd00::1]/x', true],
  ['[fd00::1]:443', 'https://[fd00::1]/x', false],
  ['', 'https://localhost:8443/x', false],
  ['', 'https://127.0.0.2/x', false],
  ['', 'https://[::1]/x', false],
])('NO_PROXY %j sends %s through the proxy: %s', (exceptions, url, isProxied) => {
  vi.stubEnv('HTTPS_PROXY', 'https://me@proxy.test:3128/')
  vi.stubEnv('NO_PROXY', exceptions)
  const authorization = `Basic ${Buffer.from('me:').toString('base64')}`
  const expected = { url: 'https://proxy.test:3128', variable: 'HTTPS_PROXY', authorization }
  expect(proxyFor(url)).toEqual(isProxied ? expected : undefined)
})

test('each kind of address has its own variable, and the lower-case spelling goes first', () => {
  vi.stubEnv('HTTP_PROXY', 'http://upper.test:1')
  expect(proxyFor('https://a.test')).toBeUndefined()
  expect(proxyFor('http://a.test')?.url).toBe('http://upper.test:1')
  vi.stubEnv('http_proxy', 'lower.test:1')
  expect(proxyFor('http://a.test')).toMatchObject({ url: 'http://lower.test:1', variable: 'http_proxy' })
  vi.stubEnv('no_proxy', 'a.test')
  vi.stubEnv('NO_PROXY', 'b.test')
  expect(proxyFor('http://a.test')).toBeUndefined()
  expect(proxyFor('http://b.test')).toBeDefined()
})

test('the command line asks a workspace by https through a tunnel, and ends when it is done', async () => {
  const { cert, key } = selfSigned(HOST)
  const server = createServer({ cert, key }, (request, response) => {
    const { method, url: path, headers } = request
    const onward = ask(`${workspace.url}${path}`, { method, headers }, (answer) =>
      answer.pipe(response.writeHead(answer.statusCode ?? 500, answer.headers)),
    )
    request.pipe(onward)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const tunnels = await startProxy({ [`${HOST}:443`]: (server.address() as AddressInfo).port })
  const folder = await mkdtemp(join(tmpdir(), 'lowrank-proxy-'))
  closers.push(
    () => rm(folder, { recursive: true }),
    () => tunnels.close(),
    () => server.close(),
  )
  await writeFile(join(folder, 'ca.pem'), cert)
  const env = {
    HOME: folder,
    NODE_EXTRA_CA_CERTS: join(folder, 'ca.pem'),
    HTTPS_PROXY: `http://me:${PASSWORD}@127.0.0.1:${tunnels.port}`,
    DATABRICKS_HOST: HOST,
    DATABRICKS_TOKEN: workspace.token,
  }
  const done = await lowrank(['databricks', 'whoami'], { env })
  expect(done).toMatchObject({ code: 0, stderr: '' })
  expect(done.stdout).toContain('someone@example.com')
  expect(tunnels.seen).toEqual([`CONNECT ${HOST}:443 ${BASIC}`])
  const excepted = await lowrank(['databricks', 'whoami'], {
    env: { ...env, NO_PROXY: 'a.test', HTTPS_PROXY: 'ftp://x' },
  })
  expect(excepted).toMatchObject({ code: 2, stdout: '' })
  expect(excepted.stderr).toContain('expected the address of an http or https proxy for HTTPS_PROXY')
})

/** A port of the loopback interface at which nobody listens. */
async function closedPort(): Promise<number> {
  const server = createSocketServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
