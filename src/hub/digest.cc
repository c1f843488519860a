#include "hub/digest.h"

#include <openssl/evp.h>

#include <cstdio>
#include <memory>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "io/files.h"

namespace hoist::hub {

namespace {

std::string digest(const std::string& path, const EVP_MD* kind, const std::string& before) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
  if (!file) throw_not_found(path + ": cannot be opened");
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  bool good = context && EVP_DigestInit_ex(context.get(), kind, nullptr) == 1 &&
              EVP_DigestUpdate(context.get(), before.data(), before.size()) == 1;
  std::vector<unsigned char> buffer(size_t{1} << 20);
  while (good) {
    const size_t n = std::fread(buffer.data(), 1, buffer.size(), file.get());
    if (n == 0) break;
    good = EVP_DigestUpdate(context.get(), buffer.data(), n) == 1;
  }
  if (std::ferror(file.get())) throw Error(ErrorCode::kUnavailable, path + ": cannot be read");
  unsigned char out[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  HOIST_CHECK(good && EVP_DigestFinal_ex(context.get(), out, &size) == 1, "a digest failed");
  std::string hex;
  for (unsigned i = 0; i < size; ++i) {
    constexpr char kDigits[] = "0123456789abcdef";
    hex += kDigits[out[i] >> 4];
    hex += kDigits[out[i] & 15];
  }
  return hex;
}

}  // namespace

std::string sha256_file(const std::string& path) { return digest(path, EVP_sha256(), ""); }

std::string git_blob_sha1_file(const std::string& path) {
  std::string head = "blob " + std::to_string(io::file_size(path));
  head.push_back('\0');
  return digest(path, EVP_sha1(), head);
}

}  // namespace hoist::hub
