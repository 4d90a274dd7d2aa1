// swift-tools-version: 6.2

import PackageDescription

/// Whether tools/fuzz builds: then our own code, and no other, says which of its branches ran.
let isFuzzing = Context.environment["TQ_FUZZ"] != nil
let fuzzingFlags = [
    "-enable-testing", "-sanitize-coverage=edge,indirect-calls,trace-cmp,inline-8bit-counters,pc-table",
]

/// Every Swift target is compiled with the same rules; see docs/architecture.md for what each target may import.
///
/// Warnings are errors for those who work on the code (tools/check, tools/test), not for those who only build it: their
/// compiler may be newer and warn about more.
let settings: [SwiftSetting] =
    [
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("InternalImportsByDefault"),
    ]
    + (Context.environment["TQ_WARNINGS_AS_ERRORS"] == nil ? [] : [.treatAllWarnings(as: .error)])
    + (isFuzzing ? [.unsafeFlags(fuzzingFlags)] : [])

func library(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: settings)
}

func executable(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(name: name, dependencies: dependencies, swiftSettings: settings)
}

/// Sees no more of the libraries than a package does that depends on this one.
func example(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(
        name: name,
        dependencies: dependencies,
        path: "Examples/\(name)",
        packageAccess: false,
        swiftSettings: settings
    )
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: dependencies, swiftSettings: settings)
}

/// The files of Tests/FuzzTests are tests that replay inputs; tools/fuzz makes a program of them that looks for new ones.
func fuzzTargets(_ dependencies: [Target.Dependency]) -> Target {
    isFuzzing
        ? .executableTarget(
            name: "tq-fuzz",
            dependencies: dependencies,
            path: "Tests/FuzzTests",
            exclude: ["ReplayTests.swift", "Corpus", "Regressions"],
            swiftSettings: settings
        )
        : .testTarget(
            name: "FuzzTests",
            dependencies: dependencies,
            exclude: ["main.swift", "Corpus", "Regressions"],
            swiftSettings: settings
        )
}

let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let nioEmbedded = Target.Dependency.product(name: "NIOEmbedded", package: "swift-nio")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let configuration = Target.Dependency.product(name: "Configuration", package: "swift-configuration")
let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let histogram = Target.Dependency.product(name: "Histogram", package: "hdrhistogram-swift")

let package = Package(
    name: "tq",
    platforms: [.macOS(.v15)],
    products: [
        .library(name: "Broker", targets: ["Broker"]),
        .library(name: "QueueCore", targets: ["TQModel", "QueueCore", "WireProtocol"]),
        .library(name: "TQClient", targets: ["TQClient", "TQModel", "Compression"]),
        .library(name: "TQWorker", targets: ["TQWorker", "TQModel"]),
        // Loaded into a broker to see and to break what it does to its disk; no program is linked with it.
        .library(name: "tq-disk-faults", type: .dynamic, targets: ["CDiskFaults"]),
        .executable(name: "tq-broker", targets: ["tq-broker"]),
        .executable(name: "tq-worker", targets: ["tq-worker"]),
        .executable(name: "tq-admin", targets: ["tq-admin"]),
        .executable(name: "tq-inspect", targets: ["tq-inspect"]),
        .executable(name: "tq-bench", targets: ["tq-bench"]),
        .executable(name: "tq-verify", targets: ["tq-verify"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-configuration.git", from: "1.4.0", traits: ["YAML"]),
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift.git", from: "0.2.0"),
    ],
    targets: [
        // The store: bytes in families, written in atomic batches.
        .systemLibrary(name: "CRocksDBSystem", pkgConfig: "rocksdb", providers: [.apt(["librocksdb-dev"])]),
        .target(name: "CRocksDB", dependencies: ["CRocksDBSystem"]),
        library("ByteStore", ["TQModel", "CRocksDB"]),

        // The queue: what is decided, and how it is kept.
        library("TQModel"),
        library("Recurrence", ["TQModel"]),
        library("QueueCore", ["TQModel", "Recurrence"]),
        library("Storage", ["TQModel", "Recurrence", "QueueCore", "ByteStore"]),

        // The broker: who may ask, over which wire.
        library("WireProtocol", ["TQModel"]),
        library("BrokerConfig", ["TQModel", configuration]),
        library("Telemetry", [logging]),
        library(
            "Broker",
            [
                "TQModel", "Recurrence", "QueueCore", "ByteStore", "Storage", "WireProtocol", nioCore, nioPosix,
                logging,
            ]
        ),

        // The other side of the wire.
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        library("Compression", ["TQModel", "CZstd"]),
        library("TQClient", ["TQModel", "WireProtocol", "Compression", nioCore, nioPosix, logging]),
        library("TQWorker", ["TQModel", "TQClient", logging]),

        // Proof.
        library("HistoryChecker", ["TQModel"]),
        library("Simulation", ["TQModel", "Recurrence", "QueueCore", "ByteStore", "Storage", "HistoryChecker"]),
        .target(name: "CDiskFaults"),
        library("DiskFaults", ["TQModel"]),
        library(
            "DiskTrials",
            ["TQModel", "QueueCore", "ByteStore", "Storage", "DiskFaults", "CommandLineSupport"]
        ),

        // Commands.
        .target(name: "CSpawn"),
        library("CommandLineSupport", ["TQModel", "Telemetry", "CSpawn", argumentParser, logging]),
        executable(
            "tq-broker",
            [
                "TQModel", "QueueCore", "Broker", "BrokerConfig", "Telemetry", "CommandLineSupport", argumentParser,
                logging,
            ]
        ),
        executable(
            "tq-worker",
            [
                "TQModel", "Compression", "TQClient", "TQWorker", "BrokerConfig", "Telemetry", "CommandLineSupport",
                argumentParser, logging,
            ]
        ),
        executable(
            "tq-admin",
            ["TQModel", "Compression", "TQClient", "Telemetry", "CommandLineSupport", argumentParser]
        ),
        executable(
            "tq-inspect",
            ["TQModel", "ByteStore", "Storage", "Telemetry", "CommandLineSupport", argumentParser]
        ),
        executable(
            "tq-bench",
            [
                "TQModel", "TQClient", "TQWorker", "WireProtocol", "CommandLineSupport", argumentParser, histogram,
                nioCore, nioPosix,
            ]
        ),
        executable("tq-demo", ["TQModel", "TQClient", "Telemetry", "CommandLineSupport", argumentParser]),
        executable("tq-simulate", ["Simulation", "CommandLineSupport", argumentParser]),
        executable(
            "tq-verify",
            [
                "TQModel", "TQClient", "HistoryChecker", "ByteStore", "Storage", "DiskFaults", "CommandLineSupport",
                argumentParser,
            ]
        ),
        executable("tq-planted-bugs", ["CommandLineSupport", argumentParser]),

        // Programs to copy.
        example("SimpleWorker", ["TQModel", "TQClient", "TQWorker", logging]),
        example("TaskClient", ["TQModel", "TQClient"]),
        example("ScheduledTasks", ["TQModel", "TQClient", "TQWorker"]),

        tests("TQModelTests", ["TQModel"]),
        tests("CompressionTests", ["Compression", "CZstd", "TQModel"]),
        tests("RecurrenceTests", ["Recurrence", "TQModel"]),
        tests("ByteStoreTests", ["ByteStore"]),
        tests("QueueCoreTests", ["QueueCore", "TQModel"]),
        tests("StorageTests", ["Storage", "QueueCore", "ByteStore", "TQModel"]),
        tests("WireProtocolTests", ["WireProtocol", "TQModel"]),
        .target(
            name: "FakeBroker",
            dependencies: ["TQModel", "WireProtocol", nioCore, nioPosix],
            path: "Tests/FakeBroker",
            swiftSettings: settings
        ),
        tests("TQClientTests", ["TQClient", "TQModel", "WireProtocol", "FakeBroker", nioCore, nioPosix]),
        tests("TQWorkerTests", ["TQWorker", "TQClient", "TQModel", "FakeBroker"]),
        tests("BrokerConfigTests", ["BrokerConfig", "TQModel"]),
        tests("TelemetryTests", ["Telemetry", logging]),
        tests(
            "BrokerTests",
            [
                "Broker", "Compression", "FakeBroker", "QueueCore", "Storage", "TQClient", "TQWorker", "TQModel",
                "WireProtocol", "ByteStore", logging, nioCore, nioPosix,
            ]
        ),
        tests("HistoryCheckerTests", ["HistoryChecker", "TQModel"]),
        tests("SimulationTests", ["CommandLineSupport", "Simulation", "tq-planted-bugs", "tq-simulate"]),
        tests(
            "CommandTests",
            [
                "CommandLineSupport", "DiskFaults", "HistoryChecker", "TQClient", "TQModel", "TQWorker", "tq-admin",
                "Telemetry", "tq-broker", "tq-verify", "tq-inspect", "tq-worker", argumentParser,
            ]
        ),
        .executableTarget(
            name: "disk-workload",
            dependencies: ["DiskTrials"],
            path: "Tests/DiskWorkload",
            swiftSettings: settings
        ),
        .executableTarget(name: "disk-calls", path: "Tests/DiskCalls", swiftSettings: settings),
        tests(
            "DiskFaultsTests",
            ["CommandLineSupport", "DiskFaults", "DiskTrials", "disk-calls", "disk-workload", "TQModel"]
        ),
        fuzzTargets([
            "TQModel", "Recurrence", "ByteStore", "QueueCore", "Storage", "Simulation", "WireProtocol", "TQClient",
            "BrokerConfig", "Telemetry", "CommandLineSupport", "HistoryChecker", "Compression",
        ]),
        tests("HouseRulesTests", []),
    ],
    cxxLanguageStandard: .cxx2b
)
