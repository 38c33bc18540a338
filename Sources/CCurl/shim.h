#include <curl/curl.h>
#include <netinet/in.h>

// The declarations of libcurl. The library itself is opened when the first address is asked: it brings thirty others along, which
// every start of the program would else wait for.

// curl_easy_setopt and curl_easy_getinfo take a value of any type, which Swift does not call. `function` is one of the two.

static inline CURLcode millrace_curl_set_number(void *function, CURL *transfer, CURLoption option, long value) {
    return ((CURLcode(*)(CURL *, CURLoption, ...))function)(transfer, option, value);
}

static inline CURLcode millrace_curl_set_text(void *function, CURL *transfer, CURLoption option, const char *value) {
    return ((CURLcode(*)(CURL *, CURLoption, ...))function)(transfer, option, value);
}

static inline CURLcode millrace_curl_set_pointer(void *function, CURL *transfer, CURLoption option, void *value) {
    return ((CURLcode(*)(CURL *, CURLoption, ...))function)(transfer, option, value);
}

typedef size_t (*millrace_curl_writer)(char *, size_t, size_t, void *);
static inline CURLcode millrace_curl_set_writer(void *function, CURL *transfer, CURLoption option,
                                                millrace_curl_writer writer) {
    return ((CURLcode(*)(CURL *, CURLoption, ...))function)(transfer, option, writer);
}

typedef int (*millrace_curl_progress)(void *, curl_off_t, curl_off_t, curl_off_t, curl_off_t);
static inline CURLcode millrace_curl_set_progress(void *function, CURL *transfer, millrace_curl_progress progress) {
    return ((CURLcode(*)(CURL *, CURLoption, ...))function)(transfer, CURLOPT_XFERINFOFUNCTION, progress);
}

/// Opens only connections to this machine, whatever a name stands for.
static inline curl_socket_t millrace_curl_open_loopback(void *unused, curlsocktype purpose, struct curl_sockaddr *address) {
    (void)unused;
    (void)purpose;
    int is_loopback = 0;
    if (address->family == AF_INET) {
        is_loopback = (ntohl(((struct sockaddr_in *)&address->addr)->sin_addr.s_addr) >> 24) == 127;
    } else if (address->family == AF_INET6) {
        is_loopback = IN6_IS_ADDR_LOOPBACK(&((struct sockaddr_in6 *)&address->addr)->sin6_addr);
    }
    if (!is_loopback) return CURL_SOCKET_BAD;
    return socket(address->family, address->socktype, address->protocol);
}

static inline CURLcode millrace_curl_keep_to_loopback(void *function, CURL *transfer) {
    return ((CURLcode(*)(CURL *, CURLoption, ...))function)(transfer, CURLOPT_OPENSOCKETFUNCTION, millrace_curl_open_loopback);
}

static inline long millrace_curl_status(void *function, CURL *transfer) {
    long status = 0;
    ((CURLcode(*)(CURL *, CURLINFO, ...))function)(transfer, CURLINFO_RESPONSE_CODE, &status);
    return status;
}
