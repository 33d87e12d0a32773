//! What the manual page has besides the flags.

use daytime::cli::Page;

pub(crate) const PAGE: Page = Page {
    section: "8",
    synopsis: &[
        "[--config FILE] [--listen ADDR]... [OPTIONS]",
        "[--config FILE] [OPTIONS] --check|--print-config",
        "--generate man|complete-bash|complete-zsh|complete-fish",
    ],
    sections: &[
        (
            "EXAMPLES",
            &[
                ("daytime-server", "Serves on every address of localhost, at port 9990."),
                (
                    "daytime-server --listen '[::]:9990' --listen unix:/run/daytime.sock --unix-mode 660",
                    "Serves on every address of this machine, and at a Unix socket for the group of its file.",
                ),
                (
                    "daytime-server --allow 192.0.2.0/24 --allow 127.0.0.0/8",
                    "Accepts clients of these networks, and no others.",
                ),
                (
                    "daytime-server --config /etc/daytime.toml --check",
                    "Prints what the server would bind, and its limits.",
                ),
                ("daytime-server --print-config > daytime.toml", "Writes a configuration file with the defaults."),
                ("daytime-server --log-format json | jq .event", "Reads the log with a program."),
            ],
        ),
        (
            "LOG",
            &[
                (
                    "Standard output",
                    "A line for each address, and unless --quiet is given, a line for each client, for each rejected \
                     connection, for each failed command, and when the server cannot accept connections. In JSON also one for \
                     each end of a connection.",
                ),
                ("Standard error", "Errors and warnings."),
                (
                    "--log-format json",
                    "Each line is an object. Its time is in UTC (RFC 3339), its event is listening, connected, disconnected, \
                     refused, command_failed, accept_paused, dropped, retry, warning or error, and its message is the line \
                     of the text format. An event has its fields: client, peer, reason, commands, command, error, address, \
                     protocol. Errors in the arguments and the configuration file are text.",
                ),
                (
                    "Dropped lines",
                    "1,024 lines wait for a reader of each output. Further ones are dropped, and a line says how many.",
                ),
            ],
        ),
        (
            "EXIT STATUS",
            &[
                ("0", "A signal ended the server."),
                ("1", "An error of the system, such as an address that stays taken, or a second signal."),
                ("2", "A setting is invalid."),
            ],
        ),
        (
            "FILES",
            &[
                ("FILE of --config", "The settings, in TOML with the names of the flags. --print-config prints one."),
                ("/usr/share/zoneinfo", "The zones that clients may name."),
                ("/etc/localtime", "The zone of the server, unless --timezone or TZ names one."),
            ],
        ),
        (
            "ENVIRONMENT",
            &[
                ("TZ", "The zone of the server, as in tzset(3)."),
                ("TZDIR", "A folder of zones, before /usr/share/zoneinfo."),
                (
                    "LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES",
                    "Sockets that the service manager passes; see sd_listen_fds(3).",
                ),
                ("NOTIFY_SOCKET", "Where the server reports that it is ready or stops; see sd_notify(3)."),
                ("WATCHDOG_USEC, WATCHDOG_PID", "The watchdog of the service manager; see sd_watchdog_enabled(3)."),
                ("NO_COLOR", "If it is set, the help has no styles. The log never has any."),
            ],
        ),
        (
            "SIGNALS",
            &[
                ("SIGHUP", "Reads the time zones again, and the networks of the configuration file."),
                (
                    "SIGINT, SIGTERM",
                    "Sends the replies owed, for at most --drain, and ends the program. A second one ends it at once.",
                ),
            ],
        ),
    ],
    see_also: "daytime-client(1), strftime(3), tzset(3), systemd.socket(5)",
};
