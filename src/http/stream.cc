#include "http/stream.h"

#include <boost/asio/buffer.hpp>

namespace hoist::http {
namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

class PlainStream final : public Stream, public std::enable_shared_from_this<PlainStream> {
 public:
  PlainStream(tcp::socket socket, std::vector<char>& scratch)
      : socket_(std::move(socket)), scratch_(scratch) {}

  // Waits first and reads then into the buffer that all share: an idle connection holds none.
  void read(std::function<void(Error, std::string_view)> done) override {
    socket_.async_wait(tcp::socket::wait_read, [self = shared_from_this(), done = std::move(done)](Error ec) {
      size_t n = 0;
      if (!ec) n = self->socket_.read_some(asio::buffer(self->scratch_), ec);
      if (ec == asio::error::would_block) return self->read(done);
      done(ec, {self->scratch_.data(), n});
    });
  }
  void write(std::string_view bytes, std::function<void(Error, size_t)> done) override {
    socket_.async_write_some(asio::buffer(bytes), [self = shared_from_this(), done = std::move(done)](
                                                      Error ec, size_t n) { done(ec, n); });
  }
  void end_sending() override {
    Error ignored;
    socket_.shutdown(tcp::socket::shutdown_send, ignored);
  }
  void close() override {
    Error ignored;
    socket_.close(ignored);
  }

 private:
  tcp::socket socket_;
  std::vector<char>& scratch_;
};

}  // namespace

std::shared_ptr<Stream> plain_stream(tcp::socket socket, std::vector<char>& scratch) {
  return std::make_shared<PlainStream>(std::move(socket), scratch);
}

}  // namespace hoist::http
