internal import ByteBuffers
internal import Glibc

/// What the system counts of this process, asked for when a page is made.
public enum ProcessMetrics {
    /// Shows them; call it once, at the start.
    public static func show(in registry: MetricsRegistry, version: String) {
        registry.gauge(
            "millrace_build_info", help: "Always 1; the version is a label.", labels: ["version": version]
        ).set(1)
        let started = Double(WallClock.milliseconds) / 1000
        registry.reading(
            "millrace_process_start_time_seconds", help: "When the broker started, in seconds since 1970."
        ) { started }
        registry.total("millrace_process_cpu_seconds_total", help: "Processor time, of users and the kernel.") {
            cpuSeconds
        }
        registry.reading("millrace_process_resident_memory_bytes", help: "Resident memory.") { Double(residentBytes) }
        registry.reading("millrace_process_open_fds", help: "Open descriptors.") { Double(openDescriptors) }
        registry.reading("millrace_process_max_fds", help: "Most descriptors that may be open.") {
            Double(maxDescriptors)
        }
    }

    static var cpuSeconds: Double {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    /// From `/proc/self/statm`, whose second number is in pages; 0 without `/proc`.
    static var residentBytes: Int {
        let words = read("/proc/self/statm").split(separator: UInt8(ascii: " "))
        guard words.count > 1 else { return 0 }
        return (Int(String(decoding: words[1], as: UTF8.self)) ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE)))
    }

    /// Linux 6.2 and later tell their number as the size of `/proc/self/fd`; before, each number that the process has
    /// room for is asked: 0.1 us each, while reading that folder costs over 1 us for each that is open.
    static var openDescriptors: Int {
        var entry = stat()
        if stat("/proc/self/fd", &entry) == 0, entry.st_size > 0 { return Int(entry.st_size) }
        return countDescriptors()
    }

    static func countDescriptors() -> Int {
        let marker = Array("FDSize:".utf8)
        let line = read("/proc/self/status").split(separator: UInt8(ascii: "\n")).first { $0.starts(with: marker) }
        let size = line.flatMap { line in
            Int(String(decoding: line.dropFirst(marker.count).drop { $0 < 0x30 }, as: UTF8.self))
        }
        return (0..<Int32(clamping: size ?? 0)).count { fcntl($0, F_GETFD) >= 0 }
    }

    static var maxDescriptors: Int {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        return Int(clamping: limit.rlim_cur)
    }

    /// Reads the first 4 KiB of a file.
    private static func read(_ path: String) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return [] }
        defer { close(descriptor) }
        return [UInt8](unsafeUninitializedCapacity: 4096) { buffer, count in
            count = max(0, Glibc.read(descriptor, buffer.baseAddress, buffer.count))
        }
    }
}
