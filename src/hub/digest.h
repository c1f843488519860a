// Checksums that model hubs publish: SHA-256 of large files, git's blob SHA-1 of small ones.
#pragma once

#include <string>

namespace hoist::hub {

// Lower-case hex. Both read the file once, in bounded pieces; they throw Error naming the path.
std::string sha256_file(const std::string& path);
std::string git_blob_sha1_file(const std::string& path);  // SHA-1 of "blob <bytes>\0" and the content

}  // namespace hoist::hub
