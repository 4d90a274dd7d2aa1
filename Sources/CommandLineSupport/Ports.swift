import Glibc

/// Whether a server could listen on a port of 127.0.0.1 now.
public func isPortFree(_ port: Int) -> Bool {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    guard descriptor >= 0, let number = UInt16(exactly: port) else { return false }
    defer { close(descriptor) }
    // As a server does it: connections that have ended are not in its way.
    var yes: Int32 = 1
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = number.bigEndian
    address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
    return withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
        }
    }
}

/// A free port that stays free while its server is down: below those that the system gives to clients, one of which
/// could take it meanwhile, or even connect to itself.
///
/// - Throws: ``CommandFailure`` when a thousand tries find none.
public func findPort() throws -> Int {
    var random = SystemRandomNumberGenerator()
    return try findPort(using: &random)
}

/// A free port that stays free while its server is down, chosen by a generator of one's own.
///
/// - Throws: ``CommandFailure`` when a thousand tries find none.
public func findPort(using random: inout some RandomNumberGenerator) throws -> Int {
    for _ in 0..<1000 {
        let port = Int.random(in: 10_000..<32_768, using: &random)
        if isPortFree(port) { return port }
    }
    throw CommandFailure(.failed, "No port between 10000 and 32767 is free on 127.0.0.1.")
}
