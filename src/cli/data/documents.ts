/** @file `lowrank data documents`: documents become chunks of tokens that overlap. */

import { basename, dirname } from 'node:path'
import { path } from '../../options/rules.js'
import { formatCount, type Paint } from '../../progress/terminal.js'
import { SPLIT_DOCUMENTS_OPTIONS } from '../../transform/document-options.js'
import type { DocumentsReport } from '../../transform/documents.js'
import type { Command } from '../command.js'
import { JSON_OBJECT, MODEL_FLAGS, type ModelFlags } from '../flags.js'
import { checkAll, UsageError } from '../usage-error.js'
import { OUTPUT_FILE } from './flags.js'
import { expectGiven, transform } from './transformation.js'

interface DocumentsFlags extends ModelFlags {
  readonly output?: string
  readonly tokenizer?: string
  readonly maxTokens?: number
  readonly overlap?: number
  readonly onError?: 'error' | 'skip'
  readonly json?: boolean
}

interface Checked extends DocumentsFlags {
  readonly documents: readonly string[]
  readonly output: string
}

const { maxTokens, overlap, onError } = SPLIT_DOCUMENTS_OPTIONS

export const command: Command<DocumentsFlags, Checked> = {
  summary: 'make rows of PDF, DOCX, HTML, Markdown and text files: chunks of tokens that overlap',
  details:
    'A row has document, sha256, chunk, page, last_page, headings, tokens and text. A folder stands for the documents in ' +
    'it and in its folders. PDF needs the package unpdf, DOCX mammoth and linkedom, HTML linkedom and @mozilla/readability.',
  arguments: [{ name: 'documents', help: 'files, folders and globs', isRepeatable: true }],
  flags: {
    output: OUTPUT_FILE,
    json: JSON_OBJECT,
    model: {
      ...MODEL_FLAGS.model,
      help: 'directory, .gguf file or Hub id of the model whose tokenizer counts; what the Hub cache lacks is fetched',
      otherwise: '--tokenizer',
      flag: { ...MODEL_FLAGS.model.flag, group: 'The chunks' },
    },
    revision: { ...MODEL_FLAGS.revision, otherwise: 'main' },
    tokenizer: {
      rule: path,
      help: 'directory with a tokenizer.json, for which no weights are needed',
      otherwise: 'that of --model',
      flag: { name: '--tokenizer', argument: 'dir' },
    },
    maxTokens: { ...maxTokens, flag: { name: '--max-tokens', argument: 'count' } },
    overlap: { ...overlap, flag: { name: '--overlap', argument: 'count' } },
    onError: { ...onError, flag: { name: '--on-error', argument: 'what' } },
  },
  examples: [
    {
      text: 'Make chunks of 500 tokens, 50 of them shared with the chunk before',
      line: 'data documents manuals --model Qwen/Qwen3-0.6B --output chunks.jsonl',
    },
    {
      text: 'Leave out what cannot be read',
      line: 'data documents *.pdf --model model --on-error skip --output a.jsonl',
    },
  ],
  async check({ flags, words }) {
    const { model, tokenizer } = flags
    const [output] = await checkAll('data documents', [
      () => expectGiven('documents', '--output FILE', flags.output),
      () => expectGiven('documents', 'documents: files, folders or globs', words[0]),
      () => expectOne(model, tokenizer),
    ])
    return { ...flags, output, documents: words }
  },
  async run({ model, revision, tokenizer: given, json, ...options }) {
    const { loadTokenizer } = await import('../../tokenizer/tokenizer.js')
    const { splitDocuments } = await import('../../transform/documents.js')
    const { locateModel } = await import('../locate-model.js')
    const place =
      given === undefined
        ? (
            await locateModel('data documents', {
              ...(model && { model }),
              ...(revision && { revision }),
              json: !!json,
            })
          ).path
        : basename(given) === 'tokenizer.json'
          ? dirname(given)
          : given
    const tokenizer = await loadTokenizer(place)
    const work = (
      onProgress: (chunks: number, fraction: number | undefined) => void,
      signal: AbortSignal,
    ): Promise<DocumentsReport> => splitDocuments({ ...options, tokenizer, onProgress, signal })
    await transform('Splitting', json, work, describe, 'chunks')
  },
}

function expectOne(model: string | undefined, tokenizer: string | undefined): void {
  if ((model === undefined) !== (tokenizer === undefined)) return
  const got = model === undefined ? 'neither; a chunk is so many tokens of a model' : 'both; leave one out'
  throw new UsageError(`[data documents] expected --model DIR or --tokenizer DIR, got ${got}`)
}

/** Names that a line shows; `--json` has all. */
const SHOWN = 3

function describe(report: DocumentsReport, paint: Paint): readonly string[] {
  const { chunks, withText, documents, output, pages, emptyPages, empty, skipped, otherFiles, tokens } = report
  return [
    `${paint('green', 'Made')} ${count(chunks, 'chunk')} of ${formatCount(withText)} of ${count(documents, 'document')} in ${output}`,
    `  ${count(tokens, 'token')}${pages > 0 ? `, ${count(pages, 'page')} of PDF` : ''}`,
    ...(emptyPages > 0 ? [`  ${count(emptyPages, 'page')} without text: a scan has to be recognised first (OCR)`] : []),
    ...(empty.length > 0
      ? [
          `  ${count(empty.length, 'document')} without text, as scans are: ${empty.slice(0, SHOWN).join(', ')}${more(empty)}`,
        ]
      : []),
    ...(skipped.length > 0
      ? [
          `  ${paint('yellow', 'left out')}: ${count(skipped.length, 'document')} that cannot be read`,
          ...skipped.slice(0, SHOWN).map(({ message }) => `    ${message}`),
          ...(skipped.length > SHOWN ? [`    and ${skipped.length - SHOWN} more, which --json lists`] : []),
        ]
      : []),
    ...(otherFiles > 0 ? [`  ${count(otherFiles, 'file')} of other endings left alone`] : []),
  ]
}

function count(number: number, what: string): string {
  return `${formatCount(number)} ${what}${number === 1 ? '' : 's'}`
}

function more(names: readonly string[]): string {
  return names.length > SHOWN ? ` and ${names.length - SHOWN} more` : ''
}
