/**
 * @file An endpoint with OpenAI's interface on the loopback interface. `answer` says what each request gets; every
 * request is kept, and how many were open at a time.
 */

import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** The body of a request, as far as tests look at it. */
export interface SeenBody {
  readonly model: string
  readonly messages: readonly { readonly role: string; readonly content: string }[]
  readonly max_tokens?: number
  readonly response_format?: { readonly type: string; readonly json_schema?: { readonly name: string } }
  readonly [field: string]: unknown
}

export interface SeenChat {
  /** From 0. */
  readonly number: number
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: SeenBody
  /** Content of the last message. */
  readonly prompt: string
}

/** What a request gets: a message, any JSON or text with a status, no answer at all, or a cut connection. */
export type Answer =
  | { readonly content: unknown; readonly message?: object; readonly finish?: string; readonly usage?: object | null }
  | { readonly status: number; readonly body?: unknown; readonly headers?: Record<string, string> }
  | 'never'
  | 'cut'

export interface ChatServer {
  readonly baseUrl: string
  readonly requests: SeenChat[]
  /** Most requests that were open at the same time. */
  readonly mostOpen: number
  answer: (request: SeenChat) => Answer | Promise<Answer>
  close(): Promise<void>
}

export async function startChatServer(answer: ChatServer['answer']): Promise<ChatServer> {
  const requests: SeenChat[] = []
  let open = 0
  let mostOpen = 0
  const server = createServer((request, response) => {
    open++
    mostOpen = Math.max(mostOpen, open)
    response.on('close', () => open--)
    const pieces: Buffer[] = []
    request.on('data', (piece: Buffer) => pieces.push(piece))
    request.on('end', async () => {
      const body = JSON.parse(Buffer.concat(pieces).toString() || '{}') as SeenBody
      const prompt = body.messages?.at(-1)?.content ?? ''
      const seen = { number: requests.length, path: request.url ?? '', headers: request.headers, body, prompt }
      requests.push(seen)
      send(response, seen, await chat.answer(seen))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const chat = {
    baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    requests,
    answer,
    get mostOpen() {
      return mostOpen
    },
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
  return chat
}

function send(response: ServerResponse, { body }: SeenChat, answer: Answer): void {
  if (answer === 'never') return
  if (answer === 'cut') {
    response.destroy()
    return
  }
  if ('status' in answer) {
    const { status, headers, body: said = '' } = answer
    response.writeHead(status, { 'content-type': 'application/json', ...headers })
    response.end(typeof said === 'string' ? said : JSON.stringify(said))
    return
  }
  const { content, message, finish = 'stop', usage = { prompt_tokens: 100, completion_tokens: 20 } } = answer
  const choice = {
    index: 0,
    message: {
      role: 'assistant',
      content:
        typeof content === 'object' && content !== null && !Array.isArray(content) ? JSON.stringify(content) : content,
      ...message,
    },
    finish_reason: finish,
  }
  response.writeHead(200, { 'content-type': 'application/json' })
  response.end(JSON.stringify({ id: 'x', object: 'chat.completion', model: body.model, choices: [choice], usage }))
}
