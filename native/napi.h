// The one include site of Node-API: everything that talks to JavaScript includes this file.
#pragma once

#define NAPI_VERSION 9
#define NODE_ADDON_API_CPP_EXCEPTIONS_ALL
// An environment that is being terminated takes no exceptions: without this, throwing one there ends the process.
#define NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS
#include <napi.h>
