/**
 * @file What a file is that was given for rows and has another format, told by its first bytes, and what to do with it.
 * Opens nothing.
 */

/** What a file is instead of JSON. */
interface FileKind {
  /** As an error says it, with an article. */
  readonly what: string
  readonly remedy: string
}

/** Bytes at the beginning that are enough to tell a kind. */
const HEAD_BYTES = 4096

const CONVERT = 'write its rows to a .jsonl file, one JSON object per line'
const TABLE = `${CONVERT}: pandas.DataFrame.to_json(path, orient='records', lines=True) and DuckDB's COPY do it`
const NOT_ROWS = 'give the file of the rows'

const unpack = (what: string, command: string): FileKind => ({
  what,
  remedy: `unpack it (${command}) and give the file that comes out`,
})
const inUtf = (name: string): FileKind => ({
  what: `text in ${name}`,
  remedy: `save it as UTF-8 (iconv -f ${name} -t UTF-8 FILE > NEW)`,
})

const ARROW: FileKind = { what: 'an Arrow or Feather file', remedy: TABLE }
const CSV: FileKind = { what: 'CSV', remedy: TABLE }
const TSV: FileKind = { what: 'a table with tabs (TSV)', remedy: TABLE }
const GZIP = unpack('a gzip archive', 'gunzip -k FILE')
const ZSTD = unpack('a Zstandard archive', 'zstd -d FILE')
const ZIP: FileKind = {
  what: 'a zip archive or an office document',
  remedy: 'unpack it, or export its rows, and give the .jsonl file that comes out',
}
const TAR = unpack('a tar archive', 'tar -xf FILE')

/** Bytes that begin a file, in Latin-1. */
const SIGNATURES: readonly (readonly [string, FileKind])[] = [
  ['PARE', { what: 'an encrypted Parquet file', remedy: TABLE }],
  ['ARROW1', ARROW],
  ['FEA1', ARROW],
  ['\xff\xff\xff\xff', { what: 'an Arrow stream', remedy: TABLE }],
  ['ORC', { what: 'an ORC file', remedy: TABLE }],
  ['Obj\x01', { what: 'an Avro file', remedy: TABLE }],
  ['\x1f\x8b', GZIP],
  ['\x28\xb5\x2f\xfd', ZSTD],
  ['BZh', unpack('a bzip2 archive', 'bunzip2 -k FILE')],
  ['\xfd7zXZ\x00', unpack('an xz archive', 'unxz -k FILE')],
  ['\x04\x22\x4d\x18', unpack('an LZ4 archive', 'lz4 -d FILE')],
  ['7z\xbc\xaf\x27\x1c', unpack('a 7-Zip archive', '7z x FILE')],
  ['Rar!', unpack('a RAR archive', 'unrar x FILE')],
  ['PK\x03\x04', ZIP],
  ['PK\x05\x06', ZIP],
  ['SQLite format 3\x00', { what: 'an SQLite database', remedy: TABLE }],
  ['\x89HDF', { what: 'an HDF5 file', remedy: TABLE }],
  ['\x93NUMPY', { what: 'a NumPy array', remedy: CONVERT }],
  ['GGUF', { what: 'a GGUF model', remedy: 'give it as the model, and here the file of the rows' }],
  ['%PDF', { what: 'a PDF document', remedy: 'extract its text and write rows of it to a .jsonl file' }],
  ['\x89PNG', { what: 'an image', remedy: NOT_ROWS }],
  ['\xff\xd8\xff', { what: 'an image', remedy: NOT_ROWS }],
  ['GIF8', { what: 'an image', remedy: NOT_ROWS }],
  ['\x7fELF', { what: 'a program', remedy: NOT_ROWS }],
  ['\xd0\xcf\x11\xe0', { what: 'an old office document', remedy: CONVERT }],
  ['\xff\xfe\x00\x00', inUtf('UTF-32')],
  ['\x00\x00\xfe\xff', inUtf('UTF-32')],
  ['\xff\xfe', inUtf('UTF-16')],
  ['\xfe\xff', inUtf('UTF-16')],
]

// What JSON begins with.
const BEGINNINGS = ' \r\n\t{["'

/** Tables by the ending of their name, where the first line does not show it. */
const ENDINGS: Readonly<Record<string, FileKind>> = { csv: CSV, tsv: TSV }

/** Texts by how their first line that is not blank begins. */
const TEXTS: readonly (readonly [RegExp, FileKind])[] = [
  [
    /^version https:\/\/git-lfs\.github\.com\//,
    {
      what: 'a pointer of Git LFS, which stands for a file that was not fetched',
      remedy: 'fetch it with git lfs pull, or download the file itself',
    },
  ],
  [
    /^(?:<!--.*)?\s*<(?:!doctype html|html|head|body|title)\b/i,
    {
      what: 'a web page, as a login or a wrong address gives it',
      remedy: 'download the file itself; on the Hub its address has /resolve/ in place of /blob/',
    },
  ],
  [/^<(?:\?xml|[a-z][\w:.-]*[\s/>])/i, { what: 'XML', remedy: CONVERT }],
  [/^(?:<{7} |>{7} |={7}$)/, { what: 'the marks of a merge in Git', remedy: 'settle the conflict in the file' }],
  [/^(?:---|%YAML)/, { what: 'YAML', remedy: CONVERT }],
  [
    /^(?:\/\/|\/\*|#)/,
    { what: 'a comment, as JSON5, JSONC, YAML or Markdown have them', remedy: 'JSON has none: remove all of them' },
  ],
  [
    /^(?:<\|[\w.-]+\|>|<s>|<bos>|\[INST\])/,
    {
      what: "text in a chat template's own form",
      remedy: `write each conversation as {"messages": [{"role": "user", "content": "..."}, ...]}, or each text as {"text": "..."}`,
    },
  ],
]

/**
 * What a file is whose beginning shows that it is not JSON; undefined where it may be.
 *
 * @param head Its first bytes; some thousand are enough.
 */
export function foreignKind(path: string, head: Uint8Array): FileKind | undefined {
  const bytes = Buffer.from(head.buffer, head.byteOffset, Math.min(head.byteLength, HEAD_BYTES))
  const latin = bytes.toString('latin1')
  const signed = SIGNATURES.find(([signature]) => latin.startsWith(signature))
  if (signed) return signed[1]
  if (latin.startsWith('ustar', 257)) return TAR
  // Pickles begin with their version and its first instruction, safetensors with the length of a JSON header.
  if (bytes[0] === 0x80 && '\x95}](c'.includes(latin[2] ?? '?')) return { what: 'a Python pickle', remedy: CONVERT }
  if (latin.startsWith('\0\0{', 6)) return { what: 'a safetensors file of weights', remedy: NOT_ROWS }
  // JSON begins with an ASCII character, and so does its UTF-16 without a mark.
  if (bytes[1] === 0 && bytes[3] === 0 && BEGINNINGS.includes(latin[0] ?? '')) return inUtf('UTF-16LE')
  if (bytes[0] === 0 && bytes[2] === 0 && BEGINNINGS.includes(latin[1] ?? '\0')) return inUtf('UTF-16BE')
  if (bytes.length > 0 && bytes.every((byte) => byte === 0)) {
    return { what: 'null bytes', remedy: 'the file was damaged, as by a full disk or a copy that was cut: get it anew' }
  }
  return foreignText(path, bytes)
}

function foreignText(path: string, bytes: Buffer): FileKind | undefined {
  const line = /^[\s\ufeff]*([^\r\n]*)/.exec(bytes.toString('utf8'))?.[1] ?? ''
  // What begins as JSON is read; the place where it is not is then told exactly.
  if (line === '' || line.startsWith('{') || line.startsWith('[{') || isJson(line)) return undefined
  const text = TEXTS.find(([pattern]) => pattern.test(line))
  if (text) return text[1]
  if (line.startsWith('[')) return undefined
  const ending = ENDINGS[path.slice(path.lastIndexOf('.') + 1).toLowerCase()]
  if (ending) return ending
  if (line.includes('\t')) return TSV
  // A header: names between commas or semicolons, each perhaps in quotes.
  if (/^"?[\p{L}_][\w \p{L}.-]*"?(?:[,;]"?[\p{L}_][\w \p{L}.-]*"?)+$/u.test(line)) return CSV
  if (/^[{["\d-]/.test(line) || line.includes('\0') || line.includes('\ufffd')) return undefined
  return {
    what: 'text that is no JSON',
    remedy: `write each text as one line, {"text": "..."} in JSON`,
  }
}

function isJson(line: string): boolean {
  try {
    JSON.parse(line)
    return true
  } catch {
    return false
  }
}
