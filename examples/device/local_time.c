/* The local time of a device that has a C library and no time zone database: `local_time HOST PORT [ZONE]`.
 *
 * It asks for the rules of the zone and for the time in one write, and reads until the server closes. The C library does
 * the rest. The server knows the zones, so the device needs no update when a government changes the rules. */
#define _POSIX_C_SOURCE 200112L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "connect.h"

/* What one visit to the server tells. */
struct visit {
    char tz[128];   /* the POSIX TZ string of the zone: at most 44 bytes for every zone of the database */
    char next[64];  /* when its offset changes, or "none" */
    long long now;  /* seconds since the Unix epoch */
};

/* Copies a line of the reply. Returns the start of the next one, or NULL if the line is missing or too long. */
static const char *take_line(const char *at, char *line, size_t size) {
    const char *end = at ? strchr(at, '\n') : NULL;
    if (!end || (size_t)(end - at) >= size) return NULL;
    memcpy(line, at, (size_t)(end - at));
    line[end - at] = '\0';
    return end + 1;
}

/* Asks the server. A zone is an IANA name, "UTC", an offset such as "+05:30", or "" for the server's zone. Returns NULL, or
 * what is wrong. */
static const char *ask(const char *host, const char *port, const char *zone, struct visit *visit) {
    char text[1024], number[32];
    /* The empty line is for the greeting, which has no line end of its own. */
    int length = snprintf(text, sizeof text, "\ntz %s\nnext %s\ntimestamp\nquit\n", zone, zone);
    if (length < 0 || (size_t)length >= sizeof text || strchr(zone, '\n')) return "the zone is not a name";

    int sock = connect_to(host, port);
    if (sock < 0) return "the server does not answer";
    size_t got = 0;
    ssize_t n = send(sock, text, (size_t)length, 0); /* so few bytes are sent at once */
    while (n > 0 && got < sizeof text - 1 && (n = recv(sock, text + got, sizeof text - 1 - got, 0)) > 0) got += (size_t)n;
    close(sock);
    if (n < 0) return "the connection has ended";
    text[got] = '\0';

    const char *at = strchr(text, '\n'); /* after the greeting */
    at = take_line(at ? at + 1 : NULL, visit->tz, sizeof visit->tz);
    at = take_line(at, visit->next, sizeof visit->next);
    if (!take_line(at, number, sizeof number)) return "the reply is not complete";
    if (strchr(visit->tz, ' ')) return "the server does not know the zone"; /* an error line has spaces, a TZ string none */

    char *end;
    visit->now = strtoll(number, &end, 10);
    return *number && !*end ? NULL : "the reply is not a time";
}

int main(int argc, char **argv) {
    struct visit visit;
    char text[64];

    if (argc < 3 || argc > 4) {
        fprintf(stderr, "usage: local_time HOST PORT [ZONE]\n");
        return 2;
    }
    const char *wrong = ask(argv[1], argv[2], argc > 3 ? argv[3] : "", &visit);
    if (wrong) {
        fprintf(stderr, "local_time: %s\n", wrong);
        return 1;
    }
    /* A device also sets its clock here, settimeofday(2), and keeps the string for a start without a network. */
    setenv("TZ", visit.tz, 1);
    tzset();

    time_t now = (time_t)visit.now;
    struct tm *local = localtime(&now);
    if (!local || !strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S %Z (UTC%z)", local)) return 1;
    printf("%s\nTZ=%s\nnext change: %s\n", text, visit.tz, visit.next);
    return 0;
}
