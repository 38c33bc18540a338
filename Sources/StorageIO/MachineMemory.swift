import Glibc

/// How much memory this process may still take without pushing others out.
public struct MemoryLook: Sendable, Equatable {
    /// Bytes that are free, or that the kernel can free without losing anything: of the machine, or of the narrowest control
    /// group around this process.
    public var availableBytes: Int
    /// Share of the last ten seconds, in percent, in which somebody waited for memory; 0 where that is not told.
    public var pressurePercent: Double

    public init(availableBytes: Int, pressurePercent: Double = 0) {
        self.availableBytes = availableBytes
        self.pressurePercent = pressurePercent
    }
}

/// Tells what memory there is. Tests say it themselves.
public protocol MachineMemory: Sendable {
    /// Nil where it cannot be told.
    func look() -> MemoryLook?
}

/// What Linux tells: `/proc/meminfo`, the limits of the control groups (version 2, and 1 where that alone counts memory), and
/// pressure stall information. A look reads some eight small files, about 50 us.
public struct LinuxMemory: MachineMemory {
    /// Stands before the paths, for tests.
    private let root: String

    public init(root: String = "") { self.root = root }

    public func look() -> MemoryLook? {
        guard var available = kilobytes("MemAvailable", in: read("/proc/meminfo")) else { return nil }
        var pressure = Self.pressure(in: read("/proc/pressure/memory"))
        let groups = groups
        // Where the groups are not mounted, nobody knows how narrow the one is that this process is in.
        guard groups.allSatisfy(\.isTop) || groups.contains(where: isSeen) else { return nil }
        for group in groups {
            if let room = room(in: group) { available = min(available, room) }
            pressure = max(pressure, Self.pressure(in: read(group.folder + "/memory.pressure")))
        }
        return MemoryLook(availableBytes: max(0, available), pressurePercent: pressure)
    }

    // MARK: Control groups

    private struct Group {
        let folder: String
        let isFirstVersion: Bool
        /// Of the hierarchy, or of the container's own name space.
        let isTop: Bool
    }

    /// A path has at most so many groups; what lies higher is not looked at.
    private static let maxDepth = 16

    /// The group of this process and those around it, innermost first.
    private var groups: [Group] {
        var groups: [Group] = []
        for line in read("/proc/self/cgroup").split(separator: "\n") {
            // hierarchy:controllers:path
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { continue }
            let isFirstVersion = parts[1].split(separator: ",").contains("memory")
            guard isFirstVersion || parts[0] == "0" else { continue }
            let top = isFirstVersion ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup"
            var path = parts[2]
            for _ in 0..<Self.maxDepth {
                let isTop = path == "/"
                groups.append(
                    Group(folder: isTop ? top : top + String(path), isFirstVersion: isFirstVersion, isTop: isTop))
                guard path.count > 1, let slash = path.lastIndex(of: "/") else { break }
                path = slash == path.startIndex ? "/" : path[..<slash]
            }
        }
        return groups
    }

    private func isSeen(_ group: Group) -> Bool { access(root + group.folder + "/cgroup.procs", F_OK) == 0 }

    /// Bytes that a group has left, its cached file pages included; nil without a limit.
    private func room(in group: Group) -> Int? {
        let names =
            group.isFirstVersion
            ? (
                limit: "memory.limit_in_bytes", used: "memory.usage_in_bytes",
                files: ["total_inactive_file", "total_active_file"]
            )
            : (limit: "memory.max", used: "memory.current", files: ["inactive_file", "active_file"])
        // Above `memory.high` a process is made to wait, and below it is not.
        let limits = [names.limit, "memory.high"].compactMap { number(group.folder + "/" + $0) }
        guard let limit = limits.min(), let used = number(group.folder + "/" + names.used) else { return nil }
        let statistics = read(group.folder + "/memory.stat")
        let files = names.files.reduce(0) { $0 + (Self.value(of: $1, in: statistics) ?? 0) }
        let (room, isEndless) = limit.subtractingReportingOverflow(used - files)
        return isEndless ? nil : room
    }

    // MARK: Reading

    /// The number in a file of one; nil where there is none, or "max".
    private func number(_ path: String) -> Int? {
        Int(read(path).prefix { !$0.isNewline })
    }

    private func kilobytes(_ name: String, in text: String) -> Int? {
        Self.value(of: name + ":", in: text).map { $0 << 10 }
    }

    /// The number behind a name at the start of a line.
    private static func value(of name: String, in text: String) -> Int? {
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            if words.count > 1, words[0] == name { return Int(words[1]) }
        }
        return nil
    }

    /// `some avg10=0.12 avg60=...`
    private static func pressure(in text: String) -> Double {
        let line = text.split(separator: "\n").first { $0.hasPrefix("some ") }
        let word = line?.split(separator: " ").first { $0.hasPrefix("avg10=") }
        return word.flatMap { Double($0.dropFirst(6)) } ?? 0
    }

    /// The first 8 KiB of a file; empty where it cannot be read.
    private func read(_ path: String) -> String {
        let descriptor = open(root + path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return "" }
        defer { close(descriptor) }
        let bytes = [UInt8](unsafeUninitializedCapacity: 8 << 10) { buffer, count in
            count = max(0, Glibc.read(descriptor, buffer.baseAddress, buffer.count))
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
