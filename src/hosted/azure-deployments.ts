/** @file Deployments of Azure OpenAI, which Azure Resource Manager makes; without one nobody can ask a tuned model. */

import type { RestClient } from '../http/rest.js'
import { isObject } from '../values.js'
import { patiently, unlessMissing } from './requests.js'
import type { DeploymentState, HostedService } from './service.js'

type Fields = Record<string, unknown>

const API_VERSION = '2024-10-01'

/** Where a resource is. */
export interface AzureAccount {
  readonly subscriptionId: string
  readonly resourceGroup: string
  readonly accountName: string
}

/** @param accountOf Throws where it is not known which resource is meant. */
export function azureDeployments(
  management: () => RestClient,
  accountOf: () => AzureAccount,
): NonNullable<HostedService['deployments']> {
  const query = { 'api-version': API_VERSION }
  const pathOf = (name: string): string => {
    const { subscriptionId, resourceGroup, accountName } = accountOf()
    const [subscription, group, account, deployment] = [subscriptionId, resourceGroup, accountName, name].map(
      encodeURIComponent,
    )
    return (
      `/subscriptions/${subscription}/resourceGroups/${group}/providers/Microsoft.CognitiveServices/accounts/${account}` +
      `/deployments/${deployment}`
    )
  }
  return {
    async put({ name, model, format, sku, capacity, version }, signal) {
      const json = { sku: { name: sku, capacity }, properties: { model: { format, name: model, version } } }
      // The same once more makes nothing new.
      await patiently(signal, () =>
        management().json({ method: 'PUT', path: pathOf(name), query, what: `the deployment ${name}`, json, signal }),
      )
    },
    async get(name, signal) {
      const call = { path: pathOf(name), query, what: `the deployment ${name}`, signal }
      const found = await unlessMissing(patiently(signal, () => management().json<Fields>(call)))
      return found && stateOf(name, found)
    },
    async delete(name, signal) {
      const call = {
        method: 'DELETE',
        path: pathOf(name),
        query,
        what: `the deletion of the deployment ${name}`,
        signal,
      } as const
      return (await unlessMissing(patiently(signal, () => management().json<Fields>(call)))) !== undefined
    },
  }
}

function stateOf(name: string, { properties, error }: Fields): DeploymentState {
  const fields = isObject(properties) ? properties : {}
  const model = isObject(fields.model) ? fields.model : {}
  const serviceStatus = String(fields.provisioningState ?? 'unknown')
  const isFailed = /^(?:failed|canceled|cancelled|disabled)$/i.test(serviceStatus)
  const message = isObject(error) && typeof error.message === 'string' ? error.message : undefined
  return {
    name,
    model: String(model.name ?? ''),
    status: /^succeeded$/i.test(serviceStatus) ? 'succeeded' : isFailed ? 'failed' : 'creating',
    serviceStatus,
    error: message,
  }
}
