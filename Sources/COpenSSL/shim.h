#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

// A macro over casts, which Swift does not import: what EVP_PKEY_fromdata is to make.
enum { millrace_public_key_selection = EVP_PKEY_PUBLIC_KEY };
