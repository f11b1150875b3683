/**
 * @file What a file is that was given for rows and has another format, told by its first bytes, and what to do with it;
 * and whether it is a table of text, which has no mark of its own. Opens nothing.
 */

/** What a file is instead of rows. */
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

const FEATHER: FileKind = { what: 'a Feather file of version 1', remedy: TABLE }
const ZIP: FileKind = {
  what: 'a zip archive or an office document',
  remedy: 'unpack it, or export its rows, and give the .jsonl file that comes out',
}
const TAR = unpack('a tar archive', 'tar -xf FILE')

/** Bytes that begin a file, in Latin-1. */
const SIGNATURES: readonly (readonly [string, FileKind])[] = [
  ['PARE', { what: 'an encrypted Parquet file', remedy: TABLE }],
  ['FEA1', FEATHER],
  ['ORC', { what: 'an ORC file', remedy: TABLE }],
  ['Obj\x01', { what: 'an Avro file', remedy: TABLE }],
  ['\x1f\x8b', unpack('gzip within gzip', 'gunzip -k FILE')],
  ['\x28\xb5\x2f\xfd', unpack('Zstandard within an archive', 'zstd -d FILE')],
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

/** Names of tables, where the first line does not show it. */
const TABLE_NAME = /\.(?:csv|tsv|tab)$/i
/** A header: names between commas or semicolons, each perhaps in quotes. */
const TABLE_HEADER = /^"?[\p{L}_][\w \p{L}.-]*"?(?:[,;]"?[\p{L}_][\w \p{L}.-]*"?)+$/u

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

/** Whether a file is CSV or TSV, by its name or its header, and nothing shows that it is something else. */
export function isTable(head: Uint8Array, name: string): boolean {
  const bytes = headOf(head)
  const line = firstLine(bytes)
  const isNamed = TABLE_NAME.test(name)
  // A header of one column in quotes is a JSON text too.
  const isOther = isNamed ? line === '' || /^[{[]/.test(line) : isRows(line) || line.startsWith('[')
  if (binaryKind(bytes) !== undefined || isOther || textKind(line) !== undefined) return false
  return isNamed || TABLE_HEADER.test(line) || (line.includes('\t') && !line.includes('\ufffd'))
}

/**
 * What a file is whose beginning shows that it has no rows that are read; undefined where it may be JSON.
 *
 * @param head Its first bytes; some thousand are enough.
 */
export function foreignKind(head: Uint8Array): FileKind | undefined {
  const bytes = headOf(head)
  return binaryKind(bytes) ?? foreignText(firstLine(bytes))
}

function headOf(head: Uint8Array): Buffer {
  return Buffer.from(head.buffer, head.byteOffset, Math.min(head.byteLength, HEAD_BYTES))
}

/** The first line that is not blank. */
function firstLine(bytes: Buffer): string {
  return /^[\s\ufeff]*([^\r\n]*)/.exec(bytes.toString('utf8'))?.[1] ?? ''
}

function binaryKind(bytes: Buffer): FileKind | undefined {
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
  return undefined
}

/** Whether a file that begins so is read as JSON; the place where it is not is then told exactly. */
function isRows(line: string): boolean {
  return line === '' || line.startsWith('{') || line.startsWith('[{') || isJson(line)
}

function textKind(line: string): FileKind | undefined {
  return TEXTS.find(([pattern]) => pattern.test(line))?.[1]
}

function foreignText(line: string): FileKind | undefined {
  if (isRows(line)) return undefined
  const kind = textKind(line)
  if (kind) return kind
  if (line.startsWith('[')) return undefined
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
