/**
 * @file Run by --import: packages that LOWRANK_TEST_WITHOUT names, with commas between them, are not found, as where
 * they are not installed.
 */

import { register } from 'node:module'

const hooks = `
const missing = ${JSON.stringify(process.env.LOWRANK_TEST_WITHOUT?.split(',') ?? [])}
export async function resolve(name, context, next) {
  if (!missing.includes(name)) return await next(name, context)
  throw Object.assign(new Error('Cannot find package ' + name), { code: 'ERR_MODULE_NOT_FOUND' })
}`
register(`data:text/javascript,${encodeURIComponent(hooks)}`)
