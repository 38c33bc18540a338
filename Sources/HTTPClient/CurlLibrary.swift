internal import CCurl
internal import Glibc

/// The functions of libcurl, once it is opened: by the first call, so that a node without any never waits for it.
struct CurlLibrary: @unchecked Sendable {
    // SAFETY: addresses of functions; libcurl's are safe on any thread, each with a transfer of its own.
    let make: @convention(c) () -> UnsafeMutableRawPointer?
    let perform: @convention(c) (UnsafeMutableRawPointer?) -> CURLcode
    let reset: @convention(c) (UnsafeMutableRawPointer?) -> Void
    let end: @convention(c) (UnsafeMutableRawPointer?) -> Void
    /// A list of lines.
    let append:
        @convention(c) (UnsafeMutablePointer<curl_slist>?, UnsafePointer<CChar>?) -> UnsafeMutablePointer<curl_slist>?
    let free: @convention(c) (UnsafeMutablePointer<curl_slist>?) -> Void
    let errorText: @convention(c) (CURLcode) -> UnsafePointer<CChar>?
    /// They take a value of any type, so only the shim calls them.
    let setOption: UnsafeMutableRawPointer
    let getInfo: UnsafeMutableRawPointer

    static let opened = open()

    /// Debian's name of the library with OpenSSL, which this process has already.
    private static let file = "libcurl.so.4"
    private static let package = "libcurl4"

    private static func open() -> Result<CurlLibrary, HTTPCallFailure> {
        guard let handle = dlopen(file, RTLD_NOW | RTLD_LOCAL) else {
            return .failure(HTTPCallFailure(.notSent, "there is no \(file); install the package \(package)"))
        }
        func find(_ name: String) -> UnsafeMutableRawPointer? { dlsym(handle, name) }
        typealias Begin = @convention(c) (CLong) -> CURLcode
        guard let begin = find("curl_global_init"), let make = find("curl_easy_init"),
            let perform = find("curl_easy_perform"), let reset = find("curl_easy_reset"),
            let end = find("curl_easy_cleanup"), let append = find("curl_slist_append"),
            let free = find("curl_slist_free_all"), let errorText = find("curl_easy_strerror"),
            let setOption = find("curl_easy_setopt"), let getInfo = find("curl_easy_getinfo"),
            unsafeBitCast(begin, to: Begin.self)(CLong(CURL_GLOBAL_SSL)) == CURLE_OK
        else { return .failure(HTTPCallFailure(.notSent, "\(file) is not what it should be")) }
        typealias Lines = UnsafeMutablePointer<curl_slist>
        return .success(
            CurlLibrary(
                make: unsafeBitCast(make, to: (@convention(c) () -> UnsafeMutableRawPointer?).self),
                perform: unsafeBitCast(perform, to: (@convention(c) (UnsafeMutableRawPointer?) -> CURLcode).self),
                reset: unsafeBitCast(reset, to: (@convention(c) (UnsafeMutableRawPointer?) -> Void).self),
                end: unsafeBitCast(end, to: (@convention(c) (UnsafeMutableRawPointer?) -> Void).self),
                append: unsafeBitCast(append, to: (@convention(c) (Lines?, UnsafePointer<CChar>?) -> Lines?).self),
                free: unsafeBitCast(free, to: (@convention(c) (Lines?) -> Void).self),
                errorText: unsafeBitCast(errorText, to: (@convention(c) (CURLcode) -> UnsafePointer<CChar>?).self),
                setOption: setOption, getInfo: getInfo))
    }
}
