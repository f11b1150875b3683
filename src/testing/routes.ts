/** @file All routes of the loopback workspace: one list per area. */

import type { Route } from './route.js'
import { AUTH_ROUTES } from './routes/auth.js'

export const ROUTES: readonly Route[] = [...AUTH_ROUTES]
