/** @file Which service fine-tunes, where it is and who asks: options first, then the vendors' variables. */

import { oneOf, textOf } from '../options/rules.js'
import type { OptionTable, Resolved } from '../options/table.js'

/** The services. */
export const PROVIDERS = ['azure', 'openai', 'vertex'] as const

export type HostedProvider = (typeof PROVIDERS)[number]

/** A service that fine-tunes, and who asks it. */
export interface HostedConnection {
  /** `azure`: Azure OpenAI; `openai`: OpenAI's API and servers that speak it; `vertex`: Vertex AI. */
  provider: HostedProvider
  /**
   * Address of the service: of an Azure OpenAI resource, of an API before `/files`, of Vertex AI.
   * @default AZURE_OPENAI_ENDPOINT; OPENAI_BASE_URL, then https://api.openai.com/v1; GOOGLE_VERTEX_BASE_URL, then that
   * of the location
   */
  endpoint?: string
  /**
   * API key of Azure OpenAI or OpenAI; never part of an error or a file.
   * @default AZURE_OPENAI_API_KEY; OPENAI_API_KEY
   */
  apiKey?: string
  /**
   * Tenant of a service principal of Entra ID.
   * @default AZURE_TENANT_ID
   */
  tenantId?: string
  /**
   * Application id of the service principal.
   * @default AZURE_CLIENT_ID
   */
  clientId?: string
  /**
   * Its secret, sent to the authority alone.
   * @default AZURE_CLIENT_SECRET
   */
  clientSecret?: string
  /**
   * Address of Entra ID.
   * @default AZURE_AUTHORITY_HOST, then https://login.microsoftonline.com
   */
  authorityHost?: string
  /**
   * Address of Azure Resource Manager.
   * @default LOWRANK_AZURE_MANAGEMENT_URL, then https://management.azure.com
   */
  managementUrl?: string
  /**
   * Subscription that the Azure OpenAI resource is in; for deployments.
   * @default AZURE_SUBSCRIPTION_ID
   */
  subscriptionId?: string
  /**
   * Resource group that it is in; for deployments.
   * @default AZURE_RESOURCE_GROUP
   */
  resourceGroup?: string
  /**
   * Name of the Azure OpenAI resource; for deployments.
   * @default AZURE_OPENAI_ACCOUNT, then the first part of the endpoint's host
   */
  accountName?: string
  /**
   * Project of Google Cloud.
   * @default GOOGLE_CLOUD_PROJECT, then that of the service account
   */
  project?: string
  /**
   * Location of Google Cloud.
   * @default GOOGLE_CLOUD_LOCATION, then us-central1
   */
  location?: string
  /**
   * JSON file of a service account or of an authorized user.
   * @default GOOGLE_APPLICATION_CREDENTIALS, then that of gcloud, then the metadata server
   */
  credentialsFile?: string
  /**
   * Where files for Vertex AI go: `gs://bucket/folder`.
   * @default LOWRANK_VERTEX_BUCKET
   */
  bucket?: string
  /**
   * Address of Cloud Storage.
   * @default STORAGE_EMULATOR_HOST, then https://storage.googleapis.com
   */
  storageUrl?: string
}

const ADDRESS = textOf('an address such as https://name.openai.azure.com')
const ID = textOf('a name or an id')

/** The options of a connection, part of the table of every function of hosted fine-tuning. */
export const HOSTED_CONNECTION = {
  provider: {
    rule: oneOf(PROVIDERS),
    isRequired: true,
    help: 'the service: azure (Azure OpenAI), openai (its API and servers that speak it) or vertex (Vertex AI)',
    flag: { name: '--provider', argument: 'name', group: 'Service' },
  },
  endpoint: {
    rule: ADDRESS,
    otherwise: 'AZURE_OPENAI_ENDPOINT; OPENAI_BASE_URL; GOOGLE_VERTEX_BASE_URL; then that of the vendor',
    help: 'address of the service',
    flag: { name: '--endpoint', argument: 'url' },
  },
  apiKey: {
    rule: { ...textOf('an API key as text'), isSecret: true },
    otherwise: 'AZURE_OPENAI_API_KEY; OPENAI_API_KEY',
    help: 'API key of Azure OpenAI or OpenAI; better kept in the environment',
  },
  tenantId: { rule: ID, otherwise: 'AZURE_TENANT_ID', help: 'tenant of a service principal of Entra ID' },
  clientId: { rule: ID, otherwise: 'AZURE_CLIENT_ID', help: 'application id of the service principal' },
  clientSecret: {
    rule: { ...textOf('a secret as text'), isSecret: true },
    otherwise: 'AZURE_CLIENT_SECRET',
    help: 'secret of the service principal; better kept in the environment',
  },
  authorityHost: {
    rule: ADDRESS,
    otherwise: 'AZURE_AUTHORITY_HOST, then https://login.microsoftonline.com',
    help: 'address of Entra ID',
  },
  managementUrl: {
    rule: ADDRESS,
    otherwise: 'LOWRANK_AZURE_MANAGEMENT_URL, then https://management.azure.com',
    help: 'address of Azure Resource Manager',
    flag: { name: '--management-url', argument: 'url' },
  },
  subscriptionId: {
    rule: ID,
    otherwise: 'AZURE_SUBSCRIPTION_ID',
    help: 'subscription of the Azure OpenAI resource; for deployments',
    flag: { name: '--subscription', argument: 'id' },
  },
  resourceGroup: {
    rule: ID,
    otherwise: 'AZURE_RESOURCE_GROUP',
    help: 'resource group of the Azure OpenAI resource; for deployments',
    flag: { name: '--resource-group', argument: 'name' },
  },
  accountName: {
    rule: ID,
    otherwise: "AZURE_OPENAI_ACCOUNT, then the first part of the endpoint's host",
    help: 'name of the Azure OpenAI resource; for deployments',
    flag: { name: '--account', argument: 'name' },
  },
  project: {
    rule: ID,
    otherwise: 'GOOGLE_CLOUD_PROJECT, then that of the service account',
    help: 'project of Google Cloud',
    flag: { name: '--project', argument: 'id' },
  },
  location: {
    rule: ID,
    otherwise: 'GOOGLE_CLOUD_LOCATION, then us-central1',
    help: 'location of Google Cloud',
    flag: { name: '--location', argument: 'name' },
  },
  credentialsFile: {
    rule: textOf('the path of a JSON file'),
    otherwise: 'GOOGLE_APPLICATION_CREDENTIALS, then that of gcloud, then the metadata server',
    help: 'file of a service account or of an authorized user of Google Cloud',
    flag: { name: '--credentials-file', argument: 'path' },
  },
  bucket: {
    rule: textOf('an address such as gs://bucket/folder'),
    otherwise: 'LOWRANK_VERTEX_BUCKET',
    help: 'where files for Vertex AI go: gs://bucket/folder',
    flag: { name: '--bucket', argument: 'url' },
  },
  storageUrl: {
    rule: ADDRESS,
    otherwise: 'STORAGE_EMULATOR_HOST, then https://storage.googleapis.com',
    help: 'address of Cloud Storage',
  },
} as const satisfies OptionTable<HostedConnection>

/** A connection whose options are read. */
export type ResolvedConnection = Resolved<HostedConnection, typeof HOSTED_CONNECTION>
