#include <openssl/bio.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

// Macros over casts and calls, which Swift does not import, under names of ours.

// What EVP_PKEY_fromdata is to make.
enum { millrace_public_key_selection = EVP_PKEY_PUBLIC_KEY };

/// What every context of ours has, whatever is configured: server's order, no renegotiation, no compression, no early data, memory
/// given back when a connection is idle, as much read at once as there is.
static inline void millrace_tls_set_basics(SSL_CTX *context) {
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                     SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_max_early_data(context, 0);
    SSL_CTX_set_recv_max_early_data(context, 0);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
}

/// Whether libssl keeps its buffers between two records. `SSL_free_buffers` gives back those that it kept.
static inline void millrace_tls_keep_buffers(SSL *session, int keeps) {
    if (keeps) SSL_clear_mode(session, SSL_MODE_RELEASE_BUFFERS);
    else SSL_set_mode(session, SSL_MODE_RELEASE_BUFFERS);
}

/// Whether libssl wipes its own copy of what a record held, once that was read.
static inline void millrace_tls_wipe_what_was_read(SSL *session, int wipes) {
    if (wipes) SSL_set_options(session, SSL_OP_CLEANSE_PLAINTEXT);
    else SSL_clear_options(session, SSL_OP_CLEANSE_PLAINTEXT);
}

static inline int millrace_tls_set_versions(SSL_CTX *context, int lowest, int highest) {
    return SSL_CTX_set_min_proto_version(context, lowest) && SSL_CTX_set_max_proto_version(context, highest);
}

/// No session of any kind outlives its connection.
static inline void millrace_tls_refuse_tickets(SSL_CTX *context) {
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(context, 0);
}

typedef int (*millrace_ticket_callback)(SSL *, unsigned char *, unsigned char *, EVP_CIPHER_CTX *, EVP_MAC_CTX *, int);
static inline void millrace_tls_set_ticket_callback(SSL_CTX *context, millrace_ticket_callback callback) {
    SSL_CTX_set_tlsext_ticket_key_evp_cb(context, callback);
}

typedef int (*millrace_name_callback)(SSL *, int *, void *);
static inline void millrace_tls_set_name_callback(SSL_CTX *context, millrace_name_callback callback, void *argument) {
    SSL_CTX_set_tlsext_servername_callback(context, callback);
    SSL_CTX_set_tlsext_servername_arg(context, argument);
}

static inline int millrace_tls_set_groups(SSL_CTX *context, const char *groups) {
    return (int)SSL_CTX_set1_groups_list(context, groups);
}

static inline void millrace_tls_set_max_chain(SSL_CTX *context, long bytes) { SSL_CTX_set_max_cert_list(context, bytes); }

/// The context takes over nothing: it counts a reference.
static inline int millrace_tls_add_chain(SSL_CTX *context, X509 *certificate) {
    return (int)SSL_CTX_add1_chain_cert(context, certificate);
}

/// The suites that a context's lists came to, and the name of each.
static inline int millrace_tls_suite_count(const STACK_OF(SSL_CIPHER) *suites) { return sk_SSL_CIPHER_num(suites); }
static inline const char *millrace_tls_suite_name(const STACK_OF(SSL_CIPHER) *suites, int index) {
    return SSL_CIPHER_get_name(sk_SSL_CIPHER_value(suites, index));
}

/// Whether a certificate is for an address, among other names.
static inline int millrace_tls_names_address(const X509 *certificate) {
    GENERAL_NAMES *names = (GENERAL_NAMES *)X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    int found = 0;
    for (int index = 0; index < sk_GENERAL_NAME_num(names); index++) {
        if (sk_GENERAL_NAME_value(names, index)->type == GEN_IPADD) found = 1;
    }
    GENERAL_NAMES_free(names);
    return found;
}

/// The certificates of a handshake that was accepted: the peer's own, then those that signed it, the trusted one last.
static inline int millrace_tls_verified_count(const SSL *session) { return sk_X509_num(SSL_get0_verified_chain(session)); }
static inline X509 *millrace_tls_verified(const SSL *session, int index) {
    return sk_X509_value(SSL_get0_verified_chain(session), index);
}

/// How many certificates stand above the one at hand, in a check that is under way.
static inline int millrace_tls_signers_left(X509_STORE_CTX *check) {
    return sk_X509_num(X509_STORE_CTX_get0_chain(check)) - 1 - X509_STORE_CTX_get_error_depth(check);
}

/// Whether a PKCS#12 file does not open because its password is another one, or it has one.
static inline int millrace_is_wrong_password(unsigned long code) {
    return ERR_GET_LIB(code) == ERR_LIB_PKCS12 && ERR_GET_REASON(code) == PKCS12_R_MAC_VERIFY_FAILURE;
}

/// The certificates of a PKCS#12 file, in its order; who takes one counts a reference.
static inline int millrace_certificate_count(const STACK_OF(X509) *certificates) { return sk_X509_num(certificates); }
static inline X509 *millrace_certificate(const STACK_OF(X509) *certificates, int index) {
    return sk_X509_value(certificates, index);
}
static inline void millrace_free_certificates(STACK_OF(X509) *certificates) { sk_X509_pop_free(certificates, X509_free); }

/// The alternative names of a certificate, which the caller frees, and each of them in DER; NULL: none.
static inline GENERAL_NAMES *millrace_tls_alternative_names(const X509 *certificate) {
    return (GENERAL_NAMES *)X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
}
static inline int millrace_tls_name_count(const GENERAL_NAMES *names) { return sk_GENERAL_NAME_num(names); }
static inline int millrace_tls_name_der(const GENERAL_NAMES *names, int index, unsigned char **into) {
    return i2d_GENERAL_NAME(sk_GENERAL_NAME_value(names, index), into);
}
static inline void millrace_tls_free_names(GENERAL_NAMES *names) { GENERAL_NAMES_free(names); }

static inline void millrace_bio_retry_read(BIO *bio) { BIO_set_retry_read(bio); }
static inline void millrace_bio_clear_retry(BIO *bio) { BIO_clear_retry_flags(bio); }

/// For tests: records by the kernel, if the socket's BIO says yes.
static inline void millrace_tls_ask_the_kernel(SSL *session) { SSL_set_options(session, SSL_OP_ENABLE_KTLS); }

/// The client's side, for tests.
static inline int millrace_tls_limit(SSL *ssl, int version) {
    return SSL_set_min_proto_version(ssl, version) && SSL_set_max_proto_version(ssl, version);
}
static inline int millrace_tls_ask_for(SSL *ssl, const char *name) { return (int)SSL_set_tlsext_host_name(ssl, name); }
