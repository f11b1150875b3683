/** @file The page for trying and the published description. */

import { Ajv2020 } from 'ajv/dist/2020.js'
import { describe, expect, it } from 'vitest'
import { serveScripted } from './served.js'

describe('the page', () => {
  it('is one document that loads nothing and may ask its own server alone', async () => {
    const { get } = serveScripted('x', { apiKeys: ['a-secret-of-the-test'] })
    const response = await get('/')
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8'])
    expect(response.headers.get('content-security-policy')).toMatch(/^default-src 'none'; .*connect-src 'self'/)
    const text = await response.text()
    expect(text).not.toMatch(/https?:|src=|@import|url\(/)
    expect(text).not.toContain('a-secret')
    const [, script] = /<script>(.*)<\/script>/s.exec(text) ?? []
    expect(() => new Function(script ?? '')).not.toThrow()
  })

  it('is not there where nobody wants it', async () => {
    expect((await serveScripted('x', { page: false }).get('/')).status).toBe(404)
  })
})

describe('/openapi.json', () => {
  interface Description {
    paths: Record<
      string,
      Record<string, { requestBody?: { content: Record<string, { schema: object }> }; responses: object }>
    >
    components: { schemas: object; securitySchemes?: object }
  }

  it('names every route, with schemas that compile and fit what the routes take', async () => {
    const { get } = serveScripted('x', { admin: true, apiKeys: ['a-secret-of-the-test'] })
    const { paths, components } = (await (await get('/openapi.json')).json()) as Description
    expect(Object.keys(paths).sort()).toEqual([
      '/',
      '/health',
      '/metrics',
      '/openapi.json',
      '/ready',
      '/v1/chat/completions',
      '/v1/completions',
      '/v1/load_lora_adapter',
      '/v1/models',
      '/v1/models/{id}',
      '/v1/responses',
      '/v1/unload_lora_adapter',
    ])
    expect(components.securitySchemes).toEqual({ key: { type: 'http', scheme: 'bearer' } })
    const ajv = new Ajv2020({ strict: false })
    const schemaOf = (path: string): object => {
      const schema = paths[path]?.post?.requestBody?.content['application/json']?.schema as object
      return { ...schema, components }
    }
    const messages = [{ role: 'user', content: 'x' }]
    const good: [string, object][] = [
      ['/v1/chat/completions', { model: 'tiny', messages, temperature: 0.5, stop: ['a'], n: null, tools: [] }],
      ['/v1/completions', { model: 'tiny', prompt: [1, 2], logprobs: 2 }],
      ['/v1/responses', { model: 'tiny', input: 'x', text: { format: { type: 'json_object' } } }],
      ['/v1/load_lora_adapter', { lora_name: 'a', lora_path: 'b' }],
    ]
    for (const [path, body] of good) {
      const check = ajv.compile(schemaOf(path))
      expect([path, check(body), check.errors]).toEqual([path, true, null])
      expect([path, check({ ...body, temprature: 1 })]).toEqual([path, false])
      expect([path, check({})]).toEqual([path, false])
    }
  })

  it('leaves out what the server does not have', async () => {
    const { paths, components } = (await (
      await serveScripted('x', { page: false }).get('/openapi.json')
    ).json()) as Description
    expect(Object.keys(paths)).not.toContain('/')
    expect(Object.keys(paths)).not.toContain('/v1/load_lora_adapter')
    expect(components.securitySchemes).toBeUndefined()
  })
})
