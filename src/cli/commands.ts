/**
 * @file The commands by name, in the order of help. A new one is its file and a line here. A name of several words, such
 * as `data show`, is a command of a group, which has its line in GROUPS.
 */

import type { CommandList } from './command.js'

export const COMMANDS: CommandList = new Map([
  ['train', () => import('./train.js')],
  ['init', () => import('./init.js')],
  ['plan', () => import('./plan.js')],
  ['generate', () => import('./generate.js')],
  ['chat', () => import('./chat.js')],
  ['merge', () => import('./merge.js')],
  ['mlflow sync', () => import('./mlflow/sync.js')],
  ['data show', () => import('./data/show.js')],
  ['data check', () => import('./data/check.js')],
  ['data rules', () => import('./data/rules.js')],
  ['data unify', () => import('./data/unify.js')],
  ['data split', () => import('./data/split.js')],
  ['data dedupe', () => import('./data/dedupe.js')],
  ['data documents', () => import('./data/documents.js')],
  ['data generate', () => import('./data/generate.js')],
  ['data convert', () => import('./data/convert.js')],
  ['pull', () => import('./pull.js')],
  ['databricks whoami', () => import('./databricks/whoami.js')],
  ['databricks login-check', () => import('./databricks/login-check.js')],
  ['databricks ls', () => import('./databricks/ls.js')],
  ['databricks cp', () => import('./databricks/cp.js')],
  ['databricks sync', () => import('./databricks/sync.js')],
  ['databricks rm', () => import('./databricks/rm.js')],
  ['clean', () => import('./clean.js')],
  ['doctor', () => import('./doctor.js')],
  ['schema', () => import('./schema.js')],
  ['completion', () => import('./completion.js')],
  ['help', () => import('./help.js')],
])

export const GROUPS: ReadonlyMap<string, string> = new Map([
  ['data', 'look at, check, convert and change data sets'],
  ['databricks', 'ask a Databricks workspace, and move files to and from it'],
  ['mlflow', 'runs recorded by MLflow'],
])
