/** @file All routes of the loopback workspace: one list per area. */

import type { Route } from './route.js'
import { AUTH_ROUTES } from './routes/auth.js'
import { COMPUTE_ROUTES } from './routes/compute.js'
import { DBFS_ROUTES } from './routes/dbfs.js'
import { FILES_ROUTES } from './routes/files.js'
import { JOBS_ROUTES } from './routes/jobs.js'
import { MLFLOW_ROUTES } from './routes/mlflow.js'
import { MLFLOW_SINGLE_ROUTES } from './routes/mlflow-single.js'
import { REGISTRY_ROUTES } from './routes/registry.js'
import { SERVING_ROUTES } from './routes/serving.js'
import { STATEMENT_ROUTES } from './routes/statements.js'
import { UNITY_CATALOG_ROUTES } from './routes/unity-catalog.js'
import { UNITY_CATALOG_MODEL_ROUTES } from './routes/unity-catalog-models.js'
import { WORKSPACE_FILES_ROUTES } from './routes/workspace-files.js'

export const ROUTES: readonly Route[] = [
  ...AUTH_ROUTES,
  ...COMPUTE_ROUTES,
  ...JOBS_ROUTES,
  ...SERVING_ROUTES,
  ...MLFLOW_ROUTES,
  ...MLFLOW_SINGLE_ROUTES,
  ...FILES_ROUTES,
  ...DBFS_ROUTES,
  ...WORKSPACE_FILES_ROUTES,
  ...STATEMENT_ROUTES,
  ...UNITY_CATALOG_ROUTES,
  ...REGISTRY_ROUTES,
  ...UNITY_CATALOG_MODEL_ROUTES,
]
