/* How well a client knows the server's clock: `accuracy HOST PORT [ROUNDS]`, against a server on the same machine.
 *
 * A reply to `timestamp` is a whole second S. If a question was sent at t0 and its reply arrived at t1, both on the
 * client's own clock, then the server's clock showed S to S + 1 at some moment between t0 and t1. So its distance from the
 * client's clock is between S - t1 and S + 1 - t0. That is a second wide. Questions around the moment at which the second
 * changes make it narrower, down to a round trip: the program asks QUESTIONS times in each second, evenly over the distances
 * that are left, and stops at the reply in which the second has changed. The estimate is the middle. */
#define _POSIX_C_SOURCE 200112L
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "connect.h"

enum { QUESTIONS = 16, PASSES = 4 };
#define SECOND INT64_C(1000000000)

/* The distance of the server's clock from the client's is at least `low` and at most `high` nanoseconds. */
struct distance {
    int64_t low, high;
};

/* The client's own clock: on ESP-IDF, esp_timer_get_time(). */
static int64_t read_clock(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * SECOND + t.tv_nsec;
}

static int64_t now(void) {
    return read_clock(CLOCK_MONOTONIC);
}

static void sleep_until(int64_t moment) {
    int64_t left = moment - now();
    struct timespec t = {(time_t)(left / SECOND), (long)(left % SECOND)};
    if (left > 0) nanosleep(&t, NULL);
}

static void fail(const char *why) {
    fprintf(stderr, "accuracy: %s\n", why);
    exit(1);
}

/* Asks once. Returns the round trip. */
static int64_t ask(int sock, struct distance *distance) {
    static const char question[] = "timestamp\n";
    char reply[32];
    size_t got = 0;
    ssize_t n;

    int64_t t0 = now();
    if (send(sock, question, sizeof question - 1, 0) != (ssize_t)(sizeof question - 1)) fail("the connection has ended");
    while (!got || reply[got - 1] != '\n') {
        if ((n = recv(sock, reply + got, sizeof reply - 1 - got, 0)) <= 0) fail("the server does not answer");
        got += (size_t)n;
    }
    int64_t t1 = now();
    reply[got] = '\0';
    int64_t second = strtoll(reply, NULL, 10) * SECOND;
    if (second - t1 > distance->low) distance->low = second - t1;
    if (second + SECOND - t0 < distance->high) distance->high = second + SECOND - t0;
    if (distance->low > distance->high) fail("the server's clock does not run as the client's");
    return t1 - t0;
}

/* One pass: questions at the moments at which the second changes if the distance is low + 1/16, low + 2/16, … of the rest. */
static void narrow(int sock, struct distance *distance, int64_t round_trip) {
    struct distance at_start = *distance;
    int64_t step = (at_start.high - at_start.low) / QUESTIONS;
    /* The first change after the moment at which the server can be asked for the largest distance. */
    int64_t change = (now() + round_trip + at_start.high) / SECOND * SECOND + SECOND;
    for (int n = 1; n < QUESTIONS; n++) {
        /* The larger the distance, the earlier the change. The reply before the change gives an upper limit. */
        int64_t high = distance->high, low = distance->low;
        sleep_until(change - (at_start.high - n * step) - round_trip / 2);
        ask(sock, distance);
        if (distance->low > low && distance->high == high) break; /* the second has changed */
    }
}

static int compare(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void print(const char *what, int64_t *errors, int count) {
    qsort(errors, (size_t)count, sizeof *errors, compare);
    int last = count - 1;
    printf("%-28s median %10.3f ms, p99 %10.3f ms, most %10.3f ms\n", what, (double)errors[last / 2] / 1e6,
           (double)errors[last * 99 / 100] / 1e6, (double)errors[last] / 1e6);
}

int main(int argc, char **argv) {
    int rounds = argc > 3 ? atoi(argv[3]) : 20;
    if (argc < 3 || argc > 4 || rounds < 1 || rounds > 100000) {
        fprintf(stderr, "usage: accuracy HOST PORT [ROUNDS]\n");
        return 2;
    }
    int64_t *errors[PASSES + 1], *round_trips = calloc((size_t)rounds, sizeof(int64_t));
    for (int pass = 0; pass <= PASSES; pass++) errors[pass] = calloc((size_t)rounds, sizeof(int64_t));
    int sock = connect_to(argv[1], argv[2]);
    if (sock < 0) fail("the server does not answer");
    char byte = '\n'; /* ends the greeting, which is a line then */
    if (send(sock, &byte, 1, 0) != 1) fail("the connection has ended");
    do {
        if (recv(sock, &byte, 1, 0) != 1) fail("the server does not answer");
    } while (byte != '\n');

    for (int round = 0; round < rounds; round++) {
        struct distance distance = {INT64_MIN / 2, INT64_MAX / 2};
        sleep_until(now() + (int64_t)round * 618033989 % SECOND); /* at all phases of the second */
        for (int pass = 0; pass <= PASSES; pass++) {
            if (pass == 0) round_trips[round] = ask(sock, &distance);
            else narrow(sock, &distance, round_trips[round]);
            /* On one machine the distance is known, but for the time between two readings. */
            int64_t before = now(), truth = read_clock(CLOCK_REALTIME) - before, slack = now() - before;
            if (truth < distance.low || truth > distance.high + slack) fail("the server's clock is not this machine's");
            errors[pass][round] = llabs(distance.low + (distance.high - distance.low) / 2 - truth);
        }
    }
    close(sock);
    print("round trip", round_trips, rounds);
    print("error of one timestamp", errors[0], rounds);
    for (int pass = 1; pass <= PASSES; pass++) {
        char what[64];
        snprintf(what, sizeof what, "after %d %s of search", pass, pass == 1 ? "second" : "seconds");
        print(what, errors[pass], rounds);
    }
    return 0;
}
