/**
 * @file SeaweedFS and Azurite behind the presigned addresses of a loopback workspace: what S3 and Azure's storage check
 * of a signature, its end, a part, a range and a header is theirs. Addresses are signed here by the published rules.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { createHash, createHmac } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ObjectStorage, PresignedAccess, StoredObject } from '../../src/testing/object-storage.js'

const BUCKET = 'lowrank'
const S3_KEY = { id: 'AKIALOWRANKTEST', secret: 'planted-secret-of-the-store' }
/** The account that every Azurite has, https://learn.microsoft.com/azure/storage/common/storage-use-azurite. */
const AZURE_ACCOUNT = 'devstoreaccount1'
const AZURE_KEY = Buffer.from(
  'Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==',
  'base64',
)

/** How an address is made for one call of the store; `expires` is in milliseconds since 1970. */
type Sign = (method: string, key: string, query: Readonly<Record<string, string>>, expires: number) => string

interface Server {
  readonly url: string
  stop(): Promise<void>
}

/** SeaweedFS with its S3 interface. */
export async function startSeaweed(): Promise<ObjectStorage> {
  const python = process.env.LOWRANK_TEST_PYTHON ?? ''
  const config = JSON.stringify({
    identities: [
      {
        name: 'test',
        credentials: [{ accessKey: S3_KEY.id, secretKey: S3_KEY.secret }],
        actions: ['Admin', 'Read', 'Write', 'List', 'Tagging'],
      },
    ],
  })
  const server = await startServer(async (folder, [master, volume, filer, s3]) => {
    await writeFile(join(folder, 's3.json'), config)
    const ports = [
      ['master.port', master],
      ['volume.port', volume],
      ['filer.port', filer],
      ['s3.port', s3],
    ].map(([name, port]) => `-${name}=${port}`)
    const flags = [
      '-ip=127.0.0.1',
      '-ip.bind=127.0.0.1',
      '-s3',
      `-s3.config=${join(folder, 's3.json')}`,
      `-dir=${folder}`,
    ]
    const limits = ['-volume.max=8', '-master.volumeSizeLimitMB=64', '-master.volumePreallocate=false']
    return {
      command: [join(dirname(python), 'weed'), ['server', ...flags, ...limits, ...ports]],
      url: `http://127.0.0.1:${s3}`,
    }
  })
  const sign: Sign = (method, key, query, expires) => signedS3(server.url, method, key, query, expires)
  await untilOk(() => fetch(sign('PUT', '', {}, Date.now() + 60_000), { method: 'PUT' }))
  return storageOf(server, sign, {
    cloud: 'AWS',
    headers: {},
    listQuery: (prefix) => ({ 'list-type': '2', prefix }),
    entry: /<Contents>[\s\S]*?<Key>(?<key>[^<]*)<\/Key>[\s\S]*?<ETag>(?<etag>[^<]*)<\/ETag>/g,
    partQuery: (uploadId, number) => ({ partNumber: String(number), uploadId }),
    start: async (key) => {
      const answer = await checked(fetch(sign('POST', key, { uploads: '' }, soon()), { method: 'POST' }))
      return /<UploadId>([^<]+)<\/UploadId>/.exec(await answer.text())?.[1] ?? ''
    },
    complete: async (key, uploadId, parts) => {
      const list = parts.map(
        ({ part_number: number, etag }) => `<Part><PartNumber>${number}</PartNumber><ETag>${etag}</ETag></Part>`,
      )
      const body = `<CompleteMultipartUpload>${list.join('')}</CompleteMultipartUpload>`
      const text = await (
        await checked(fetch(sign('POST', key, { uploadId }, soon()), { method: 'POST', body }))
      ).text()
      // S3 says some failures with status 200.
      if (/<Error>/.test(text)) throw new Error(`[test] ${text}`)
    },
    abort: async (key, uploadId) => {
      await checked(fetch(sign('DELETE', key, { uploadId }, soon()), { method: 'DELETE' }))
    },
  })
}

/** Azurite's blobs. */
export async function startAzurite(): Promise<ObjectStorage> {
  const runtimes = process.env.LOWRANK_TEST_RUNTIMES ?? ''
  const server = await startServer((folder, [port]) =>
    Promise.resolve({
      command: [
        process.execPath,
        [
          join(runtimes, 'azurite/dist/src/blob/main.js'),
          ...['--blobHost', '127.0.0.1', '--blobPort', String(port), '--location', folder, '--silent'],
          ...['--skipApiVersionCheck', '--disableTelemetry'],
        ],
      ],
      url: `http://127.0.0.1:${port}/${AZURE_ACCOUNT}`,
    }),
  )
  const sign: Sign = (_method, key, query, expires) => signedAzure(server.url, key, query, expires)
  await untilOk(() => fetch(sign('PUT', '', { restype: 'container' }, soon()), { method: 'PUT' }))
  return storageOf(server, sign, {
    cloud: 'Azure',
    headers: { 'x-ms-blob-type': 'BlockBlob' },
    listQuery: (prefix) => ({ restype: 'container', comp: 'list', prefix }),
    entry: /<Blob>\s*<Name>(?<key>[^<]*)<\/Name>[\s\S]*?<Etag>(?<etag>[^<]*)<\/Etag>/g,
    partQuery: (uploadId, number) => ({ comp: 'block', blockid: blockOf(uploadId, number) }),
    start: () => Promise.resolve(String(Date.now())),
    complete: async (key, uploadId, parts) => {
      const list = parts.map(({ part_number: number }) => `<Latest>${blockOf(uploadId, number)}</Latest>`)
      const body = `<?xml version="1.0" encoding="utf-8"?><BlockList>${list.join('')}</BlockList>`
      await checked(fetch(sign('PUT', key, { comp: 'blocklist' }, soon()), { method: 'PUT', body }))
    },
    // Azure drops what no list names by itself, after a week.
    abort: () => Promise.resolve(),
  })
}

interface Dialect {
  readonly cloud: ObjectStorage['cloud']
  /** What a client sends with a whole object. */
  readonly headers: Readonly<Record<string, string>>
  listQuery(prefix: string): Record<string, string>
  readonly entry: RegExp
  partQuery(uploadId: string, number: number): Record<string, string>
  start(key: string): Promise<string>
  complete(key: string, uploadId: string, parts: Parameters<ObjectStorage['completeUpload']>[2]): Promise<void>
  abort(key: string, uploadId: string): Promise<void>
}

function storageOf(server: Server, sign: Sign, dialect: Dialect): ObjectStorage {
  const open = new Map<string, Set<number>>()
  const stat = async (key: string): Promise<StoredObject | undefined> => {
    const answer = await fetch(sign('HEAD', key, {}, soon()), { method: 'HEAD' })
    if (answer.status === 404) return undefined
    await checked(Promise.resolve(answer))
    const header = (name: string): string => answer.headers.get(name) ?? ''
    return {
      key,
      size: Number(header('content-length')),
      modified: Date.parse(header('last-modified')),
      etag: header('etag'),
    }
  }
  const known = async (key: string): Promise<StoredObject> => {
    const found = await stat(key)
    if (found === undefined) throw new Error(`[test] ${key} is not in the store`)
    return found
  }
  return {
    cloud: dialect.cloud,
    stat,
    put: async (key, body) => {
      const pieces: Uint8Array[] = []
      for await (const piece of body) pieces.push(piece)
      const init = { method: 'PUT', headers: dialect.headers, body: Buffer.concat(pieces) }
      await checked(fetch(sign('PUT', key, {}, soon()), init))
      return known(key)
    },
    get: async (key, range) => {
      const headers = range && { range: `bytes=${range.start}-${range.end - 1}` }
      const answer = await checked(fetch(sign('GET', key, {}, soon()), { ...(headers && { headers }) }))
      return Readable.fromWeb(answer.body as Parameters<typeof Readable.fromWeb>[0])
    },
    delete: async (key) => (await fetch(sign('DELETE', key, {}, soon()), { method: 'DELETE' })).ok,
    list: async (prefix) => {
      const text = await (await checked(fetch(sign('GET', '', dialect.listQuery(prefix), soon())))).text()
      const keys = [...text.matchAll(dialect.entry)].map(({ groups }) => fromXml(groups?.key ?? ''))
      return Promise.all(keys.sort().map(known))
    },
    presign: ({ method, key, expires, part }: PresignedAccess) => {
      if (part) open.get(part.uploadId)?.add(part.number)
      const query = part ? dialect.partQuery(part.uploadId, part.number) : {}
      const headers = method === 'PUT' && part === undefined ? Object.entries(dialect.headers) : []
      return { url: sign(method, key, query, expires), headers: headers.map(([name, value]) => ({ name, value })) }
    },
    startUpload: async (key) => {
      const id = await dialect.start(key)
      open.set(id, new Set())
      return id
    },
    completeUpload: async (key, uploadId, parts) => {
      await dialect.complete(key, uploadId, parts)
      open.delete(uploadId)
      return known(key)
    },
    abortUpload: async (key, uploadId) => {
      await dialect.abort(key, uploadId)
      open.delete(uploadId)
    },
    openParts: () => Promise.resolve([...open.values()].reduce((sum, { size }) => sum + size, 0)),
    close: () => server.stop(),
  }
}

/** Signature version 4 in the query, https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html. */
function signedS3(
  url: string,
  method: string,
  key: string,
  query: Readonly<Record<string, string>>,
  expires: number,
): string {
  // The time of signing lies in the past where the address is to have ended already.
  const signed = new Date(Math.min(Date.now(), expires - 1000))
  const at = signed.toISOString().replace(/\.\d+/, '').replace(/[-:]/g, '')
  const scope = `${at.slice(0, 8)}/us-east-1/s3/aws4_request`
  const all: Record<string, string> = {
    ...query,
    'X-Amz-Algorithm': 'AWS4-HMAC-SHA256',
    'X-Amz-Credential': `${S3_KEY.id}/${scope}`,
    'X-Amz-Date': at,
    'X-Amz-Expires': String(Math.max(1, Math.floor((expires - signed.getTime()) / 1000))),
    'X-Amz-SignedHeaders': 'host',
  }
  const text = Object.keys(all)
    .sort()
    .map((name) => `${escaped(name)}=${escaped(all[name] ?? '')}`)
    .join('&')
  const path = `/${BUCKET}${key === '' ? '' : `/${key.split('/').map(escaped).join('/')}`}`
  const request = [method, path, text, `host:${new URL(url).host}\n`, 'host', 'UNSIGNED-PAYLOAD'].join('\n')
  const toSign = ['AWS4-HMAC-SHA256', at, scope, createHash('sha256').update(request).digest('hex')].join('\n')
  const secret = scope
    .split('/')
    .reduce<string | Buffer>(
      (before, part) => createHmac('sha256', before).update(part).digest(),
      `AWS4${S3_KEY.secret}`,
    )
  return `${url}${path}?${text}&X-Amz-Signature=${createHmac('sha256', secret).update(toSign).digest('hex')}`
}

/** A shared access signature of the account, https://learn.microsoft.com/rest/api/storageservices/create-account-sas. */
function signedAzure(url: string, key: string, query: Readonly<Record<string, string>>, expires: number): string {
  const fields = { sv: '2021-06-08', ss: 'b', srt: 'sco', sp: 'rwdlac', se: isoSeconds(expires), spr: 'https,http' }
  const { sp, ss, srt, se, spr, sv } = fields
  const toSign = `${[AZURE_ACCOUNT, sp, ss, srt, '', se, '', spr, sv, ''].join('\n')}\n`
  const sig = createHmac('sha256', AZURE_KEY).update(toSign).digest('base64')
  const path = key === '' ? '' : `/${key.split('/').map(escaped).join('/')}`
  return `${url}/${BUCKET}${path}?${new URLSearchParams({ ...query, ...fields, sig })}`
}

function isoSeconds(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace(/\.\d+/, '')
}

/** Block ids of a blob have one length. */
function blockOf(uploadId: string, number: number): string {
  return Buffer.from(`${uploadId}-${String(number).padStart(6, '0')}`).toString('base64')
}

function escaped(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`)
}

function fromXml(text: string): string {
  return text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&quot;', '"').replaceAll('&amp;', '&')
}

function soon(): number {
  return Date.now() + 60_000
}

async function checked(asked: Promise<Response>): Promise<Response> {
  const answer = await asked
  if (!answer.ok) throw new Error(`[test] the store answered ${answer.status}: ${(await answer.text()).slice(0, 500)}`)
  return answer
}

/** A server of another program, in a folder of its own. It is asked until it answers. */
async function startServer(
  prepare: (
    folder: string,
    ports: readonly number[],
  ) => Promise<{ readonly command: readonly [string, readonly string[]]; readonly url: string }>,
): Promise<Server> {
  const folder = await mkdtemp(join(tmpdir(), 'lowrank-store-'))
  const { command, url } = await prepare(folder, await freePorts(4))
  const child: ChildProcess = spawn(command[0], command[1], { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] })
  let errors = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-4000)
  })
  child.on('error', (error) => {
    errors += String(error)
  })
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.pid !== undefined) {
      const ended = new Promise((resolve) => child.on('close', resolve))
      child.kill('SIGKILL')
      await ended
    }
    await rm(folder, { recursive: true, force: true })
  }
  const isUp = async (): Promise<Response> => {
    if (child.exitCode !== null || child.pid === undefined) throw new Error(`[test] ${command[0]} ended: ${errors}`)
    return new Response(null, { status: (await fetch(url)).status < 500 ? 200 : 500 })
  }
  try {
    await untilOk(isUp, () => child.exitCode !== null || child.pid === undefined)
  } catch (error) {
    await stop()
    throw new Error(`[test] expected ${command[0]} to serve ${url}, got ${String(error)} ${errors}`)
  }
  return { url, stop }
}

async function untilOk(ask: () => Promise<Response>, isOver: () => boolean = () => false): Promise<void> {
  let last: unknown
  for (let left = 600; left > 0 && !isOver(); left--) {
    try {
      const answer = await ask()
      if (answer.ok || answer.status === 409) return
      last = `${answer.status} ${await answer.text()}`
    } catch (error) {
      last = error
    }
    await sleep(100)
  }
  throw new Error(String(last))
}

/** SeaweedFS listens for gRPC at a port 10,000 higher. */
async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = []
  for (let port = 20_000 + (process.pid % 500) * 40; ports.length < count; port++)
    if ((await isFree(port)) && (await isFree(port + 10_000))) ports.push(port)
  return ports
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
      .once('error', () => resolve(false))
      .listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
