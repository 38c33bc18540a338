#define _GNU_SOURCE
#include "CSystemNetwork.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

_Static_assert(EPOLLIN == 0x001 && EPOLLOUT == 0x004 && EPOLLERR == 0x008 && EPOLLHUP == 0x010, "epoll bits");
_Static_assert(EPOLLRDHUP == 0x2000 && EPOLLET == 1u << 31, "epoll bits");

#define MAX_EVENTS 256

int millrace_epoll_create(void) {
    int fd = epoll_create1(EPOLL_CLOEXEC);
    return fd >= 0 ? fd : -errno;
}

static int control(int epoll, int operation, int fd, uint32_t events, uint64_t token) {
    struct epoll_event event = {.events = events, .data.u64 = token};
    return epoll_ctl(epoll, operation, fd, &event) == 0 ? 0 : -errno;
}

int millrace_epoll_add(int epoll, int fd, uint32_t events, uint64_t token) {
    return control(epoll, EPOLL_CTL_ADD, fd, events, token);
}

int millrace_epoll_modify(int epoll, int fd, uint32_t events, uint64_t token) {
    return control(epoll, EPOLL_CTL_MOD, fd, events, token);
}

int millrace_epoll_remove(int epoll, int fd) { return control(epoll, EPOLL_CTL_DEL, fd, 0, 0); }

int millrace_epoll_wait(int epoll, struct millrace_event *events, int capacity, int timeout_ms) {
    struct epoll_event raw[MAX_EVENTS];
    int count = epoll_wait(epoll, raw, capacity < MAX_EVENTS ? capacity : MAX_EVENTS, timeout_ms);
    if (count < 0) return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < count; i++) {
        events[i].token = raw[i].data.u64;
        events[i].events = raw[i].events;
        events[i].reserved = 0;
    }
    return count;
}

int millrace_eventfd_create(void) {
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return fd >= 0 ? fd : -errno;
}

int millrace_eventfd_signal(int fd) {
    uint64_t one = 1;
    for (;;) {
        if (write(fd, &one, sizeof one) == sizeof one) return 0;
        if (errno != EINTR) return -errno;
    }
}

static uint64_t big_endian_64(const uint8_t *bytes) {
    uint64_t value = 0;
    for (int i = 0; i < 8; i++) value = value << 8 | bytes[i];
    return value;
}

static int from_native(const struct sockaddr_storage *native, struct millrace_address *address) {
    memset(address, 0, sizeof *address);
    if (native->ss_family == AF_INET) {
        const struct sockaddr_in *four = (const struct sockaddr_in *)native;
        address->family = 4;
        address->low = ntohl(four->sin_addr.s_addr);
        address->port = ntohs(four->sin_port);
        return 0;
    }
    if (native->ss_family != AF_INET6) return -EAFNOSUPPORT;
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)native;
    address->port = ntohs(six->sin6_port);
    if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) {
        address->family = 4;
        address->low = big_endian_64(six->sin6_addr.s6_addr + 8) & 0xffffffff;
        return 0;
    }
    address->family = 6;
    address->high = big_endian_64(six->sin6_addr.s6_addr);
    address->low = big_endian_64(six->sin6_addr.s6_addr + 8);
    address->scope = six->sin6_scope_id;
    return 0;
}

static socklen_t to_native(const struct millrace_address *address, struct sockaddr_storage *native) {
    memset(native, 0, sizeof *native);
    if (address->family == 4) {
        struct sockaddr_in *four = (struct sockaddr_in *)native;
        four->sin_family = AF_INET;
        four->sin_addr.s_addr = htonl((uint32_t)address->low);
        four->sin_port = htons(address->port);
        return sizeof *four;
    }
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)native;
    six->sin6_family = AF_INET6;
    for (int i = 0; i < 8; i++) {
        six->sin6_addr.s6_addr[i] = (uint8_t)(address->high >> (56 - 8 * i));
        six->sin6_addr.s6_addr[8 + i] = (uint8_t)(address->low >> (56 - 8 * i));
    }
    six->sin6_scope_id = address->scope;
    six->sin6_port = htons(address->port);
    return sizeof *six;
}

int millrace_resolve(const char *host, uint16_t port, struct millrace_address *addresses, int capacity) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP};
    struct addrinfo *found = NULL;
    int code = getaddrinfo(host, NULL, &hints, &found);
    if (code != 0) return code < 0 ? code : -code;
    int count = 0;
    for (struct addrinfo *entry = found; entry && count < capacity; entry = entry->ai_next) {
        struct sockaddr_storage native;
        memset(&native, 0, sizeof native);
        memcpy(&native, entry->ai_addr, entry->ai_addrlen);
        struct millrace_address address;
        if (from_native(&native, &address) != 0) continue;
        address.port = port;
        int known = 0;
        for (int i = 0; i < count; i++) known |= memcmp(&addresses[i], &address, sizeof address) == 0;
        if (!known) addresses[count++] = address;
    }
    freeaddrinfo(found);
    return count;
}

const char *millrace_resolve_error(int code) { return gai_strerror(code); }

int millrace_address_text(const struct millrace_address *address, char *text, size_t capacity) {
    struct sockaddr_storage native;
    to_native(address, &native);
    const void *raw = address->family == 4 ? (const void *)&((struct sockaddr_in *)&native)->sin_addr
                                           : (const void *)&((struct sockaddr_in6 *)&native)->sin6_addr;
    return inet_ntop(native.ss_family, raw, text, (socklen_t)capacity) ? 0 : -errno;
}

int millrace_listen(const struct millrace_address *address, int dual_stack, int backlog) {
    struct sockaddr_storage native;
    socklen_t length = to_native(address, &native);
    int fd = socket(native.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    int on = 1, only_six = !dual_stack, failed = 0;
    failed |= setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    failed |= setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    failed |= setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (native.ss_family == AF_INET6) failed |= setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only_six, sizeof only_six);
    if (failed || bind(fd, (struct sockaddr *)&native, length) != 0 || listen(fd, backlog) != 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

int millrace_accept(int listener, struct millrace_address *peer) {
    struct sockaddr_storage native;
    for (;;) {
        socklen_t length = sizeof native;
        int fd = accept4(listener, (struct sockaddr *)&native, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            from_native(&native, peer);
            return fd;
        }
        if (errno != EINTR) return -errno;
    }
}

int millrace_local_address(int fd, struct millrace_address *address) {
    struct sockaddr_storage native;
    socklen_t length = sizeof native;
    if (getsockname(fd, (struct sockaddr *)&native, &length) != 0) return -errno;
    return from_native(&native, address);
}

int millrace_socket_error(int fd) {
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) return errno;
    return error;
}

int millrace_shutdown_write(int fd) { return shutdown(fd, SHUT_WR) == 0 ? 0 : -errno; }

int millrace_set_receive_mark(int fd, int bytes) {
    return setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes) == 0 ? 0 : -errno;
}

int millrace_unread_bytes(int fd) {
    int bytes = 0;
    return ioctl(fd, FIONREAD, &bytes) == 0 ? bytes : -errno;
}

int millrace_reset_on_close(int fd) {
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    return setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0 ? 0 : -errno;
}

// Linux releases the descriptor even when close() is interrupted: it is never tried again.
void millrace_close(int fd) { close(fd); }

ssize_t millrace_receive(int fd, void *bytes, size_t count) {
    for (;;) {
        ssize_t got = recv(fd, bytes, count, 0);
        if (got >= 0) return got;
        if (errno != EINTR) return -errno;
    }
}

ssize_t millrace_peek(int fd, void *bytes, size_t count) {
    for (;;) {
        ssize_t got = recv(fd, bytes, count, MSG_PEEK);
        if (got >= 0) return got;
        if (errno != EINTR) return -errno;
    }
}

ssize_t millrace_receive_two(int fd, void *first, size_t first_count, void *second, size_t second_count) {
    struct iovec vector[2] = {{first, first_count}, {second, second_count}};
    for (;;) {
        ssize_t got = readv(fd, vector, 2);
        if (got >= 0) return got;
        if (errno != EINTR) return -errno;
    }
}

ssize_t millrace_send(int fd, const void *bytes, size_t count) {
    for (;;) {
        ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL);
        if (sent >= 0) return sent;
        if (errno != EINTR) return -errno;
    }
}

ssize_t millrace_send_vector(int fd, const struct iovec *vector, int count, int more) {
    struct msghdr message = {.msg_iov = (struct iovec *)vector, .msg_iovlen = (size_t)count};
    for (;;) {
        ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
        if (sent >= 0) return sent;
        if (errno != EINTR) return -errno;
    }
}

ssize_t millrace_send_file(int fd, int file, int64_t position, size_t count) {
    for (;;) {
        off_t from = position;
        ssize_t sent = sendfile(fd, file, &from, count);
        if (sent >= 0) return sent;
        if (errno != EINTR) return -errno;
    }
}
