// The bytes of one connection, plain or under TLS: what connection.cc needs of a socket. Internal to http/.
//
// At most one read and one write are under way. What was begun is told of exactly once, with an error after
// close(). Threading: io thread only. Lifetime: operations under way keep their stream.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

namespace hoist::http {

class Stream {
 public:
  using Error = boost::system::error_code;
  virtual ~Stream() = default;
  // Once, before anything else, where there is one to be made. After an error the stream is only good for
  // end_sending(), read() and close(), so that the other side can be heard out.
  virtual bool needs_handshake() const { return false; }
  virtual void handshake(std::function<void(Error)> /*done*/) {}
  // The bytes are good during the call. An error is the end of input.
  virtual void read(std::function<void(Error, std::string_view)> done) = 0;
  // Some of the bytes, at least one; they stay where they are until then.
  virtual void write(std::string_view bytes, std::function<void(Error, size_t)> done) = 0;
  // Says that nothing more comes; reading goes on, though what is read may not be decrypted any more.
  virtual void end_sending() = 0;
  virtual void close() = 0;
};

// `scratch` outlives the stream and is shared by all of one thread.
std::shared_ptr<Stream> plain_stream(boost::asio::ip::tcp::socket socket, std::vector<char>& scratch);

}  // namespace hoist::http
