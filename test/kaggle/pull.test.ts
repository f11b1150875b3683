/** @file Data sets of Kaggle: who asks, what comes, what is unpacked, and what is refused. */

import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type PullKaggleOptions, pullKaggle } from '../../src/index.js'
import { tree } from '../hub/hub-case.js'
import { rejection } from '../support/tiny-model.js'
import { type FileServer, sendFile, startFileServer } from '../support/web-server.js'
import { makeZip, type ZipFile } from '../support/zip.js'

vi.mock('node:timers/promises', () => ({ setTimeout: async () => {} }))

const KEY = '0123456789abcdef0123456789abcdef'
let server: FileServer
let root: string

beforeEach(async () => {
  server = await startFileServer()
  root = await mkdtemp(join(tmpdir(), 'lowrank-kaggle-'))
  const empty = ['HF_HUB_OFFLINE', 'TRANSFORMERS_OFFLINE', 'KAGGLE_API_TOKEN', 'KAGGLE_USERNAME', 'KAGGLE_KEY']
  for (const name of empty) vi.stubEnv(name, '')
  vi.stubEnv('KAGGLE_CONFIG_DIR', join(root, 'config'))
  vi.stubEnv('KAGGLE_API_ENDPOINT', server.address)
})

afterEach(async () => {
  vi.unstubAllEnvs()
  await server.close()
  await rm(root, { recursive: true, force: true })
})

const TABLE = `loan,target\n${Array.from({ length: 20_000 }, (_, row) => `${row * 7919},${row % 2}`).join('\n')}\n`
const FILES: readonly ZipFile[] = [
  { name: 'loans.csv', content: TABLE },
  { name: 'notes/', content: '', mode: 0o040755 },
  { name: 'notes/READ ME.txt', content: 'Loans', isStored: true },
]

/** Lists and sends an archive as Kaggle does: the list in pages, the archive from another place. */
function serve(archive: Uint8Array, names = ['loans.csv', 'notes/READ ME.txt']): void {
  server.intercept = (request, response) => {
    const { pathname, searchParams } = new URL(request.path, server.address)
    if (pathname === '/api/v1/datasets/list/owner/loans') {
      const page = Number(searchParams.get('pageToken') ?? 0)
      const more = page + 1 < names.length && { nextPageToken: String(page + 1) }
      response.end(JSON.stringify({ datasetFiles: [{ name: names[page], totalBytes: 1 }], ...more }))
    } else if (pathname === '/api/v1/datasets/download/owner/loans') {
      response
        .writeHead(302, { location: `${server.address.replace('127.0.0.1', 'localhost')}/bucket?signature=x` })
        .end()
    } else if (pathname === '/bucket') sendFile(response, request, archive)
    else response.writeHead(404).end()
    return true
  }
}

const pull = (options: PullKaggleOptions = {}, name = 'kaggle:owner/loans') =>
  pullKaggle(name, { outputDir: join(root, 'out'), ...options })
const failure = (options?: PullKaggleOptions, name?: string) => rejection(pull(options, name))
/** Files below the root but for credentials. */
const left = async () => Object.keys(await tree(root)).filter((name) => !name.startsWith('config/'))

describe('a data set of Kaggle', () => {
  it('is not fetched where a folder stands in the place of one of its files, and the folder stays', async () => {
    serve(makeZip(FILES))
    await mkdir(join(root, 'out', 'loans.csv'), { recursive: true })
    await writeFile(join(root, 'out', 'loans.csv', 'mine.txt'), 'mine')
    expect(await failure()).toBe(
      `[kaggle] expected ${join(root, 'out', 'loans.csv')} to be a file or not to exist, got a folder; remove it, or choose another ` +
        'outputDir (--output)',
    )
    expect(await left()).toEqual(['out/loans.csv/mine.txt'])
  })

  it('is not asked for at an address that is none, and the error names the variable', async () => {
    vi.stubEnv('KAGGLE_API_ENDPOINT', 'nonsense')
    expect(await failure()).toContain('expected an https address for KAGGLE_API_ENDPOINT, got "nonsense"')
  })

  it.each([false, true])('is listed, fetched and unpacked, and nothing else is left (Zip64: %s)', async (isWide) => {
    serve(makeZip(FILES, isWide))
    const steps = new Set<string>()
    const pulled = await pull({ onProgress: (step, bytes, total) => bytes === total && steps.add(step) })
    expect(pulled).toEqual({
      dataset: 'owner/loans',
      outputDir: join(root, 'out'),
      files: [
        { name: 'loans.csv', bytes: TABLE.length },
        { name: 'notes/READ ME.txt', bytes: 5 },
      ],
    })
    expect(await readFile(join(root, 'out', 'loans.csv'), 'utf8')).toBe(TABLE)
    expect(await left()).toEqual(['out/loans.csv', 'out/notes/READ ME.txt'])
    expect([...steps]).toEqual(['fetch', 'unpack'])
  })

  it('is asked for in the way that each kind of credentials has, which no other server gets', async () => {
    serve(makeZip(FILES))
    const basic = `Basic ${Buffer.from(`me:${KEY}`).toString('base64')}`
    await mkdir(join(root, 'config'))
    const cases: [() => Promise<void> | void, string | undefined][] = [
      [() => undefined, undefined],
      [() => writeFile(join(root, 'config', 'kaggle.json'), JSON.stringify({ username: 'me', key: KEY })), basic],
      [
        () => {
          vi.stubEnv('KAGGLE_USERNAME', 'me')
          vi.stubEnv('KAGGLE_KEY', KEY)
        },
        basic,
      ],
      [() => writeFile(join(root, 'config', 'access_token'), 'KGAT_file\n'), 'Bearer KGAT_file'],
      [() => void vi.stubEnv('KAGGLE_API_TOKEN', 'KGAT_variable'), 'Bearer KGAT_variable'],
    ]
    for (const [give, expected] of cases) {
      await give()
      server.requests.length = 0
      await pull()
      const sent = server.requests.map(({ path, headers }) => [path.startsWith('/bucket'), headers.authorization])
      expect(sent).toEqual([...Array(3).fill([false, expected]), [true, undefined]])
    }
  })

  it('goes on where the archive was cut, in the next run too', async () => {
    const archive = makeZip(FILES)
    serve(archive)
    const answer = server.intercept
    let isCut = true
    server.intercept = (request, response) => {
      if (!request.path.startsWith('/bucket')) return answer?.(request, response)
      if (isCut && request.headers.range !== undefined) response.writeHead(503).end()
      else sendFile(response, request, archive, isCut ? 40_000 : undefined)
      return true
    }
    expect(await failure()).toContain('[kaggle] ')
    isCut = false
    server.requests.length = 0
    await pull()
    const ranges = server.requests.filter(({ path }) => path.startsWith('/bucket')).map(({ headers }) => headers.range)
    expect(ranges.at(-1)).toMatch(/^bytes=[1-9]\d+-$/)
    expect(await readFile(join(root, 'out', 'loans.csv'), 'utf8')).toBe(TABLE)
  })

  it('is ended by a signal', async () => {
    serve(makeZip(FILES))
    const controller = new AbortController()
    const onProgress = (): void => controller.abort(new Error('enough'))
    expect(await failure({ signal: controller.signal, onProgress })).toBe('enough')
  })
})

describe('a data set that Kaggle does not give', () => {
  it.each([
    [
      401,
      'does not accept the credentials from KAGGLE_USERNAME and KAGGLE_KEY for kaggle:owner/loans (HTTP 401); make a token at',
    ],
    [403, 'refuses kaggle:owner/loans (HTTP 403); accept its terms at'],
    [404, 'got kaggle:owner/loans (HTTP 404); check the spelling at'],
    [429, 'had too many requests (HTTP 429) for kaggle:owner/loans; try again in 60 s'],
    [500, 'failed at kaggle:owner/loans (HTTP 500); try again later'],
  ])('is refused with the status %i in words that say what to do, without the credentials', async (status, message) => {
    vi.stubEnv('KAGGLE_USERNAME', 'me')
    vi.stubEnv('KAGGLE_KEY', KEY)
    server.intercept = (_, response) => {
      response.writeHead(status, { 'retry-after': '60' }).end(KEY)
      return true
    }
    const text = await failure()
    expect(text).toContain(message)
    expect(text).not.toContain(KEY)
  })

  it('asks for credentials where there are none, and refuses those that are none', async () => {
    server.intercept = (_, response) => {
      response.writeHead(401).end()
      return true
    }
    expect(await failure()).toContain('asks who you are for kaggle:owner/loans (HTTP 401); make a token')
    vi.stubEnv('KAGGLE_KEY', KEY)
    expect(await failure()).toBe('[kaggle] expected KAGGLE_USERNAME beside KAGGLE_KEY, got nothing; set both')
    vi.stubEnv('KAGGLE_API_TOKEN', 'a token')
    expect(await failure()).toBe(
      '[kaggle] expected a credential in KAGGLE_API_TOKEN, got text that is none; correct it',
    )
    vi.stubEnv('KAGGLE_API_TOKEN', '')
    vi.stubEnv('KAGGLE_KEY', '')
    await mkdir(join(root, 'config'))
    await writeFile(join(root, 'config', 'kaggle.json'), KEY)
    const text = await failure()
    expect(text).toContain('expected {"username": ..., "key": ...} in')
    expect(text).not.toContain(KEY)
  })

  it('never shows what the server echoes of the credentials', async () => {
    vi.stubEnv('KAGGLE_USERNAME', 'me')
    vi.stubEnv('KAGGLE_KEY', KEY)
    server.intercept = ({ headers }, response) => {
      response.end(`${KEY} ${headers.authorization}`)
      return true
    }
    const text = await failure()
    expect(text).toContain('expected the list of files of kaggle:owner/loans')
    for (const secret of [KEY, Buffer.from(`me:${KEY}`).toString('base64')]) expect(text).not.toContain(secret)
  })

  it('is refused by its name, and without a network', async () => {
    for (const name of ['loans', 'kaggle:a/b/c', 'kaggle:../x', 'a b/c'])
      expect(await failure({}, name)).toContain('[kaggle] expected kaggle:OWNER/NAME, as in the address')
    vi.stubEnv('HF_HUB_OFFLINE', '1')
    expect(await failure()).toContain('expected a network to fetch kaggle:owner/loans, got HF_HUB_OFFLINE=1')
  })
})

describe('an archive', () => {
  const bomb = Buffer.alloc(90 * 2 ** 20)
  it.each<[string, () => Buffer, string]>([
    ['with a path outside', () => makeZip([{ name: '../../evil.csv', content: 'x' }]), 'which leads outside'],
    ['with an absolute path', () => makeZip([{ name: '/etc/evil', content: 'x' }]), 'which leads outside'],
    ['with a path of Windows', () => makeZip([{ name: 'a\\..\\..\\evil', content: 'x' }]), 'which leads outside'],
    ['with a link', () => makeZip([{ name: 'a', content: '/etc/passwd', mode: 0o120777 }]), 'a link or a device'],
    [
      'with one name twice',
      () =>
        makeZip([
          { name: 'a', content: 'x' },
          { name: 'A', content: 'y' },
        ]),
      'got "A" twice',
    ],
    ['that needs a password', () => makeZip([{ name: 'a', content: 'x', says: { flags: 1 } }]), 'needs a password'],
    [
      'packed in another way',
      () => makeZip([{ name: 'a', content: 'x', says: { method: 12 } }]),
      'packed by method 12',
    ],
    ['that fills the disk', () => makeZip([{ name: 'a', content: bomb }]), 'made to fill a disk (zip bombs)'],
    [
      'that says less than it holds',
      () => makeZip([{ name: 'a', content: bomb, says: { size: 9 } }]),
      'larger than it says',
    ],
    [
      'that holds less than it says',
      () => makeZip([{ name: 'a', content: 'xyz', says: { size: 9 } }]),
      'which is damaged',
    ],
    ['with a wrong checksum', () => makeZip([{ name: 'a', content: 'xyz', says: { crc: 1 } }]), 'which is damaged'],
    ['that is cut', () => makeZip(FILES).subarray(0, 5000), 'no directory of files: it was cut, or is no zip archive'],
    ['of files over one another', () => overlapping(), 'files that lie over one another'],
    ['without its files', () => makeZip([{ name: 'other.csv', content: 'x' }]), 'which lacks loans.csv'],
  ])('%s is refused, and nothing of it is left', async (_, make, message) => {
    serve(make(), ['loans.csv'])
    expect(await failure()).toContain(message)
    expect(await left()).toEqual([])
  })
})

/** Two entries of one content. */
function overlapping(): Buffer {
  const archive = makeZip([
    { name: 'a', content: 'x'.repeat(100) },
    { name: 'b', content: 'x'.repeat(100) },
  ])
  const second = archive.lastIndexOf(Buffer.from('PK\x01\x02'))
  archive.writeUInt32LE(0, second + 42)
  return archive
}
