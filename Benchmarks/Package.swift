// swift-tools-version: 6.2
import PackageDescription

/// The client in C that `tools/bench` measures with, apart from the package that it measures.
let package = Package(
    name: "benchmarks",
    targets: [
        // librdkafka of the distribution; only `lean` needs it.
        .systemLibrary(name: "CRdkafka", pkgConfig: "rdkafka", providers: [.apt(["librdkafka-dev"])]),
        .executableTarget(name: "lean", dependencies: ["CRdkafka"], cSettings: [.define("_GNU_SOURCE"), .unsafeFlags(["-O2", "-Wall", "-Wextra"])]),
    ],
    swiftLanguageModes: [.v6]
)
