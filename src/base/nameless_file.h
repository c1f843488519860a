// A file without a name: it is gone with the process, however it ends.
#pragma once

#include <cstdint>
#include <string>

namespace hoist {

class NamelessFile {
 public:
  enum class Caching { kPages, kDirect };
  // In `folder`. kDirect: past the page cache where the file system allows it; addresses, offsets and lengths
  // must then be multiples of 4096. Throws Error(kIo) naming the folder.
  explicit NamelessFile(const std::string& folder, Caching caching = Caching::kPages);
  NamelessFile(NamelessFile&& other) noexcept : fd_(other.fd_), direct_(other.direct_) { other.fd_ = -1; }
  NamelessFile& operator=(NamelessFile&&) = delete;
  ~NamelessFile();

  int fd() const { return fd_; }
  bool direct() const { return direct_; }

  // All of these return 0 or an errno; a file that ends too soon is EIO. Threads may read and write at once.
  // Makes room for bytes [0, size), so that no write finds the disk full, where the file system can; zeros.
  int reserve(int64_t size) const;
  int read(void* to, int64_t bytes, int64_t offset) const;
  int write(const void* from, int64_t bytes, int64_t offset) const;

 private:
  int fd_ = -1;
  bool direct_ = false;
};

}  // namespace hoist
