/** @file What the commands about serving endpoints have in common. */

import { SERVED_ENTITY_OPTIONS, type ServedEntity } from '../../../databricks/served-entity.js'
import type { ServingEndpoint } from '../../../databricks/serving.js'
import { expectOptions } from '../../../options/table.js'
import type { AnyCommand, Command, FlagTable } from '../../command.js'
import { JSON_OBJECT } from '../../flags.js'
import { UsageError } from '../../usage-error.js'
import { CONNECTION_FLAGS, type ConnectionFlags, connectionOf } from '../connection-flags.js'
import { expectWord, readFields } from '../given.js'
import { writeFields, writeJson } from '../output.js'
import { showWait, WAIT_FLAGS, type WaitFlags } from '../waiting.js'

export const ENDPOINT_NAME = { argument: 'name', help: 'name of the serving endpoint' } as const

/** The fields of an endpoint, as people read them. */
export function endpointFields({ name, ready, configUpdate, entities }: ServingEndpoint): Record<string, string> {
  return { name, ready, update: configUpdate, serves: entities.join(', ') }
}

interface EntityFlags {
  readonly workloadType?: string
  readonly workloadSize?: string
  readonly spec?: string
}

const ENTITY_FLAGS = {
  workloadType: {
    rule: SERVED_ENTITY_OPTIONS.workloadType.rule,
    otherwise: SERVED_ENTITY_OPTIONS.workloadType.default,
    help: SERVED_ENTITY_OPTIONS.workloadType.help,
    flag: { name: '--workload-type', argument: 'type', group: 'Serving' },
  },
  workloadSize: { ...SERVED_ENTITY_OPTIONS.workloadSize, flag: { name: '--workload-size', argument: 'size' } },
  spec: {
    rule: SERVED_ENTITY_OPTIONS.entityName.rule,
    otherwise: 'none',
    help: 'file in YAML or JSON with more fields of the served entity',
    flag: { name: '--spec', argument: 'path' },
  },
} as const satisfies FlagTable<EntityFlags>

interface ServeFlags extends ConnectionFlags, WaitFlags, EntityFlags {
  readonly json?: boolean
}

interface Serve extends Omit<ServeFlags, keyof EntityFlags> {
  readonly endpoint: string
  readonly entity: ServedEntity
}

/** A command that lets an endpoint serve a version, and waits until it does. */
export function serveCommand(verb: 'create' | 'update', summary: string, details: string): AnyCommand {
  const name = `databricks serving-endpoints ${verb}`
  const command: Command<ServeFlags, Serve> = {
    summary,
    details,
    arguments: [
      { name: ENDPOINT_NAME.argument, help: ENDPOINT_NAME.help, otherwise: 'needed' },
      { name: 'model', help: 'registered version: catalog.schema.model/3', otherwise: 'needed' },
    ],
    flags: { ...ENTITY_FLAGS, ...WAIT_FLAGS, json: JSON_OBJECT, ...CONNECTION_FLAGS },
    examples: [{ text: 'Serve a version', line: `${name} chat main.chat.merged/3` }],
    async check({ flags: { workloadType, workloadSize, spec, ...flags }, words: [endpointName, version] }) {
      const endpoint = expectWord(name, `the ${ENDPOINT_NAME.help}`, endpointName)
      const named = versionOf(name, expectWord(name, 'a registered version behind the name', version))
      const example = 'fields such as "workload_size: Small"'
      const table = { ...SERVED_ENTITY_OPTIONS, entityName: OPTIONAL, entityVersion: OPTIONAL }
      const fields = spec === undefined ? {} : await readFields<object>(name, spec, table, { example })
      const given = {
        ...(workloadType !== undefined && { workloadType }),
        ...(workloadSize !== undefined && { workloadSize }),
      }
      const entity = { ...fields, ...named, ...given }
      expectOptions(name, entity, SERVED_ENTITY_OPTIONS)
      return { ...flags, endpoint, entity }
    },
    async run({ endpoint, entity, json, noWait, ...flags }) {
      const serving = await import('../../../databricks/serving.js')
      const databricks = connectionOf(flags)
      const serve = verb === 'create' ? serving.createEndpoint : serving.updateEndpoint
      const served = await showWait(`The serving endpoint ${endpoint}`, flags, async (here, { made }) => {
        const begun = await serve(endpoint, entity, { databricks, ...here, wait: false })
        const group = 'lowrank databricks serving-endpoints'
        made(
          `it goes on in the workspace; ${group} get ${endpoint} shows it, serving-endpoints delete ${endpoint} removes it`,
        )
        return noWait ? begun : await serving.waitForEndpoint(endpoint, { databricks, ...here })
      })
      if (json) writeJson(served)
      else writeFields(endpointFields(served))
    },
  }
  return command
}

const OPTIONAL = {
  rule: SERVED_ENTITY_OPTIONS.entityName.rule,
  otherwise: 'that of the command line',
  help: '',
} as const

function versionOf(command: string, text: string): Pick<ServedEntity, 'entityName' | 'entityVersion'> {
  const [, entityName, entityVersion] = /^([^/]+)\/(\d+)$/.exec(text) ?? []
  if (entityName !== undefined && entityVersion !== undefined) return { entityName, entityVersion }
  throw new UsageError(
    `[${command}] expected a registered version such as catalog.schema.model/3, got ${JSON.stringify(text)}; the number is that of the version`,
  )
}
