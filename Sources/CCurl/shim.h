#include <curl/curl.h>
#include <sys/socket.h>

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

/// Asked with the context before a connection is opened; 0: it is not.
typedef int (*millrace_curl_judge)(void *, const struct sockaddr *);

struct millrace_curl_reach {
    millrace_curl_judge judge;
    void *context;
};

static inline curl_socket_t millrace_curl_open_judged(void *data, curlsocktype purpose, struct curl_sockaddr *address) {
    const struct millrace_curl_reach *reach = (const struct millrace_curl_reach *)data;
    (void)purpose;
    if (!reach->judge(reach->context, &address->addr)) return CURL_SOCKET_BAD;
    return socket(address->family, address->socktype, address->protocol);
}

/// `reach` lives as long as the transfer.
static inline CURLcode millrace_curl_set_reach(void *function, CURL *transfer, struct millrace_curl_reach *reach) {
    CURLcode code = ((CURLcode(*)(CURL *, CURLoption, ...))function)(transfer, CURLOPT_OPENSOCKETDATA, reach);
    if (code != CURLE_OK) return code;
    return ((CURLcode(*)(CURL *, CURLoption, ...))function)(transfer, CURLOPT_OPENSOCKETFUNCTION, millrace_curl_open_judged);
}

static inline long millrace_curl_number(void *function, CURL *transfer, CURLINFO info) {
    long number = 0;
    ((CURLcode(*)(CURL *, CURLINFO, ...))function)(transfer, info, &number);
    return number;
}
