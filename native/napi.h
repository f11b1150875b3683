// The one include site of Node-API: everything that talks to JavaScript includes this file.
#pragma once

#define NAPI_VERSION 9
#define NODE_ADDON_API_CPP_EXCEPTIONS_ALL
#include <napi.h>
