// C++17: handles that free themselves, and errors that are thrown.
#include <cstdio>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>

#include "daytime.h"

// Throws the error of the last call of this thread if that call failed.
static void check(int status) {
    if (status != DAYTIME_OK) throw std::runtime_error(daytime_last_error()->message);
}

class Server {
  public:
    // Returns the reply. It throws to reply with an error line.
    using Handler = std::function<std::string(const std::string &argument)>;

    explicit Server(const char *address) : handle(daytime_server_new()) { check(daytime_server_listen(get(), address)); }
    void command(const char *name, Handler handler) {
        // The server frees the handler, also if this call fails.
        check(daytime_server_add_command(get(), name, call, new Handler(std::move(handler)),
                                         [](void *handler) { delete static_cast<Handler *>(handler); }));
    }
    void start() { check(daytime_server_start(get(), nullptr)); }
    std::string address() const {
        char text[DAYTIME_ADDR_MAX];
        check(daytime_server_local_addr(get(), text, sizeof text));
        return text;
    }
    daytime_server *get() const { return handle.get(); } // for every other function of daytime.h

  private:
    struct Free { void operator()(daytime_server *server) const { daytime_server_free(server); } };

    // An exception must not leave a function that C calls.
    static int call(const daytime_request *request, daytime_reply *reply, void *handler) noexcept try {
        const std::string text = (*static_cast<Handler *>(handler))(daytime_request_argument(request));
        return daytime_reply_set(reply, text.c_str());
    } catch (const std::exception &error) {
        return daytime_reply_error(reply, error.what());
    }

    std::unique_ptr<daytime_server, Free> handle;
};

int main() try {
    Server server("127.0.0.1:0");
    server.command("double", [](const std::string &argument) { return std::to_string(2 * std::stoi(argument)); });
    server.start();
    daytime_client *client;
    check(daytime_client_connect(server.address().c_str(), 5000, &client, nullptr));
    const std::unique_ptr<daytime_client, void (*)(daytime_client *)> closes(client, daytime_client_free);
    char reply[DAYTIME_REPLY_MAX];
    check(daytime_client_request(client, "double 21", reply, sizeof reply, nullptr));
    std::printf("double 21: %s\n", reply);
    check(daytime_client_request(client, "double it", reply, sizeof reply, nullptr)); // throws
} catch (const std::exception &error) {
    std::printf("error: %s\n", error.what());
}
