// swift-tools-version: 6.2
import PackageDescription

/// Every Swift target is built in the Swift 6 language mode, with warnings as errors and the upcoming features that
/// make imports and existentials explicit.
let strict: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableUpcomingFeature("InferIsolatedConformances"),
]

/// Modules of the data path keep their state in objects that one thread alone sees. Release builds of them do not check
/// each access to a property for overlapping ones, which takes a tenth (a produce) to a fifth (an event by HTTP) of a
/// request's instructions; debug builds, and so the tests, do.
let dataPath = strict + [.unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release))]

func module(_ name: String, _ dependencies: [Target.Dependency], settings: [SwiftSetting] = strict) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: settings)
}

func tests(
    _ name: String, _ dependencies: [Target.Dependency], exclude: [String] = [], resources: [Resource]? = nil
) -> Target {
    .testTarget(
        name: name, dependencies: dependencies, exclude: exclude, resources: resources, swiftSettings: strict)
}

let package = Package(
    name: "millrace",
    products: [.executable(name: "millrace", targets: ["millrace"])],
    targets: [
        // C: shims of our own, and the libraries of the distribution.
        .target(name: "CSystem"),
        .target(name: "CChecksum", cSettings: [.unsafeFlags(["-O2"])]),
        .target(name: "CJSONScan", cSettings: [.unsafeFlags(["-O2"])]),
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        .systemLibrary(name: "CLZ4", pkgConfig: "liblz4", providers: [.apt(["liblz4-dev"])]),
        .systemLibrary(name: "CSnappy", providers: [.apt(["libsnappy-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CCurl", providers: [.apt(["libcurl4-openssl-dev"])]),
        .systemLibrary(name: "CNGHTTP2", pkgConfig: "libnghttp2", providers: [.apt(["libnghttp2-dev"])]),
        .systemLibrary(name: "CYAML", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),

        // Values and bytes.
        module("KafkaModel", []),
        module("ByteBuffers", ["CSystem"]),
        module("Telemetry", ["ByteBuffers"]),
        module("RecordFormat", ["KafkaModel", "ByteBuffers", "CChecksum", "CZstd", "CLZ4", "CSnappy", "CZlib"]),
        .target(
            name: "KafkaWire", dependencies: ["KafkaModel", "ByteBuffers"], exclude: ["Schema"], swiftSettings: strict),
        module("HTTPWire", ["ByteBuffers"]),
        module("HTTP2Wire", ["HTTPWire", "CNGHTTP2"], settings: dataPath),
        module("Security", ["KafkaModel", "KafkaWire", "ByteBuffers", "COpenSSL"]),

        module("HTTPClient", ["Security", "CCurl"]),
        module("IssuerKeys", ["KafkaModel", "ByteBuffers", "Security", "Telemetry", "HTTPClient"]),

        // Storage and state machines.
        module("StorageIO", ["ByteBuffers", "CSystem"]),
        module(
            "LogStorage", ["KafkaModel", "ByteBuffers", "RecordFormat", "StorageIO", "Telemetry"], settings: dataPath),
        module("Coordinators", ["KafkaModel", "ByteBuffers", "KafkaWire"]),
        module("QueueLedger", ["KafkaModel", "ByteBuffers", "Security"]),
        module("Forwarder", ["KafkaModel", "ByteBuffers"]),
        module("Alarms", ["ByteBuffers", "Security", "Telemetry"]),
        module("JobLedger", ["KafkaModel", "ByteBuffers"]),
        module("SQSWire", ["KafkaModel", "ByteBuffers", "HTTPWire", "Security"]),
        module(
            "BrokerCore",
            [
                "KafkaModel", "ByteBuffers", "RecordFormat", "Security", "StorageIO", "LogStorage", "Coordinators",
                "QueueLedger", "Forwarder", "JobLedger", "Telemetry",
            ]),

        // Edges.
        module("Transport", ["ByteBuffers", "CSystem", "Telemetry"], settings: dataPath),
        module(
            "TLS", ["ByteBuffers", "COpenSSL", "CSystem", "Security", "Telemetry", "Transport"], settings: dataPath),
        module(
            "KafkaServer",
            [
                "KafkaModel", "ByteBuffers", "RecordFormat", "KafkaWire", "Security", "LogStorage", "Coordinators",
                "QueueLedger", "BrokerCore", "Transport", "Telemetry",
            ], settings: dataPath),
        module(
            "IngestGateway",
            [
                "Alarms", "Configuration", "KafkaModel", "ByteBuffers", "RecordFormat", "LogStorage", "BrokerCore",
                "QueueLedger", "JobLedger", "Security", "Transport", "HTTPWire", "HTTP2Wire", "SQSWire", "CJSONScan",
                "Telemetry",
            ], settings: dataPath),
        module("KafkaClient", ["KafkaModel", "ByteBuffers", "RecordFormat", "KafkaWire", "Security", "TLS"]),
        module("Configuration", ["KafkaModel", "CYAML"]),
        module("CommandSyntax", ["Configuration", "ByteBuffers", "CSystem"]),
        module(
            "Server",
            [
                "Alarms", "StorageIO", "LogStorage", "BrokerCore", "Coordinators", "Transport", "TLS", "Security",
                "IssuerKeys",
                "KafkaModel", "KafkaServer", "KafkaClient", "RecordFormat", "Forwarder", "HTTPClient", "IngestGateway",
                "Configuration", "ByteBuffers", "Telemetry",
            ]),
        module(
            "ConsoleCommands",
            [
                "KafkaModel", "ByteBuffers", "RecordFormat", "Security", "StorageIO", "LogStorage", "KafkaClient",
                "IngestGateway", "Configuration", "CommandSyntax", "Telemetry",
            ]),
        .executableTarget(
            name: "millrace",
            dependencies: ["ByteBuffers", "CommandSyntax", "Configuration", "ConsoleCommands", "Server", "Telemetry"],
            swiftSettings: strict,
            // One file to copy: the Swift runtime is linked in, the C libraries stay the distribution's. Half of a release would be
            // debug information; its symbols stay, for backtraces and profiles.
            linkerSettings: [
                .unsafeFlags(["-static-stdlib"]),
                .unsafeFlags(["-Xlinker", "--strip-debug"], .when(configuration: .release)),
            ]),

        // Tests.
        module("BrokerTestKit", ["ByteBuffers", "CNGHTTP2", "KafkaWire", "StorageIO", "LogStorage"]),
        tests("TelemetryTests", ["Telemetry", "ByteBuffers"]),
        tests("KafkaModelTests", ["KafkaModel"]),
        tests("ByteBuffersTests", ["ByteBuffers"]),
        tests("RecordFormatTests", ["RecordFormat", "KafkaModel", "ByteBuffers", "CChecksum"]),
        tests(
            "KafkaWireTests", ["KafkaWire", "BrokerTestKit", "KafkaModel", "ByteBuffers"], resources: [.copy("Golden")]),
        tests("HTTPWireTests", ["HTTPWire", "ByteBuffers"]),
        tests("HTTP2WireTests", ["HTTP2Wire", "BrokerTestKit", "HTTPWire"]),
        tests(
            "SecurityTests", ["Security", "BrokerTestKit", "KafkaWire", "KafkaModel", "ByteBuffers", "COpenSSL"],
            exclude: ["KafkaDecisions.txt"]),
        tests(
            "IssuerKeysTests", ["IssuerKeys", "BrokerTestKit", "Security", "KafkaModel", "ByteBuffers", "COpenSSL"]),
        tests("HTTPClientTests", ["HTTPClient", "BrokerTestKit", "ByteBuffers", "Security"]),
        tests(
            "SQSWireTests", ["SQSWire", "BrokerTestKit", "ByteBuffers", "KafkaModel", "Security"],
            resources: [.copy("CapturedRequests.txt")]),
        tests("TransportTests", ["Transport", "BrokerTestKit", "ByteBuffers", "CSystem", "Telemetry"]),
        tests("TLSTests", ["TLS", "BrokerTestKit", "Security", "Transport", "ByteBuffers", "COpenSSL", "Telemetry"]),
        tests("StorageIOTests", ["StorageIO", "BrokerTestKit", "ByteBuffers"]),
        tests(
            "LogStorageTests",
            ["LogStorage", "BrokerTestKit", "RecordFormat", "KafkaModel", "ByteBuffers", "StorageIO", "Telemetry"],
            exclude: ["Recovery/Fixtures"]),
        tests("CoordinatorsTests", ["Coordinators", "BrokerTestKit", "KafkaWire", "KafkaModel", "ByteBuffers"]),
        tests("AlarmsTests", ["Alarms", "Telemetry"]),
        tests("ForwarderTests", ["Forwarder", "BrokerTestKit", "KafkaModel", "ByteBuffers"]),
        tests("JobLedgerTests", ["JobLedger", "BrokerTestKit", "KafkaModel", "ByteBuffers"]),
        tests("QueueLedgerTests", ["QueueLedger", "BrokerTestKit", "KafkaModel", "ByteBuffers"]),
        tests(
            "BrokerCoreTests",
            [
                "BrokerCore", "BrokerTestKit", "LogStorage", "RecordFormat", "KafkaModel", "ByteBuffers", "StorageIO",
                "Coordinators", "KafkaWire", "QueueLedger", "Forwarder", "Security", "JobLedger",
            ]),
        tests(
            "KafkaServerTests",
            [
                "KafkaServer", "BrokerCore", "BrokerTestKit", "KafkaWire", "KafkaModel", "RecordFormat", "ByteBuffers",
                "Transport", "StorageIO", "LogStorage", "Coordinators", "KafkaClient", "Security", "Telemetry",
            ]),
        tests(
            "IngestGatewayTests",
            [
                "IngestGateway", "BrokerCore", "BrokerTestKit", "CJSONScan", "Configuration", "HTTPWire",
                "RecordFormat",
                "KafkaModel", "ByteBuffers", "QueueLedger", "JobLedger", "Security", "Transport", "StorageIO",
                "LogStorage",
                "Telemetry",
            ]),
        tests("ConfigurationTests", ["Configuration"]),
        tests(
            "ServerTests",
            [
                "Server", "BrokerCore", "BrokerTestKit", "ByteBuffers", "Configuration", "Forwarder", "HTTPClient",
                "JobLedger", "KafkaClient", "KafkaModel", "LogStorage", "RecordFormat", "Security", "StorageIO",
                "Telemetry",
            ]),
        tests(
            "CommandLineTests",
            [
                "CommandSyntax", "BrokerTestKit", "Configuration", "KafkaClient", "KafkaModel", "ByteBuffers",
                "RecordFormat", "KafkaWire",
            ],
            exclude: ["help.txt"]),
        tests(
            "ConsoleCommandsTests",
            [
                "ConsoleCommands", "Server", "BrokerTestKit", "Configuration", "KafkaModel", "Security", "StorageIO",
                "Telemetry",
            ]),
        tests("ArchitectureTests", []),
    ],
    swiftLanguageModes: [.v6]
)

// The fuzz targets, with `tools/fuzz`: a library whose every module is built with libFuzzer's instrumentation. Never part of another
// build.
if Context.environment["MILLRACE_FUZZ"] != nil {
    package.targets.append(
        .target(
            name: "Fuzz",
            dependencies: [
                "KafkaModel", "ByteBuffers", "RecordFormat", "KafkaWire", "HTTPWire", "HTTP2Wire", "SQSWire",
                "StorageIO", "LogStorage",
                "Coordinators", "BrokerCore", "Transport", "TLS", "Security", "IssuerKeys", "COpenSSL", "KafkaServer",
                "IngestGateway", "CJSONScan", "Configuration", "BrokerTestKit", "Telemetry",
            ],
            path: "Tests/Fuzz/Targets", swiftSettings: strict))
    package.products.append(.library(name: "fuzz", type: .static, targets: ["Fuzz"]))
}
