// An exception that leaves a handler ends the process, without undefined behavior.
#include "daytime.h"

#include <cstring>

extern "C" int throws(const daytime_request *, daytime_reply *, void *) {
    throw 1;
}

int main() {
    daytime_server *server = daytime_server_new();
    daytime_client *client = nullptr;
    char text[DAYTIME_ADDR_MAX];
    if (daytime_server_listen(server, "127.0.0.1:0") || daytime_server_add_command(server, "throw", throws, nullptr, nullptr)
        || daytime_server_start(server, nullptr) || daytime_server_local_addr(server, text, sizeof text)
        || daytime_client_connect(text, 0, &client, nullptr)) {
        return 1;
    }
    daytime_client_request(client, "throw", text, sizeof text, nullptr);
    return 2;
}
