// Sockets, epoll and eventfd as the Transport module needs them. Every function that can fail answers a value >= 0,
// or the negated errno, so that no caller reads errno after another call may have changed it.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

// ---- Readiness ------------------------------------------------------------------------------------------------

/// Bits of `millrace_event.events`; the same values as epoll's, which network.c asserts.
static const uint32_t millrace_event_readable = 0x001;
static const uint32_t millrace_event_writable = 0x004;
static const uint32_t millrace_event_error = 0x008;
static const uint32_t millrace_event_hangup = 0x010;
static const uint32_t millrace_event_peer_closed = 0x2000;
static const uint32_t millrace_event_edge_triggered = 1u << 31;

/// epoll's own struct is packed on some machines and not on others; this one is the same everywhere.
struct millrace_event {
    uint64_t token;
    uint32_t events;
    uint32_t reserved;
};

int millrace_epoll_create(void);
int millrace_epoll_add(int epoll, int fd, uint32_t events, uint64_t token);
int millrace_epoll_modify(int epoll, int fd, uint32_t events, uint64_t token);
int millrace_epoll_remove(int epoll, int fd);
/// Waits for at most `timeout_ms` (-1: for ever) and fills at most `capacity` (and at most 256) events. An
/// interrupted wait answers 0.
int millrace_epoll_wait(int epoll, struct millrace_event *events, int capacity, int timeout_ms);

/// A counter that wakes an epoll; non-blocking. Registered edge-triggered, it never has to be read.
int millrace_eventfd_create(void);
int millrace_eventfd_signal(int fd);

// ---- Addresses ------------------------------------------------------------------------------------------------

/// An IPv4 or IPv6 address as numbers. IPv4 (and IPv6 that only maps IPv4): `family` 4, the address in the low 32
/// bits of `low`.
struct millrace_address {
    uint64_t high;
    uint64_t low;
    uint32_t scope;
    uint16_t port;
    uint16_t family;
};

/// Resolves a name or a literal. Answers how many addresses were written, or a negated EAI_ code for
/// `millrace_resolve_error`.
int millrace_resolve(const char *host, uint16_t port, struct millrace_address *addresses, int capacity);
const char *millrace_resolve_error(int code);
/// Writes the address without its port, terminated by NUL.
int millrace_address_text(const struct millrace_address *address, char *text, size_t capacity);

// ---- Sockets --------------------------------------------------------------------------------------------------

/// A bound, listening, non-blocking socket with SO_REUSEADDR. TCP_NODELAY and SO_KEEPALIVE are set on it: accepted
/// sockets inherit both. `dual_stack` lets an IPv6 wildcard take IPv4 connections too.
int millrace_listen(const struct millrace_address *address, int dual_stack, int backlog);
/// The next connection, non-blocking and close-on-exec.
int millrace_accept(int listener, struct millrace_address *peer);
int millrace_local_address(int fd, struct millrace_address *address);
/// The error that a socket has met, taken off it; 0 when there is none.
int millrace_socket_error(int fd);
int millrace_shutdown_write(int fd);
/// The socket is not readable before so many bytes are there, or the peer's end; reads are not held up by it.
int millrace_set_receive_mark(int fd, int bytes);
/// Bytes that have come and were not read, or the negated errno.
int millrace_unread_bytes(int fd);
/// Makes close() send a reset and forget unsent bytes.
int millrace_reset_on_close(int fd);
void millrace_close(int fd);

ssize_t millrace_receive(int fd, void *bytes, size_t count);
/// Leaves the bytes where they are.
ssize_t millrace_peek(int fd, void *bytes, size_t count);
/// Fills `first`, then `second`, in one call.
ssize_t millrace_receive_two(int fd, void *first, size_t first_count, void *second, size_t second_count);
/// Never raises SIGPIPE.
ssize_t millrace_send(int fd, const void *bytes, size_t count);
/// `more`: further bytes follow at once; those that do not fill a packet may wait for them (MSG_MORE).
ssize_t millrace_send_vector(int fd, const struct iovec *vector, int count, int more);
/// sendfile(2): bytes of `file` from `position` on; 0 at its end. May raise SIGPIPE
/// (`millrace_thread_block_sigpipe`).
ssize_t millrace_send_file(int fd, int file, int64_t position, size_t count);
