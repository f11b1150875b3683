/** @file What `lowrank serve` does once its flags are right: load, listen, say where, and end in order. */

import { beginLoading } from '../checkpoint/load-model.js'
import { createInferenceEngine } from '../inference/create-engine.js'
import { LowrankError } from '../lowrank-error.js'
import { paintFor } from '../progress/terminal.js'
import { readRegularFile } from '../regular-file.js'
import { createServeHandler } from '../serve/handler.js'
import { isLoopback } from '../serve/host-names.js'
import { serve } from '../serve/node-server.js'
import type { RequestLogEntry } from '../serve/request-log.js'
import { loadTokenizer } from '../tokenizer/tokenizer.js'
import { AppendFile } from '../trackers/append-file.js'
import { toError } from '../values.js'
import { localAdapters } from './local-adapters.js'
import { locateModel, tokenizerPlace } from './locate-model.js'
import type { Serve } from './serve.js'
import { type Served, startScreen } from './serve-screen.js'
import { showModelWarnings, showWarnings } from './show-warnings.js'
import { DEADLY, guardSignals, releaseSignals } from './signal-guard.js'

/** Serves until a signal says to end. */
export async function serveModel(asked: Serve): Promise<void> {
  const { model: named, revision, adapter, adapterNames, json, quantization, dtype, device } = asked
  const apiKeys = await readKeys(asked.apiKeyFile)
  const log = openLog(asked.log)
  const directories = await localAdapters(adapter, json)
  const location = await locateModel('serve', { model: named, revision, adapters: directories, json })
  const tokenizer = await loadTokenizer(await tokenizerPlace(location, ...directories))
  const model = await beginLoading(location, { quantization, dtype, device })
  showModelWarnings(model)
  const { maxSequences, maxWaiting, maxModelLen, kvCacheMemory, maxLoras, maxLoraRank } = asked
  const engine = await createInferenceEngine(model, {
    maxSequences,
    maxWaiting,
    maxModelLen,
    kvCacheMemory,
    maxLoras,
    maxLoraRank,
  })
  for (const [index, directory] of directories.entries())
    await engine.loadAdapter(adapterNames[index] as string, directory)
  const { modelName, allowedOrigins, admin, noPage } = asked
  const { maxBodyBytes, maxRequests, maxChoices, maxNewTokens, defaultMaxNewTokens } = asked
  const { bodyTimeout, answerTimeout, stallTimeout } = asked
  const handler = createServeHandler(model, tokenizer, {
    engine,
    modelName,
    apiKeys,
    allowedOrigins,
    admin,
    page: !noPage,
    ...{ maxBodyBytes, maxRequests, maxChoices, maxNewTokens, defaultMaxNewTokens },
    ...{ bodyTimeout, answerTimeout, stallTimeout },
    onLog: log,
  })
  const { host, port, allowedHosts, maxConnections, headersTimeout, keepAliveTimeout } = asked
  const server = await serve(handler, { host, port, allowedHosts, maxConnections, headersTimeout, keepAliveTimeout })
  const served: Served = {
    url: server.url,
    models: handler.models,
    maxModelLen: engine.maxModelLen ?? model.config.maxPositionEmbeddings,
    hasKeys: apiKeys.length > 0,
    hasPage: !noPage,
    hasChat: tokenizer.chatTemplate !== undefined,
  }
  if (!isLoopback(host) && apiKeys.length === 0)
    showWarnings({ warnings: [`everybody who reaches ${host} may ask: there is no --api-key-file`] })
  process.stdout.write(
    json ? `${JSON.stringify({ type: 'listening', ...served })}\n` : startScreen(served, paintFor(process.stdout)),
  )
  await untilDrained((signal) => server.close(signal), json === true)
  model.dispose()
}

/** The keys of a file, a line each; else the one of the environment. */
async function readKeys(path: string | undefined): Promise<string[]> {
  if (path === undefined) return process.env.LOWRANK_API_KEY ? [process.env.LOWRANK_API_KEY] : []
  const text = (await readRegularFile(path, { where: 'serve' })).toString()
  const keys = text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
  if (keys.length > 0) return keys
  throw new LowrankError('FILE', `[serve] expected a key per line in ${path}, got none`)
}

function openLog(path: string | undefined): ((entry: RequestLogEntry) => void) | undefined {
  if (path === undefined) return undefined
  if (path === '-') return (entry) => void process.stdout.write(`${JSON.stringify({ type: 'request', ...entry })}\n`)
  let file = new AppendFile(path, 'serve')
  // What cannot be written is known before anything is served.
  file.write()
  return (entry) => {
    file.add(Buffer.from(`${JSON.stringify(entry)}\n`))
    try {
      file.writeSoon()
    } catch (error) {
      // A server that answers for months must not keep what a full disk does not take.
      showWarnings({ warnings: [`${toError(error).message.replace(/; what it lacks.*/s, '')}; those lines are lost`] })
      file = new AppendFile(path, 'serve')
    }
  }
}

/** The first SIGINT or SIGTERM ends the server once its answers are given; a second one ends the process at once. */
async function untilDrained(close: (signal: AbortSignal) => Promise<void>, isQuiet: boolean): Promise<void> {
  const never = new AbortController()
  await new Promise<void>((resolve, reject) => {
    let isEnding = false
    const stop = (): void => {
      if (isEnding) return
      isEnding = true
      if (!isQuiet) process.stderr.write('Ending once the answers are given; once more ends at once\n')
      close(never.signal).then(resolve, reject)
    }
    for (const name of DEADLY) process.on(name, stop)
    guardSignals({ SIGINT: 'ends as second', SIGTERM: 'ends as second' })
  }).finally(releaseSignals)
}
