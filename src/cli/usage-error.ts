/** @file The one error that ends the program with exit code 2. */

/** The command line or the configuration file is not as it must be; nothing was started. */
export class UsageError extends Error {}
