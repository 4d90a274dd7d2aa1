// swift-tools-version: 6.2

import PackageDescription

let package = Package(
    name: "Benchmarks",
    platforms: [.macOS(.v15)],
    dependencies: [.package(name: "tq", path: "..")],
    targets: [
        .executableTarget(
            name: "micro",
            dependencies: [.product(name: "QueueCore", package: "tq")],
            path: "Sources/Micro"
        )
    ]
)
