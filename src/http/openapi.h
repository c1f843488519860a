// GET /openapi.json: the API described, made from the router's table, so that no route is missing, and from
// the table of request fields.
#pragma once

#include <string>

#include "http/request_fields.h"
#include "http/router.h"

namespace hoist::http {

// An OpenAPI 3.1 document of all routes in the table.
std::string openapi_json(const Router& router);
// JSON schema of the bodies that have these fields.
std::string request_schema(RequestField::Where where);
// `router` is read at each request, and outlives its own routes.
void add_openapi_route(Router& router);

}  // namespace hoist::http
