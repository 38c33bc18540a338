/// The arrows of the module graph. They point down only; what a module may import besides itself is listed here and
/// nowhere else. A new arrow is a design decision: change this table in the same commit that needs it, and say why.
struct ModuleRule {
    /// Modules of this package, C shims and system libraries included.
    let modules: Set<String>
    /// Modules of the toolchain. The standard library itself needs no import.
    let toolchain: Set<String>

    init(_ modules: Set<String> = [], toolchain: Set<String> = []) {
        self.modules = modules
        self.toolchain = toolchain
    }
}

/// What a module that touches the operating system may take from the toolchain. `Foundation` is in nobody's set: it
/// stays out of the binary. `FoundationEssentials` is for the edges that run rarely.
private let system: Set<String> = ["Glibc", "Synchronization"]

let allowedImports: [String: ModuleRule] = [
    // Values and bytes. The pure ones see no file, no socket and no clock, so they get no C library either, but for
    // HTTPWire's calendar (gmtime_r, which is given the time). ByteBuffers names its threads through CSystem.
    "KafkaModel": ModuleRule(),
    "ByteBuffers": ModuleRule(["CSystem"], toolchain: system),
    "Telemetry": ModuleRule(["ByteBuffers"], toolchain: system),
    "RecordFormat": ModuleRule(
        ["KafkaModel", "ByteBuffers", "CChecksum", "CZstd", "CLZ4", "CSnappy", "CZlib"]),
    "KafkaWire": ModuleRule(["KafkaModel", "ByteBuffers"]),
    "HTTPWire": ModuleRule(["ByteBuffers"], toolchain: ["Glibc"]),
    // The frames of HTTP/2 are nghttp2's alone, and but for the tests this module's alone: bytes in, events out, like HTTPWire. Of the C
    // library it has what nghttp2 asks for, memory (malloc, madvise).
    "HTTP2Wire": ModuleRule(["HTTPWire", "CNGHTTP2"], toolchain: ["Glibc"]),

    // Who may, decided without a socket, a file, a clock or a thread. BrokerCore keeps what it decides by; the Kafka edge and
    // the commands speak of it in its words. Cryptography is OpenSSL's alone, and this module's and TLS's alone.
    "Security": ModuleRule(["KafkaModel", "KafkaWire", "ByteBuffers", "COpenSSL"], toolchain: ["Synchronization"]),

    // Calls to other servers, by libcurl, which is this module's alone.
    "HTTPClient": ModuleRule(["Security", "CCurl"], toolchain: system),

    // The world behind tokens: issuers' keys, fetched on threads of their own. The edges see what Security says of it.
    "IssuerKeys": ModuleRule(["KafkaModel", "ByteBuffers", "Security", "Telemetry", "HTTPClient"], toolchain: system),

    // Storage and state machines.
    "StorageIO": ModuleRule(["ByteBuffers", "CSystem"], toolchain: system),
    "LogStorage": ModuleRule(
        ["KafkaModel", "ByteBuffers", "RecordFormat", "StorageIO", "Telemetry"], toolchain: system),
    "Coordinators": ModuleRule(["KafkaModel", "ByteBuffers", "KafkaWire"]),
    // Of Security the HMAC that seals receipts.
    "QueueLedger": ModuleRule(["KafkaModel", "ByteBuffers", "Security"]),
    "Forwarder": ModuleRule(["KafkaModel", "ByteBuffers"]),
    // Of Telemetry what metrics are read by, of Security the secret of a webhook.
    "Alarms": ModuleRule(["ByteBuffers", "Security", "Telemetry"]),
    "JobLedger": ModuleRule(["KafkaModel", "ByteBuffers"]),
    // Of HTTPWire the eyes for bytes and a form's encoding; of Security MD5, and JSON as policies are read.
    "SQSWire": ModuleRule(["KafkaModel", "ByteBuffers", "HTTPWire", "Security"]),
    "BrokerCore": ModuleRule(
        [
            "KafkaModel", "ByteBuffers", "RecordFormat", "Security", "StorageIO", "LogStorage", "Coordinators",
            "QueueLedger", "Forwarder", "JobLedger", "Telemetry",
        ], toolchain: system),

    // Edges. They never import each other. LogStorage's values (receipts, refusals, a partition's log) are part of
    // BrokerCore's interface.
    "Transport": ModuleRule(["ByteBuffers", "CSystem", "Telemetry"], toolchain: system),
    "TLS": ModuleRule(
        ["ByteBuffers", "COpenSSL", "CSystem", "Security", "Telemetry", "Transport"], toolchain: system),
    // QueueLedger's values (ranges of offsets and what becomes of them) are part of BrokerCore's interface.
    "KafkaServer": ModuleRule(
        [
            "KafkaModel", "ByteBuffers", "RecordFormat", "KafkaWire", "Security", "LogStorage", "Coordinators",
            "QueueLedger", "BrokerCore", "Transport", "Telemetry",
        ], toolchain: system),
    // Of Configuration the sections that say its routes, as trees: what they mean is the gateway's own. QueueLedger's values
    // (outcomes, orders) and JobLedger's are part of BrokerCore's interface.
    "IngestGateway": ModuleRule(
        [
            "Alarms", "Configuration", "KafkaModel", "ByteBuffers", "RecordFormat", "LogStorage", "BrokerCore",
            "QueueLedger", "JobLedger", "Security", "Transport", "HTTPWire", "HTTP2Wire", "SQSWire", "CJSONScan",
            "Telemetry",
        ], toolchain: system),
    // Of TLS the client's side, for forwarders to other clusters.
    "KafkaClient": ModuleRule(
        ["KafkaModel", "ByteBuffers", "RecordFormat", "KafkaWire", "Security", "TLS"], toolchain: system),
    "Configuration": ModuleRule(["KafkaModel", "CYAML"], toolchain: system.union(["FoundationEssentials"])),
    // Of ByteBuffers the clock and the text forms of bytes.
    "CommandSyntax": ModuleRule(["Configuration", "ByteBuffers", "CSystem"], toolchain: system),
    // The broker as a whole, for whoever starts one: the executable, and tests. Of KafkaClient what forwarders send to other clusters by,
    // with the batches (RecordFormat) and outcomes (Forwarder) that BrokerCore's interface speaks of; HTTPClient for what subscriptions post.
    "Server": ModuleRule(
        [
            "Alarms", "StorageIO", "LogStorage", "BrokerCore", "Coordinators", "Transport", "TLS", "Security",
            "IssuerKeys",
            "KafkaModel", "KafkaServer", "KafkaClient", "RecordFormat", "Forwarder", "HTTPClient", "IngestGateway",
            "Configuration", "ByteBuffers", "Telemetry",
        ], toolchain: system),
    // What a person types, but for `serve`: input, output and signals are handed in. Of IngestGateway what makes routes of a
    // configuration, to check one without a broker.
    "ConsoleCommands": ModuleRule(
        [
            "KafkaModel", "ByteBuffers", "RecordFormat", "Security", "StorageIO", "LogStorage", "KafkaClient",
            "IngestGateway", "Configuration", "CommandSyntax", "Telemetry",
        ], toolchain: system),
    "millrace": ModuleRule(
        ["ByteBuffers", "CommandSyntax", "Configuration", "ConsoleCommands", "Server", "Telemetry"], toolchain: system),

    // For tests alone: no product module may name it, which the rows above ensure. LogStorage for the settings of small stores,
    // which its tests and the fuzz targets share; CNGHTTP2 for what a client of HTTP/2 reads.
    "BrokerTestKit": ModuleRule(
        ["ByteBuffers", "CNGHTTP2", "KafkaWire", "StorageIO", "LogStorage"], toolchain: system),
]
