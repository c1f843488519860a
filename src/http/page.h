// The web page at "/": served from memory, complete without any network, under a strict content-security
// policy. Its sources are the files of http/page/, embedded when the project is built.
#pragma once

#include "http/router.h"

namespace hoist::http {

// GET /, /style.css and the scripts.
void add_page_routes(Router& router);

}  // namespace hoist::http
