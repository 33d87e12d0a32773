/* A TCP connection to the server, with the sockets that POSIX, lwIP (ESP-IDF), Zephyr and NuttX share. */
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

/* Connects to one of the addresses of a host. A read or a write that takes 5 seconds fails. Returns -1 on failure. */
static int connect_to(const char *host, const char *port) {
    struct addrinfo hints = {0}, *found = NULL;
    struct timeval limit = {5, 0};
    int sock = -1, on = 1;

    hints.ai_socktype = SOCK_STREAM;
    if (getaddrinfo(host, port, &hints, &found)) return -1;
    for (struct addrinfo *a = found; a && sock < 0; a = a->ai_next) {
        sock = socket(a->ai_family, a->ai_socktype, a->ai_protocol);
        if (sock < 0) continue;
        setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* a question does not wait for an earlier one's ACK */
        if (connect(sock, a->ai_addr, a->ai_addrlen)) {
            close(sock);
            sock = -1;
        }
    }
    freeaddrinfo(found);
    return sock;
}
