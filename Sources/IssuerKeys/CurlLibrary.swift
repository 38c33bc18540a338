import CCurl
import Glibc

/// The functions of libcurl, once it is opened: by the first fetch, so that a node without issuers never waits for it.
struct CurlLibrary: @unchecked Sendable {
    // SAFETY: addresses of functions; libcurl's are safe on any thread, each with a transfer of its own.
    let make: @convention(c) () -> UnsafeMutableRawPointer?
    let perform: @convention(c) (UnsafeMutableRawPointer?) -> CURLcode
    let end: @convention(c) (UnsafeMutableRawPointer?) -> Void
    let errorText: @convention(c) (CURLcode) -> UnsafePointer<CChar>?
    /// They take a value of any type, so only the shim calls them.
    let setOption: UnsafeMutableRawPointer
    let getInfo: UnsafeMutableRawPointer

    static let opened = open()

    /// Debian's name of the library with OpenSSL, which this process has already.
    private static let file = "libcurl.so.4"
    private static let package = "libcurl4"

    private static func open() -> Result<CurlLibrary, KeyFetchError> {
        guard let handle = dlopen(file, RTLD_NOW | RTLD_LOCAL) else {
            return .failure(KeyFetchError("there is no \(file); install the package \(package)"))
        }
        typealias Begin = @convention(c) (CLong) -> CURLcode
        guard let begin = dlsym(handle, "curl_global_init"), let make = dlsym(handle, "curl_easy_init"),
            let perform = dlsym(handle, "curl_easy_perform"), let end = dlsym(handle, "curl_easy_cleanup"),
            let errorText = dlsym(handle, "curl_easy_strerror"), let setOption = dlsym(handle, "curl_easy_setopt"),
            let getInfo = dlsym(handle, "curl_easy_getinfo"),
            unsafeBitCast(begin, to: Begin.self)(CLong(CURL_GLOBAL_SSL)) == CURLE_OK
        else { return .failure(KeyFetchError("\(file) is not what it should be")) }
        return .success(
            CurlLibrary(
                make: unsafeBitCast(make, to: (@convention(c) () -> UnsafeMutableRawPointer?).self),
                perform: unsafeBitCast(perform, to: (@convention(c) (UnsafeMutableRawPointer?) -> CURLcode).self),
                end: unsafeBitCast(end, to: (@convention(c) (UnsafeMutableRawPointer?) -> Void).self),
                errorText: unsafeBitCast(errorText, to: (@convention(c) (CURLcode) -> UnsafePointer<CChar>?).self),
                setOption: setOption, getInfo: getInfo))
    }
}
